"""ROC curves with bands, and the most confident errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import Key, ScoreSet
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.ranking import RankedScores
from fakefreq.evaluate.seeds import combine_seeds
from fakefreq.evaluate.test_sets import TestSet

Row = dict[str, Any]
CURVE_COLUMNS = [
    *("protocol", "track", "train_on", "detector", "test", "kind", "seen"),
    *("fpr", "tpr", "low", "high", "n_seeds"),
]
ERROR_COLUMNS = [
    *("track", "train_on", "seed", "detector", "kind", "rank", "path", "sha256", "label", "generator", "source"),
    *("logit", "threshold", "seen"),
]
# Dense where few false alarms are tolerated: a detector is judged there, and a DET curve is drawn there.
FPR_GRID = np.unique(np.round(np.concatenate([[0.0], np.geomspace(1e-3, 1e-1, 17), np.linspace(0.1, 1.0, 28)]), 6))
CURVE_DRAWS = 200
"""Draws behind a band: its ends are read off a plot."""
WORST_ERRORS = 12


def curve_rows(scores: ScoreSet) -> list[Row]:
    """Return the ROC curve of every detector on every generator and pool: mean over seeds, band over both."""
    found: list[Row] = []
    labels, few = scores.labels, scores.draws.first(CURVE_DRAWS)
    for label in scores.detectors:
        for entry in scores.test_sets:
            if entry.kind not in ("generator", "pooled") or min(entry.n_real, entry.n_fake) < 10:
                continue
            seeds = scores.seeds(label)
            pairs = [_curves(scores, (label, seed), entry, labels, few) for seed in seeds]
            start: Row = {
                "protocol": scores.protocol,
                "track": scores.track,
                "train_on": scores.train_on,
                "detector": label,
            }
            start |= {"test": entry.name, "kind": entry.kind, "seen": entry.seen, "n_seeds": len(seeds)}
            for column, fpr in enumerate(FPR_GRID):
                both = combine_seeds(
                    [float(plain[column]) for plain, _ in pairs], [drawn[:, column] for _, drawn in pairs], (0.0, 1.0)
                )
                found.append({**start, "fpr": fpr, "tpr": both.value, "low": both.low, "high": both.high})
    return found


def _curves(scores: ScoreSet, key: Key, entry: TestSet, labels: Any, draws: Draws) -> tuple[Array, Array]:
    ranked = RankedScores(labels[entry.rows], scores.logits[key][entry.rows])
    weights = np.take(draws.counts, scores.columns[entry.rows][ranked.order], axis=1).astype(np.float64)
    plain = rates_on_grid(ranked, np.ones((1, len(entry.rows))))[0]
    return plain, rates_on_grid(ranked, weights)


def rates_on_grid(scores: RankedScores, ranked: Array, grid: Sequence[float] | Array = FPR_GRID) -> Array:
    """Return the true-positive rate at each false-positive rate of a grid, points of the ROC curve joined by lines.

    Shape:
        - ranked: (draws, N), weights in the order of `scores.order`
        - output: (draws, len(grid))
    """
    hits, alarms = scores.steps(ranked)
    found = np.full((len(ranked), len(grid)), np.nan)
    for row, (hit, alarm) in enumerate(zip(hits, alarms, strict=True)):
        if hit[0] and alarm[0]:
            # At one false-positive rate the curve rises upright: its top counts.
            fpr, first = np.unique(alarm / alarm[0], return_index=True)
            found[row] = np.interp(grid, fpr, (hit / hit[0])[first])
    return found


def error_rows(scores: ScoreSet) -> list[Row]:
    """Return the errors of the first seed that lie farthest from the threshold, a dozen of each kind."""
    found: list[Row] = []
    labels, keys = scores.labels, scores.keys
    trained_on = {entry.name for entry in scores.test_sets if entry.kind == "generator" and entry.seen}
    for label in scores.detectors:
        key = (label, scores.seeds(label)[0])
        logits, threshold = scores.logits[key], scores.thresholds[key].balanced
        for kind, wrong in (("false_positive", 0), ("missed", 1)):
            excess = logits - threshold if wrong == 0 else threshold - logits
            is_error = (labels == wrong) & ((logits > threshold) == (wrong == 0))
            rows = np.flatnonzero(is_error)
            # Equal logits stand by path, so that the table repeats.
            rows = rows[np.argsort(-excess[rows], kind="stable")][:WORST_ERRORS]
            for rank, row in enumerate(rows.tolist(), 1):
                image = keys.iloc[row]
                start = {"track": scores.track, "train_on": scores.train_on, "seed": key[1], "detector": label}
                facts = {name: image[name] for name in ("path", "sha256", "label", "generator", "source")}
                seen = image["generator"] in trained_on if wrong else None
                found.append(
                    {**start, "kind": kind, "rank": rank, **facts, "logit": logits[row], "threshold": threshold}
                    | {"seen": seen}
                )
    return found
