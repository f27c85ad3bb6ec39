"""What a training knew: sources, generators, formats, sizes and qualities, and the conformal sets of validation."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.config.known import CLASSES, Known, Range
from fakefreq.evaluate.conformal import fit_conformal
from fakefreq.train.selection import Selection

COVERAGE = 0.9
"""Of the conformal sets that a detector carries."""


def note_known(selection: Selection, scores: pd.DataFrame, audit: str, with_fakes: bool = True) -> Known:
    """Return what training and validation knew.

    Args:
        selection: the rows of both.
        scores: of the validation rows, with label and logit.
        audit: the verdict on the training rows.
        with_fakes: the detector learns from the fakes among them too; the detector `lattice` does not.
    """
    trained: dict[str, dict[str, int]] = {}
    for label, (kind, column) in enumerate(zip(CLASSES, ("source", "generator"), strict=True)):
        learnt = (selection.train["label"] == label) & (with_fakes or label == 0)
        names = selection.train.loc[learnt, column].astype(str)
        trained[kind] = {str(name): int(count) for name, count in names.value_counts().sort_index().items()}
    val = selection.val
    formats = {
        str(name): (int((rows["label"] == 0).sum()), int((rows["label"] == 1).sum()))
        for name, rows in val[val["format"] != ""].groupby("format")
    }
    return Known(
        trained,
        {kind: int((val["label"] == label).sum()) for label, kind in enumerate(CLASSES)},
        formats,
        _range(val[["width", "height"]].to_numpy()),
        _range(val["jpeg_quality"].to_numpy()),
        fit_conformal(scores["label"], scores["logit"], COVERAGE),
        audit,
    )


def _range(values: NDArray[np.int64]) -> Range | None:
    """Lowest and highest of what is known; 0 means that it is not."""
    found = values[values > 0]
    return (int(found.min()), int(found.max())) if found.size else None
