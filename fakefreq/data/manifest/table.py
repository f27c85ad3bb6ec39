"""The manifest as a file: its columns, its seal, its digest."""

import csv
import hashlib
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.files import atomic_path

COLUMNS = [
    "path", "label", "generator", "source", "subset", "group", "split",
    "format", "mode", "width", "height", "jpeg_quality", "subsampling", "progressive", "software", "icc", "bytes",
    "sha256", "phash",
]  # fmt: skip
NUMBERS = ["label", "width", "height", "jpeg_quality", "progressive", "bytes"]
NEEDED = ["path", "label", "generator", "subset", "group"]
# What a score depends on; facts of headers may be filled later without making another version.
MEANING = ["path", "label", "generator", "source", "subset", "group", "split", "sha256"]
# A CSV's seal is the heading of its last, empty column: it travels with the file, and the file stays plain CSV.
SEAL = "seal:"
PARQUET_SEAL = b"fakefreq_seal"
GROUP_ROWS = 65_536
"""Rows of a Parquet manifest that are written, and can be read, together."""
# Above this many images `--out manifest`, without an ending, becomes Parquet.
PARQUET_ABOVE = 500_000
# Rows that are turned into text at once.
_PIECE = 16384


def read_manifest(path: str | Path, sealed: bool = True, *, with_own: bool = False) -> pd.DataFrame:
    """Read a manifest, CSV or Parquet by its ending; identifiers stay text, so that 00001 keeps its zeros.

    Args:
        path: the file. Columns that it lacks, as files of other programs and of older versions do, are filled.
        sealed: refuse a file whose content is not what its seal was made of; one without a seal is accepted.
        with_own: keep the columns that are the user's own, behind `COLUMNS`; they are no part of the seal.

    Raises:
        UserError: missing, damaged, without a needed column, with a label other than 0 and 1, with a path twice,
            or changed since it was sealed.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(_of_folder(path))
    manifest, seal = _read(path)
    missing = [name for name in NEEDED if name not in manifest]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}: it is not a manifest; `fakefreq index` makes one"
        )
    wrong = manifest[~is_label(manifest["label"])]
    if len(wrong):
        raise UserError(
            f"{path}: the label of {wrong['path'].iloc[0]} is {wrong['label'].iloc[0]!r}; it is 0 (real) or 1"
        )
    present = [name for name in COLUMNS if name in manifest]
    for name in COLUMNS:
        if name not in manifest:
            manifest[name] = ""
        manifest[name] = to_numbers(manifest[name]) if name in NUMBERS else to_texts(manifest[name])
    if (manifest["path"] == "").any():
        row = int((manifest["path"] == "").to_numpy().argmax()) + 1
        raise UserError(f"{path} has no path in row {row} of {len(manifest)}; fill the cell, or take the row out")
    # A table that ascends, as fakefreq writes it, holds no path twice; looking for one would take 200 MB for a million.
    twice = None if is_ascending(manifest["path"], strictly=True) else manifest["path"].duplicated()
    if twice is not None and twice.any():
        name = manifest["path"][twice].iloc[0]
        labels = sorted(set(manifest.loc[manifest["path"] == name, "label"].astype(int)))
        how = "once as real and once as fake" if len(labels) > 1 else "twice"
        raise UserError(f"{path} lists {name} {how}; keep one of the rows")
    found = _digest(manifest, present) if sealed and seal else seal
    if found != seal:
        raise UserError(
            f"{path} was changed since fakefreq wrote it: its seal is {seal}, its content makes {found}. If the change "
            f"is meant, accept it with `fakefreq manifest seal {path}`; scores and runs made before are the old one's"
        )
    return manifest[[*COLUMNS, *own_columns(manifest)] if with_own else COLUMNS]


def own_columns(manifest: pd.DataFrame) -> list[str]:
    """Return the columns of a table that are the user's own, such as `age`: none of a manifest's.

    >>> own_columns(pd.DataFrame({"path": ["a.png"], "age": ["31"], "label": [0]}))
    ['age']
    """
    return [str(name) for name in manifest.columns if name not in COLUMNS]


def is_label(column: pd.Series) -> pd.Series:
    """Return for each value whether it is a label."""
    return column.isin(["0", "1", 0, 1])


def to_numbers(column: pd.Series) -> pd.Series:
    """Return whole numbers; 0 where there is none."""
    return pd.to_numeric(column, errors="coerce").fillna(0).astype(int)


def to_texts(column: pd.Series) -> pd.Series:
    """Return texts; an empty one where there is none, as in cells that another program left out.

    >>> to_texts(pd.Series(["00001", None])).tolist(), to_texts(pd.Series([7, None], dtype=object)).tolist()
    (['00001', ''], ['7', ''])
    """
    if column.hasnans:
        column = column.astype(object).where(column.notna(), "")
    return column if isinstance(column.dtype, pd.StringDtype) else column.astype("str")


def _of_folder(folder: Path) -> str:
    """What to do with a folder where a manifest is wanted."""
    own = folder / "manifest.csv"
    if own.is_file():
        return f"{folder} is a folder, not a manifest; its manifest is {own}"
    return (
        f"{folder} is a folder, not a manifest; make its manifest first: `fakefreq index {folder} --out {own}`, then "
        f"`fakefreq split {own}`, and give {own}"
    )


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the table as it lies in the file, all text where it is CSV, and its seal or an empty text."""
    try:
        if path.suffix.lower() == ".parquet":
            from fakefreq.data.images.shards import need_pyarrow

            table = need_pyarrow().read_table(path)
            seal = (table.schema.metadata or {}).get(PARQUET_SEAL, b"").decode("ascii", "replace")
            # Whole numbers stay so beside empty cells.
            manifest = table.to_pandas(integer_object_nulls=True)
            return manifest if isinstance(manifest.index, pd.RangeIndex) else manifest.reset_index(drop=True), seal
        manifest = _read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"there is no manifest {path}; make one with `fakefreq index FOLDER --out {path}`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the manifest {path}: {error}") from error
    seals = [str(name) for name in manifest.columns if str(name).startswith(SEAL)]
    return manifest.drop(columns=seals), seals[0].removeprefix(SEAL) if seals else ""


def _read_csv(path: Path) -> pd.DataFrame:
    """Read in pieces: the parser's own objects for a million rows at once would take a gigabyte."""
    pieces = []
    for piece in pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=_PIECE):
        for name in NUMBERS:
            if name in piece and name != "label":  # a wrong label is shown as it was written
                piece[name] = to_numbers(piece[name])
        pieces.append(piece)
    return pd.concat(pieces, ignore_index=True)


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest with its seal, atomically: CSV, or Parquet where the path ends in .parquet.

    Columns of the user's own are written behind the others.
    """
    own = own_columns(manifest)
    manifest = _complete(manifest)
    seal = _digest(manifest, COLUMNS)
    if Path(path).suffix.lower() == ".parquet":
        from fakefreq.data.images.shards import need_pyarrow

        parquet = need_pyarrow()
        import pyarrow

        for name in own:
            try:
                pyarrow.array(manifest[name], from_pandas=True)
            except pyarrow.ArrowException:  # texts and numbers in one column, as of manifests that were merged
                manifest[name] = manifest[name].map(str, na_action="ignore")
        table = pyarrow.Table.from_pandas(manifest, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), PARQUET_SEAL: seal.encode()}
        with atomic_path(path) as temporary:
            table = table.replace_schema_metadata(metadata)
            parquet.write_table(table, temporary, compression="zstd", row_group_size=GROUP_ROWS)
        return
    for name in own:
        manifest[name] = to_texts(manifest[name])
    manifest[SEAL + seal] = ""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(manifest.columns)
        for start in range(0, len(manifest), _PIECE):
            _write_rows(file, manifest.iloc[start : start + _PIECE])


def _write_rows(file: TextIO, rows: pd.DataFrame) -> None:
    """Write rows as CSV; ten times faster than pandas where no text needs quotes."""
    lines = "\n".join(map(",".join, zip(*_runs(rows), strict=False))) + "\n"
    if any(sign in lines for sign in '"\r') or lines.count(",") + lines.count("\n") != rows.size:
        # Quotes, commas or line ends inside texts. All texts are quoted then: csv leaves a carriage return bare.
        columns = (rows[name].tolist() for name in rows)
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(zip(*columns, strict=True))
    else:
        file.write(lines)


def _runs(rows: pd.DataFrame) -> Iterator[Iterable[str]]:
    """Yield columns as text; neighbours that hold one value all through, as most facts of headers do, become one."""
    constant: list[str] = []
    for name in rows:
        column = _texts(rows[name])
        if _is_constant(column):
            constant.append(column[0])
            continue
        if constant:
            yield itertools.repeat(",".join(constant), len(rows))
            constant = []
        yield column
    if constant:
        yield itertools.repeat(",".join(constant), len(rows))


def is_ascending(column: pd.Series, strictly: bool = False) -> bool:
    """Whether texts are sorted, without making objects of all of them at once as pandas does."""
    before, precedes = None, operator.lt if strictly else operator.le
    for start in range(0, len(column), _PIECE):
        texts = _texts(column.iloc[start : start + _PIECE])
        if before is not None and not precedes(before, texts[0]):
            return False
        if not all(map(precedes, texts, itertools.islice(texts, 1, None))):
            return False
        before = texts[-1]
    return True


def _texts(column: pd.Series) -> list[str]:
    values = column.tolist()
    return values if isinstance(column.dtype, pd.StringDtype) and not column.hasnans else list(map(str, values))


def _is_constant(texts: list[str]) -> bool:
    # The last one is looked at first: it alone tells for paths and hashes.
    return bool(texts) and texts[0] == texts[-1] and texts.count(texts[0]) == len(texts)


def _complete(manifest: pd.DataFrame) -> pd.DataFrame:
    """A shallow copy with all columns in order, the user's own last; missing ones are empty or 0."""
    return pd.DataFrame(
        {
            name: manifest[name] if name in manifest else pd.Series(0 if name in NUMBERS else "", manifest.index)
            for name in [*COLUMNS, *own_columns(manifest)]
        }
    )


def manifest_digest(manifest: pd.DataFrame) -> str:
    """Return 16 hexadecimal digits that change with any image, label, generator, source, group or split.

    Runs and scores carry it. The order of rows and the facts of headers do not change it.
    """
    return _digest(manifest, MEANING)


def check_same_manifest(scores: pd.DataFrame, manifest: pd.DataFrame, path: str | Path) -> None:
    """Refuse scores that were made of another version of a manifest.

    Args:
        scores: a table of scores; its column `manifest`, where it has one, holds the digest.
        manifest: the table of images that the scores shall be joined to.
        path: of the scores, for the error.

    Raises:
        UserError: another digest.
    """
    digest = manifest_digest(manifest)
    others = sorted(set(scores["manifest"].astype(str)) - {digest, ""}) if "manifest" in scores else []
    if others:
        raise UserError(
            f"{path} was made of the manifest with digest {others[0]}, this one has {digest}: images, labels, groups "
            "or splits differ; score again with `fakefreq score`"
        )


def _digest(manifest: pd.DataFrame, columns: list[str]) -> str:
    order = None
    if not is_ascending(manifest["path"]):
        order = np.argsort(manifest["path"].to_numpy(dtype=object), kind="stable")

    def pieces(name: str) -> Iterator[pd.Series]:
        if name in manifest:
            column = manifest[name] if order is None else manifest[name].iloc[order]
            yield from (column.iloc[start : start + _PIECE] for start in range(0, len(column), _PIECE))

    return digest_of(columns, pieces)


def digest_of(columns: list[str], pieces: Callable[[str], Iterable[pd.Series]]) -> str:
    """Return 16 hexadecimal digits of columns that come in pieces, which may be of any length.

    A million paths as one text would take a hundred megabytes more.

    Args:
        columns: their names, in order.
        pieces: gives the values of a column, in the order of paths.
    """
    digest = hashlib.sha256()
    for name in columns:
        digest.update(f"\1{name}\1".encode())
        for piece in pieces(name):
            if name in NUMBERS:
                digest.update(piece.to_numpy().astype("<i8").tobytes())
                continue
            # No path holds a zero byte.
            texts = _texts(piece)
            text = f"{texts[0]}\0" * len(texts) if _is_constant(texts) else "\0".join(texts) + "\0"
            digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def write_skipped(skipped: list[tuple[str, str]], path: str | Path) -> None:
    """Write the list of images that were passed over, with the reason for each."""
    with atomic_path(path) as temporary:
        pd.DataFrame(skipped, columns=["path", "reason"]).to_csv(temporary, index=False, errors="backslashreplace")
