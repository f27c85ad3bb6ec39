"""Robustness: detectors on degraded images, of both classes, of fakes only and of reals only.

Degrading both classes alike asks what a detector loses. Degrading one class alone asks what it takes a degradation
for: a detector that has learnt a codec calls degraded reals fake, or degraded fakes real.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.language import Degradation, parse_degradation
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.robustness import family_and_level, score_degraded
from fakefreq.evaluate.seeds import combine_seeds
from fakefreq.evaluate.store import read_table, table_path, write_table
from fakefreq.files import read_json, sha256_file
from fakefreq.protocols.measure import Draws, Measured, describe, measure
from fakefreq.protocols.protocol import find_protocol
from fakefreq.protocols.tables import add_means, tidy, write_csv
from fakefreq.protocols.unit import Key, Unit, group_names, make_unit

if TYPE_CHECKING:
    from fakefreq.protocols.benchmark import Job, Plan
    from fakefreq.protocols.execute import Outcome

Row = dict[str, Any]
Say = Callable[[str], None]
APPLIED_TO = ("both", "fakes", "reals")
METRICS = ("auc", "accuracy", "fpr", "tpr")
ROBUSTNESS_COLUMNS = [
    "protocol", "track", "train_on", "seed", "detector", "test", "kind", "seen", "family", "degradation", "level",
    "applied_to", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
    "n_real", "n_fake", "note",
]  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A trained detector to sweep.

    Args:
        label: in tables.
        seed: of its training.
        train_on: its training set.
        run: its run folder.
        cache: folder that keeps its degraded scores, one file a degradation.
    """

    label: str
    seed: int
    train_on: tuple[str, ...]
    run: Path
    cache: Path


def take(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return at most `limit` images of each class of each subset and generator, by hash: the same ones always.

    Args:
        rows: with sha256, or path where it is empty.
        limit: 0 takes all.
    """
    if not limit:
        return rows.reset_index(drop=True)
    key = rows["sha256"].astype(str).where(rows["sha256"].astype(str) != "", rows["path"].astype(str))
    order = key.map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    chosen = rows.assign(order=order).sort_values(["order", "path"])
    chosen = chosen.groupby(["label", "subset", "generator"], observed=True, sort=True).head(limit)
    return chosen.drop(columns="order").sort_values("path").reset_index(drop=True)


def degraded_logits(
    subject: Subject, rows: pd.DataFrame, root: Path, sweep: Mapping[str, Degradation], device: str, say: Say
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
                say(f"degrade and score: {subject.label} trained on {'+'.join(subject.train_on)}, seed {subject.seed}")
                detector = load_detector(subject.run).to(choose_device(device))
            logits = score_degraded(detector, rows, root, degradation)
            write_table(rows[["path"]].assign(logit=logits), path)
        found[text] = read_table(path)["logit"].to_numpy(dtype=np.float64)
    return found


def robustness_rows(
    protocol: str,
    track: str,
    subjects: Sequence[Subject],
    thresholds: Mapping[Key, float],
    rows: pd.DataFrame,
    root: Path,
    sweep: Mapping[str, Degradation],
    draws: Draws,
    device: str = "auto",
    say: Say = lambda line: None,
) -> list[Row]:
    """Sweep some detectors of one training set over degradations.

    Args:
        protocol: for the table.
        track: for the table.
        subjects: of one training set.
        thresholds: (label, seed) -> logit chosen on validation.
        rows: the test images.
        root: the folder that their paths are relative to.
        sweep: text -> degradation.
        draws: of the track.
        device: that scores.
        say: called with lines for the user.

    Returns:
        Rows a detector, seed, test set, degradation, class it is applied to and metric, and the same over seeds.
    """
    if not subjects or rows.empty:
        raise UserError("there is nothing to sweep over: no detector is done, or no test image is there")
    rows = rows.sort_values("path", kind="stable").reset_index(drop=True)
    logits = {
        (subject.label, subject.seed): degraded_logits(subject, rows, root, sweep, device, say) for subject in subjects
    }
    clean = {key: rows.assign(logit=of_key["none"]) for key, of_key in logits.items()}
    unit = make_unit(protocol, track, subjects[0].train_on, clean, dict(thresholds), draws)
    found: list[Row] = []
    plain = _measure(unit, {key: of_key["none"] for key, of_key in logits.items()}, draws)
    fake = unit.labels == 1
    for text, degradation in {"none": parse_degradation("none"), **sweep}.items():
        family, level = family_and_level(degradation) if text != "none" else ("none", None)
        for applied_to in APPLIED_TO if text != "none" else ("both",):
            changed = {"both": np.ones(len(fake), dtype=bool), "fakes": fake, "reals": ~fake}[applied_to]
            mixed = {key: np.where(changed, of_key[text], of_key["none"]) for key, of_key in logits.items()}
            facts = {"family": family, "degradation": text, "level": level, "applied_to": applied_to}
            found += _rows(unit, _measure(unit, mixed, draws), plain, facts)
    return found


def _measure(unit: Unit, logits: Mapping[Key, Array], draws: Draws) -> dict[Key, dict[str, Measured]]:
    copy = Unit(**{**vars(unit), "logits": dict(logits), "measured": {}})
    labels = unit.labels
    for key, values in copy.logits.items():
        copy.measured[key] = {
            part.name: measure(part, labels, values, unit.columns, unit.thresholds[key], draws, 0.5, METRICS)
            for part in unit.parts
            if part.kind in ("generator", "control")
        }
    add_means(copy)
    return copy.measured


def _rows(
    unit: Unit, now: Mapping[Key, dict[str, Measured]], plain: Mapping[Key, dict[str, Measured]], facts: Row
) -> list[Row]:
    found: list[Row] = []
    for label in unit.detectors:
        keys = [(label, seed) for seed in unit.seeds(label)]
        sets = [[key] for key in keys] + ([keys] if len(keys) > 1 else [])
        for several in sets:
            seed = str(several[0][1]) if len(several) == 1 else "all"
            start = {"protocol": unit.protocol, "track": unit.track, "train_on": unit.train_on, "seed": seed}
            for name, first in now[several[0]].items():
                for metric in METRICS:
                    if metric not in first.values and metric not in first.notes:
                        continue
                    row: Row = {**start, "detector": label, **describe(first.part), **facts, "metric": metric}
                    row["note"] = first.notes.get(metric, "")
                    found.append(row | _values(metric, [(now[key][name], plain[key][name]) for key in several]))
    return found


def _values(metric: str, pairs: Sequence[tuple[Measured, Measured]]) -> Row:
    if any(metric not in one.values for pair in pairs for one in pair):
        return {}
    here = combine_seeds([a.values[metric] for a, _ in pairs], [a.samples[metric] for a, _ in pairs], (0.0, 1.0))
    change = combine_seeds(
        [a.values[metric] - b.values[metric] for a, b in pairs],
        [a.samples[metric] - b.samples[metric] for a, b in pairs],
    )
    return {
        **{"value": here.value, "low": here.low, "high": here.high},
        **{"difference": change.value, "difference_low": change.low, "difference_high": change.high},
    }


def sweep_benchmark(
    plan: "Plan",
    jobs: Sequence["Job"],
    manifests: Mapping[str, pd.DataFrame],
    done: Mapping[tuple[str, str], "Outcome"],
    sweep: Mapping[str, Degradation],
    limit: int,
    out: Path,
    say: Say = lambda line: None,
) -> None:
    """Sweep all finished cells of a benchmark; write robustness.csv.

    Args:
        plan: the benchmark.
        jobs: its training sets.
        manifests: track -> manifest.
        done: (label, cell's name) -> where its files are.
        sweep: text -> degradation.
        limit: images of each class of each subset, at most; 0: all.
        out: folder of the tables.
        say: called with lines for the user.
    """
    rows: list[Row] = []
    for track, manifest in manifests.items():
        draws = Draws.of(manifest.assign(group=group_names(manifest)), plan.draws)
        for job in (job for job in jobs if job.track == track):
            cells = [(cell, done[cell.label, cell.name]) for cell in job.cells if (cell.label, cell.name) in done]
            if not cells:
                continue
            images = take(find_protocol(job.protocol).images(manifest, job.train_on), limit)
            subjects, thresholds = [], {}
            for cell, outcome in cells:
                seed = cell.config.seed
                folder = outcome.folder
                subjects.append(Subject(cell.label, seed, job.train_on, folder / "run", folder / "robustness"))
                thresholds[cell.label, seed] = float(read_json(folder / "cell.json", "a cell's record")["threshold"])
            device, root = cells[0][0].config.device, plan.tracks[track].parent
            rows += robustness_rows(job.protocol, track, subjects, thresholds, images, root, sweep, draws, device, say)
    write_csv(tidy(rows, ROBUSTNESS_COLUMNS), out / "robustness.csv")


def sweep_runs(
    runs: Sequence[Path],
    manifest_path: Path,
    sweep: Mapping[str, Degradation],
    limit: int,
    out: Path,
    draws: int = 1000,
    device: str = "auto",
    say: Say = lambda line: None,
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
        say: called with lines for the user.
        labels: what each run's detector is called in the table; its registered name by default.
        track: for the table.

    Raises:
        UserError: a run that is not finished, or two runs that no label, seed or training set tells apart.
    """
    from fakefreq.train.selection import generators_of

    manifest = read_manifest(manifest_path)
    protocol = find_protocol("one_to_all")
    sets: dict[tuple[str, ...], list[Subject]] = {}
    thresholds: dict[tuple[str, ...], dict[Key, float]] = {}
    for number, run in enumerate(runs):
        config = TrainConfig.from_dict(read_json(run / "config.json", "the run's configuration")["train"])
        summary = read_json(run / "summary.json", f"the summary of {run}, which tells that a run has ended,")
        train_on = tuple(sorted(config.train_on or generators_of(manifest)))
        weights = sha256_file(run / "best.safetensors")[:16]
        label = labels[number] if labels else config.detector
        subject = Subject(label, config.seed, train_on, run, out / "robustness" / weights)
        if any((other.label, other.seed) == (subject.label, subject.seed) for other in sets.get(train_on, [])):
            raise UserError(f"{run}: there is another run of {label}, seed {config.seed}, on this training set")
        sets.setdefault(train_on, []).append(subject)
        thresholds.setdefault(train_on, {})[subject.label, subject.seed] = float(summary["threshold"])
    of_track = Draws.of(manifest.assign(group=group_names(manifest)), draws)
    rows: list[Row] = []
    for train_on, subjects in sets.items():
        images, root = take(protocol.images(manifest, train_on), limit), manifest_path.parent
        rows += robustness_rows("", track, subjects, thresholds[train_on], images, root, sweep, of_track, device, say)
    table = tidy(rows, ROBUSTNESS_COLUMNS)
    write_csv(table, out / "robustness.csv")
    return table
