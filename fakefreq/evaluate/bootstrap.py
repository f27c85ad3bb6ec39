"""Bootstrap over groups of images: the same draws for every detector and every part of the test images.

A draw gives each group a multiplicity, so a resampled metric is a weighted one (`ranked`).

B. Efron, R. Tibshirani (1993), An introduction to the bootstrap; C. Field, A. Welsh (2007), Bootstrapping
clustered data.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.ranked import ALL_METRICS, RankedScores

METRICS = ["auc", "ap", "accuracy"]
"""What a comparison resamples; `bootstrap` takes any of `ALL_METRICS`."""
MINIMUM_DRAWS = 100  # the 2.5 % and 97.5 % points of fewer draws lie on their two or three outermost values
CHUNK = 2_000_000  # multiplicities held at a time


@dataclass(frozen=True)
class Bootstrap:
    """Resampled metrics.

    Args:
        samples: (part, detector, metric) -> values, one a draw.
    """

    samples: dict[tuple[str, str, str], Array]

    def interval(self, detector: str, metric: str, part: str = "all", level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of a metric."""
        return percentile_interval(self.samples[part, detector, metric], level)

    def difference(
        self, detector: str, baseline: str, metric: str, part: str = "all", level: float = 0.95
    ) -> tuple[float, float]:
        """Return the percentile interval of a paired difference, detector less baseline."""
        return percentile_interval(self.samples[part, detector, metric] - self.samples[part, baseline, metric], level)


def percentile_interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the interval between the (1 - level) / 2 and (1 + level) / 2 points of some resampled values."""
    low, high = np.quantile(samples, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def _strata(codes: npt.NDArray[np.int64], cells: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Sort groups by the set of cells (class and part of the test images) that their images lie in.

    Groups are drawn within such a stratum, so every class of every part keeps at least one image in each
    draw.
    """
    pairs = np.unique(np.stack([codes, cells], axis=1), axis=0)
    touched: dict[int, list[int]] = {}
    for group, cell in pairs.tolist():
        touched.setdefault(group, []).append(cell)
    strata: dict[tuple[int, ...], list[int]] = {}
    for group, its_cells in touched.items():
        strata.setdefault(tuple(its_cells), []).append(group)
    return [np.array(members) for _, members in sorted(strata.items())]


def group_counts(
    codes: npt.NDArray[np.int64], cells: npt.NDArray[np.int64], draws: int, seed: int, images: int | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the groups' multiplicities, some draws at a time: groups drawn with replacement within strata.

    Args:
        codes: each image's group, 0 to the number of groups less one.
        cells: each image's class and part as one number.
        draws: how many in all.
        seed: of the draws; they do not depend on how many come at a time.
        images: the longest row that will be made of a draw's multiplicities; it decides how many draws come at a
            time. None: all images.

    Shape:
        - each array: (draws of this chunk, groups)
    """
    rng = np.random.default_rng(seed)
    strata = _strata(codes, cells)
    groups = int(codes.max()) + 1
    size = max(1, CHUNK // max(len(codes) if images is None else images, groups))
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        counts = np.zeros((rows, groups), dtype=np.uint8)  # nobody is drawn 256 times
        for row in range(rows):  # draw by draw, so that the size of a chunk changes nothing
            for members in strata:
                drawn = rng.integers(0, len(members), len(members))
                counts[row, members] = np.bincount(drawn, minlength=len(members))
        yield counts


def bootstrap(
    labels: npt.ArrayLike,
    logits: Mapping[str, npt.ArrayLike],
    groups: npt.ArrayLike | None = None,
    metrics: Sequence[str] = ("auc", "ap"),
    draws: int = 2000,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
    parts: Mapping[str, npt.NDArray[np.int64]] | None = None,
    threads: int = 0,
) -> Bootstrap:
    """Resample groups of images within their class and recompute every detector's metrics on the same draws.

    Args:
        labels: 0 for real, 1 for fake.
        logits: detector -> its logits, in the order of the labels.
        groups: a name for each image's group, drawn as a whole; None where every image is independent.
        metrics: of `ALL_METRICS`.
        draws: at least `MINIMUM_DRAWS`.
        seed: of the draws.
        thresholds: detector -> logit above which it calls an image fake; needed for the accuracy.
        parts: name -> rows that its metrics are taken over (parts may share rows); None is one part, `all`.
        threads: that share the work; 0: one a core. The result does not depend on them.

    Raises:
        UserError: an unknown metric, too few draws, a part that lacks a class, logits that are not finite.

    >>> result = bootstrap([0, 0, 0, 1, 1, 1], {"pixel": [1, 2, 4, 3, 5, 6]}, metrics=["auc"], draws=100)
    >>> low, high = result.interval("pixel", "auc")
    >>> bool(low <= 8 / 9 <= high)
    True
    """
    for metric in metrics:
        choose(metric, ALL_METRICS, "metric", "metrics")
    if draws < MINIMUM_DRAWS:
        raise UserError(f"--draws takes {MINIMUM_DRAWS} or more bootstrap draws; got {draws}")
    label = np.asarray(labels)
    rows = {"all": np.arange(label.size)} if parts is None else dict(parts)
    names = np.arange(label.size) if groups is None else np.asarray(groups)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    membership = np.zeros((label.size, len(rows) + 1), dtype=np.int64)
    membership[:, 0] = label
    for column, index in enumerate(rows.values(), start=1):
        membership[index, column] = 1
    cells = np.unique(membership, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    ranked = {
        (part, name): RankedScores(label[index], np.asarray(values)[index], (thresholds or {}).get(name))
        for part, index in rows.items()
        for name, values in logits.items()
    }
    longest = max((len(index) for index in rows.values()), default=1)
    chunks: dict[tuple[str, str, str], list[Array]] = {}

    def one(key: tuple[str, str], counts: npt.NDArray[np.uint8]) -> dict[str, Array]:
        return ranked[key].resampled(counts, codes[rows[key[0]]], metrics)

    # Threads share the work, because numpy leaves the interpreter's lock; the next draws are made meanwhile.
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        waiting: list[tuple[tuple[str, str], Future[dict[str, Array]]]] = []
        for drawn in chain(group_counts(codes, cells, draws, seed, longest), [None]):
            for (part, name), future in waiting:
                for metric, values in future.result().items():
                    chunks.setdefault((part, name, metric), []).append(values)
            waiting = [] if drawn is None else [(key, pool.submit(one, key, drawn)) for key in ranked]
    return Bootstrap({key: np.concatenate(values) for key, values in chunks.items()})
