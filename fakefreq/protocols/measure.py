"""Metrics of many tables of the same images, and what resampling the images by group does to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.bootstrap import MINIMUM_DRAWS, group_counts
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.ranked import ALL_METRICS, RankedScores, too_few
from fakefreq.protocols.parts import Part


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

        Args:
            images: columns group, label, subset, generator and split.
            draws: `MINIMUM_DRAWS` or more.
            seed: of the draws.
        """
        if draws < MINIMUM_DRAWS:
            raise UserError(f"--draws takes {MINIMUM_DRAWS} or more bootstrap draws; got {draws}")
        names, codes = np.unique(images["group"].to_numpy().astype(str), return_inverse=True)
        strata = images.assign(tests=images["split"] == "test")
        cells = strata.groupby(["label", "subset", "generator", "tests"], sort=True, observed=True).ngroup()
        chunks = group_counts(codes.astype(np.int64), cells.to_numpy().astype(np.int64), draws, seed)
        return cls(np.concatenate(list(chunks)), {str(name): column for column, name in enumerate(names)})

    def columns(self, groups: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the column of each image's group."""
        return np.array([self.group[name] for name in groups], dtype=np.int64)


@dataclass(frozen=True)
class Measured:
    """The metrics of one test set of one cell.

    Args:
        part: the test set.
        values: metric -> value; absent where the images are too few.
        samples: metric -> its bootstrap draws.
        notes: metric -> why there is no value, or what to mind.
    """

    part: Part
    values: dict[str, float] = field(default_factory=dict)
    samples: dict[str, Array] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def measure(
    part: Part,
    labels: npt.NDArray[np.int64],
    logits: Array,
    columns: npt.NDArray[np.int64],
    threshold: float,
    draws: Draws,
    prevalence: float,
    metrics: Sequence[str] = ALL_METRICS,
) -> Measured:
    """Measure one test set of one cell.

    Args:
        part: its rows are positions in the following arrays.
        labels: 0 for real, 1 for fake.
        logits: one for each label.
        columns: each image's column of the draws.
        threshold: the logit chosen on validation.
        draws: of the track.
        prevalence: that `precision` is stated for.
        metrics: which; those of a class that is missing are left out.
    """
    result = Measured(part)
    names = []
    for name in ["fpr"] if part.kind == "control" else metrics:
        reason = too_few(name, part.n_real, part.n_fake)
        if reason:
            result.notes[name] = reason
        else:
            names.append(name)
    if not names:
        return result
    classes = tuple(label for label, count in ((0, part.n_real), (1, part.n_fake)) if count)
    scores = RankedScores(labels[part.rows], logits[part.rows], threshold, prevalence, classes)
    plain = scores.metrics(np.ones((1, len(part.rows))), names)
    chunks = scores.resampled(draws.counts, columns[part.rows], names)
    for name in names:
        value = float(plain[name][0])
        if name == "precision" and plain.get("fpr", np.ones(1))[0] == 0:
            result.notes[name] = f"no false positive among {part.n_real} reals: not determined"
            continue
        result.values[name], result.samples[name] = value, chunks[name]
        if part.groups < 2:
            result.notes[name] = "only one independent group of a class: no interval"
            result.samples[name] = np.full(len(chunks[name]), np.nan)
        elif part.groups < 10:
            result.notes[name] = f"only {part.groups} independent groups of a class"
        elif name == "auc" and value in (0.0, 1.0):
            result.notes[name] = "the classes are perfectly separated, which leaves the bootstrap no spread"
    return result


def describe(part: Part) -> dict[str, Any]:
    """The columns that say what a row was measured on."""
    return {
        "test": part.name,
        "kind": part.kind,
        "seen": part.seen,
        "n_real": part.n_real,
        "n_fake": part.n_fake,
        "groups": part.groups,
    }
