"""Are a finished cell's scores those that it wrote? A damaged cell is reported as failed, and the others are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.store import read_table, table_path
from fakefreq.files import read_json
from fakefreq.protocols.execute import Outcome

COLUMNS = ["role", "path", "label", "generator", "source", "subset", "group", "split", "logit"]


def checked(outcomes: Sequence[Outcome], manifests: Mapping[str, pd.DataFrame]) -> list[Outcome]:
    """Return the outcomes; a cell whose scores are damaged or of other images has failed.

    Args:
        outcomes: of all cells.
        manifests: track -> manifest.
    """
    labels = {track: table.set_index("path")["label"].astype(int) for track, table in manifests.items()}
    return [
        replace(outcome, error=damage(outcome, labels[outcome.cell.track])) if outcome.is_done else outcome
        for outcome in outcomes
    ]


def damage(outcome: Outcome, labels: "pd.Series[int]") -> str:
    """Return what is wrong with a finished cell's scores, and what to do; empty where nothing is.

    Args:
        outcome: of the cell.
        labels: of all images of the manifest, by path.
    """
    try:
        facts = read_json(outcome.folder / "cell.json", "the record of a cell")
        found = "it holds another configuration or manifest" if not outcome.cell.is_of(facts) else ""
        found = found or _of_table(read_table(table_path(outcome.folder)), facts, labels)
    except (UserError, KeyError, TypeError) as error:
        found = f"{error}"
    return f"{outcome.folder.name}: {found}; delete this folder to do the cell again" if found else ""


def _of_table(table: pd.DataFrame, facts: Mapping[str, object], labels: "pd.Series[int]") -> str:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        return f"its scores lack the columns {', '.join(missing)}"
    twice = table["path"].duplicated()
    if twice.any():
        return f"its scores list {table.loc[twice, 'path'].iloc[0]} twice"
    for role, name in (("val", "n_val"), ("test", "n_test")):
        count = int((table["role"] == role).sum())
        if count != facts[name]:
            return f"it scored {facts[name]} {role} images, of which {count} are there"
    bad = ~np.isfinite(table["logit"].to_numpy(dtype=np.float64))
    if bad.any():
        return f"{int(bad.sum())} of its logits are not finite, the first of {table.loc[bad, 'path'].iloc[0]}"
    expected = labels.reindex(table["path"])
    other = expected.to_numpy() != table["label"].to_numpy()  # an image that the manifest lacks has no label
    if other.any():
        first = table.loc[other, "path"].iloc[0]
        return f"{int(other.sum())} of its images are not in the manifest with their label, the first {first}"
    val = table.loc[table["role"] == "val", "label"]
    return "" if val.nunique() == 2 else "its validation scores are of one class only"
