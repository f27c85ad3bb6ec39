"""Metrics of a large table of scores, one cell in memory at a time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from fakefreq.errors import UserError
from fakefreq.evaluate.alignment import test_sets
from fakefreq.evaluate.metrics import best_threshold
from fakefreq.evaluate.ranked import ALL_METRICS, RankedScores, too_few
from fakefreq.evaluate.statistics import delong_interval
from fakefreq.evaluate.store import has_parquet

KEYS = ["cell", "detector", "train_on", "seed", "track"]
TEXTS = ["cell", "detector", "train_on", "track", "role", "generator", "subset", "group"]
COLUMNS = [*TEXTS, "seed", "label", "logit"]
BATCH = 250_000  # rows read at a time


def summarise_scores(path: Path, metrics: Sequence[str] = ALL_METRICS) -> pd.DataFrame:
    """Measure every cell of a table of scores on every generator and control; the table is read once, in pieces.

    Args:
        path: scores.parquet (.csv), as `fakefreq benchmark` writes it: the rows of a cell lie below each other.
        metrics: of `ALL_METRICS`.

    Returns:
        A row a cell, test set and metric: cell, detector, train_on, seed, track, test, kind, n_real, n_fake, metric,
        value, low, high, note. The interval is the AUC's (DeLong's, by group); the threshold is that of the cell's
        validation rows, and metrics that need one say so where there are none.

    Raises:
        UserError: a file or column that is missing, a cell in two places, scores that are not finite.
    """
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for name, scores in cells_of(path):
        if name in seen:
            raise UserError(f"{path}: the rows of cell {name} do not lie below each other; sort the table by cell")
        seen.add(name)
        rows += _measured(scores, metrics)
    if not rows:
        raise UserError(f"{path} holds no score")
    return pd.DataFrame(rows)


def cells_of(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name and the rows of one cell after the other; texts are categories.

    Raises:
        UserError: the file or a column is missing.
    """
    held: list[pd.DataFrame] = []
    for piece in _pieces(path):
        if piece.empty:
            continue
        codes = piece["cell"].cat.codes.to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(piece)]
        for start, end in pairwise(cuts):
            part = piece.iloc[start:end]
            if held and str(held[0]["cell"].iloc[0]) != str(part["cell"].iloc[0]):
                yield str(held[0]["cell"].iloc[0]), _joined(held)
                held = []
            held.append(part)
    if held:
        yield str(held[0]["cell"].iloc[0]), _joined(held)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if len(parts) == 1:
        return parts[0].reset_index(drop=True)
    found: dict[str, Any] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        # A plain concatenation of unlike categories would make every text an object of its own.
        found[str(name)] = union_categoricals(columns) if name in TEXTS else np.concatenate(columns)
    return pd.DataFrame(found)


def _pieces(path: Path) -> Iterator[pd.DataFrame]:
    try:
        if path.suffix != ".parquet":
            types: Any = {**dict.fromkeys(TEXTS, "category"), "seed": "int64", "label": "int8", "logit": "float64"}
            kept = {"usecols": COLUMNS, "dtype": types, "keep_default_na": False, "na_values": {"logit": [""]}}
            for piece in pd.read_csv(path, chunksize=BATCH, **kept):
                yield piece.astype(dict.fromkeys(TEXTS, "category"))
            return
        if not has_parquet():
            raise UserError(f"{path} is Parquet: install pyarrow (pip install fakefreq[large]) to read it")
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path, read_dictionary=TEXTS) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise UserError(f"{path} lacks the columns {', '.join(missing)}")
            for batch in file.iter_batches(BATCH, columns=COLUMNS):
                yield batch.to_pandas()
    except FileNotFoundError as error:
        raise UserError(f"the scores {path} are missing") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the scores {path}: {error}") from error


def _measured(scores: pd.DataFrame, metrics: Sequence[str]) -> list[dict[str, Any]]:
    start = {name: scores[name].iloc[0] for name in KEYS}
    role = scores["role"].to_numpy()
    val, threshold = scores[role == "val"], None
    if val["label"].nunique() == 2:
        threshold = best_threshold(val["label"].to_numpy(), val["logit"].to_numpy())
    test = scores[role == "test"].reset_index(drop=True)
    labels, logits = test["label"].to_numpy(), test["logit"].to_numpy()
    groups = test["group"].cat.codes.to_numpy().astype(np.int64)
    # An image without a group is a group of its own.
    nameless = (test["group"] == "").to_numpy()
    groups[nameless] = groups.max(initial=0) + 1 + np.arange(nameless.sum())
    rows: list[dict[str, Any]] = []
    for entry in test_sets(test):
        of_set = labels[entry.rows], logits[entry.rows]
        n_fake = int(of_set[0].sum())
        n_real = len(entry.rows) - n_fake
        one = RankedScores(*of_set, threshold or 0.0, classes=(0,) if entry.kind == "control" else (0, 1))
        wanted = {name: too_few(name, n_real, n_fake) for name in (["fpr"] if entry.kind == "control" else metrics)}
        if threshold is None:
            called = {"accuracy", "balanced_accuracy", "fpr", "tpr", "precision"}
            wanted |= dict.fromkeys(called & wanted.keys(), "no validation rows to choose a threshold by")
        names = [name for name, reason in wanted.items() if not reason]
        values = one.metrics(np.ones((1, len(entry.rows))), names)
        facts = {**start, "test": entry.name, "kind": entry.kind, "n_real": n_real, "n_fake": n_fake}
        for name, note in wanted.items():
            row = {**facts, "metric": name, "value": float(values[name][0]) if name in values else None, "note": note}
            if name == "auc" and name in values:
                row["low"], row["high"] = delong_interval(*of_set, groups[entry.rows]) or (None, None)
            rows.append(row)
    return rows
