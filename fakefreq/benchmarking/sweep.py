"""Sweeps: trained detectors on degraded images, scored once and kept."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.benchmarking.cells import Outcome
from fakefreq.benchmarking.held_out import held_out_rows, trained_generators
from fakefreq.benchmarking.plan import Job, Plan, find_protocol
from fakefreq.config.files import read_run_config
from fakefreq.data.degrade.language import Degradation, parse_degradation
from fakefreq.data.manifests import read_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import Key, make_score_set
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.predict import score_degraded
from fakefreq.evaluate.robustness import ROBUSTNESS_COLUMNS, robustness_rows, take
from fakefreq.evaluate.scores import read_scores, table_path, write_scores
from fakefreq.evaluate.tables import tidy, write_csv
from fakefreq.files import read_json, sha256_file

Row = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A trained detector to sweep.

    Args:
        label: in tables.
        seed: of its training.
        train_on: its training set.
        threshold: the logit that validation chose.
        run: its run folder.
        cache: folder that keeps its degraded scores, one file a degradation.
    """

    label: str
    seed: int
    train_on: tuple[str, ...]
    threshold: float
    run: Path
    cache: Path


@dataclass(frozen=True)
class _Task:
    """A detector to test on some rows, degraded in some ways."""

    subject: Subject
    rows: pd.DataFrame
    root: Path
    sweep: Mapping[str, Degradation]
    device: str

    def places(self) -> dict[str, Path]:
        """Degradation -> the file of its scores, `none` first."""
        images = hashlib.sha256("\n".join(self.rows["path"] + self.rows["sha256"]).encode()).hexdigest()
        names = {text: hashlib.sha256(f"{images}\n{text}".encode()).hexdigest()[:16] for text in ("none", *self.sweep)}
        return {text: table_path(self.subject.cache, name) for text, name in names.items()}

    def __str__(self) -> str:
        one = self.subject
        return f"degrade and score: {one.label} trained on {'+'.join(one.train_on)}, seed {one.seed}"


def _score(task: _Task) -> str:
    """Score what the cache of a task's subject lacks; return why that failed, or nothing."""
    from fakefreq.models import load_detector

    try:
        detector = load_detector(task.subject.run, task.device)
        for text, path in task.places().items():
            if not path.exists():
                degradation = task.sweep[text] if text in task.sweep else parse_degradation(text)
                logits = score_degraded(detector, task.rows, task.root, degradation)
                write_scores(task.rows[["path", "label"]].assign(logit=logits), path)
    except UserError as error:
        return str(error)
    return ""


def sweep_subjects(
    subjects: Sequence[Subject],
    protocol: str,
    track: str,
    rows: pd.DataFrame,
    root: Path,
    *,
    sweep: Mapping[str, Degradation],
    draws: Draws,
    device: str = "auto",
    engine: Engine | None = None,
) -> list[Row]:
    """Sweep some detectors of one training set over degradations.

    What the subjects' caches hold is not scored again.

    Args:
        subjects: of one training set.
        protocol: for the table.
        track: for the table.
        rows: the test images.
        root: the folder that their paths are relative to.
        sweep: text -> degradation.
        draws: of the track.
        device: that scores.
        engine: where it is scored, a task a detector; one after the other in this process by default.

    Returns:
        As `robustness_rows`.

    Raises:
        UserError: nothing to sweep over, or a detector or an image that cannot be used.
    """
    if not subjects or rows.empty:
        raise UserError("there is nothing to sweep over: no detector is done, or no test image is there")
    rows = rows.sort_values("path", kind="stable").reset_index(drop=True)
    tasks = [_Task(subject, rows, root, sweep, device) for subject in subjects]
    missing = [task for task in tasks if not all(path.exists() for path in task.places().values())]
    for _, error in (engine or Engine()).run(_score, missing, [str(task) for task in missing]):
        if error:
            raise UserError(error)
    degraded: dict[Key, dict[str, Array]] = {}
    clean: dict[Key, pd.DataFrame] = {}
    for task in tasks:
        key = (task.subject.label, task.subject.seed)
        degraded[key] = {text: read_scores(path)["logit"].to_numpy(np.float64) for text, path in task.places().items()}
        clean[key] = rows.assign(logit=degraded[key].pop("none"), role="test")
    thresholds = {(subject.label, subject.seed): subject.threshold for subject in subjects}
    scores = make_score_set(protocol, track, subjects[0].train_on, clean, draws, thresholds)
    return robustness_rows(scores, degraded)


def sweep_jobs(
    plan: Plan,
    jobs: Sequence[Job],
    manifests: Mapping[str, pd.DataFrame],
    done: Mapping[tuple[str, str], Outcome],
    draws: Mapping[str, Draws],
    *,
    sweep: Mapping[str, Degradation],
    limit: int,
    engine: Engine | None = None,
) -> list[Row]:
    """Sweep all finished cells of a benchmark.

    Args:
        plan: the benchmark.
        jobs: its training sets.
        manifests: track -> manifest.
        done: (label, cell's name) -> where its files are.
        draws: of each track.
        sweep: text -> degradation.
        limit: images of each class of each subset, at most; 0: all.
        engine: as in `sweep_subjects`.
    """
    found: list[Row] = []
    for job in jobs:
        outcomes = [done[cell.label, cell.name] for cell in job.cells if (cell.label, cell.name) in done]
        if not outcomes:
            continue
        subjects = []
        for cell, folder, record in ((one.cell, one.folder, one.record) for one in outcomes):
            kept = folder / "robustness"
            threshold = float(record["threshold"])
            subjects.append(Subject(cell.label, cell.config.seed, job.train_on, threshold, folder / "run", kept))
        images = take(find_protocol(job.protocol).images(manifests[job.track], job.train_on), limit)
        device, root = outcomes[0].cell.config.device, plan.tracks[job.track].parent
        of_track = draws[job.track]
        found += sweep_subjects(
            subjects, job.protocol, job.track, images, root, sweep=sweep, draws=of_track, device=device, engine=engine
        )
    return found


def sweep_runs(
    runs: Sequence[Path],
    manifest_path: Path,
    sweep: Mapping[str, Degradation],
    limit: int,
    out: Path,
    *,
    draws: int = DEFAULT_DRAWS,
    device: str = "auto",
    labels: Sequence[str] = (),
    track: str = "",
    engine: Engine | None = None,
) -> pd.DataFrame:
    """Sweep run folders over the images that their training has not seen; the work of `fakefreq robustness`.

    Args:
        runs: as `fakefreq train` leaves them.
        manifest_path: the table of images.
        sweep: text -> degradation.
        limit: images of each class of each subset, at most; 0: all.
        out: folder of robustness.csv and of the degraded scores, which are not made twice.
        draws: of the bootstrap.
        device: that scores.
        labels: what each run's detector is called in the table; its registered name by default.
        track: for the table.
        engine: as in `sweep_subjects`.

    Raises:
        UserError: a limit below 0, a run that is not finished, two runs that no label, seed or training set tells
            apart, or no image that a run may be tested on.
    """
    if limit < 0:
        raise UserError(f"--limit is {limit}; it takes 0 (all images) or more")
    manifest = read_manifest(manifest_path)
    sets: dict[tuple[str, ...], list[Subject]] = {}
    held_out: dict[tuple[str, ...], pd.DataFrame] = {}
    for number, run in enumerate(runs):
        config = read_run_config(run)
        summary = read_json(run / "summary.json", f"the summary of {run}, which tells that a run has ended,")
        val = read_scores(run / "val_scores.csv")
        train_on = trained_generators(config, val)
        weights = sha256_file(run / "best.safetensors")[:16]
        label = labels[number] if labels else config.detector
        threshold, kept = float(summary["threshold"]), out / "robustness" / weights
        subject = Subject(label, config.seed, train_on, threshold, run, kept)
        if any((other.label, other.seed) == (subject.label, subject.seed) for other in sets.get(train_on, [])):
            raise UserError(f"{run}: there is another run of {label}, seed {config.seed}, on this training set")
        sets.setdefault(train_on, []).append(subject)
        # Detectors of one training set stand side by side: on images that none of them has seen.
        left = held_out_rows(run, manifest_path, manifest, train_on, val)
        common = held_out.setdefault(train_on, left)
        held_out[train_on] = common[common["path"].isin(left["path"])]
    of_track = Draws.of(manifest, draws)
    rows: list[Row] = []
    for train_on, subjects in sets.items():
        images, root = take(held_out[train_on], limit), manifest_path.parent
        rows += sweep_subjects(
            subjects, "", track, images, root, sweep=sweep, draws=of_track, device=device, engine=engine
        )
    table = tidy(rows, ROBUSTNESS_COLUMNS)
    write_csv(table, out / "robustness.csv")
    return table
