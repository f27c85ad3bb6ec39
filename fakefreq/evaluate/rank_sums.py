"""Cumulated weights of scores in their order: what all metrics of many bootstrap draws are read off from.

Each draw costs two cumulative sums, over the reals and over the fakes. A metric at a threshold is then a look-up, one
that needs a threshold to be found is a bisection, and the AUC is one gather.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fakefreq.evaluate.metrics import Array

Index = npt.NDArray[np.int64]


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
        # A hair's room, because .01 * 100 reals is one real.
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
