"""Calibration, reliability and abstention of every cell: fitted on validation, checked on seen and unseen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from fakefreq.evaluate.bootstrap import percentile_interval
from fakefreq.evaluate.calibration import METHODS, fit_calibrator, fit_conformal
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.ranked import BINS, RankedScores
from fakefreq.evaluate.statistics import wilson_interval
from fakefreq.protocols.measure import Draws, describe, measure
from fakefreq.protocols.parts import Part
from fakefreq.protocols.unit import Key, Unit

Row = dict[str, Any]
START = ["protocol", "track", "train_on", "seed", "detector", "test", "kind", "seen"]
CALIBRATED_TABLES = {
    "calibration": [*START, "method", "metric", "value", "low", "high", "n_real", "n_fake", "note"],
    "reliability": [*START, "method", "bin", "predicted", "observed", "low", "high", "n"],
    "abstention": [
        *START, "stated", "coverage", "low", "high", "abstained", "error", "n_real", "n_fake", "note",
    ],
}  # fmt: skip
STATED = (0.9, 0.95)
DRAWS = 200
"""Draws behind the intervals of calibration errors, four methods of them for every test set."""


def calibrated_rows(unit: Unit, val: Mapping[Key, pd.DataFrame], draws: Draws) -> dict[str, list[Row]]:
    """Return the rows of calibration.csv, reliability.csv and abstention.csv.

    Args:
        unit: scores of test images.
        val: (detector, seed) -> validation rows of its scores.
        draws: of the track.
    """
    found: dict[str, list[Row]] = {name: [] for name in CALIBRATED_TABLES}
    few, labels = Draws(draws.counts[:DRAWS], draws.group), unit.labels
    parts = [part for part in unit.parts if part.kind in ("generator", "pooled") and part.n_real and part.n_fake]
    for key, logits in unit.logits.items():
        truth = val[key]["label"].to_numpy().astype(np.int64)
        given = val[key]["logit"].to_numpy(dtype=np.float64)
        start: Row = {"protocol": unit.protocol, "track": unit.track, "train_on": unit.train_on}
        start |= {"detector": key[0], "seed": key[1]}
        for method in METHODS:
            calibrated = fit_calibrator(method, truth, given)(logits)
            for part in parts:
                row = {**start, **_facts(part), "method": method}
                found["calibration"] += _calibration(row, part, labels, calibrated, unit, few)
                found["reliability"] += _reliability(row, part, labels, calibrated, unit)
        for stated in STATED:
            sets = fit_conformal(truth, given, stated)
            covered, answers = sets.covers(labels, logits), sets.answers(logits)
            for part in parts:
                at = part.rows
                answered = answers[at] >= 0
                share = float(covered[at].mean())
                groups = len(np.unique(unit.columns[at]))
                low, high = wilson_interval(share * groups, groups)
                wrong = (answers[at] != labels[at])[answered]
                found["abstention"].append(
                    {**start, **_facts(part), "stated": stated, "coverage": share, "low": low, "high": high}
                    | {"abstained": float(1.0 - answered.mean()), "error": wrong.mean() if wrong.size else None}
                    | {"note": "" if wrong.size else "no image was answered"}
                )
    return found


def _facts(part: Part) -> Row:
    return {name: value for name, value in describe(part).items() if name != "groups"}


def _calibration(row: Row, part: Part, labels: Any, logits: Array, unit: Unit, draws: Draws) -> list[Row]:
    metrics = ["ece", "nll", "brier"]
    one = measure(part, labels, logits, unit.columns, 0.0, draws, 0.5, metrics)
    rows = []
    for metric in metrics:
        values: Row = {"metric": metric, "note": one.notes.get(metric, "")}
        if metric in one.values:
            low, high = percentile_interval(one.samples[metric])
            values |= {"value": one.values[metric], "low": low, "high": high}
        rows.append({**row, **values})
    return rows


def _reliability(row: Row, part: Part, labels: Any, logits: Array, unit: Unit) -> list[Row]:
    if len(part.rows) < BINS:
        return []
    scores = RankedScores(labels[part.rows], logits[part.rows])
    bins = scores.bins(np.ones((1, len(part.rows))))[0]
    groups = unit.columns[part.rows][scores.order]
    rows = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        observed = float(scores.fake[inside].mean())
        independent = len(np.unique(groups[inside]))
        low, high = wilson_interval(observed * independent, independent)
        facts = {"bin": number, "predicted": float(expit(scores.logits[inside]).mean()), "observed": observed}
        rows.append({**row, **facts, "low": low, "high": high, "n": int(inside.sum())})
    return rows
