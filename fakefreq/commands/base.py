"""What all commands share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

import tyro

from fakefreq.config.run import TrainConfig

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
