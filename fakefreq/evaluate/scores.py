"""The one table of scores: its columns, its files, and what is looked at before anything is measured of it.

A table has a row an image: key columns (those of the manifest), `logit`, and in a table of several cells the columns
that say which cell. On disk it is Parquet where pyarrow is installed, else CSV; both hold the same numbers.
"""

import importlib.util
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.config.files import RUN_SETTINGS, read_run_config
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import check_scores
from fakefreq.files import atomic_path, read_json

KEY_COLUMNS = ["path", "sha256", "label", "generator", "source", "subset", "group", "split", "manifest"]
CELL_COLUMNS = ["detector", "train_on", "seed", "track", "role"]
"""What a table of several cells says of each row; `role` is `val` or `test`."""
OF_A_CELL = ["role", *KEY_COLUMNS[:-1], "logit"]
COLUMNS = [*CELL_COLUMNS, *KEY_COLUMNS[:-1], "logit", "threshold"]
"""`threshold` is the logit that the cell calls fake above; empty where validation scores are to choose it."""
# Few different values in many rows: held and written as codes into a dictionary.
REPEATED = ["cell", "detector", "train_on", "track", "role", "generator", "source", "subset", "split"]
TEXT = [*REPEATED, "path", "sha256", "group", "manifest"]


def has_parquet() -> bool:
    """Whether pyarrow is installed (`pip install fakefreq[large]`)."""
    return importlib.util.find_spec("pyarrow") is not None


def table_path(folder: Path, name: str = "scores") -> Path:
    """Return the file of a table: the one that is there, else the one that would be written here."""
    for suffix in (".parquet", ".csv"):
        if (folder / f"{name}{suffix}").exists():
            return folder / f"{name}{suffix}"
    return folder / f"{name}{'.parquet' if has_parquet() else '.csv'}"


def write_scores(scores: pd.DataFrame, path: str | Path) -> None:
    """Write a table of scores as Parquet or CSV, by its ending, atomically; logits keep all digits of a float32."""
    write_all_scores([scores], Path(path))


def write_all_scores(tables: Iterable[pd.DataFrame], path: Path) -> None:
    """Write tables of the same columns below each other, one in memory at a time, atomically."""
    with atomic_path(path) as temporary:
        if path.suffix != ".parquet":
            for number, table in enumerate(tables):
                table.to_csv(temporary, mode="a", header=not number, index=False, float_format="%.9g")
            return
        import pyarrow
        import pyarrow.parquet

        writer = None
        try:
            for table in tables:
                plain = table.astype({name: str for name in table if name in TEXT})
                rows = pyarrow.Table.from_pandas(plain, preserve_index=False)
                writer = writer or pyarrow.parquet.ParquetWriter(temporary, rows.schema, compression="zstd")
                writer.write_table(rows)
        finally:
            if writer is not None:
                writer.close()


def read_scores(path: str | Path, columns: Sequence[str] = ("path", "label", "logit"), name: str = "") -> pd.DataFrame:
    """Read a table of scores; repeated texts come as categories.

    Args:
        path: .parquet or .csv.
        columns: those that must be there; others come too.
        name: of what is read, for messages; the path by default.

    Raises:
        UserError: missing, damaged, without a column, or Parquet without pyarrow.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            if not has_parquet():
                raise UserError(f"{path} is Parquet: install pyarrow (pip install fakefreq[large]) to read it")
            table = pd.read_parquet(path)
        else:
            types: dict[str, Any] = {column: "category" if column in REPEATED else str for column in TEXT}
            empty = {"logit": ["", "nan"], "score": ["", "nan"]}
            table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=empty)
    except FileNotFoundError as error:
        raise UserError(f"the scores {path} are missing; `fakefreq score` makes them") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the scores {path}: {error}") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{name or path} lacks the columns {', '.join(missing)}: it is not a table of scores")
    for column in REPEATED:
        if column in table and not isinstance(table[column].dtype, pd.CategoricalDtype):
            table[column] = table[column].astype("category")
    return table


def check_table(scores: pd.DataFrame, columns: Sequence[str] = OF_A_CELL) -> None:
    """Refuse the scores of one cell that cannot be measured.

    Args:
        scores: the rows of one cell.
        columns: that must be there.

    Raises:
        UserError: a column missing, no row, an image twice, a label other than 0 and 1, a logit that is not finite.
    """
    missing = [name for name in columns if name not in scores]
    if missing:
        raise UserError(f"its scores lack the columns {', '.join(missing)}")
    if scores.empty:
        raise UserError("its scores are empty: there is no test image")
    twice = scores["path"].duplicated()
    if twice.any():
        raise UserError(f"its scores list {scores.loc[twice, 'path'].iloc[0]} twice")
    bad = ~np.isfinite(scores["logit"].to_numpy(dtype=np.float64))
    if bad.any():
        first = scores.loc[bad, "path"].iloc[0]
        raise UserError(f"{int(bad.sum())} of its logits are not finite, the first of {first}; score again")
    check_scores(scores["label"], scores["logit"], classes=())


def group_names(images: pd.DataFrame) -> pd.Series:
    """Return each image's group; an image without one is a group of its own."""
    group = images["group"].astype(str)
    return group.where(group != "", "\0" + images["path"].astype(str))


def load_scores(folder: str | Path) -> pd.DataFrame:
    """Return the scores of a finished folder, validation and test rows of all its cells below each other.

    Args:
        folder: as `fakefreq benchmark`, `compare` or `demo` left it (scores.parquet or .csv), that file itself, or a
            run folder with a scores.csv.

    Returns:
        The columns `COLUMNS`.

    Raises:
        UserError: nothing of the kind is there.
    """
    folder = Path(folder)
    if folder.is_file():
        return read_cells(folder)
    whole = table_path(folder)
    if (folder / RUN_SETTINGS).exists():
        return _scores_of_run(folder)
    if not whole.exists():
        raise UserError(f"{folder} holds no scores: give what `fakefreq benchmark` or `compare` wrote, or a run folder")
    return read_cells(whole)


def read_cells(path: Path) -> pd.DataFrame:
    """Read a table of several cells: the columns `COLUMNS`, whose thresholds alone may be missing.

    Raises:
        UserError: as `read_scores`.
    """
    table = read_scores(path, COLUMNS[:-1]).reindex(columns=COLUMNS)
    return table.assign(threshold=pd.to_numeric(table["threshold"], errors="coerce"))


def _scores_of_run(run: Path) -> pd.DataFrame:
    config = read_run_config(run)
    if not (run / "scores.csv").exists():
        raise UserError(f"{run} has no scores.csv: `fakefreq score {run} MANIFEST --out {run / 'scores.csv'}` makes it")
    val, test = read_scores(run / "val_scores.csv"), read_scores(run / "scores.csv")
    train_on = config.train_on or sorted(set(val.loc[val["label"] == 1, "generator"]))
    others = without_training_images(test.astype({name: str for name in test if name in TEXT}), train_on)
    tables = [val.assign(role="val"), others[~others["path"].isin(set(val["path"]))].assign(role="test")]
    facts: dict[str, Any] = {"detector": config.detector, "train_on": "+".join(train_on), "seed": config.seed}
    summary = run / "summary.json"  # a run that has not ended has none, and its validation scores say the threshold
    threshold = float(read_json(summary, "the run's summary")["threshold"]) if summary.exists() else np.nan
    facts |= {"track": "raw", "threshold": threshold}
    plain = [table.astype({name: str for name in table if name in TEXT}) for table in tables]
    return pd.concat(plain, ignore_index=True).assign(**facts).reindex(columns=COLUMNS, fill_value="")


def common_images(tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], int]:
    """Return the tables cut to the images that all of them score, and how many were left out of the largest."""
    shared = set.intersection(*(set(table["path"]) for table in tables.values()))
    largest = max(len(table) for table in tables.values())
    if not shared:
        raise UserError(f"no image is scored by all of {', '.join(tables)}: score the same images")
    kept = {name: table[table["path"].isin(shared)].reset_index(drop=True) for name, table in tables.items()}
    return kept, largest - len(shared)


def split_names(joined: str, known: Collection[str]) -> list[str]:
    """Return the generators whose names a training set joins by `+`, which may be in a name too.

    >>> split_names("sd15+lora+stylegan", {"sd15+lora", "sd15", "stylegan"})
    ['sd15+lora', 'stylegan']
    """
    parts, found = joined.split("+"), list[str]()
    while parts:
        longest = next((n for n in range(len(parts), 0, -1) if "+".join(parts[:n]) in known), 1)
        found.append("+".join(parts[:longest]))
        parts = parts[longest:]
    return found


def without_training_images(table: pd.DataFrame, trained_on: Sequence[str]) -> pd.DataFrame:
    """Leave out what may have been trained on: training rows of the generators named, with their groups."""
    touched = table["subset"].isin(set(table.loc[table["generator"].isin(trained_on), "subset"]))
    used = set(group_names(table)[touched & (table["split"] == "train")])
    return table[~group_names(table).isin(used)]
