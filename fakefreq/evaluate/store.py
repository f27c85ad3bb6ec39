"""Score tables on disk: Parquet where pyarrow is installed, else CSV; both hold the same numbers."""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.errors import UserError
from fakefreq.files import atomic_path

# Few different values in many rows: held and written as codes into a dictionary.
REPEATED = ["cell", "detector", "train_on", "track", "role", "generator", "source", "subset", "split"]
TEXT = [*REPEATED, "path", "sha256", "group"]


def has_parquet() -> bool:
    """Whether pyarrow is installed (`pip install fakefreq[large]`)."""
    return importlib.util.find_spec("pyarrow") is not None


def table_path(folder: Path, name: str = "scores") -> Path:
    """Return the file of a table: the one that is there, else the one that would be written here."""
    for suffix in (".parquet", ".csv"):
        if (folder / f"{name}{suffix}").exists():
            return folder / f"{name}{suffix}"
    return folder / f"{name}{'.parquet' if has_parquet() else '.csv'}"


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet or CSV, by its ending, atomically."""
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False, compression="zstd")
        else:
            table.to_csv(temporary, index=False, float_format="%.9g")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table that `write_table` wrote; repeated texts come as categories.

    Args:
        path: .parquet or .csv.
        columns: only these.

    Raises:
        UserError: missing, damaged, without a column, or Parquet without pyarrow.
    """
    chosen = None if columns is None else list(columns)
    try:
        if path.suffix == ".parquet":
            if not has_parquet():
                raise UserError(f"{path} is Parquet: install pyarrow (pip install fakefreq[large]) to read it")
            table = pd.read_parquet(path, columns=chosen)
        else:
            types: dict[str, Any] = {name: "category" if name in REPEATED else str for name in TEXT}
            table = pd.read_csv(path, usecols=chosen, dtype=types, keep_default_na=False, na_values={"logit": [""]})
    except FileNotFoundError as error:
        raise UserError(f"the scores {path} are missing") from error
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot read the scores {path}: {error}") from error
    for name in REPEATED:
        if name in table and not isinstance(table[name].dtype, pd.CategoricalDtype):
            table[name] = table[name].astype("category")
    return table


def append_tables(tables: Iterable[pd.DataFrame], path: Path) -> None:
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
