"""Split-conformal sets of labels, fitted on validation scores.

V. Vovk (2012), Conditional validity of inductive conformal predictors: each class is calibrated by itself, so the
stated coverage holds for photographs and for fakes.
"""

import math

import numpy as np
import numpy.typing as npt

from fakefreq.config.known import Conformal
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import check_scores


def fit_conformal(labels: npt.ArrayLike, logits: npt.ArrayLike, coverage: float = 0.9) -> Conformal:
    """Fit split-conformal sets on validation scores, each class by itself.

    Args:
        labels: 0 for real, 1 for fake; a class that is missing is in every set.
        logits: of validation images.
        coverage: stated, in (0, 1). With n images of a class at most n / (n + 1) can be had without taking
            that label into every set, which is then done.

    >>> sets = fit_conformal([0] * 9 + [1] * 9, list(range(9)) + list(range(4, 13)), coverage=0.9)
    >>> sets.lowest_fake, sets.highest_real, sets.answers([0, 6, 20]).tolist()
    (4.0, 8.0, [0, -1, 1])
    """
    if not 0.0 < coverage < 1.0:
        raise UserError(f"a coverage is between 0 and 1; got {coverage}")
    label, given = check_scores(labels, logits, classes=())
    fakes, reals = np.sort(given[label == 1]), np.sort(given[label == 0])
    # The small term is for rounding: 10 * (1 - .9) is one image.
    outside = [math.floor((len(values) + 1) * (1.0 - coverage) + 1e-9) for values in (fakes, reals)]
    lowest = float(fakes[outside[0] - 1]) if outside[0] else -math.inf
    highest = float(reals[len(reals) - outside[1]]) if outside[1] else math.inf
    return Conformal(coverage, lowest, highest)
