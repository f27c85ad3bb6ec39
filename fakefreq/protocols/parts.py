"""The test sets of a table: generators, sources of reals, controls, and pools of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.evaluate.alignment import test_sets

MEANS = {True: "mean of seen", False: "mean of unseen"}
WORST = "worst of unseen"
POOLS = {True: "pooled seen", False: "pooled unseen"}
EACH = "(each)"
"""The training set of rows that average over all training sets of a protocol."""


@dataclass(frozen=True)
class Part:
    """Rows that stand against each other.

    Args:
        name: generator, source, control, or a pool.
        kind: `generator`, `source`, `control` or `pooled`.
        seen: whether training had these fakes; None where that is not to be said.
        rows: positions in the table, ascending.
        n_real: reals among them.
        n_fake: fakes among them.
        groups: independent groups of the smaller class that is there.
    """

    name: str
    kind: str
    seen: bool | None
    rows: npt.NDArray[np.int64]
    n_real: int
    n_fake: int
    groups: int


def parts_of(keys: pd.DataFrame, trained_on: Sequence[str]) -> list[Part]:
    """Return the test sets of some test rows.

    Args:
        keys: columns label, generator, source, subset and group.
        trained_on: generators that training has seen.
    """
    label, group = keys["label"].to_numpy(), keys["group"].to_numpy()

    def part(name: str, kind: str, seen: bool | None, rows: npt.NDArray[np.int64]) -> Part:
        fake = label[rows] == 1
        sizes = [len(np.unique(group[rows[chosen]])) for chosen in (fake, ~fake) if chosen.any()]
        return Part(name, kind, seen, rows, int((~fake).sum()), int(fake.sum()), min(sizes))

    found, of_seen = [], dict[bool, list[npt.NDArray[np.int64]]]()
    controls = []
    for entry in test_sets(keys):
        if entry.kind == "generator":
            seen = entry.name in trained_on
            found.append(part(entry.name, "generator", seen, entry.rows))
            of_seen.setdefault(seen, []).append(entry.rows)
        else:
            controls.append(part(entry.name, "control", None, entry.rows))
    found.sort(key=lambda entry: not entry.seen)
    together = [rows for several in of_seen.values() for rows in several]
    if together:
        everything = np.unique(np.concatenate(together))
        for name in sorted(set(keys["source"].iloc[everything]) - {""}):
            of_source = everything[(label[everything] == 0) & (keys["source"].to_numpy()[everything] == name)]
            if len(of_source):
                subsets = set(keys["subset"].iloc[of_source])
                against = (label[everything] == 1) & np.isin(keys["subset"].to_numpy()[everything], sorted(subsets))
                rows = np.union1d(of_source, everything[against])
                found.append(part(str(name), "source", None, rows))
        for seen, several in sorted(of_seen.items(), reverse=True):
            found.append(part(POOLS[seen], "pooled", seen, np.unique(np.concatenate(several))))
        if len(of_seen) > 1:
            found.append(part("pooled", "pooled", None, everything))
    return found + controls
