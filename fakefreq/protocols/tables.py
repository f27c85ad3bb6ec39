"""The tables of metrics, of their means over seeds, and of paired differences; all made from scores."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.evaluate.bootstrap import percentile_interval
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.ranked import ALL_METRICS, LOWER_IS_BETTER
from fakefreq.evaluate.seeds import combine_seeds, holm
from fakefreq.evaluate.statistics import delong, wilson_interval
from fakefreq.files import atomic_path
from fakefreq.protocols.measure import Measured, describe
from fakefreq.protocols.parts import EACH, MEANS, WORST, Part
from fakefreq.protocols.unit import Key, Unit

Row = dict[str, Any]
KEYS = ["protocol", "track", "train_on"]
METRICS_COLUMNS = [
    *KEYS, "seed", "detector", "test", "kind", "seen", "metric", "value", "low", "high",
    "n_real", "n_fake", "groups", "threshold", "note",
]  # fmt: skip
SUMMARY_COLUMNS = [
    *KEYS, "detector", "test", "kind", "seen", "metric", "value", "low", "high", "sd_seeds", "least", "most",
    "n_seeds", "n_real", "n_fake", "note",
]  # fmt: skip
DIFFERENCE_COLUMNS = [
    *KEYS, "seed", "detector", "baseline", "test", "kind", "seen", "metric", "value", "low", "high",
    "standard_error", "p", "p_holm", "detectable", "test_used", "n_real", "n_fake", "n_seeds", "note",
]  # fmt: skip
RATES = ("fpr", "tpr")
MATRIX_METRICS = ["auc", "ap", "accuracy", "fpr"]


def add_means(unit: Unit) -> None:
    """Add to what is measured the macro means over the unseen and over the seen generators, draw by draw."""
    for seen, name in MEANS.items():
        parts = [part for part in unit.parts if part.kind == "generator" and part.seen == seen]
        if len(parts) < 2 and not (parts and not seen):
            continue
        rows = np.unique(np.concatenate([part.rows for part in parts]))
        fakes = int(unit.labels[rows].sum())
        mean = Part(name, "mean", seen, rows, len(rows) - fakes, fakes, min(part.groups for part in parts))
        for of_cell in unit.measured.values():
            of_cell[name] = average(mean, [of_cell[part.name] for part in parts])


def average(part: Part, several: Sequence[Measured]) -> Measured:
    """Return the plain mean of some test sets' metrics; a metric that one of them lacks has no mean."""
    found = Measured(part)
    for metric in ALL_METRICS:
        lacking = [one.part.name for one in several if metric not in one.values]
        if lacking:
            found.notes[metric] = f"no value on {', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}"
        else:
            found.values[metric] = float(np.mean([one.values[metric] for one in several]))
            found.samples[metric] = np.mean([one.samples[metric] for one in several], axis=0)
    return found


def metric_rows(unit: Unit) -> list[Row]:
    """Return a row a cell, test set and metric."""
    found: list[Row] = []
    for (label, seed), of_cell in unit.measured.items():
        start = {"protocol": unit.protocol, "track": unit.track, "train_on": unit.train_on, "seed": seed}
        start |= {"detector": label, "threshold": unit.thresholds.get((label, seed))}
        rows = []
        for one in of_cell.values():
            for metric in _asked(one.part):
                row = {**start, **describe(one.part), "metric": metric, "note": one.notes.get(metric, "")}
                if metric in one.values:
                    low, high = _interval(metric, one.values[metric], one.samples[metric], one.part)
                    row |= {"value": one.values[metric], "low": low, "high": high}
                rows.append(row)
        found += rows + worst_rows(rows)
    return found


def _asked(part: Part) -> list[str]:
    return ["fpr"] if part.kind == "control" else ALL_METRICS


def _interval(metric: str, value: float, samples: Array, part: Part) -> tuple[float, float]:
    if metric in RATES and part.kind != "mean":
        return wilson_interval(value * part.groups, part.groups)
    finite = samples[np.isfinite(samples)]
    return percentile_interval(finite) if finite.size > 1 else (math.nan, math.nan)


def worst_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the row of the unseen generator that fares worst by each metric, marked so; of two or more."""
    by_metric: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == "generator" and row["seen"] is False:
            by_metric.setdefault(row["metric"], []).append(row)
    found = []
    for metric, several in by_metric.items():
        values = [row.get("value") for row in several]
        if len(several) < 2 or any(value is None for value in values):
            continue
        pick = (max if metric in LOWER_IS_BETTER else min)(several, key=lambda row: row["value"])
        found.append({**pick, "test": WORST, "kind": "worst", "note": f"generator: {pick['test']}"})
    return found


def summary_rows(unit: Unit) -> list[Row]:
    """Return a row a detector, test set and metric: mean over seeds, interval over images and seeds."""
    found: list[Row] = []
    for label in unit.detectors:
        cells = [unit.measured[label, seed] for seed in unit.seeds(label) if (label, seed) in unit.measured]
        rows = []
        for name in dict.fromkeys(name for cell in cells for name in cell):
            several = [cell[name] for cell in cells]
            part = several[0].part
            for metric in _asked(part):
                start = {"protocol": unit.protocol, "track": unit.track, "train_on": unit.train_on, "detector": label}
                rows.append({**start, **describe(part), "metric": metric, **_over_seeds(metric, several)})
        found += rows + worst_rows(rows)
    return found


def _over_seeds(metric: str, several: Sequence[Measured]) -> Row:
    notes = [one.notes[metric] for one in several if one.notes.get(metric)]
    row: Row = {"n_seeds": len(several), "note": notes[0] if notes else ""}
    if any(metric not in one.values for one in several):
        return row
    values = [one.values[metric] for one in several]
    ceiling = math.inf if metric == "nll" else 1.0
    both = combine_seeds(values, [one.samples[metric] for one in several], (0.0, ceiling))
    low, high = both.low, both.high
    part = several[0].part
    if metric in RATES and part.kind != "mean" and low == high:  # none or all: the bootstrap has no spread to show
        low, high = wilson_interval(both.value * part.groups, part.groups)
    row |= {"value": both.value, "low": low, "high": high, "sd_seeds": both.sd_seeds}
    return row | {"least": min(values), "most": max(values)}


def difference_rows(unit: Unit, baseline: str) -> list[Row]:
    """Return the paired differences of every detector from the baseline, seed by seed and over seeds."""
    found: list[Row] = []
    for label in unit.detectors:
        seeds = [seed for seed in unit.seeds(label) if (baseline, seed) in unit.measured]
        if label == baseline or not seeds:
            continue
        names = list(unit.measured[label, seeds[0]])
        for name in names:
            pairs = [(unit.measured[label, seed][name], unit.measured[baseline, seed][name]) for seed in seeds]
            part = pairs[0][0].part
            for metric in _asked(part):
                start = {"protocol": unit.protocol, "track": unit.track, "train_on": unit.train_on, "detector": label}
                start |= {**describe(part), "baseline": baseline, "metric": metric}
                if any(metric not in one.values for pair in pairs for one in pair):
                    continue
                for seed, pair in zip(seeds, pairs, strict=True):
                    row = {**start, "seed": str(seed), "n_seeds": 1, **_difference(metric, [pair])}
                    if metric == "auc" and part.kind != "mean":
                        row |= _delong(unit, part, (label, seed), (baseline, seed))
                    found.append(row)
                found.append({**start, "seed": "all", "n_seeds": len(seeds), **_difference(metric, pairs)})
    return corrected(found)


def _difference(metric: str, pairs: Sequence[tuple[Measured, Measured]]) -> Row:
    values = [a.values[metric] - b.values[metric] for a, b in pairs]
    both = combine_seeds(values, [a.samples[metric] - b.samples[metric] for a, b in pairs])
    used = "paired bootstrap" if len(pairs) == 1 else "paired bootstrap with seeds as a random effect"
    note = next((one.notes[metric] for pair in pairs for one in pair if one.notes.get(metric)), "")
    if not np.isfinite(both.p):
        note = note or "the difference has no spread over the images, so there is no test"
    row: Row = {"value": both.value, "low": both.low, "high": both.high, "standard_error": both.standard_error}
    return row | {"p": both.p, "detectable": both.detectable, "test_used": used, "note": note}


def _delong(unit: Unit, part: Part, ours: Key, theirs: Key) -> Row:
    labels, groups = unit.labels[part.rows], unit.keys["group"].to_numpy()[part.rows]
    test = delong(labels, unit.logits[ours][part.rows], unit.logits[theirs][part.rows], groups)
    return {"p": test.p, "standard_error": test.standard_error, "test_used": "paired DeLong by group"} | (
        {"note": test.reason} if test.reason else {}
    )


def corrected(rows: list[Row]) -> list[Row]:
    """Fill `p_holm` over the generators of each training set, detector, seed and metric."""
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["kind"] == "generator":
            families.setdefault((row["train_on"], row["detector"], row["seed"], row["metric"]), []).append(row)
    for family in families.values():
        values = [math.nan if row["p"] is None else row["p"] for row in family]
        for row, value in zip(family, holm(values), strict=True):
            row["p_holm"] = float(value)
    return rows


def over_training_sets(protocol: str, track: str, kept: Mapping[str, Mapping[Key, list[Measured]]]) -> Unit | None:
    """Return a unit whose only test set is the mean over all pairs of a training set and a generator unseen by it.

    Args:
        protocol: its name.
        track: its name.
        kept: training set -> (detector, seed) -> what was measured on each generator that it does not hold.

    Returns:
        None where there are fewer than two training sets that every detector and seed has been trained on.
    """
    cells = list(dict.fromkeys(key for of_set in kept.values() for key in of_set))
    whole = [name for name, of_set in kept.items() if all(of_set.get(key) for key in cells)]
    if len(whole) < 2 or not cells:
        return None
    several = [one for name in whole for one in kept[name][cells[0]]]
    fewest = min(one.part.groups for one in several)
    # Images that several training sets are tested on count once for each.
    n_real, n_fake = (sum(getattr(one.part, count) for one in several) for count in ("n_real", "n_fake"))
    part = Part(MEANS[False], "mean", False, np.zeros(0, dtype=np.int64), n_real, n_fake, fewest)
    unit = Unit(protocol, track, EACH, pd.DataFrame(), [part], {}, {}, np.zeros(0, dtype=np.int64))
    for key in cells:
        unit.logits[key] = np.zeros(0)
        unit.measured[key] = {part.name: average(part, [one for name in whole for one in kept[name][key]])}
        if len(whole) < len(kept):
            for metric in ALL_METRICS:
                unit.measured[key][part.name].notes.setdefault(metric, f"{len(whole)} of {len(kept)} training sets")
    return unit


def tidy(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table, sorted by what identifies them and with nothing but its columns."""
    table = pd.DataFrame(list(rows)).reindex(columns=list(columns))
    if "seen" in table:
        table["seen"] = table["seen"].map({True: "true", False: "false"}).fillna("")
    return table


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, numbers with six significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
