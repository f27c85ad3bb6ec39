"""The lines of log.csv for an experiment tracker too, through accelerate's trackers."""

import hashlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

from fakefreq.config.run import TRACKERS, TrainConfig
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)

PROJECT = "fakefreq"
"""Under which wandb, trackio and mlflow keep the runs."""
_SCALARS = ("loss", "accuracy", "auc", "learning_rate")


def check_tracker(kind: str) -> None:
    """Refuse a tracker whose packages are not installed.

    Args:
        kind: one of `TRACKERS`.

    Raises:
        UserError: names the package and the extra that brings it.
    """
    missing = [name for name in ("accelerate", kind) if kind != "none" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--log-with {kind} needs the package {' and '.join(missing)}: pip install 'fakefreq[{kind}]', or choose "
            f"another of {', '.join(TRACKERS)}"
        )


class Tracker:
    """Gives the numbers of log.csv to a tracker, named phase/column, at the step of all epochs.

    Where it keeps them: tensorboard and wandb in the run's folder, trackio and mlflow where their own settings say.
    Each obeys its environment variables, such as WANDB_MODE=offline. A tracker that fails later is given up with a
    warning, and the training goes on.

    Args:
        config: `log_with` says which; the other settings are told to it, except to tensorboard.
        folder: the run's.
        first_step: steps from here on were logged by a run that was interrupted, and are done again.

    Raises:
        UserError: it cannot start, as where nobody is logged in.
    """

    def __init__(self, config: TrainConfig, folder: Path, first_step: int = 0) -> None:
        from accelerate import PartialState, tracking

        PartialState(cpu=True)  # its trackers ask it who writes; one of several processes has it already
        self.kind, name = config.log_with, folder.absolute().name
        self._tracker: Any = None
        # Which run a resumed one goes on with, where the tracker can.
        identity = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        try:
            if self.kind == "tensorboard":
                purge = {"purge_step": first_step} if first_step else {}
                tracker: Any = tracking.TensorBoardTracker("tensorboard", str(folder), flush_secs=10, **purge)
            elif self.kind == "wandb":
                tracker = tracking.WandBTracker(PROJECT, name=name, dir=str(folder), id=identity, resume="allow")
            elif self.kind == "trackio":
                tracker = tracking.TrackioTracker(PROJECT, name=f"{name}-{identity[:6]}", resume="allow")
            else:
                tracker = tracking.MLflowTracker(PROJECT, run_name=name)
            tracker.start()
            if self.kind != "tensorboard":
                tracker.store_init_configuration({name: str(value) for name, value in config.to_dict().items()})
        except Exception as error:  # each package has its own
            raise UserError(
                f"--log-with {self.kind} cannot start: {error}; log in, use its offline mode, or choose another of "
                f"{', '.join(TRACKERS)}"
            ) from error
        self._tracker = tracker

    def add(self, row: dict[str, Any]) -> None:
        """Take one line of the log."""
        if self._tracker is None:
            return
        values = {f"{row['phase']}/{name}": float(row[name]) for name in _SCALARS if name in row}
        try:
            self._tracker.log(values, step=int(row["step"]))
        except Exception as error:
            logger.warning(f"--log-with {self.kind} fails ({error}): from here on log.csv alone has the numbers")
            self._tracker = None

    def close(self) -> None:
        """Bring all to where it is kept."""
        if self._tracker is not None:
            self._tracker.finish()
