"""Bootstrap over groups of images: the same draws for every detector and every test set of a track.

A draw gives each group a multiplicity, so a resampled metric is a weighted one (`ranking`).

B. Efron, R. Tibshirani (1993), An introduction to the bootstrap; C. Field, A. Welsh (2007), Bootstrapping
clustered data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.scores import group_names


def percentile_interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the interval between the (1 - level) / 2 and (1 + level) / 2 points of some resampled values.

    Draws without a value, as of a part whose class was not drawn, are left out; of fewer than two it is NaN.
    """
    samples = samples[np.isfinite(samples)]
    if samples.size < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(samples, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def wilson_interval(count: float, total: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the proportion count / total.

    Args:
        count: images that have the property, in [0, total].
        total: independent images; where they come in groups, scale both numbers so that `total` is the number of
            groups: that is the safe side, images of a group being taken as copies of each other.
        level: coverage, in (0, 1).

    >>> tuple(round(bound, 4) for bound in wilson_interval(0, 100))
    (0.0, 0.037)
    """
    if total <= 0 or not 0 <= count <= total:
        raise UserError(f"a proportion needs 0 <= count <= total and total > 0; got {count} of {total}")
    z = float(norm.ppf(0.5 + level / 2.0))
    share, spread = count / total, z * z / total
    centre = (share + spread / 2.0) / (1.0 + spread)
    half = z * np.sqrt(share * (1.0 - share) / total + spread / total / 4.0) / (1.0 + spread)
    low = 0.0 if count == 0 else float(centre - half)
    high = 1.0 if count == total else float(centre + half)
    return low, high


MINIMUM_DRAWS = 100  # the 2.5 % and 97.5 % points of fewer draws lie on their two or three outermost values
CHUNK = 2_000_000  # multiplicities held at a time
FEW = 10  # groups: the draws of fewer vary too little by themselves, by (n - 1) / n


def _strata(codes: npt.NDArray[np.int64], cells: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Sort groups by the set of cells (class and part of the test images) that their images lie in.

    Groups are drawn within such a stratum, so every class of every part keeps at least one image in each draw. Where
    groups lie in many cells, such as a person with a fake by some of the generators, most sets of cells have few
    groups or one, which draws would hardly change: sets of several cells with fewer than `FEW` groups are one stratum.
    """
    pairs = np.unique(np.stack([codes, cells], axis=1), axis=0)
    touched: dict[int, list[int]] = {}
    for group, cell in pairs.tolist():
        touched.setdefault(group, []).append(cell)
    strata: dict[tuple[int, ...], list[int]] = {}
    for group, its_cells in touched.items():
        strata.setdefault(tuple(its_cells), []).append(group)
    few = [key for key, members in strata.items() if len(key) > 1 and len(members) < FEW]
    together = sorted(group for key in few for group in strata.pop(key))
    return [np.array(members) for _, members in sorted(strata.items())] + ([np.array(together)] if few else [])


def group_counts(
    codes: npt.NDArray[np.int64], cells: npt.NDArray[np.int64], draws: int, seed: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the groups' multiplicities, some draws at a time: groups drawn with replacement within strata.

    Args:
        codes: each image's group, 0 to the number of groups less one.
        cells: each image's class and part as one number.
        draws: how many in all.
        seed: of the draws; they do not depend on how many come at a time.

    Shape:
        - each array: (draws of this chunk, groups)
    """
    rng = np.random.default_rng(seed)
    strata = _strata(codes, cells)
    groups = int(codes.max()) + 1
    size = max(1, CHUNK // max(len(codes), groups))
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        counts = np.zeros((rows, groups), dtype=np.uint8)  # nobody is drawn 256 times
        for row in range(rows):  # draw by draw, so that the size of a chunk changes nothing
            for members in strata:
                drawn = rng.integers(0, len(members), len(members))
                counts[row, members] = np.bincount(drawn, minlength=len(members))
        yield counts


@dataclass(frozen=True)
class Draws:
    """How often each group of a track's images counts in each bootstrap draw: the same for all of its tables.

    Args:
        counts: multiplicities.
        group: name of a group -> column of `counts`.

    Shape:
        - counts: (draws, groups), uint8
    """

    counts: npt.NDArray[np.uint8]
    group: dict[str, int]

    @classmethod
    def of(cls, images: pd.DataFrame, draws: int, seed: int = 0) -> "Draws":
        """Draw groups within the strata of class, subset, generator and split that their images touch.

        Sets of several of these with few groups are one stratum.

        Args:
            images: columns path, group, label, subset, generator and split; an image without a group is one.
            draws: `MINIMUM_DRAWS` or more.
            seed: of the draws.
        """
        if draws < MINIMUM_DRAWS:
            raise UserError(f"--draws takes {MINIMUM_DRAWS} or more bootstrap draws; got {draws}")
        names, codes = np.unique(group_names(images).to_numpy().astype(str), return_inverse=True)
        strata = images.assign(tests=images["split"] == "test")
        cells = strata.groupby(["label", "subset", "generator", "tests"], sort=True, observed=True).ngroup()
        chunks = group_counts(codes.astype(np.int64), cells.to_numpy().astype(np.int64), draws, seed)
        return cls(np.concatenate(list(chunks)), {str(name): column for column, name in enumerate(names)})

    def first(self, count: int) -> "Draws":
        """Return the first few draws."""
        return Draws(self.counts[:count], self.group)

    def columns(self, groups: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the column of each image's group.

        Raises:
            UserError: a group that no image of the track has.
        """
        unknown = set(groups) - self.group.keys()
        if unknown:
            raise UserError(f"{len(unknown)} groups of the scores are not in the manifest, such as {min(unknown)!r}")
        return np.array([self.group[name] for name in groups], dtype=np.int64)
