"""Intervals of one number: of a proportion, and of some resampled values.

E. Wilson (1927), Probable inference, the law of succession, and statistical inference.
"""

import numpy as np
from scipy.stats import norm

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array


def percentile_interval(samples: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the interval between the (1 - level) / 2 and (1 + level) / 2 points of some resampled values."""
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
