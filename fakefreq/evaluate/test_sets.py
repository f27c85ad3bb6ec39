"""Which rows of the test images stand against each other: generators, sources of reals, controls, and pools of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MEANS = {True: "mean of seen", False: "mean of unseen"}
WORST = "worst of unseen"
POOLS = {True: "pooled seen", False: "pooled unseen"}
EACH = "(each)"
"""The training set of rows that average over all training sets of a protocol."""
UNNAMED = "(unnamed)"
"""Fakes of no named generator, as a table of outside scores may have them."""


@dataclass(frozen=True)
class TestSet:
    """Rows that stand against each other.

    Args:
        name: generator, source, control, or a pool.
        kind: `generator`, `source`, `control`, `pooled`, or `mean`, which has rows for its counts alone.
        seen: whether training had these fakes; None where that is not to be said.
        rows: positions in the table, ascending.
        n_real: reals among them.
        n_fake: fakes among them.
        groups_real: independent groups of the reals; of a mean those of the part that has fewest.
        groups_fake: likewise of the fakes.
    """

    __test__ = False  # pytest takes classes called Test... for tests

    name: str
    kind: str
    seen: bool | None
    rows: npt.NDArray[np.int64]
    n_real: int
    n_fake: int
    groups_real: int
    groups_fake: int

    @property
    def groups(self) -> int:
        """Independent groups of the smaller class that is there."""
        return min((count for count in (self.groups_real, self.groups_fake) if count), default=0)

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name: a generator and a source may have one name."""
        return self.kind, self.name

    def facts(self) -> dict[str, Any]:
        """The columns that say what a row was measured on."""
        return {
            "test": self.name,
            "kind": self.kind,
            "seen": self.seen,
            "n_real": self.n_real,
            "n_fake": self.n_fake,
            "groups": self.groups,
        }


def test_sets(keys: pd.DataFrame, trained_on: Sequence[str]) -> list[TestSet]:
    """Return the test sets of some test rows.

    They are the fakes of each generator with the reals of the same subsets (those that training has seen first), the
    reals of each source with the fakes of their subsets, the pools of these, and the subsets of reals alone.

    Args:
        keys: columns label, generator, source, subset and group, all but the label as text.
        trained_on: generators that training has seen.
    """
    label, group = keys["label"].to_numpy(), keys["group"].to_numpy()
    generator, source, subset = (keys[name].to_numpy() for name in ("generator", "source", "subset"))
    is_fake = label == 1

    def made(name: str, kind: str, seen: bool | None, rows: npt.NDArray[np.int64]) -> TestSet:
        fake = is_fake[rows]
        groups = (len(np.unique(group[rows[chosen]])) for chosen in (~fake, fake))
        return TestSet(name, kind, seen, rows, int((~fake).sum()), int(fake.sum()), *groups)

    found, of_seen = [], dict[bool, list[npt.NDArray[np.int64]]]()
    for name in sorted(set(generator[is_fake])):
        fakes = is_fake & (generator == name)
        against = ~is_fake & np.isin(subset, sorted(set(subset[fakes])))
        rows, seen = np.flatnonzero(fakes | against), name in trained_on
        found.append(made(str(name), "generator", seen, rows))
        of_seen.setdefault(seen, []).append(rows)
    found.sort(key=lambda entry: not entry.seen)
    together = [rows for several in of_seen.values() for rows in several]
    if together:
        everything = np.unique(np.concatenate(together))
        for name in sorted(set(source[everything]) - {""}):
            of_source = everything[~is_fake[everything] & (source[everything] == name)]
            if len(of_source):
                against = is_fake[everything] & np.isin(subset[everything], sorted(set(subset[of_source])))
                found.append(made(str(name), "source", None, np.union1d(of_source, everything[against])))
        for seen, several in sorted(of_seen.items(), reverse=True):
            found.append(made(POOLS[seen], "pooled", seen, np.unique(np.concatenate(several))))
        if len(of_seen) > 1:
            found.append(made("pooled", "pooled", None, everything))
    for name in sorted(set(subset[~is_fake]) - set(subset[is_fake])):
        found.append(made(str(name) or "reals", "control", None, np.flatnonzero(~is_fake & (subset == name))))
    return found


test_sets.__test__ = False  # type: ignore[attr-defined]
