"""Scores of outside detectors: anyone's table of path or sha256 and score, joined to a manifest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.data.manifest.table import check_same_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import best_threshold

KEYS = ("path", "sha256")
SCORES = ("logit", "score")
KEPT = ["path", "sha256", "label", "generator", "source", "subset", "group", "split"]


def read_outside_scores(path: str | Path, manifest: pd.DataFrame) -> pd.DataFrame:
    """Join a table of scores to the images of a manifest.

    Args:
        path: a CSV file with the column `path` (as in the manifest) or `sha256`, and the column `score` or `logit`, any
            finite number that grows towards fake. Other columns are ignored, but `manifest`, where it is there, must
            hold the manifest's digest.
        manifest: the table of images.

    Returns:
        The manifest's rows that have a score, in its order, with the column `logit`.

    Raises:
        UserError: missing columns, a score that is no finite number, a key twice, a key that the manifest lacks,
            another manifest's digest, or no score at all.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; --scores takes CSV files")
    try:
        table = pd.read_csv(path, dtype={"path": str, "sha256": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no CSV table ({error})") from error
    key = next((name for name in KEYS if name in table), None)
    column = next((name for name in SCORES if name in table), None)
    if key is None or column is None:
        raise UserError(
            f"{path} has the columns {', '.join(map(str, table))}; it takes path or sha256, and score or logit"
        )
    check_same_manifest(table, manifest, path)
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise UserError(
            f"{path}: {int(bad.sum())} scores are no finite numbers, the first of {table[key][bad].iloc[0]}"
        )
    twice = table[key].duplicated()
    if twice.any():
        raise UserError(f"{path} scores {table[key][twice].iloc[0]} twice; each {key} may come once")
    strangers = table.loc[~table[key].isin(manifest[key]), key]
    if len(strangers):
        raise UserError(
            f"{path} scores {len(strangers)} images that the manifest does not have, the first {strangers.iloc[0]}"
        )
    scored = dict(zip(table[key], values, strict=True))
    rows = manifest[manifest[key].isin(scored)]
    if rows.empty:
        raise UserError(f"{path} holds no score")
    return rows[KEPT].assign(logit=[scored[name] for name in rows[key]]).reset_index(drop=True)


def common_images(tables: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], int]:
    """Return the tables cut to the images that all of them score, and how many were left out of the largest."""
    shared = set.intersection(*(set(table["path"]) for table in tables.values()))
    largest = max(len(table) for table in tables.values())
    if not shared:
        raise UserError(f"no image is scored by all of {', '.join(tables)}: score the same images")
    kept = {name: table[table["path"].isin(shared)].reset_index(drop=True) for name, table in tables.items()}
    return kept, largest - len(shared)


def thresholds_of(tables: dict[str, pd.DataFrame]) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
    """Return each detector's threshold from its validation images, and the tables without them.

    Where no validation image is scored, as of an outside detector that was tested only, the threshold is 0 for scores
    with negative values and .5 for probabilities: what its authors would use.
    """
    thresholds, rest = {}, {}
    for name, table in tables.items():
        val = table[table["split"] == "val"]
        if val["label"].nunique() == 2:
            thresholds[name] = float(best_threshold(val["label"].to_numpy(), val["logit"].to_numpy()))
            rest[name] = table[table["split"] != "val"].reset_index(drop=True)
        else:
            probabilities = table["logit"].between(0, 1).all()
            thresholds[name], rest[name] = (0.5 if probabilities else 0.0), table
    return thresholds, rest


def select_rows(tables: dict[str, pd.DataFrame], trained_on: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Leave out what may have been trained on: training rows of the generators named, with their groups."""
    kept = {}
    for name, table in tables.items():
        touched = table["subset"].isin(set(table.loc[table["generator"].isin(trained_on), "subset"]))
        used = set(table.loc[touched & (table["split"] == "train"), "group"])
        kept[name] = table[~table["group"].isin(used) & ~(touched & (table["split"] == "train"))]
    return kept
