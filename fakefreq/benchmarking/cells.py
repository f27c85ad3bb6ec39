"""Cells: one training each, known by what they compute, on which data, with which code."""

import contextlib
import functools
import hashlib
import json
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.benchmarking.code import code_digest
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate.scores import check_table, read_scores, table_path, write_scores
from fakefreq.files import hold, read_json, write_json

logger = logging.getLogger(__name__)

# Stands for the cell's seed in the path of a teacher, so that each seed learns from a teacher of its own.
SEED = "{seed}"


@dataclass(frozen=True)
class Cell:
    """One detector trained on one training set with one seed on one track.

    Args:
        label: the detector's name in tables; several labels may be one registered detector, differently configured.
        track: `raw`, `native` or `aligned`.
        manifest: the track's table of images.
        data: the manifest's digest.
        config: everything else that decides the weights; its `train_on` is the training set.
        teacher: the sha256 of the teacher's weights; empty without a teacher.
    """

    label: str
    track: str
    manifest: Path
    data: str
    config: TrainConfig
    teacher: str = ""

    @property
    def train_on(self) -> str:
        """The training set as tables name it."""
        return "+".join(self.config.train_on)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits of configuration, data and teacher: cells of one digest are the same training.

        What is left at its default does not enter, so that a new setting of a later version leaves cells their names;
        a default that changes is caught by the digest of the code, and by `is_of`.
        """
        plain = TrainConfig().what_it_computes()
        chosen = {name: value for name, value in self.config.what_it_computes().items() if value != plain[name]}
        taught = {"teacher": self.teacher} if self.teacher else {}
        text = json.dumps({"train": chosen, "data": self.data, **taught}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def stem(self) -> str:
        """The folder's name without the digest of the code."""
        words = f"{self.config.detector}-{self.train_on}"
        safe = "".join(letter if letter.isalnum() or letter in "-_+." else "_" for letter in words)[:80]
        return f"{safe}-s{self.config.seed}-{self.digest}"

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.stem}-{code_digest()}"

    def of_pixels(self) -> "Cell":
        """The cell of `pixel` with this one's settings: what the other streams are made of is left at its default."""
        plain = TrainConfig()
        unused = ("spectrum", "fusion", "condition", "lattice_pairs", "lattice_simulated", "false_alarms")
        changes: dict[str, Any] = {name: getattr(plain, name) for name in unused}
        return replace(self, label="pixel", config=replace(self.config, detector="pixel", **changes))

    def is_of(self, stored: dict[str, Any]) -> bool:
        """Whether the record of a finished cell is of this configuration and these images."""
        try:
            config = TrainConfig.from_dict(stored["train"])
        except UserError:
            return False  # a setting that this version does not know
        same_inputs = (stored["data"], stored.get("teacher", "")) == (self.data, self.teacher)
        return same_inputs and config.what_it_computes() == self.config.what_it_computes()

    def facts(self) -> dict[str, Any]:
        """The columns that every table starts with."""
        return {
            "cell": self.name,
            "detector": self.label,
            "train_on": self.train_on,
            "seed": self.config.seed,
            "track": self.track,
        }


def expand(
    training_sets: Sequence[tuple[str, ...]],
    detectors: Mapping[str, TrainConfig],
    seeds: Sequence[int],
    track: str,
    manifest: Path,
    data: str,
) -> list[Cell]:
    """Return the cells of a track: training set by training set, seed by seed, all detectors of a pair together.

    In this order the first cells that are done can be compared already.

    Raises:
        UserError: there is no teacher where a configuration names one.
    """
    from fakefreq.train.distill import teacher_digest

    digest_of = functools.cache(teacher_digest)
    cells = []
    for seed in seeds:
        for chosen in training_sets:
            for label, shared in detectors.items():
                teacher = shared.teacher.replace(SEED, str(seed))
                config = replace(shared, seed=seed, train_on=chosen, teacher=teacher)
                cells.append(Cell(label, track, manifest, data, config, digest_of(teacher)))
    return cells


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Args:
        cell: the cell.
        folder: where its files are.
        error: why it failed; empty where it is done.
    """

    cell: Cell
    folder: Path
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether its scores are there."""
        return not self.error

    @property
    def record(self) -> dict[str, Any]:
        """The cell's cell.json."""
        return dict(read_json(self.folder / "cell.json", "the record of a cell"))

    @property
    def scores(self) -> pd.DataFrame:
        """Its validation and test scores; `checked` has looked at them."""
        return read_scores(table_path(self.folder))


def is_done(folder: Path) -> bool:
    """Whether a cell's folder is finished; its cell.json is written last."""
    return (folder / "cell.json").exists()


def find_folder(cell: Cell, root: Path, any_code: bool = False) -> Path:
    """Return the folder of a cell.

    Args:
        cell: the cell.
        root: the folder of all cells.
        any_code: take finished results of other versions of the code too.
    """
    folder = root / cell.name
    if any_code and not is_done(folder):
        for other in sorted(root.glob(f"{cell.stem}-*")):
            if is_done(other) and cell.is_of(read_json(other / "cell.json", "the record of a cell")):
                return other
    return folder


def run_cell(cell: Cell, folder: Path, any_code: bool = False) -> None:
    """Train and score a cell; go on where an interrupted process stopped.

    Args:
        cell: the cell.
        folder: takes run/, scores.parquet (.csv) and, last of all, cell.json.
        any_code: take the pixel stream of a finished cell of another version of the code too.

    Raises:
        UserError: anything that the user can mend.
    """
    from fakefreq.evaluate.predict import score_rows
    from fakefreq.models import load_detector
    from fakefreq.threads import choose_device, describe_environment
    from fakefreq.train.distill import teacher_digest
    from fakefreq.train.features import kept_features
    from fakefreq.train.selection import select_evaluation
    from fakefreq.train.train import train

    with hold(folder):
        if is_done(folder):
            return
        manifest = read_manifest(cell.manifest)
        if manifest_digest(manifest) != cell.data:
            raise UserError(f"{cell.manifest} has changed since the benchmark began; start it again")
        config = cell.config
        if teacher_digest(config.teacher) != cell.teacher:
            raise UserError(f"--teacher {config.teacher} has changed since the benchmark began; start it again")
        # A two-stream detector whose only other stream is the lattice has the pixel stream of the cell beside it.
        beside = find_folder(cell.of_pixels(), folder.parent, any_code)
        pixel_run = beside / "run" if beside != folder and is_done(beside) else None
        summary = train(cell.manifest, folder / "run", config, resume=True, pixel_run=pixel_run)
        device = choose_device(config.device)
        detector = load_detector(folder / "run").to(device)
        rows = select_evaluation(manifest, config.train_on)
        started = time.perf_counter()
        root, size, workers, progress = cell.manifest.parent, config.batch_size, config.workers, f"score {cell.label}"
        kept = kept_features(detector, rows, root, config)
        test, _ = score_rows(detector, rows, root, size, workers, progress=progress, kept=kept, cache=config.cache)
        seconds = time.perf_counter() - started
        val = read_scores(folder / "run" / "val_scores.csv")
        scores = pd.concat([val.astype({"label": int}).assign(role="val"), test.assign(role="test")], ignore_index=True)
        write_scores(scores.drop(columns=["probability", "lattice_pvalue"], errors="ignore"), table_path(folder))
        # What only an unfinished training needs; it is three times the size of the weights.
        (folder / "run" / "last.pt").unlink(missing_ok=True)
        write_json(
            folder / "cell.json",
            {
                "data": cell.data,
                **({"teacher": cell.teacher} if cell.teacher else {}),
                "train": config.to_dict(),
                "threshold": float(summary["threshold"]),
                "val_auc": None if summary["val_auc"] is None else float(summary["val_auc"]),
                "best_epoch": int(summary["best_epoch"]),
                "n_train": int(summary["n_train"]),
                "n_val": len(val),
                "n_test": len(test),
                "parameters": sum(parameter.numel() for parameter in detector.parameters()),
                "train_seconds": summary["seconds"],
                "score_seconds": round(seconds, 2),
                "device": describe_environment(device)["device"],
            },
        )


def execute(cells: Sequence[Cell], root: Path, engine: Engine | None = None, any_code: bool = False) -> list[Outcome]:
    """Do what is missing of some cells, and return how each ended, in the order given.

    Each is done in its folder, whole or to be gone on with; a failure stops no other cell.

    Args:
        cells: cells of one name are done once.
        root: the folder of all cells.
        engine: where they are done; one after the other in this process by default.
        any_code: take finished results of other versions of the code.
    """
    folders = {cell.name: find_folder(cell, root, any_code) for cell in cells}
    first = {cell.name: cell for cell in reversed(cells)}
    missing = [first[name] for name in dict.fromkeys(cell.name for cell in cells) if not is_done(folders[name])]
    logger.info(f"{len(folders)} cells, {len(folders) - len(missing)} of them done already")
    names = [f"{one.label} trained on {one.train_on}, seed {one.config.seed}, {one.track}" for one in missing]
    tasks = [(cell, folders[cell.name], any_code) for cell in missing]
    ended = (engine or Engine()).run(_attempt, tasks, names)
    errors = {missing[number].name: error for number, error in ended}
    return [Outcome(cell, folders[cell.name], errors.get(cell.name, "")) for cell in cells]


def _attempt(task: tuple[Cell, Path, bool]) -> str:
    """Do a cell; return why it failed, or nothing. What fails here must not take the other cells with it."""
    cell, folder, any_code = task
    report = folder / "failure.json"
    try:
        run_cell(cell, folder, any_code)
    except Exception as error:
        told = isinstance(error, UserError)
        text = " ".join(str(error).split())
        reason = text if told else f"{type(error).__name__}: {text}"
        with contextlib.suppress(UserError):
            write_json(report, {"error": reason, "traceback": "" if told else traceback.format_exc()})
        return reason
    report.unlink(missing_ok=True)
    return ""


def checked(outcomes: Sequence[Outcome], manifests: Mapping[str, pd.DataFrame]) -> list[Outcome]:
    """Return the outcomes; a cell whose scores are damaged or of other images has failed.

    Args:
        outcomes: of all cells.
        manifests: track -> manifest.
    """
    labels = {track: table.set_index("path")["label"].astype(int) for track, table in manifests.items()}
    return [
        replace(outcome, error=damage(outcome, labels[outcome.cell.track])) if outcome.is_done else outcome
        for outcome in outcomes
    ]


def damage(outcome: Outcome, labels: "pd.Series[int]") -> str:
    """Return what is wrong with a finished cell's scores, and what to do; empty where nothing is.

    Args:
        outcome: of the cell.
        labels: of all images of the manifest, by path.
    """
    try:
        facts = outcome.record
        found = "it holds another configuration, manifest or teacher" if not outcome.cell.is_of(facts) else ""
        found = found or _of_table(outcome.scores, facts, labels)
    except (UserError, KeyError, TypeError) as error:
        found = f"{error}"
    return f"{outcome.folder.name}: {found}; delete this folder to do the cell again" if found else ""


def _of_table(table: pd.DataFrame, facts: Mapping[str, object], labels: "pd.Series[int]") -> str:
    check_table(table)
    for role, name in (("val", "n_val"), ("test", "n_test")):
        count = int((table["role"] == role).sum())
        if count != facts[name]:
            return f"it scored {facts[name]} {role} images, of which {count} are there"
    expected = labels.reindex(table["path"])
    other = expected.to_numpy() != table["label"].to_numpy()  # an image that the manifest lacks has no label
    if other.any():
        first = table.loc[other, "path"].iloc[0]
        return f"{int(other.sum())} of its images are not in the manifest with their label, the first {first}"
    val = table.loc[table["role"] == "val", "label"]
    return "" if val.nunique() == 2 else "its validation scores are of one class only"
