"""The command line. Thin: torch, timm and pandas are imported only by the command that needs them."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import get_args, get_type_hints

import tyro

from fakefreq.commands.audit import Align, Audit
from fakefreq.commands.base import Command, TrainingCommand, with_config_files
from fakefreq.commands.benchmark import Ablate, Benchmark, Robustness
from fakefreq.commands.comparison import Compare, CompareScores, Demo, Evaluate
from fakefreq.commands.data import Index, Manifest, Split
from fakefreq.commands.detectors import Export, Predict, Publish, Score, Train
from fakefreq.commands.look import App, Explain, Report, Spectrum
from fakefreq.commands.overview import overview
from fakefreq.commands.zoo import Zoo
from fakefreq.errors import ToldElsewhere, UserError, choose
from fakefreq.messages import shown_messages, take_level
from fakefreq.ranks import is_silent, launched

# In the order of a first day, which an unknown name is answered with.
COMMANDS: dict[str, Callable[..., Command]] = {
    "demo": Demo,
    "index": Index,
    "split": Split,
    "manifest": Manifest,
    "zoo": Zoo,
    "audit": Audit,
    "align": Align,
    "train": Train,
    "benchmark": Benchmark,
    "compare": Compare,
    "ablate": Ablate,
    "robustness": Robustness,
    "evaluate": Evaluate,
    "compare-scores": CompareScores,
    "score": Score,
    "predict": Predict,
    "explain": Explain,
    "report": Report,
    "spectrum": Spectrum,
    "export": Export,
    "publish": Publish,
    "app": App,
}

# What several processes of a launcher may share.
SHARED = ("train", "score")
# Commands that have commands below them.
NESTED = ("manifest", "zoo")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `fakefreq`; the process's own by default.

    Returns:
        The exit status: 0 done, 2 a mistake that the user can mend, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        from fakefreq.version import __version__

        print(f"fakefreq {__version__}")
        return 0
    try:
        level, words = take_level(words)
        if words in ([], ["--help"], ["-h"]):
            print(overview())
            return 0
        _refuse_unknown(words)
        command = _parsed(words)
        if launched() > 1 and words[0] not in SHARED:
            raise UserError(
                f"a launcher has started {launched()} processes, and {words[0]} is for one: start it without; "
                f"{' and '.join(SHARED)} share their work"
            )
        with shown_messages(logging.ERROR if is_silent() else level):
            command.run()
    except ToldElsewhere:
        return 2
    except UserError as error:
        where = f" (process {os.environ['RANK']})" if is_silent() else ""
        print(f"error{where}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if not is_silent():
            print("interrupted; the same command again goes on (train: with --resume)", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return 0


def _parsed(words: Sequence[str]) -> Command:
    """Return the command that the words mean; the settings of --config become the defaults of its flags.

    Raises:
        UserError: a file of settings that cannot be used.
    """
    command: Command = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="fakefreq", args=words)
    if isinstance(command, TrainingCommand):
        return with_config_files(command, words[1:], f"fakefreq {words[0]}")
    return command


def _refuse_unknown(words: Sequence[str]) -> None:
    """Refuse an unknown command by name, also one that stands beside --help.

    Raises:
        UserError: names the commands that come close, and what took the place of a flag that is gone.
    """
    if any(word.partition("=")[0] in ("--tensorboard", "--no-tensorboard") for word in words):
        raise UserError("--tensorboard is gone: give --log-with tensorboard, or leave it out")
    named = [word for word in words if not word.startswith("-")]
    if not named or words[0] not in (named[0], "--help", "-h"):
        return  # tyro refuses a flag before the command
    first = choose(named[0].replace("_", "-"), list(COMMANDS), "command", "fakefreq")
    if first in NESTED and len(named) > 1:
        below = _subcommands(get_type_hints(COMMANDS[first], include_extras=True)["action"])
        choose(named[1], below, f"command of {first}", f"fakefreq {first}")


def _subcommands(hint: object) -> list[str]:
    """Return the names of tyro's subcommands within a type."""
    metadata = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, type(tyro.conf.subcommand("")))]
    own = [str(getattr(item, "name", "")) for item in metadata]
    return own + [name for part in get_args(hint) for name in _subcommands(part)]
