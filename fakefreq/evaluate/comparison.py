"""Detectors against a baseline on the same test images, generator by generator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate import metrics
from fakefreq.evaluate.alignment import TestSet, align_scores, test_sets
from fakefreq.evaluate.bootstrap import METRICS, Bootstrap, bootstrap, percentile_interval
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.statistics import delong, wilson_interval
from fakefreq.evaluate.tables import format_markdown, format_table, wide

__all__ = ["COLUMNS", "compare_scores", "format_markdown", "format_table", "read_comparison", "wide"]

COLUMNS = [
    *("seed", "generator", "kind", "seen", "detector", "metric", "value", "low", "high", "p", "baseline"),
    *("n_real", "n_fake", "threshold", "trained_on", "draws", "note"),
]
MEAN_NAME = "mean of unseen"
FEW = 10  # groups of a class below which a row is marked: a percentile interval of so few is too narrow

Row = dict[str, Any]


@dataclass(frozen=True)
class _Measure:
    """Everything that the rows of a test set are made of; arrays are in the order of the aligned tables."""

    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[Any]
    logits: dict[str, Array]
    thresholds: Mapping[str, float]
    baseline: str
    resampled: Bootstrap

    def rows(self, part: TestSet) -> list[Row]:
        """Return a row a detector and metric of one test set."""
        labels = self.labels[part.rows]
        groups = [len(np.unique(self.groups[part.rows][labels == label])) for label in (0, 1)]
        found: list[Row] = []
        for name in self.logits:
            if all(groups):
                found += self._ranked(part, name, min(groups))
            elif part.kind == "generator":
                note = "no real image stands against these fakes, so there is no AUC"
                found.append({"detector": name, "metric": "auc", "note": note})
            found += self._rates(part, name, groups)
        return found

    def _ranked(self, part: TestSet, name: str, smallest: int) -> list[Row]:
        """AUC, AP and accuracy with bootstrap intervals, and their differences from the baseline."""
        labels, logits = self.labels[part.rows], self.logits[name][part.rows]
        threshold = self.thresholds[name]
        values = _point_values(labels, logits, threshold)
        rows: list[Row] = []
        for metric, value in values.items():
            low, high = self.resampled.interval(name, metric, part.name)
            rows.append({"detector": name, "metric": metric, "value": value, "low": low, "high": high})
        if values["auc"] in (0.0, 1.0):
            rows[0]["note"] = "the classes are perfectly separated, which leaves the bootstrap no spread"
        if name != self.baseline:
            others = self.logits[self.baseline][part.rows]
            baseline = _point_values(labels, others, self.thresholds[self.baseline])
            for metric, value in values.items():
                low, high = self.resampled.difference(name, self.baseline, metric, part.name)
                row = {"detector": name, "metric": f"{metric}_difference", "baseline": self.baseline}
                rows.append({**row, "value": value - baseline[metric], "low": low, "high": high})
                if metric == "auc":
                    test = delong(labels, logits, others, self.groups[part.rows])
                    rows[-1] |= {"p": test.p, "note": test.reason}
        if smallest < FEW:
            few = f"only {smallest} independent groups of a class"
            bounds = {"low": None, "high": None} if smallest < 2 else {}
            rows = [{**row, **bounds, "note": "; ".join(filter(None, (row.get("note"), few)))} for row in rows]
        return rows

    def _rates(self, part: TestSet, name: str, groups: list[int]) -> list[Row]:
        """The shares of reals and of fakes that are called fake."""
        labels, above = self.labels[part.rows], self.logits[name][part.rows] > self.thresholds[name]
        rows = []
        for label, metric in ((0, "fpr"), (1, "tpr")):
            if groups[label]:
                share = float(above[labels == label].mean())
                low, high = wilson_interval(share * groups[label], groups[label])
                rows.append({"detector": name, "metric": metric, "value": share, "low": low, "high": high})
        return rows


def _point_values(labels: npt.NDArray[np.int64], logits: Array, threshold: float) -> dict[str, float]:
    return {
        "auc": metrics.auc(labels, logits),
        "ap": metrics.average_precision(labels, logits),
        "accuracy": metrics.accuracy(labels, logits, threshold),
    }


def _means(rows: list[Row], names: list[str], resampled: Bootstrap) -> list[Row]:
    """Return macro means over generators; each draw's mean is over the same resampled images."""
    found = []
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["generator"] in names and str(row["metric"]).removesuffix("_difference") in METRICS:
            values.setdefault((row["detector"], row["metric"]), []).append(row["value"])
    baseline = next(row["detector"] for row in rows)
    for (name, metric), of_generators in values.items():
        plain = metric.removesuffix("_difference")
        samples = np.mean([resampled.samples[part, name, plain] for part in names], axis=0)
        if plain != metric:
            samples -= np.mean([resampled.samples[part, baseline, plain] for part in names], axis=0)
        low, high = percentile_interval(samples)
        row = {"detector": name, "metric": metric, "value": float(np.mean(of_generators))}
        found.append({**row, "low": low, "high": high, "baseline": baseline if plain != metric else ""})
    return found


def _counts(labels: npt.NDArray[np.int64]) -> dict[str, int]:
    return {"n_real": int((labels == 0).sum()), "n_fake": int((labels == 1).sum())}


def compare_scores(
    scores: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, float],
    trained_on: Sequence[str],
    baseline: str = "pixel",
    seed: int = 0,
    draws: int = 2000,
) -> pd.DataFrame:
    """Measure every detector on every generator, and its paired difference from the baseline.

    Intervals of AUC, AP, accuracy and of differences are 95 % percentile intervals of a bootstrap by group
    with the same draws for all detectors; those of false- and true-positive rates are Wilson's, with groups
    as the number of independent images. `p` is of the paired DeLong test, for groups as Obuchowski (1997)
    widens it.

    Args:
        scores: detector -> its scores, on the same images.
        thresholds: detector -> logit chosen on validation.
        trained_on: generators whose fakes were trained on; the others are unseen.
        baseline: the detector that the others are measured against.
        seed: of the training; the bootstrap uses it too.
        draws: of the bootstrap, at least 100.

    Returns:
        One row a test set, detector and metric, with the columns `COLUMNS`. `kind` is generator, mean (over
        the unseen generators, where there are two or more) or control (reals only). Metrics are auc, ap,
        accuracy, fpr, tpr, and for all but the baseline auc_difference, ap_difference, accuracy_difference.
        An empty `value`, `low` or `p` has its reason in `note`.

    Raises:
        UserError: tables of different images, keys twice, NaN, no threshold, too few draws.
    """
    tables = align_scores(scores, baseline)
    for name in tables:
        if name not in thresholds or not np.isfinite(thresholds[name]):
            raise UserError(f"there is no finite validation threshold of {name}; train it again")
    keys = tables[baseline]
    labels, groups = keys["label"].to_numpy(dtype=np.int64), keys["group"].to_numpy()
    logits = {name: table["logit"].to_numpy(dtype=np.float64) for name, table in tables.items()}
    sets = test_sets(keys)
    generators = [part for part in sets if part.kind == "generator"]
    paired = {part.name: part.rows for part in generators if not labels[part.rows].all()}
    resampled = bootstrap(labels, logits, groups, METRICS, draws, seed, thresholds, paired)
    measure = _Measure(labels, groups, logits, thresholds, baseline, resampled)
    rows: list[Row] = []
    for part in sorted(generators, key=lambda part: part.name not in trained_on):
        facts = {"generator": part.name, "kind": part.kind, "seen": part.name in trained_on}
        rows += [{**facts, **_counts(labels[part.rows]), **row} for row in measure.rows(part)]
    unseen = [name for name in paired if name not in trained_on]
    if len(unseen) > 1:
        together = np.unique(np.concatenate([paired[name] for name in unseen]))
        facts = {"generator": MEAN_NAME, "kind": "mean", "seen": False}
        rows += [{**facts, **_counts(labels[together]), **row} for row in _means(rows, unseen, resampled)]
    for part in sets:
        if part.kind == "control":
            facts = {"generator": part.name, "kind": part.kind, "seen": None}
            rows += [{**facts, **_counts(labels[part.rows]), **row} for row in measure.rows(part)]
    shared = {"seed": seed, "trained_on": "+".join(trained_on), "draws": draws}
    table = pd.DataFrame([{**shared, "threshold": thresholds[row["detector"]], **row} for row in rows])
    return _typed(table.reindex(columns=COLUMNS))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns their types; what does not apply is <NA>, NaN or empty."""
    numbers = dict.fromkeys(["value", "low", "high", "p", "threshold"], "float64")
    texts = {name: table[name].astype(object).where(table[name].notna(), "") for name in ("baseline", "note")}
    return table.assign(**texts).astype({"seen": "boolean", "baseline": str, "note": str, **numbers})


def read_comparison(path: str | Path) -> pd.DataFrame:
    """Read a comparison.csv.

    Raises:
        UserError: missing, not a table, or not a comparison.
    """
    text = dict.fromkeys(["generator", "kind", "detector", "metric", "baseline", "trained_on", "note"], str)
    empty = dict.fromkeys(["seen", "value", "low", "high", "p"], "")
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=empty)
    except FileNotFoundError as error:
        raise UserError(f"the comparison {path} is missing; make it with `fakefreq compare`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the comparison {path}: {error}") from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: it is not a comparison")
    return _typed(table)
