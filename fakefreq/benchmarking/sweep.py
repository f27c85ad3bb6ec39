"""Sweeps: trained detectors on degraded images, scored once and kept."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.benchmarking.cells import Outcome
from fakefreq.benchmarking.plan import Job, Plan
from fakefreq.benchmarking.protocol import find_protocol
from fakefreq.config.files import read_run_config
from fakefreq.data.degrade.language import Degradation, parse_degradation
from fakefreq.data.manifests import read_manifest
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
from fakefreq.train.selection import generators_of

logger = logging.getLogger(__name__)

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


def degraded_logits(
    subject: Subject, rows: pd.DataFrame, root: Path, sweep: Mapping[str, Degradation], device: str
) -> dict[str, Array]:
    """Return degradation -> logits of some rows; what the subject's cache holds is not scored again."""
    from fakefreq.models import load_detector
    from fakefreq.train.environment import choose_device

    found: dict[str, Array] = {}
    detector = None
    images = hashlib.sha256("\n".join(rows["path"] + rows["sha256"]).encode()).hexdigest()
    for text, degradation in {"none": parse_degradation("none"), **sweep}.items():
        name = hashlib.sha256(f"{images}\n{text}".encode()).hexdigest()[:16]
        path = table_path(subject.cache, name)
        if not path.exists():
            if detector is None:
                logger.info(
                    f"degrade and score: {subject.label} trained on {'+'.join(subject.train_on)}, seed {subject.seed}"
                )
                detector = load_detector(subject.run).to(choose_device(device))
            logits = score_degraded(detector, rows, root, degradation)
            write_scores(rows[["path", "label"]].assign(logit=logits), path)
        found[text] = read_scores(path)["logit"].to_numpy(dtype=np.float64)
    return found


def sweep_subjects(
    subjects: Sequence[Subject],
    protocol: str,
    track: str,
    rows: pd.DataFrame,
    root: Path,
    sweep: Mapping[str, Degradation],
    draws: Draws,
    device: str = "auto",
) -> list[Row]:
    """Sweep some detectors of one training set over degradations.

    Args:
        subjects: of one training set.
        protocol: for the table.
        track: for the table.
        rows: the test images.
        root: the folder that their paths are relative to.
        sweep: text -> degradation.
        draws: of the track.
        device: that scores.

    Returns:
        As `robustness_rows`.
    """
    if not subjects or rows.empty:
        raise UserError("there is nothing to sweep over: no detector is done, or no test image is there")
    rows = rows.sort_values("path", kind="stable").reset_index(drop=True)
    degraded: dict[Key, dict[str, Array]] = {}
    clean: dict[Key, pd.DataFrame] = {}
    for subject in subjects:
        key = (subject.label, subject.seed)
        degraded[key] = degraded_logits(subject, rows, root, sweep, device)
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
    sweep: Mapping[str, Degradation],
    limit: int,
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
        found += sweep_subjects(subjects, job.protocol, job.track, images, root, sweep, draws[job.track], device)
    return found


def sweep_runs(
    runs: Sequence[Path],
    manifest_path: Path,
    sweep: Mapping[str, Degradation],
    limit: int,
    out: Path,
    draws: int = DEFAULT_DRAWS,
    device: str = "auto",
    labels: Sequence[str] = (),
    track: str = "",
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

    Raises:
        UserError: a run that is not finished, or two runs that no label, seed or training set tells apart.
    """
    manifest = read_manifest(manifest_path)
    protocol = find_protocol("one_to_all")
    sets: dict[tuple[str, ...], list[Subject]] = {}
    for number, run in enumerate(runs):
        config = read_run_config(run)
        summary = read_json(run / "summary.json", f"the summary of {run}, which tells that a run has ended,")
        train_on = tuple(sorted(config.train_on or generators_of(manifest)))
        weights = sha256_file(run / "best.safetensors")[:16]
        label = labels[number] if labels else config.detector
        threshold, kept = float(summary["threshold"]), out / "robustness" / weights
        subject = Subject(label, config.seed, train_on, threshold, run, kept)
        if any((other.label, other.seed) == (subject.label, subject.seed) for other in sets.get(train_on, [])):
            raise UserError(f"{run}: there is another run of {label}, seed {config.seed}, on this training set")
        sets.setdefault(train_on, []).append(subject)
    of_track = Draws.of(manifest, draws)
    rows: list[Row] = []
    for train_on, subjects in sets.items():
        images, root = take(protocol.images(manifest, train_on), limit), manifest_path.parent
        rows += sweep_subjects(subjects, "", track, images, root, sweep, of_track, device)
    table = tidy(rows, ROBUSTNESS_COLUMNS)
    write_csv(table, out / "robustness.csv")
    return table
