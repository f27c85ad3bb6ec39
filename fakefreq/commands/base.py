"""What all commands share."""

from typing import Protocol

import tyro

# The configuration's fields become flags without a prefix: --crop, not --config.crop.
Flat = tyro.conf.arg(name="")


class Command(Protocol):
    """What every command can do."""

    def run(self) -> None:
        """Do it; raise `UserError` for what the user can mend."""
