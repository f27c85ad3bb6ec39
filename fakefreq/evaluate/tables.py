"""Everything that is told of scores: metrics, their means over seeds, paired differences, curves, calibration."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.errors import choose
from fakefreq.evaluate.bootstrap import percentile_interval
from fakefreq.evaluate.calibration import CALIBRATION_TABLES, calibration_rows
from fakefreq.evaluate.curves import CURVE_COLUMNS, ERROR_COLUMNS, curve_rows, error_rows
from fakefreq.evaluate.delong import delong
from fakefreq.evaluate.measure import (
    RATES,
    Key,
    Measured,
    OfCell,
    ScoreSet,
    asked,
    measure_all,
    over_training_sets,
    unseen_generators,
)
from fakefreq.evaluate.ranking import ALL_METRICS, LOWER_IS_BETTER
from fakefreq.evaluate.seeds import combine_seeds, holm
from fakefreq.evaluate.test_sets import EACH, WORST, TestSet
from fakefreq.files import atomic_path

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
COLUMNS: dict[str, list[str]] = {
    "metrics": METRICS_COLUMNS,
    "summary": SUMMARY_COLUMNS,
    "matrix": SUMMARY_COLUMNS,
    "differences": DIFFERENCE_COLUMNS,
    "curves": CURVE_COLUMNS,
    "errors": ERROR_COLUMNS,
    **CALIBRATION_TABLES,
}
"""Table -> its columns."""
PER_METRIC = ["metrics", "summary", "matrix", "differences"]
"""Tables with a row a metric."""
MATRIX_METRICS = ["auc", "ap", "accuracy", "fpr"]
COMPARED = ["auc", "ap", "accuracy", "fpr", "tpr"]
"""Metrics of comparison.csv; of the first three it has differences too."""
COMPARISON_COLUMNS = [
    *("seed", "generator", "kind", "seen", "detector", "metric", "value", "low", "high", "p", "baseline"),
    *("n_real", "n_fake", "threshold", "trained_on", "note"),
]


def derive_tables(
    sets: Iterable[ScoreSet],
    baseline: str,
    prevalence: float = 0.01,
    threads: int = -1,
    metrics: Sequence[str] = (),
) -> dict[str, pd.DataFrame]:
    """Return all tables of some score sets, one of them in memory at a time.

    Args:
        sets: those of a track and protocol lie together.
        baseline: label of the detector that the others are compared with.
        prevalence: that `precision` is stated for.
        threads: of the statistics; -1: one a core. The result does not depend on them.
        metrics: only these, in the tables `PER_METRIC` alone, which takes less time; none: all of everything.

    Returns:
        Name -> table, with the columns `COLUMNS`.

    Raises:
        UserError: an unknown metric.
    """
    for name in metrics:
        choose(name, ALL_METRICS, "metric", "metrics")
    # Whether a precision is determined is read off the false-positive rate.
    chosen = [name for name in ALL_METRICS if name in {*metrics, "fpr"}] if metrics else ALL_METRICS
    threads = os.cpu_count() or 1 if threads < 0 else threads
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    unseen: dict[tuple[str, str], dict[str, dict[Key, list[Measured]]]] = {}

    def collect_means(of: tuple[str, str]) -> None:
        everywhere = over_training_sets(unseen.pop(of))
        if everywhere:
            start = {"protocol": of[0], "track": of[1], "train_on": EACH}
            rows["metrics"] += metric_rows(start, everywhere)
            rows["summary"] += summary_rows(start, everywhere)
            rows["differences"] += difference_rows(start, everywhere, baseline)

    for scores in sets:
        of, start = (scores.protocol, scores.track), start_of(scores)
        for other in [other for other in unseen if other != of]:
            collect_means(other)
        measured = measure_all(scores, prevalence, threads, chosen)
        unseen.setdefault(of, {})[scores.train_on] = unseen_generators(measured)
        rows["metrics"] += metric_rows(start, measured, scores)
        rows["summary"] += summary_rows(start, measured)
        rows["differences"] += difference_rows(start, measured, baseline, scores)
        if metrics:
            continue
        rows["curves"] += curve_rows(scores)
        rows["errors"] += error_rows(scores)
        for name, found in calibration_rows(scores).items():
            rows[name] += found
    for of in list(unseen):
        collect_means(of)
    rows["matrix"] = [row for row in rows["summary"] if _in_matrix(row)]
    if metrics:
        kept = {name: [row for row in rows[name] if row["metric"] in metrics] for name in PER_METRIC}
        return {name: tidy(kept[name], COLUMNS[name]) for name in PER_METRIC}
    rows["errors"] = list({tuple(row[name] for name in ERROR_COLUMNS): row for row in rows["errors"]}.values())
    return {name: tidy(rows[name], columns) for name, columns in COLUMNS.items()}


def start_of(scores: ScoreSet) -> Row:
    """The columns that the rows of a score set start with."""
    return {"protocol": scores.protocol, "track": scores.track, "train_on": scores.train_on}


def _in_matrix(row: Row) -> bool:
    return row["kind"] in ("generator", "mean", "control") and row["metric"] in MATRIX_METRICS


def metric_rows(start: Row, measured: Mapping[Key, OfCell], scores: ScoreSet | None = None) -> list[Row]:
    """Return a row a cell, test set and metric.

    Args:
        start: protocol, track and train_on.
        measured: of all cells.
        scores: what was measured; None for means over training sets.
    """
    found: list[Row] = []
    for (label, seed), of_cell in measured.items():
        facts = {**start, "seed": seed, "detector": label}
        if scores is not None:
            facts["threshold"] = scores.thresholds[label, seed].balanced
        rows = []
        for one in of_cell.values():
            for metric in asked(one.test_set):
                row = {**facts, **one.test_set.facts(), "metric": metric, "note": one.notes.get(metric, "")}
                if metric in one.values:
                    low, high = _interval(metric, one)
                    row |= {"value": one.values[metric], "low": low, "high": high}
                rows.append(row)
        found += rows + worst_rows(rows)
    return found


def _interval(metric: str, one: Measured) -> tuple[float, float]:
    low, high = percentile_interval(one.samples[metric])
    # None or all: the bootstrap has no spread to show.
    return one.limits[metric] if metric in RATES and (one.test_set.kind != "mean" or low == high) else (low, high)


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


def _of_detectors(measured: Mapping[Key, OfCell]) -> dict[str, list[int]]:
    """Detector -> its seeds."""
    found: dict[str, list[int]] = {}
    for label, seed in measured:
        found.setdefault(label, []).append(seed)
    return {label: sorted(seeds) for label, seeds in found.items()}


def summary_rows(start: Row, measured: Mapping[Key, OfCell]) -> list[Row]:
    """Return a row a detector, test set and metric: mean over seeds, interval over images and seeds."""
    found: list[Row] = []
    for label, seeds in _of_detectors(measured).items():
        cells = [measured[label, seed] for seed in seeds]
        rows = []
        for of in dict.fromkeys(of for cell in cells for of in cell):
            several = [cell[of] for cell in cells]
            test_set = several[0].test_set
            for metric in asked(test_set):
                facts = {**start, "detector": label, **test_set.facts(), "metric": metric}
                rows.append({**facts, **_over_seeds(metric, several)})
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
    if metric in RATES and low == high:  # none or all, in all seeds
        low, high = several[0].limits[metric]
    row |= {"value": both.value, "low": low, "high": high, "sd_seeds": both.sd_seeds}
    return row | {"least": min(values), "most": max(values)}


def difference_rows(
    start: Row, measured: Mapping[Key, OfCell], baseline: str, scores: ScoreSet | None = None
) -> list[Row]:
    """Return the paired differences of every detector from the baseline, seed by seed and over seeds.

    Args:
        start: protocol, track and train_on.
        measured: of all cells.
        baseline: label of the detector that the others are compared with.
        scores: what was measured, for DeLong's test; None for means over training sets.
    """
    found: list[Row] = []
    for label, of_label in _of_detectors(measured).items():
        seeds = [seed for seed in of_label if (baseline, seed) in measured]
        if label == baseline or not seeds:
            continue
        for of in measured[label, seeds[0]]:
            pairs = [(measured[label, seed][of], measured[baseline, seed][of]) for seed in seeds]
            test_set = pairs[0][0].test_set
            for metric in asked(test_set):
                facts = {**start, "detector": label, **test_set.facts(), "baseline": baseline, "metric": metric}
                if any(metric not in one.values for pair in pairs for one in pair):
                    continue
                for seed, pair in zip(seeds, pairs, strict=True):
                    row = {**facts, "seed": str(seed), "n_seeds": 1, **_difference(metric, [pair])}
                    if metric == "auc" and test_set.kind != "mean" and scores is not None:
                        row |= _delong(scores, test_set, (label, seed), (baseline, seed))
                    found.append(row)
                found.append({**facts, "seed": "all", "n_seeds": len(seeds), **_difference(metric, pairs)})
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


def _delong(scores: ScoreSet, test_set: TestSet, ours: Key, theirs: Key) -> Row:
    at = test_set.rows
    test = delong(scores.labels[at], scores.logits[ours][at], scores.logits[theirs][at], scores.groups[at])
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


def tidy(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table with nothing but its columns."""
    table = pd.DataFrame(list(rows)).reindex(columns=list(columns))
    if "seen" in table:
        table["seen"] = table["seen"].map({True: "true", False: "false"}).fillna("")
    return table


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, numbers with six significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def comparison_view(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return metrics and differences of every seed, and of all seeds together, as one long table.

    Args:
        tables: as `derive_tables` returns them, of one protocol, track and training set.

    Returns:
        A row a seed, test set, detector and metric, with the columns `COMPARISON_COLUMNS`. `seed` is a number or, of
        several seeds, `all`; `kind` is generator, mean (over the unseen ones) or control. A metric's name ends in
        `_difference` where it is less that of `baseline`.
    """
    metrics, summary, differences = tables["metrics"], tables["summary"], tables["differences"]
    several = summary[summary["n_seeds"] > 1]
    values = pd.concat([metrics, several.assign(seed="all")], ignore_index=True)
    values = values[values["metric"].isin(COMPARED) & (values["value"].notna() | (values["metric"] == "auc"))]
    changes = differences[differences["metric"].isin(COMPARED[:3])]
    changes = changes[(changes["seed"] != "all") | (changes["n_seeds"] > 1)]
    table = pd.concat([values, changes.assign(metric=changes["metric"].astype(str) + "_difference")], ignore_index=True)
    is_shown = table["kind"].isin(["generator", "control"]) | ((table["kind"] == "mean") & (table["seen"] == "false"))
    table = table[is_shown].rename(columns={"test": "generator", "train_on": "trained_on"})
    table["seed"] = table["seed"].astype(str)
    thresholds: dict[Any, Any] = {(str(row.seed), row.detector): row.threshold for row in metrics.itertuples()}
    keys = zip(table["seed"], table["detector"], strict=True)
    table["threshold"] = np.array([thresholds.get(key, math.nan) for key in keys], dtype=np.float64)
    metric_order = [*COMPARED[:3], *(f"{name}_difference" for name in COMPARED[:3]), *COMPARED[3:]]
    orders: dict[str, list[str]] = {
        "seed": list(dict.fromkeys(table["seed"])),
        "kind": ["generator", "mean", "control"],
        "generator": list(dict.fromkeys(table["generator"])),
        "detector": list(dict.fromkeys(metrics["detector"])),
        "metric": metric_order,
    }
    ranks = {name: table[name].map({value: rank for rank, value in enumerate(order)}) for name, order in orders.items()}
    table = table.loc[pd.DataFrame(ranks).sort_values(list(ranks), kind="stable").index]
    texts = {name: table[name].astype(object).fillna("") for name in ("baseline", "note", "seen")}
    columns = [*COMPARISON_COLUMNS, *(["biased"] if "biased" in table else [])]
    return table.assign(**texts).reindex(columns=columns).reset_index(drop=True)
