"""What all commands share."""

import logging
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import tyro

from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)

# The fields of settings become flags without a prefix: --crop, not --config.crop.
Flat = tyro.conf.arg(name="")


class Command(Protocol):
    """What every command can do."""

    def run(self) -> None:
        """Do it; raise `UserError` for what the user can mend."""


@dataclass(kw_only=True)
class TrainingCommand:
    """What the commands that train share: all settings of a training as flags, and files of them."""

    config_files: Annotated[tuple[Path, ...], tyro.conf.arg(name="config")] = ()
    """files of settings, .yaml or .json, in the names of the flags below with _ for -; a later file wins, and a flag
    wins over all files. Every run folder holds its own: RUN/config.yaml"""
    config: Annotated[TrainConfig, Flat] = field(default_factory=TrainConfig)

    def refuse_detector(self) -> None:
        """Refuse --detector where --detectors says what is trained; one of a file, as a run has it, is only told.

        Raises:
            UserError: it was given.
        """
        from fakefreq.config.files import read_train_config

        given, of_files = self.config.detector, read_train_config(self.config_files).detector
        if given != of_files:
            raise UserError(f"--detector is {given}, which this command does not use; give --detectors {given} instead")
        if given != TrainConfig().detector:
            logger.info(f"the detector {given} of --config is not used: --detectors says what is trained")


Training = TypeVar("Training", bound=TrainingCommand)


def with_config_files(command: Training, words: Sequence[str], prog: str | None = None) -> Training:
    """Return a command whose files of settings (--config) are the defaults of its flags.

    Args:
        command: as the words were read without the files.
        words: the words again, after the command's own name.
        prog: what the command is called in its help.

    Raises:
        UserError: a file of settings that cannot be used, or --config given twice.
    """
    if not command.config_files:
        return command
    if sum(word.partition("=")[0] == "--config" for word in words) > 1:
        raise UserError("--config is given twice, and the later one alone would count; name all files after one")
    from fakefreq.config.files import read_train_config

    kind = type(command)
    required = {
        item.name: tyro.MISSING for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING
    }
    default = kind(**required)
    default = replace(default, config=read_train_config(command.config_files, default.config))
    return tyro.cli(kind, prog=prog, args=words, default=default)
