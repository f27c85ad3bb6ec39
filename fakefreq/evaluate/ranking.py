"""Every metric under many weightings at once: scores are sorted once, then each draw costs cumulative sums.

A bootstrap draw gives each image a multiplicity, so a resampled metric is a weighted one; with all weights 1 it is the
metric itself. Each draw costs two cumulative sums, over the reals and over the fakes: a metric at a threshold is then a
look-up, one that needs a threshold to be found is a bisection, and the AUC is one gather. Labels are 0 (real) and 1
(fake); an image is called fake where its logit exceeds the threshold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import Array, check_scores

Index = npt.NDArray[np.int64]
RANKED = ["auc", "ap", "partial_auc", "eer", "tpr_at_fpr_1", "tpr_at_fpr_01"]
"""Metrics of the order of the images alone."""
CALLED = ["accuracy", "balanced_accuracy", "fpr", "tpr", "precision"]
"""Metrics at the validation threshold."""
PROBABLE = ["accuracy_half", "brier", "nll", "ece"]
"""Metrics of the logits as probabilities."""
FOUND = ["found_at_1", "found_at_5"]
FALSE_ALARMS = ["false_alarms_at_1", "false_alarms_at_5"]
"""Shares of fakes and of photographs above the threshold that 1 or 5 % of the validation photographs exceed."""
ALL_METRICS = [*RANKED, *CALLED, *PROBABLE, *FOUND, *FALSE_ALARMS]
LOWER_IS_BETTER = ["eer", "fpr", "brier", "nll", "ece", *FALSE_ALARMS]
PARTIAL_FPR = 0.1
BINS = 10
BLOCK = 100_000  # weights held at a time


@dataclass(frozen=True)
class Ranking:
    """Scores sorted once.

    Args:
        reals: rows of the reals, lowest logit first.
        fakes: rows of the fakes, lowest logit first.
        real_logits: their logits, ascending.
        fake_logits: alike.
        real_below: how many reals lie below each distinct logit, and at the end all of them.
        fake_below: how many fakes do.
        below_fake: how many reals lie below each fake.
        up_to_fake: how many lie below or at it.
        equals: how many fakes lie below each fake, which counts tied ones as one step.
    """

    reals: Index
    fakes: Index
    real_logits: Array
    fake_logits: Array
    real_below: Index
    fake_below: Index
    below_fake: Index
    up_to_fake: Index
    equals: Index

    @classmethod
    def of(cls, labels: npt.NDArray[np.int64], logits: Array) -> "Ranking":
        """Sort checked scores."""
        order = np.argsort(logits, kind="stable")
        fake = labels[order] == 1
        reals, fakes = order[~fake], order[fake]
        low, high = logits[reals], logits[fakes]
        distinct = np.unique(logits)
        ends = [np.append(np.searchsorted(side, distinct), len(side)) for side in (low, high)]
        return cls(
            reals,
            fakes,
            low,
            high,
            ends[0],
            ends[1],
            np.searchsorted(low, high),
            np.searchsorted(low, high, side="right"),
            np.searchsorted(high, high),
        )

    @property
    def steps(self) -> int:
        """How many distinct logits there are."""
        return len(self.real_below) - 1


class RankSums:
    """Some draws' weights, cumulated from the lowest logit upwards.

    Args:
        ranking: of the scores.
        real: weights of the reals, lowest logit first.
        fake: weights of the fakes.

    Shape:
        - real: (draws, reals)
        - fake: (draws, fakes)
        - every result: (draws,)
    """

    def __init__(self, ranking: Ranking, real: Array, fake: Array) -> None:
        self.ranking, self.real, self.fake = ranking, real, fake
        self.reals_below, self.fakes_below = cumulated(real), cumulated(fake)
        self.reals, self.fakes = self.reals_below[:, -1], self.fakes_below[:, -1]

    def alarms(self, step: Index) -> Array:
        """Weight of reals at or above distinct logits of each draw, (draws, k); 0 after the last."""
        return self.reals[:, None] - np.take_along_axis(self.reals_below, self.ranking.real_below[step], axis=1)

    def hits(self, step: Index) -> Array:
        """Weight of fakes there."""
        return self.fakes[:, None] - np.take_along_axis(self.fakes_below, self.ranking.fake_below[step], axis=1)

    def above(self, threshold: float) -> tuple[Array, Array]:
        """Weight of fakes and of reals above a logit."""
        fake = np.searchsorted(self.ranking.fake_logits, threshold, side="right")
        real = np.searchsorted(self.ranking.real_logits, threshold, side="right")
        return self.fakes - self.fakes_below[:, fake], self.reals - self.reals_below[:, real]

    def first(self, holds: Callable[[Index], npt.NDArray[np.bool_]], count: int = 1) -> Index:
        """Return each draw's first steps that conditions hold at, once they hold at all later ones; else the end.

        Args:
            holds: steps (draws, count) -> whether the conditions hold there.
            count: conditions of each draw.

        Shape:
            - output: (draws, count)
        """
        low = np.zeros((len(self.real), count), dtype=np.int64)
        high = np.full((len(self.real), count), self.ranking.steps)
        while (low < high).any():
            middle = (low + high) // 2
            met = holds(middle)
            high = np.where((low < high) & met, middle, high)
            low = np.where((low < high) & ~met, middle + 1, low)
        return low

    def auc(self) -> Array:
        """Return the area under the ROC curve."""
        below = np.take(self.reals_below, self.ranking.below_fake, axis=1)
        if (self.ranking.below_fake != self.ranking.up_to_fake).any():
            below = (below + np.take(self.reals_below, self.ranking.up_to_fake, axis=1)) / 2.0
        return np.asarray(np.einsum("ij,ij->i", self.fake, below) / (self.fakes * self.reals))

    def average_precision(self) -> Array:
        """Return the average precision."""
        hits = self.fakes[:, None] - np.take(self.fakes_below, self.ranking.equals, axis=1)
        flagged = hits + (self.reals[:, None] - np.take(self.reals_below, self.ranking.below_fake, axis=1))
        precision = np.divide(hits, flagged, out=np.zeros_like(flagged), where=flagged > 0)
        return np.asarray(np.einsum("ij,ij->i", self.fake, precision) / self.fakes)

    def tpr_at_fpr(self, rate: float) -> Array:
        """Return the share of fakes found by the lowest threshold with few enough false positives."""
        # The small term is for rounding: .01 * 100 reals is one real.
        most = rate * self.reals[:, None] + 1e-9
        return np.asarray(self.hits(self.first(lambda step: self.alarms(step) <= most))[:, 0] / self.fakes)

    def equal_error_rate(self) -> Array:
        """Return the rate at which both errors are equal, between neighbouring thresholds on a straight line."""

        def gap(step: Index) -> Array:  # falls from 1 to -1
            return self.alarms(step) / self.reals[:, None] + self.hits(step) / self.fakes[:, None] - 1.0

        after = np.maximum(self.first(lambda step: gap(step) < 0), 1)
        high, low = gap(after - 1)[:, 0], gap(after)[:, 0]
        ends = [self.alarms(step)[:, 0] / self.reals for step in (after - 1, after)]
        return np.asarray(ends[1] + (ends[0] - ends[1]) * -low / (high - low))

    def partial_auc(self, most: float) -> Array:
        """Return the area left of a false-positive rate, standardised so that chance is .5 (D. McClish 1989)."""
        # Steps below the last one that lies at or right of the rate in every draw have no part in the area.
        start = max(int(self.first(lambda step: self.alarms(step) < most * self.reals[:, None]).min()) - 1, 0)
        real_below, fake_below = self.ranking.real_below[start:], self.ranking.fake_below[start:]
        fpr = (self.reals[:, None] - np.take(self.reals_below, real_below, axis=1)) / self.reals[:, None]
        tpr = (self.fakes[:, None] - np.take(self.fakes_below, fake_below, axis=1)) / self.fakes[:, None]
        left, right = fpr[:, 1:], fpr[:, :-1]
        width = np.clip(np.minimum(right, most) - left, 0.0, None)
        slope = np.divide(tpr[:, :-1] - tpr[:, 1:], right - left, out=np.zeros_like(width), where=right > left)
        area = (width * (tpr[:, 1:] + slope * width / 2.0)).sum(axis=1)
        least = most**2 / 2.0
        return np.asarray(0.5 * (1.0 + (area - least) / (most - least)))

    def calibration_error(self, real_chance: Array, fake_chance: Array, bins: int) -> Array:
        """Return the expected calibration error over bins of about equal weight; tied scores are in one bin.

        Args:
            real_chance: probability of fake of each real, lowest logit first.
            fake_chance: of each fake.
            bins: how many.
        """
        total = (self.reals + self.fakes)[:, None]
        ranking = self.ranking
        excess = cumulated(self.real * real_chance), cumulated(self.fake * (fake_chance - 1.0))

        def below(tables: tuple[Array, Array], step: Index) -> Array:
            ends = ranking.real_below[step], ranking.fake_below[step]
            real, fake = (np.take_along_axis(table, end, axis=1) for table, end in zip(tables, ends, strict=True))
            return real + fake

        def middle(step: Index) -> Array:
            weights = self.reals_below, self.fakes_below
            return (below(weights, step) + below(weights, np.minimum(step + 1, ranking.steps))) / 2.0

        # A bin starts at the first step whose middle lies in it or above.
        numbers = np.arange(1, bins)
        inner = self.first(lambda step: middle(step) / total * bins >= numbers, bins - 1)
        ends = [np.full((len(inner), 1), end) for end in (0, ranking.steps)]
        sums = np.diff(below(excess, np.hstack([ends[0], inner, ends[1]])), axis=1)
        return np.asarray(np.abs(sums).sum(axis=1) / total[:, 0])


def cumulated(values: Array) -> Array:
    """Return the sums of the first 0, 1, ... all values of each row."""
    found = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=found[:, 1:])
    return found


def _rate(name: str) -> str:
    """Return the `1` of `found_at_1`."""
    return name.rpartition("_")[2]


class RankedScores:
    """Scores sorted once, for metrics under many weights.

    Args:
        labels: 0 for real, 1 for fake.
        logits: one finite number for each label.
        threshold: a logit, of the `CALLED` metrics; None where they are not asked for.
        prevalence: share of fakes in the world that `precision` is stated for, in (0, 1).
        classes: the labels that must be there; (0,) for reals alone, of which only `fpr` and `FALSE_ALARMS` can be
            asked.
        alarms: `1`, `5` -> the logit that this percentage of the validation photographs exceeds, of `FOUND` and
            `FALSE_ALARMS`.
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        logits: npt.ArrayLike,
        threshold: float | None = None,
        prevalence: float = 0.01,
        classes: tuple[int, ...] = (0, 1),
        alarms: Mapping[str, float] | None = None,
    ) -> None:
        label, logit = check_scores(labels, logits, classes)
        self.ranking = Ranking.of(label, logit)
        self.order = np.argsort(logit, kind="stable")
        self.fake = (label[self.order] == 1).astype(np.float64)
        self.logits = logit[self.order]
        self.starts = np.flatnonzero(np.concatenate(([True], self.logits[1:] != self.logits[:-1])))
        self.threshold, self.prevalence, self.alarms = threshold, prevalence, alarms or {}

    def metrics(self, weights: Array, names: Sequence[str]) -> dict[str, Array]:
        """Return each metric under each row of weights.

        Args:
            weights: how often each image counts, >= 0, in the order of the labels.
            names: of `ALL_METRICS`.

        Returns:
            name -> values; NaN for a row without weight on a class that the metric needs.

        Shape:
            - weights: (draws, N)
            - each metric: (draws,)
        """
        return self.resampled(weights, np.arange(weights.shape[1]), names)

    def resampled(
        self, counts: npt.NDArray[Any], columns: npt.NDArray[np.int64], names: Sequence[str]
    ) -> dict[str, Array]:
        """Return the metrics where each image's weight is that of its group.

        Args:
            counts: how often each group counts in each draw.
            columns: each image's column of `counts`, in the order of the labels.
            names: of `ALL_METRICS`.

        Shape:
            - counts: (draws, groups)
            - columns: (N,)
            - each metric: (draws,)
        """
        for name in names:
            choose(name, ALL_METRICS, "metric", "metrics")
        if self.threshold is None and set(CALLED) & set(names):
            raise UserError(f"{', '.join(sorted(set(CALLED) & set(names)))} need a threshold; give threshold=")
        lacking = [name for name in (*FOUND, *FALSE_ALARMS) if name in names and _rate(name) not in self.alarms]
        if lacking:
            raise UserError(f"{', '.join(lacking)} need a threshold of validation photographs; give alarms=")
        real, fake = columns[self.ranking.reals], columns[self.ranking.fakes]
        found: dict[str, list[Array]] = {name: [] for name in names}
        # Few draws at a time: their sums stay in the processor's cache, which is most of the speed.
        size = max(1, BLOCK // max(1, len(columns)))
        for start in range(0, len(counts), size):
            block = counts[start : start + size]
            weights = [np.take(block, chosen, axis=1).astype(np.float64) for chosen in (real, fake)]
            with np.errstate(divide="ignore", invalid="ignore"):
                values = self._values(RankSums(self.ranking, *weights), names)
            for name in names:
                found[name].append(values[name])
        return {name: np.concatenate(values) for name, values in found.items()}

    def _values(self, sums: RankSums, names: Sequence[str]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        ranked: dict[str, Callable[[], Array]] = {
            "auc": sums.auc,
            "ap": sums.average_precision,
            "partial_auc": lambda: sums.partial_auc(PARTIAL_FPR),
            "eer": sums.equal_error_rate,
            "tpr_at_fpr_1": lambda: sums.tpr_at_fpr(0.01),
            "tpr_at_fpr_01": lambda: sums.tpr_at_fpr(0.001),
        }
        for name in names:
            if name in ranked:
                found[name] = ranked[name]()
        if set(CALLED) & set(names):
            found |= self._called(sums)
        if set(PROBABLE) & set(names):
            found |= self._probable(sums, names)
        for name in {*FOUND, *FALSE_ALARMS} & set(names):
            hits, alarms = sums.above(self.alarms[_rate(name)])
            found[name] = hits / sums.fakes if name in FOUND else alarms / sums.reals
        return found

    def _called(self, sums: RankSums) -> dict[str, Array]:
        assert self.threshold is not None  # `resampled` has said so to the user
        hits, alarms = sums.above(self.threshold)
        fpr, tpr = alarms / sums.reals, hits / sums.fakes
        chance = self.prevalence
        return {
            "accuracy": (hits + sums.reals - alarms) / (sums.reals + sums.fakes),
            "balanced_accuracy": (1.0 - fpr + tpr) / 2.0,
            "fpr": fpr,
            "tpr": tpr,
            "precision": chance * tpr / (chance * tpr + (1.0 - chance) * fpr),
        }

    def _probable(self, sums: RankSums, names: Sequence[str]) -> dict[str, Array]:
        total = sums.reals + sums.fakes
        found: dict[str, Array] = {}
        if "accuracy_half" in names:
            hits, alarms = sums.above(0.0)
            found["accuracy_half"] = (hits + sums.reals - alarms) / total
        for name in {"brier", "nll"} & set(names):
            of_real, of_fake = self._losses[name]
            found[name] = (sums.real @ of_real + sums.fake @ of_fake) / total
        if "ece" in names:
            found["ece"] = sums.calibration_error(*self._losses["chance"], BINS)
        return found

    @cached_property
    def _losses(self) -> dict[str, tuple[Array, Array]]:
        """What the probabilities of reals and of fakes cost: the same in every draw."""
        real, fake = self.ranking.real_logits, self.ranking.fake_logits
        return {
            "chance": (expit(real), expit(fake)),
            "brier": (expit(real) ** 2, expit(-fake) ** 2),
            "nll": (np.logaddexp(0.0, real), np.logaddexp(0.0, -fake)),
        }

    def steps(self, ranked: Array) -> tuple[Array, Array]:
        """Return the weight of fakes and of reals at or above each distinct logit, ascending, and 0 after the last.

        Shape:
            - ranked: (draws, N), in the order of `self.order`
            - fakes, reals: (draws, steps + 1)
        """
        fake = ranked * self.fake
        real = ranked - fake
        if len(self.starts) < ranked.shape[1]:  # tied scores count as one step of the curve
            fake = np.add.reduceat(fake, self.starts, axis=1)
            real = np.add.reduceat(real, self.starts, axis=1)
        above = []
        for weight in (fake, real):
            # From the total downwards: multiplicities are whole numbers, so these sums are exact.
            total = np.zeros((len(weight), weight.shape[1] + 1))
            total[:, :-1] = np.cumsum(weight[:, ::-1], axis=1)[:, ::-1]
            above.append(total)
        return above[0], above[1]

    def bins(self, ranked: Array) -> npt.NDArray[np.int64]:
        """Return the bin of each image, 0 to BINS - 1, of about equal weight; tied scores are in one bin.

        Shape:
            - ranked, bins: (draws, N)
        """
        weight = np.add.reduceat(ranked, self.starts, axis=1)
        middle = np.cumsum(weight, axis=1) - weight / 2.0
        share = middle / np.maximum(ranked.sum(axis=1, keepdims=True), 1e-300)
        sizes = np.diff(np.append(self.starts, ranked.shape[1]))
        bins: npt.NDArray[np.int64] = np.repeat(np.minimum((share * BINS).astype(np.int64), BINS - 1), sizes, axis=1)
        return bins
