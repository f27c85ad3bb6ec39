"""From logits to probabilities that mean what they say, and to abstention: fitted on validation, never on test images.

C. Guo et al. (2017), On calibration of modern neural networks (temperature); J. Platt (1999), Probabilistic outputs
for support vector machines; B. Zadrozny, C. Elkan (2002), Transforming classifier scores into accurate multiclass
probability estimates (isotonic); V. Vovk (2012), Conditional validity of inductive conformal predictors.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from fakefreq.errors import choose
from fakefreq.evaluate.bootstrap import Draws, percentile_interval, wilson_interval
from fakefreq.evaluate.conformal import fit_conformal
from fakefreq.evaluate.measure import ScoreSet, measure
from fakefreq.evaluate.metrics import Array, Thresholds, check_scores
from fakefreq.evaluate.ranking import BINS, RankedScores
from fakefreq.evaluate.test_sets import TestSet

Row = dict[str, Any]
START = ["protocol", "track", "train_on", "seed", "detector", "test", "kind", "seen"]
CALIBRATION_TABLES = {
    "calibration": [*START, "method", "metric", "value", "low", "high", "n_real", "n_fake", "note"],
    "reliability": [*START, "method", "bin", "predicted", "observed", "low", "high", "n"],
    "abstention": [
        *START, "stated", "coverage", "low", "high", "abstained", "error", "n_real", "n_fake", "note",
    ],
}  # fmt: skip
STATED = (0.9, 0.95)
DRAWS = 200
"""Draws behind the intervals of calibration errors, four methods of them for every test set."""
METHODS = ["none", "temperature", "platt", "isotonic"]


@dataclass(frozen=True)
class Calibrator:
    """A map from logits to calibrated logits.

    Args:
        method: one of `METHODS`.
        slope: of `none`, `temperature` and `platt`; a temperature is 1 / slope.
        offset: of `platt`.
        points: of `isotonic`: logits, ascending, and the calibrated logit at each; straight lines between, level
            outside.
    """

    method: str
    slope: float = 1.0
    offset: float = 0.0
    points: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def __call__(self, logits: npt.ArrayLike) -> Array:
        """Return the calibrated logits."""
        given = np.asarray(logits, dtype=np.float64)
        if self.method == "isotonic":
            # Between the points the probability is straight, as isotonic regression has it.
            chances = np.interp(given, self.points[0], expit(np.asarray(self.points[1])))
            return np.asarray(logit(chances), dtype=np.float64)
        return self.slope * given + self.offset


def fit_calibrator(method: str, labels: npt.ArrayLike, logits: npt.ArrayLike) -> Calibrator:
    """Fit a calibration on validation scores.

    Platt's targets are (n + 1) / (n + 2), so that separated classes do not ask for infinite slopes. Isotonic
    probabilities are kept 1 / (n + 2) off 0 and 1, so that one surprise does not cost infinitely.

    Args:
        method: `none`, `temperature`, `platt` or `isotonic`.
        labels: 0 for real, 1 for fake; both classes.
        logits: of validation images.

    Raises:
        UserError: an unknown method, one class only, logits that are not finite.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(0, 2, 4000)
    >>> labels = (rng.random(4000) < expit(truth)).astype(int)
    >>> round(1 / fit_calibrator("temperature", labels, 3 * truth).slope, 1)
    3.0
    """
    choose(method, METHODS, "calibration", "method")
    label, given = check_scores(labels, logits)
    count = len(label)
    if method == "none":
        return Calibrator("none")
    if method == "isotonic":
        model = IsotonicRegression(out_of_bounds="clip").fit(given, label)
        room = 1.0 / (count + 2.0)
        chances = np.clip(model.y_thresholds_, room, 1.0 - room)
        return Calibrator("isotonic", points=(tuple(model.X_thresholds_.tolist()), tuple(logit(chances).tolist())))
    scale = float(given.std()) or 1.0
    fakes = float(label.sum())
    targets = np.where(label == 1, (fakes + 1) / (fakes + 2), 1 / (count - fakes + 2))

    def loss(slope: float, offset: float) -> float:
        values = slope / scale * given + offset
        return float(np.mean(np.logaddexp(0.0, values) - targets * values))

    if method == "temperature":
        best = minimize_scalar(lambda power: loss(math.exp(power), 0.0), bounds=(-12.0, 12.0), method="bounded")
        return Calibrator("temperature", math.exp(float(best.x)) / scale)

    def loss_of(pair: npt.NDArray[np.float64]) -> float:
        return loss(float(pair[0]), float(pair[1]))

    found = minimize(loss_of, np.array([1.0, 0.0], dtype=np.float64), method="BFGS")
    return Calibrator("platt", float(found.x[0]) / scale, float(found.x[1]))


def calibration_rows(scores: ScoreSet) -> dict[str, list[Row]]:
    """Return the rows of calibration.csv, reliability.csv and abstention.csv.

    A cell without validation scores of both classes, as those of outside detectors may be, has none.
    """
    found: dict[str, list[Row]] = {name: [] for name in CALIBRATION_TABLES}
    few, labels = scores.draws.first(DRAWS), scores.labels
    sets = [entry for entry in scores.test_sets if entry.kind in ("generator", "pooled")]
    sets = [entry for entry in sets if entry.n_real and entry.n_fake]
    for key, logits in scores.logits.items():
        truth = scores.val[key]["label"].to_numpy().astype(np.int64)
        given = scores.val[key]["logit"].to_numpy(dtype=np.float64)
        if len(np.unique(truth)) < 2:
            continue
        start: Row = {"protocol": scores.protocol, "track": scores.track, "train_on": scores.train_on}
        start |= {"detector": key[0], "seed": key[1]}
        for method in METHODS:
            calibrated = fit_calibrator(method, truth, given)(logits)
            for entry in sets:
                row = {**start, **entry.facts(), "method": method}
                found["calibration"] += _calibration(row, entry, labels, calibrated, scores, few)
                found["reliability"] += _reliability(row, entry, labels, calibrated, scores)
        for stated in STATED:
            conformal = fit_conformal(truth, given, stated)
            covered, answers = conformal.covers(labels, logits), conformal.answers(logits)
            for entry in sets:
                at = entry.rows
                answered = answers[at] >= 0
                share = float(covered[at].mean())
                groups = len(np.unique(scores.columns[at]))
                low, high = wilson_interval(share * groups, groups)
                wrong = (answers[at] != labels[at])[answered]
                found["abstention"].append(
                    {**start, **entry.facts(), "stated": stated, "coverage": share, "low": low, "high": high}
                    | {"abstained": float(1.0 - answered.mean()), "error": wrong.mean() if wrong.size else None}
                    | {"note": "" if wrong.size else "no image was answered"}
                )
    return found


def _calibration(row: Row, entry: TestSet, labels: Any, logits: Array, scores: ScoreSet, draws: Draws) -> list[Row]:
    metrics = ["ece", "nll", "brier"]
    thresholds = Thresholds(0.0, {}, 0)  # none of these metrics has one
    one = measure(entry, labels, logits, scores.columns, thresholds, draws=draws, metrics=metrics)
    rows = []
    for metric in metrics:
        values: Row = {"metric": metric, "note": one.notes.get(metric, "")}
        if metric in one.values:
            low, high = percentile_interval(one.samples[metric])
            values |= {"value": one.values[metric], "low": low, "high": high}
        rows.append({**row, **values})
    return rows


def _reliability(row: Row, entry: TestSet, labels: Any, logits: Array, scores: ScoreSet) -> list[Row]:
    if len(entry.rows) < BINS:
        return []
    ranked = RankedScores(labels[entry.rows], logits[entry.rows])
    bins = ranked.bins(np.ones((1, len(entry.rows))))[0]
    groups = scores.columns[entry.rows][ranked.order]
    rows = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        observed = float(ranked.fake[inside].mean())
        independent = len(np.unique(groups[inside]))
        low, high = wilson_interval(observed * independent, independent)
        facts = {"bin": number, "predicted": float(expit(ranked.logits[inside]).mean()), "observed": observed}
        rows.append({**row, **facts, "low": low, "high": high, "n": int(inside.sum())})
    return rows
