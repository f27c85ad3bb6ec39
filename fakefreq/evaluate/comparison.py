"""Detectors against a baseline on the same test images, generator by generator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate import metrics
from fakefreq.evaluate.bootstrap import METRICS, Bootstrap, bootstrap, percentile_interval
from fakefreq.evaluate.statistics import delong, wilson_interval
from fakefreq.evaluate.tables import format_markdown, format_table, wide

__all__ = ["COLUMNS", "compare_scores", "format_markdown", "format_table", "read_comparison", "test_sets", "wide"]

COLUMNS = (
    "seed generator kind seen detector metric value low high p baseline n_real n_fake threshold trained_on draws note"
).split()
MEAN_NAME = "mean of unseen"
FEW = 10  # images of a class below which a row is marked


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
        scores: with path, label and logit at least; a missing generator, subset, group or sha256 counts as empty.
        name: of the detector, for the messages.

    Raises:
        UserError: a column or all rows missing, keys twice, labels other than 0 and 1, logits that are not finite.
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
        raise UserError(f"the scores of {name} list {len(twice)} images twice, {first} among them; score them again")
    try:
        metrics.check_scores(table["label"], table["logit"], classes=())
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
        raise UserError(f"there are no scores of the baseline {baseline!r}; there are: {', '.join(scores) or 'none'}")
    if len(scores) < 2:
        raise UserError(f"a comparison needs the scores of {baseline!r} and of another detector; got one table")
    names = [baseline, *(name for name in scores if name != baseline)]
    tables = {name: check_score_table(scores[name], name) for name in names}
    reference = tables[baseline]
    keys = set(zip(reference["path"], reference["sha256"], strict=True))
    for name, table in tables.items():
        other = set(zip(table["path"], table["sha256"], strict=True))
        if keys != other:
            example = min(keys ^ other)[0]
            raise UserError(
                f"{baseline} and {name} were not scored on the same images: {len(keys - other)} only in the first, "
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


def compare_scores(
    scores: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, float],
    trained_on: Sequence[str],
    baseline: str = "pixel",
    seed: int = 0,
    draws: int = 2000,
) -> pd.DataFrame:
    """Measure every detector on every generator, and its paired difference from the baseline.

    Intervals of AUC, AP, accuracy and of differences are 95 % percentile intervals of a bootstrap by group with the
    same draws for all detectors; those of false- and true-positive rates are Wilson's, with groups as the number of
    independent images. `p` is of the paired DeLong test, for groups as Obuchowski (1997) widens it.

    Args:
        scores: detector -> its scores, on the same images.
        thresholds: detector -> logit chosen on validation.
        trained_on: generators whose fakes were trained on; the others are unseen.
        baseline: the detector that the others are measured against.
        seed: of the training; the bootstrap uses it too.
        draws: of the bootstrap, at least 100.

    Returns:
        One row a test set, detector and metric, with the columns `COLUMNS`. `kind` is generator, mean (over the
        unseen generators, where there are two or more) or control (reals only). Metrics are auc, ap, accuracy, fpr,
        tpr, and for all but the baseline auc_difference, ap_difference, accuracy_difference. An empty `value`, `low`
        or `p` has its reason in `note`.

    Raises:
        UserError: tables of different images, keys twice, NaN, no threshold, too few draws.
    """
    tables = align_scores(scores, baseline)
    for name in tables:
        if name not in thresholds or not np.isfinite(thresholds[name]):
            raise UserError(f"there is no finite validation threshold of {name}; train it again")
    keys = tables[baseline]
    labels, groups = keys["label"].to_numpy(), keys["group"].to_numpy()
    logits = {name: table["logit"].to_numpy(dtype=np.float64) for name, table in tables.items()}
    sets = test_sets(keys)
    paired = {part.name: part.rows for part in sets if _counts(labels[part.rows])[0] and part.kind == "generator"}
    resampled = bootstrap(labels, logits, groups, METRICS, draws, seed, thresholds, paired)
    unseen = [part.name for part in sets if part.name in paired and part.name not in trained_on]
    cell = _Cells(labels, groups, logits, dict(thresholds), baseline, resampled)
    rows: list[dict[str, Any]] = []
    ordered = sorted(sets, key=lambda part: (part.kind == "control", part.name not in trained_on))
    for part in ordered:
        seen = part.name in trained_on if part.kind == "generator" else None
        found = cell.measure(part)
        counts = _counts(labels[part.rows])
        rows += [{"generator": part.name, "kind": part.kind, "seen": seen, **row, **counts_of(counts)} for row in found]
    if len(unseen) > 1:
        together = np.unique(np.concatenate([paired[name] for name in unseen]))
        position = next((i for i, row in enumerate(rows) if row["kind"] == "control"), len(rows))
        shared = {"generator": MEAN_NAME, "kind": "mean", "seen": False, **counts_of(_counts(labels[together]))}
        rows[position:position] = [{**shared, **row} for row in _means(rows, unseen, resampled, baseline)]
    constant = {"seed": seed, "trained_on": "+".join(trained_on), "draws": draws}
    table = pd.DataFrame([{**row, **constant} for row in rows], columns=COLUMNS)
    table["threshold"] = table["detector"].map(dict(thresholds))
    table["seen"] = table["seen"].astype("boolean")
    for column in ("value", "low", "high", "p"):
        table[column] = table[column].astype(float)
    return table.fillna({"baseline": "", "note": ""})
