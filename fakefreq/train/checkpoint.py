"""A run's folder: configuration, log, weights, and the state from which it resumes."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from fakefreq.config.files import RUN_SETTINGS, read_run_config, write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError
from fakefreq.files import atomic_path, read_json, write_json, write_text
from fakefreq.models import Detector, save_detector
from fakefreq.ranks import current
from fakefreq.train.optim import AveragedDetector
from fakefreq.train.trackers import Tracker

DIGITS = 16
"""Of the sha256 of each training image that a run keeps."""
LOG_COLUMNS = ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate", "seconds"]


@dataclass
class Progress:
    """How far a run has come.

    Args:
        epoch: epochs that are complete, validation included.
        step: steps of the epoch that is not.
        seen: images of these steps.
        total: steps of all epochs.
        right: those of them on whose side the logit was.
        loss_sum: their losses, added up.
        best_auc: highest validation AUC so far.
        best_epoch: its epoch, counted from 1; 0 before the first.
        seconds: training time so far, validation included.
    """

    epoch: int = 0
    step: int = 0
    total: int = 0
    seen: int = 0
    right: int = 0
    loss_sum: float = 0.0
    best_auc: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass
class State:
    """All that the next step of a training depends on, apart from its configuration and images.

    Args:
        detector: with its weights and batch-norm statistics.
        optimizer: with its moments.
        schedule: with its position.
        average: the averaged weights, where there are any.
        progress: how far it has come; with the seed it says which images come next.
    """

    detector: Detector
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    average: AveragedDetector | None = None
    progress: Progress = field(default_factory=Progress)

    def to_dict(self) -> dict[str, Any]:
        """As it is stored; the generators that dropout draws from go with it."""
        return {
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "progress": asdict(self.progress),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def from_dict(self, stored: dict[str, Any]) -> None:
        """Take over what `to_dict` gave."""
        self.detector.load_state_dict(stored["detector"], strict=True)
        self.optimizer.load_state_dict(stored["optimizer"])
        self.schedule.load_state_dict(stored["schedule"])
        if self.average:
            self.average.load_state_dict(stored["average"])
        self.progress = Progress(**stored["progress"])
        torch.set_rng_state(stored["random"])
        if stored["random_cuda"] and torch.cuda.is_available():
            if current().size > 1:  # all draw alike, each on its own device; the first process's was stored first
                torch.cuda.set_rng_state(stored["random_cuda"][0], self.detector.device)
            else:
                torch.cuda.set_rng_state_all(stored["random_cuda"])


@dataclass
class RunFolder:
    """The files of one run.

    Args:
        path: the folder. It holds config.yaml, environment.json, trained_images.txt, log.csv, best.safetensors,
            last.pt and, once the run has ended, summary.json.
        writes: whether this process does; of several one does.
        tracker: also gets the lines of the log, where one is wanted.
    """

    path: Path
    writes: bool = True
    tracker: Tracker | None = None

    def check(self, config: TrainConfig, manifest_digest: str, resume: bool, teacher: str = "") -> None:
        """See whether the folder may hold this experiment; nothing is written.

        Args:
            config: the experiment.
            manifest_digest: of its images.
            resume: whether an unfinished one is gone on with.
            teacher: the sha256 of the teacher's weights; empty without a teacher.

        Raises:
            UserError: it holds another experiment, or an unfinished one and `resume` is off.
        """
        if (self.path / RUN_SETTINGS).exists():
            differ = _differences(read_run_config(self.path), config)
            stored = trained_manifest(self.path)
            if stored != manifest_digest:
                differ.append(f"its images are others (manifest digest {stored}, now {manifest_digest})")
            taught = read_json(self.path / "environment.json", "what the run ran on").get("teacher_sha256", "")
            if teacher and taught not in ("", teacher):
                differ.append(f"its teacher's weights are others (sha256 {taught[:12]}, now {teacher[:12]})")
            if differ:
                raise UserError(
                    f"{self.path} holds a run with other settings or images: {'; '.join(differ)}; give those of the "
                    "run, or choose another --out"
                )
            if not resume and (self.path / "last.pt").exists() and not self.is_finished():
                raise UserError(f"{self.path} holds an interrupted run; go on with --resume, or choose another --out")
        elif self.is_finished() or (self.path / "last.pt").exists():
            raise UserError(
                f"{self.path} holds a run without its settings ({RUN_SETTINGS}), as older versions left them; "
                "choose another --out"
            )

    def claim(
        self, config: TrainConfig, manifest_digest: str, environment: dict[str, Any], trained: Iterable[str]
    ) -> None:
        """Write what the experiment is, what it runs on, and the sha256 of the images that it trains on."""
        if not self.writes:
            return
        # The settings last: a folder that has them says which images it is of.
        write_json(self.path / "environment.json", {"manifest_digest": manifest_digest, **environment})
        # The first digits are enough for no later test to take these images.
        names = sorted({text[:DIGITS] for text in trained})
        write_text(self.path / "trained_images.txt", "".join(f"{name}\n" for name in names))
        write_train_config(config, self.path / RUN_SETTINGS)

    def is_finished(self) -> bool:
        """Whether the run in this folder has ended."""
        return (self.path / "summary.json").exists()

    def log(self, **row: Any) -> None:
        """Add a line to log.csv; it is in the file when this returns.

        Raises:
            UserError: it cannot be written.
        """
        if not self.writes:
            return
        path = self.path / "log.csv"
        line = io.StringIO()
        writer = csv.DictWriter(line, LOG_COLUMNS, restval="", lineterminator="\n")
        if not path.exists():
            writer.writeheader()
        writer.writerow({name: _rounded(value) for name, value in row.items()})
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                file.write(line.getvalue())
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; make room, then go on with --resume") from error
        if self.tracker is not None:
            self.tracker.add(row)

    def save_best(self, detector: Detector, facts: dict[str, Any] | None = None) -> None:
        """Write the weights that the run is kept for; `facts` are further JSON values of the file's header."""
        if self.writes:
            save_detector(detector, self.path / "best.safetensors", facts)

    def save_state(self, state: "State", name: str = "last.pt") -> None:
        """Write all that the next step depends on.

        Args:
            state: the training.
            name: of the file.

        Raises:
            UserError: it cannot be written; a former file of that name stays as it was.
        """
        if not self.writes:
            return
        # Serialised first: torch's own writer does not say that a disk is full, and this way it is written in one go.
        buffer = io.BytesIO()
        torch.save(state.to_dict(), buffer)
        try:
            with atomic_path(self.path / name) as temporary, temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())  # a disk may say that it is full only now, and the rename must not come first
        except UserError as error:
            kept = "the last good state is kept" if (self.path / name).exists() else "no state is kept"
            raise UserError(f"{error}; or make room and go on with --resume: {kept}") from error

    def load_state(self, state: "State") -> bool:
        """Bring a training back to where last.pt was written; without one it stays at its beginning.

        Returns:
            Whether there was one.

        Raises:
            UserError: last.pt is damaged or of another detector.
        """
        if self.writes:
            for left_over in self.path.glob(".*.part.*"):
                left_over.unlink(missing_ok=True)  # of a process that was killed while it wrote
        path = self.path / "last.pt"
        if path.exists():
            try:
                state.from_dict(torch.load(path, map_location="cpu", weights_only=True))
            except Exception as error:  # a damaged archive fails in many ways
                raise UserError(f"cannot resume from {path}: {error}; delete it to start the run again") from error
        if self.writes:
            self._cut_log(state.progress)
        return path.exists()

    def _cut_log(self, progress: Progress) -> None:
        """Drop the lines of what was done after the state was saved: it is done again."""
        path = self.path / "log.csv"
        if not path.exists():
            return

        def is_before(row: dict[str, str]) -> bool:
            if None in row.values() or not (row["epoch"] or "").isdigit() or not (row["step"] or "").isdigit():
                return False  # torn by a full disk
            return int(row["epoch"]) <= progress.epoch or (
                row["phase"] == "train" and int(row["step"]) <= progress.total
            )

        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if is_before(row)]
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def trained_manifest(run: Path) -> str:
    """Return the digest of the manifest that a run was trained on.

    Raises:
        UserError: environment.json, which says it, is missing or damaged.
    """
    environment = read_json(run / "environment.json", "what the run ran on")
    return str(environment["manifest_digest"])


def read_trained_images(run: Path) -> frozenset[str]:
    """Return which images trained a run, by the first digits of their hashes; empty for runs of older versions."""
    path = run / "trained_images.txt"
    return frozenset(path.read_text(encoding="utf-8").split()) if path.exists() else frozenset()


def _differences(stored: TrainConfig, given: TrainConfig) -> list[str]:
    """Return the settings in which two trainings differ, by flag, with both values."""
    there, here = stored.what_it_computes(), given.what_it_computes()
    return [
        f"--{name.replace('_', '-')} is {_shown(there[name])} there, {_shown(here[name])} here"
        for name in here
        if there[name] != here[name]
    ]


def _shown(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text or "empty"


def _rounded(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
