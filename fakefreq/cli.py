"""The command line. Thin: torch, timm and pandas are imported only by the command that needs them."""

import sys
from collections.abc import Callable, Sequence

import tyro

from fakefreq.commands import ablation, audit, benchmark, comparison, data, detectors, report, spectrum, zoo
from fakefreq.commands.base import Command
from fakefreq.commands.overview import overview
from fakefreq.errors import UserError
from fakefreq.messages import shown_messages, take_level

# Each module of fakefreq.commands brings its own.
COMMANDS: dict[str, Callable[..., Command]] = {
    **ablation.COMMANDS,
    **audit.COMMANDS,
    **benchmark.COMMANDS,
    **comparison.COMMANDS,
    **data.COMMANDS,
    **detectors.COMMANDS,
    **report.COMMANDS,
    **spectrum.COMMANDS,
    **zoo.COMMANDS,
}


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
        command = tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="fakefreq", args=words)
        with shown_messages(level):
            command.run()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on (train: with --resume)", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    return 0
