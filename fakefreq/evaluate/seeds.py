"""What several seeds say together: images and trainings both are samples.

The mean over K seeds has two sources of spread. Images: its bootstrap by group, the same draws for every seed. Seeds:
the standard deviation over them, by the root of K. Few seeds tell little of their own spread, so each source has its
own quantile, normal and Student's with K - 1 degrees of freedom, and the two half-widths are added as squares (as
G. Zou, A. Donner 2008 recover variances from limits). Satterthwaite's pooled degrees of freedom, tried first, covered
90 % instead of 95 % with three seeds that vary much: an underestimated spread there claims to be well known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtrit

from fakefreq.evaluate.bootstrap import percentile_interval
from fakefreq.evaluate.metrics import Array

POWER = 0.8
LEVEL = 0.95


@dataclass(frozen=True)
class Together:
    """A quantity over seeds.

    Args:
        value: mean over seeds.
        low: of the 95 % interval over images and seeds; NaN where there is none.
        high: the other end.
        standard_error: of the mean, images and seeds both.
        sd_seeds: standard deviation over seeds; NaN with one.
        p: two-sided, of the hypothesis that the quantity is 0.
        detectable: the smallest true value that such data find with a power of 80 % at the 5 % level.
    """

    value: float
    low: float
    high: float
    standard_error: float
    sd_seeds: float
    p: float
    detectable: float


def combine_seeds(
    values: Sequence[float], samples: Sequence[Array], bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Together:
    """Combine one quantity of several trainings that were tested on the same images.

    Args:
        values: one a seed.
        samples: its bootstrap draws, one array a seed, draw for draw the same images.
        bounds: of what the quantity can be; the interval does not leave them.

    >>> draws = np.random.default_rng(0).normal(0.02, 0.01, 2000)
    >>> found = combine_seeds([0.02], [draws])
    >>> round(found.low, 2), round(found.high, 2), found.p < 0.06
    (0.0, 0.04, True)
    """
    count = len(values)
    value = float(np.mean(values))
    draws = np.mean(samples, axis=0)
    draws = draws[np.isfinite(draws)]
    if draws.size < 2:
        nan = float("nan")
        return Together(value, nan, nan, nan, _spread(values), nan, nan)
    of_images = float(draws.var(ddof=1))
    of_seeds = float(np.var(values, ddof=1)) / count if count > 1 else 0.0
    error = float(np.sqrt(of_images + of_seeds))
    half = half_width(LEVEL, of_images, of_seeds, count)
    # The bootstrap's own skewness is kept; seeds widen both sides alike.
    low, high = percentile_interval(draws, LEVEL)
    stretch = half / half_width(LEVEL, of_images, 0.0, 1) if of_images > 0 else 1.0
    plain = half if of_images == 0 else 0.0
    low = max(bounds[0], value - max(value - low, 0.0) * stretch - plain)
    high = min(bounds[1], value + max(high - value, 0.0) * stretch + plain)
    if error == 0.0:
        p = 1.0 if value == 0 else float("nan")
    else:
        p = _p_value(abs(value), of_images, of_seeds, count)
    detectable = half + float(ndtri(POWER)) * error if error > 0 else float("nan")
    return Together(value, float(low), float(high), error, _spread(values), p, detectable)


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def half_width(level: float, of_images: float, of_seeds: float, count: int) -> float:
    """Return half the length of an interval.

    Args:
        level: its coverage, in (0, 1).
        of_images: variance by images.
        of_seeds: variance of the mean by seeds.
        count: seeds.
    """
    total = float(ndtri(0.5 + level / 2)) ** 2 * of_images
    if count > 1 and of_seeds > 0:
        total += float(stdtrit(count - 1, 0.5 + level / 2)) ** 2 * of_seeds
    return float(np.sqrt(total))


def _p_value(size: float, of_images: float, of_seeds: float, count: int) -> float:
    """One less the level of the interval that ends in 0."""
    if of_seeds <= 0:
        return float(2 * ndtr(-size / np.sqrt(of_images)))
    low, high = -40.0, 0.0  # of the logarithm of p to base 10: doubles hold no quantile of less
    if half_width(0.0, of_images, of_seeds, count) >= size:
        return 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _half_width_of_p(10.0**middle, of_images, of_seeds, count) > size:
            low = middle
        else:
            high = middle
    return float(10.0**high)


def _half_width_of_p(p: float, of_images: float, of_seeds: float, count: int) -> float:
    # From the tail, where a level of 1 - p would round to 1.
    return float(np.sqrt(ndtri(p / 2) ** 2 * of_images + stdtrit(count - 1, p / 2) ** 2 * of_seeds))


def holm(values: npt.ArrayLike) -> Array:
    """Return p-values corrected for their number (S. Holm 1979); NaN stays and does not count.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(values, dtype=np.float64)
    found = np.full(given.shape, np.nan)
    known = np.flatnonzero(np.isfinite(given))
    order = known[np.argsort(given[known], kind="stable")]
    steps = given[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return found
