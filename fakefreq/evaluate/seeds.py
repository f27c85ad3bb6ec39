"""What several seeds say together: images and trainings both are samples.

The mean over K seeds has two sources of spread. Images: its bootstrap by group, the same draws for every seed. Seeds:
the standard deviation over them, by the root of K. They are added as a crossed random-effects model adds them; few
seeds tell little of their own spread, which is why the quantile is Student's with the degrees of freedom of
F. Satterthwaite (1946), An approximate distribution of estimates of variance components.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

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
        freedom: degrees of freedom; infinite with one seed.
        sd_seeds: standard deviation over seeds; NaN with one.
        p: two-sided, of the hypothesis that the quantity is 0.
        detectable: the smallest true value that such data find with a power of 80 % at the 5 % level.
    """

    value: float
    low: float
    high: float
    standard_error: float
    freedom: float
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
        return Together(value, nan, nan, nan, nan, _spread(values), nan, nan)
    of_images = float(draws.var(ddof=1))
    of_seeds = float(np.var(values, ddof=1)) / count if count > 1 else 0.0
    error = float(np.sqrt(of_images + of_seeds))
    freedom = (of_images + of_seeds) ** 2 / (of_seeds**2 / (count - 1)) if of_seeds > 1e-30 else np.inf
    quantile = student(LEVEL, freedom)
    # The bootstrap's own skewness is kept; seeds widen both sides alike.
    low, high = percentile_interval(draws, LEVEL)
    stretch = quantile * error / (ndtri(0.5 + LEVEL / 2) * np.sqrt(of_images)) if of_images > 0 else 1.0
    plain = quantile * error if of_images == 0 else 0.0
    low = max(bounds[0], value - max(value - low, 0.0) * stretch - plain)
    high = min(bounds[1], value + max(high - value, 0.0) * stretch + plain)
    if error == 0.0:
        p = 1.0 if value == 0 else float("nan")
    else:
        ratio = abs(value) / error
        p = float(2 * (ndtr(-ratio) if np.isinf(freedom) else stdtr(freedom, -ratio)))
    detectable = (quantile + float(ndtri(POWER))) * error if error > 0 else float("nan")
    return Together(value, float(low), float(high), error, float(freedom), _spread(values), p, detectable)


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def student(level: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's distribution; the normal one for infinite freedom."""
    if np.isinf(freedom):
        return float(ndtri(0.5 + level / 2))
    return float(stdtrit(max(freedom, 1.0), 0.5 + level / 2))


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
