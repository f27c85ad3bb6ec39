"""A bootstrap of some logits by group, the classes as strata: what the tests hold against other ways to the same."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fakefreq.evaluate.bootstrap import group_counts
from fakefreq.evaluate.ranking import RankedScores

Samples = dict[tuple[str, str], npt.NDArray[np.float64]]


def resampled(
    labels: npt.ArrayLike,
    logits: Mapping[str, npt.ArrayLike],
    groups: npt.ArrayLike | None = None,
    metrics: Sequence[str] = ("auc", "ap"),
    draws: int = 2000,
    seed: int = 0,
) -> Samples:
    """Return (detector, metric) -> values, one a draw, the same draws for all detectors."""
    label = np.asarray(labels)
    names = np.arange(label.size) if groups is None else np.asarray(groups)
    codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    counts = np.concatenate(list(group_counts(codes, label.astype(np.int64), draws, seed)))
    found: Samples = {}
    for name, values in logits.items():
        for metric, samples in RankedScores(label, values).resampled(counts, codes, metrics).items():
            found[name, metric] = samples
    return found
