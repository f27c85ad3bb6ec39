"""A run's folder: configuration, log, weights, and the state from which it resumes."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from fakefreq.errors import UserError
from fakefreq.files import atomic_path, read_json, write_json
from fakefreq.models import Detector
from fakefreq.train.experiment import TrainConfig

LOG_COLUMNS = ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate", "seconds"]


@dataclass
class Progress:
    """How far a run has come.

    Args:
        epoch: epochs that are complete.
        best_auc: highest validation AUC so far.
        best_epoch: its epoch, counted from 1; 0 before the first.
        seconds: training time so far, validation included.
    """

    epoch: int = 0
    best_auc: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass
class RunFolder:
    """The files of one run.

    Args:
        path: the folder. It holds config.json, environment.json, log.csv, best.safetensors, last.pt and, once the
            run has ended, summary.json.
    """

    path: Path

    def check(self, config: TrainConfig, manifest_digest: str, resume: bool) -> None:
        """See whether the folder may hold this experiment; nothing is written.

        Raises:
            UserError: it holds another experiment, or an unfinished one and `resume` is off.
        """
        stored_path = self.path / "config.json"
        if stored_path.exists():
            stored = read_json(stored_path, "the run's configuration")
            same = (
                TrainConfig.from_dict(stored["train"]).what_it_computes() == config.what_it_computes()
                and stored["manifest_digest"] == manifest_digest
            )
            if not same:
                raise UserError(f"{self.path} holds a run with other settings or images; choose another --out")
            if not resume and (self.path / "last.pt").exists() and not self.is_finished():
                raise UserError(f"{self.path} holds an interrupted run; go on with --resume, or choose another --out")

    def claim(self, config: TrainConfig, manifest_digest: str, environment: dict[str, Any]) -> None:
        """Write what the experiment is and what it runs on."""
        write_json(self.path / "config.json", {"train": config.to_dict(), "manifest_digest": manifest_digest})
        write_json(self.path / "environment.json", environment)

    def is_finished(self) -> bool:
        """Whether the run in this folder has ended."""
        return (self.path / "summary.json").exists()

    def log(self, **row: Any) -> None:
        """Add a line to log.csv; it is on disk when this returns."""
        path = self.path / "log.csv"
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="")
            if is_new:
                writer.writeheader()
            writer.writerow({name: _rounded(value) for name, value in row.items()})

    def save_state(
        self, detector: Detector, optimizer: torch.optim.Optimizer, schedule: LRScheduler, progress: Progress
    ) -> None:
        """Write last.pt: all that the next epoch depends on."""
        state = {
            "detector": detector.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "progress": vars(progress),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with atomic_path(self.path / "last.pt") as temporary:
            torch.save(state, temporary)

    def load_state(self, detector: Detector, optimizer: torch.optim.Optimizer, schedule: LRScheduler) -> Progress:
        """Bring everything back to where last.pt was written; a run without one starts at its beginning.

        Raises:
            UserError: last.pt is damaged or of another detector.
        """
        path = self.path / "last.pt"
        if not path.exists():
            self._cut_log(0)
            return Progress()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            detector.load_state_dict(state["detector"], strict=True)
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            progress = Progress(**state["progress"])
        except Exception as error:  # a damaged archive fails in many ways
            raise UserError(f"cannot resume from {path}: {error}; delete it to start the run again") from error
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self._cut_log(progress.epoch)
        return progress

    def _cut_log(self, epochs: int) -> None:
        """Drop the lines of an epoch that was interrupted: it is trained again."""
        path = self.path / "log.csv"
        if not path.exists():
            return
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["epoch"].isdigit() and int(row["epoch"]) <= epochs]
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
