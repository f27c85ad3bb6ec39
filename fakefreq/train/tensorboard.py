"""Scalars for TensorBoard, where it is wanted and installed."""

from pathlib import Path
from typing import Any

from fakefreq.errors import UserError


class Board:
    """Writes the numbers of log.csv as TensorBoard's scalars, named phase/column.

    Args:
        folder: of the event files.
        purge_step: steps from here on were written by a run that was interrupted, and are done again.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, purge_step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "--tensorboard needs the package tensorboard: pip install 'fakefreq[tensorboard]', or leave it out"
            ) from error
        writer: Any = SummaryWriter
        self._writer = writer(str(folder), purge_step=purge_step or None, flush_secs=10)

    def add(self, row: dict[str, Any]) -> None:
        """Write one line of the log."""
        for name in ("loss", "accuracy", "auc", "learning_rate"):
            if name in row:
                self._writer.add_scalar(f"{row['phase']}/{name}", float(row[name]), int(row["step"]))

    def close(self) -> None:
        """Bring all to the disk."""
        self._writer.close()
