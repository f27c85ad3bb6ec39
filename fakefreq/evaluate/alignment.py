"""Score tables of the same images, row for row, and which of their rows stand against each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import check_scores


@dataclass(frozen=True)
class TestSet:
    """Rows of the scores that stand against each other.

    Args:
        name: the generator; of a control its subset.
        kind: `generator`, or `control` for a subset of reals only.
        rows: positions in the score table, ascending.
    """

    __test__ = False  # pytest takes classes called Test... for tests

    name: str
    kind: str
    rows: npt.NDArray[np.int64]


def test_sets(scores: pd.DataFrame) -> list[TestSet]:
    """Return the fakes of each generator with the reals of the same subsets, then the subsets of reals only.

    Args:
        scores: with columns label, generator and subset.
    """
    fake = (scores["label"] == 1).to_numpy()
    generator, subset = scores["generator"].to_numpy(), scores["subset"].to_numpy()
    sets, paired = [], set(subset[fake])
    for name in sorted(set(generator[fake])):
        of_generator = fake & (generator == name)
        against = ~fake & np.isin(subset, sorted(set(subset[of_generator])))
        sets.append(TestSet(str(name), "generator", np.flatnonzero(of_generator | against)))
    for name in sorted(set(subset[~fake]) - paired):
        sets.append(TestSet(str(name) or "reals", "control", np.flatnonzero(~fake & (subset == name))))
    return sets


test_sets.__test__ = False  # type: ignore[attr-defined]


def check_score_table(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a score table with all columns that a comparison needs, sorted by key.

    Args:
        scores: with path, label and logit at least; a missing generator, subset, group or sha256 counts as
            empty.
        name: of the detector, for the messages.

    Raises:
        UserError: a column or all rows missing, keys twice, labels other than 0 and 1, logits that are not
            finite.
    """
    missing = [column for column in ("path", "label", "logit") if column not in scores]
    if missing:
        raise UserError(f"the scores of {name} lack the columns {', '.join(missing)}")
    if scores.empty:
        raise UserError(f"the scores of {name} are empty: there is no test image to compare on")
    table = scores.copy()
    for column in ("sha256", "generator", "subset", "group"):
        table[column] = table[column].fillna("").astype(str) if column in table else ""
    twice = table[table.duplicated(["path", "sha256"])]
    if len(twice):
        first = twice["path"].iloc[0]
        raise UserError(f"the scores of {name} list {len(twice)} images twice, such as {first}; score again")
    try:
        check_scores(table["label"], table["logit"], classes=())
    except UserError as error:
        raise UserError(f"the scores of {name}: {error}") from error
    table.loc[(table["label"] == 1) & (table["generator"] == ""), "generator"] = "(unnamed)"
    # An image without a group is a group of its own; the prefix keeps it apart from groups that are named so.
    table["group"] = table["group"].where(table["group"] != "", "\0" + table["path"].astype(str))
    return table.sort_values(["path", "sha256"], kind="stable").reset_index(drop=True)


def align_scores(scores: Mapping[str, pd.DataFrame], baseline: str) -> dict[str, pd.DataFrame]:
    """Return the score tables row for row on the same images, the baseline's first.

    Raises:
        UserError: no such baseline, fewer than two detectors, or tables that are not of the same images.
    """
    if baseline not in scores:
        raise UserError(f"there are no scores of the baseline {baseline!r}, only of: {', '.join(scores)}")
    if len(scores) < 2:
        raise UserError(f"a comparison needs the scores of {baseline!r} and of another detector; got one")
    names = [baseline, *(name for name in scores if name != baseline)]
    tables = {name: check_score_table(scores[name], name) for name in names}
    reference = tables[baseline]
    keys = set(zip(reference["path"], reference["sha256"], strict=True))
    for name, table in tables.items():
        other = set(zip(table["path"], table["sha256"], strict=True))
        if keys != other:
            example = min(keys ^ other)[0]
            raise UserError(
                f"{baseline} and {name} were scored on different images: {len(keys - other)} only in the first, "
                f"{len(other - keys)} only in the second, such as {example}; score both on one manifest"
            )
        for column in ("label", "generator", "subset", "group"):
            unlike = (table[column] != reference[column]).to_numpy()
            if unlike.any():
                first = reference["path"].iloc[int(np.argmax(unlike))]
                raise UserError(
                    f"{baseline} and {name} disagree on the {column} of {first}; score both on one manifest"
                )
    return tables
