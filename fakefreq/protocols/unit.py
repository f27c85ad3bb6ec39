"""A unit of the tables: one training set of one protocol on one track, with all its detectors and seeds."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array
from fakefreq.protocols.measure import Draws, Measured, measure
from fakefreq.protocols.parts import Part, parts_of

Key = tuple[str, int]
"""Label of a detector, seed."""


@dataclass
class Unit:
    """Scores of the same test images by several detectors and seeds, and what is measured of them.

    Args:
        protocol: its name.
        track: its name.
        train_on: the training set, joined by `+`.
        keys: the test images, sorted by path.
        parts: test sets; their rows are positions in `keys`.
        logits: (detector, seed) -> one logit an image of `keys`.
        thresholds: (detector, seed) -> logit chosen on validation.
        columns: each image's column of the track's draws.
        measured: (detector, seed) -> test set -> metrics; filled by `measure_all`.
    """

    protocol: str
    track: str
    train_on: str
    keys: pd.DataFrame
    parts: list[Part]
    logits: dict[Key, Array]
    thresholds: dict[Key, float]
    columns: npt.NDArray[np.int64]
    measured: dict[Key, dict[str, Measured]] = field(default_factory=dict)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """0 for real, 1 for fake."""
        return self.keys["label"].to_numpy().astype(np.int64)

    @property
    def detectors(self) -> list[str]:
        """Labels in the order given."""
        return list(dict.fromkeys(label for label, _ in self.logits))

    def seeds(self, detector: str) -> list[int]:
        """The seeds that a detector has."""
        return sorted(seed for label, seed in self.logits if label == detector)

    def measure_all(self, draws: Draws, prevalence: float, threads: int, done: Callable[[], None]) -> None:
        """Fill `measured`. Threads share the work: numpy leaves the interpreter's lock."""
        labels = self.labels

        def one(item: tuple[Key, Part]) -> Measured:
            key, part = item
            found = measure(part, labels, self.logits[key], self.columns, self.thresholds[key], draws, prevalence)
            done()
            return found

        items = [(key, part) for key in self.logits for part in self.parts]
        with ThreadPoolExecutor(threads) as pool:
            for (key, part), found in zip(items, pool.map(one, items), strict=True):
                self.measured.setdefault(key, {})[part.name] = found


def make_unit(
    protocol: str,
    track: str,
    train_on: Sequence[str],
    scores: Mapping[Key, pd.DataFrame],
    thresholds: Mapping[Key, float],
    draws: Draws,
) -> Unit:
    """Bring the test scores of all detectors and seeds onto the same images, row for row.

    Args:
        protocol: its name.
        track: its name.
        train_on: generators of the training set.
        scores: (detector, seed) -> test rows of its scores.
        thresholds: (detector, seed) -> logit chosen on validation.
        draws: of the track.

    Raises:
        UserError: tables of different images, no image, or an image that the manifest does not have.
    """
    tables = {key: table.sort_values("path", kind="stable").reset_index(drop=True) for key, table in scores.items()}
    keys = next(iter(tables.values()))
    if keys.empty:
        raise UserError(f"the protocol {protocol} tests on no image: the manifest's test split is empty")
    for (label, seed), table in tables.items():
        same = len(table) == len(keys) and (table["path"].to_numpy() == keys["path"].to_numpy()).all()
        if not same:
            raise UserError(f"the scores of {label}, seed {seed}, trained on {'+'.join(train_on)} are of other images")
    keys = keys.drop(columns="logit")
    for name in ("generator", "source", "subset", "split", "group"):
        keys[name] = keys[name].astype(str)
    keys["group"] = group_names(keys)
    unknown = set(keys["group"]) - draws.group.keys()
    if unknown:
        raise UserError(f"{len(unknown)} groups of the scores are not in the manifest, such as {min(unknown)!r}")
    return Unit(
        protocol,
        track,
        "+".join(train_on),
        keys,
        parts_of(keys, train_on),
        {key: table["logit"].to_numpy(dtype=np.float64) for key, table in tables.items()},
        dict(thresholds),
        draws.columns(keys["group"].tolist()),
    )


def group_names(images: pd.DataFrame) -> pd.Series:
    """Return each image's group; an image without one is a group of its own."""
    group = images["group"].astype(str)
    return group.where(group != "", "\0" + images["path"].astype(str))
