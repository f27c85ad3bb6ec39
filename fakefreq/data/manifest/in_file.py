"""Rows of a manifest that stay in their Parquet file until they are wanted, so that a corpus may exceed memory."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.manifest.table import (
    COLUMNS,
    GROUP_ROWS,
    MEANING,
    NEEDED,
    NUMBERS,
    PARQUET_SEAL,
    digest_of,
    is_label,
    to_numbers,
    to_texts,
)


@dataclass(frozen=True)
class RowsInFile:
    """A range of rows of a Parquet manifest.

    Args:
        path: of the manifest.
        start: the first row.
        stop: the row after the last.
        digest: of the whole manifest, as `manifest_digest` gives it.
    """

    path: Path
    start: int
    stop: int
    digest: str = ""

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, wanted: slice) -> "RowsInFile":
        start, stop, _ = wanted.indices(len(self))
        return replace(self, start=self.start + start, stop=self.start + max(start, stop))

    def read(self) -> pd.DataFrame:
        """Return the rows with all columns of a manifest, and the digest in the column `manifest`."""
        pieces = list(self.pieces(COLUMNS))
        table = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=COLUMNS)
        return table.assign(manifest=self.digest)

    def pieces(self, columns: list[str], as_written: bool = False) -> Iterator[pd.DataFrame]:
        """Yield some columns of the rows, some ten thousand rows at a time.

        Args:
            columns: those that the file lacks are filled.
            as_written: leave numbers as they are in the file, for those that it has.
        """
        file = _parquet().ParquetFile(self.path)
        present = [name for name in columns if name in file.schema_arrow.names]
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if first < self.stop and first + count > self.start:
                for batch in file.iter_batches(GROUP_ROWS, row_groups=[group], columns=present):
                    low, high = max(self.start, first), min(self.stop, first + len(batch))
                    if low < high:
                        piece = batch.slice(low - first, high - low).to_pandas(integer_object_nulls=True)
                        yield _filled(piece, columns, high - low, as_written)
                    first += len(batch)
            else:
                first += count

    def sizes(self) -> pd.DataFrame:
        """Return each `width` and `height` that there is, and in `images` how many have it."""
        counts: pd.Series | None = None
        for piece in self.pieces(["width", "height"]):
            found = piece.value_counts()
            counts = found if counts is None else counts.add(found, fill_value=0)
        if counts is None:
            return pd.DataFrame({"width": [], "height": [], "images": []}, dtype=int)
        return counts.astype(int).rename("images").reset_index()

    def hash_of_paths(self) -> int:
        """Return a number that changes with the paths, but not with their order."""
        sums = (int(pd.util.hash_pandas_object(piece["path"], index=False).sum()) for piece in self.pieces(["path"]))
        return sum(sums) % 2**64


def rows_in_file(path: str | Path) -> RowsInFile | None:
    """Return all rows of a manifest, still in their file; None where `read_manifest` has to read them.

    That is: no Parquet; not as fakefreq writes it, sorted by path; splits, which only a look at all rows proves; or
    anything wrong, so that `read_manifest` says what. Memory does not grow with the file, which is read twice.

    Args:
        path: of the manifest.
    """
    path = Path(path)
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    try:
        return _checked(path)
    except (ImportError, OSError, ValueError):
        return None


def _checked(path: Path) -> RowsInFile | None:
    """The rows, or None as `rows_in_file` says."""
    file = _parquet().ParquetFile(path)
    rows = RowsInFile(path, 0, file.metadata.num_rows)
    present = [name for name in COLUMNS if name in file.schema_arrow.names]
    if any(name not in present for name in NEEDED):
        return None
    before = None
    for piece in rows.pieces(["path", "label", "split"], as_written=True):
        paths = [*([] if before is None else [before]), *piece["path"].tolist()]
        if "" in paths or any(one >= other for one, other in itertools.pairwise(paths)):
            return None
        if (piece["split"] != "").any() or not is_label(piece["label"]).all():
            return None
        before = paths[-1]

    def column(name: str) -> Iterator[pd.Series]:
        return (piece[name] for piece in rows.pieces([name]))

    seal = (file.schema_arrow.metadata or {}).get(PARQUET_SEAL, b"").decode("ascii", "replace")
    if seal and digest_of(present, column) != seal:
        return None
    return replace(rows, digest=digest_of(MEANING, column))


def _parquet() -> Any:
    import pyarrow.parquet

    return pyarrow.parquet


def _filled(piece: pd.DataFrame, columns: list[str], count: int, as_written: bool) -> pd.DataFrame:
    missing = {name: pd.Series([0 if name in NUMBERS else ""] * count) for name in columns if name not in piece}
    own = [name for name in columns if name in piece and name in NUMBERS and not as_written]
    numbers = {name: to_numbers(piece[name]) for name in own}
    texts = {name: to_texts(piece[name]) for name in columns if name in piece and name not in NUMBERS}
    return piece.assign(**missing, **numbers, **texts)[columns]
