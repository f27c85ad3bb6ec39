"""The manifest as a file: its columns, its seal, its digest."""

import csv
import hashlib
from pathlib import Path
from typing import Any, TextIO

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
_PARQUET_SEAL = b"fakefreq_seal"
# Above this many images `--out manifest`, without an ending, becomes Parquet.
PARQUET_ABOVE = 500_000
# Rows that are turned into text at once.
_PIECE = 16384


def read_manifest(path: str | Path, sealed: bool = True) -> pd.DataFrame:
    """Read a manifest, CSV or Parquet by its ending; identifiers stay text, so that 00001 keeps its zeros.

    Args:
        path: the file. Columns that it lacks, as files of other programs and of older versions do, are filled.
        sealed: refuse a file whose content is not what its seal was made of; one without a seal is accepted.

    Raises:
        UserError: missing, damaged, without a needed column, with a label other than 0 and 1, with a path twice,
            or changed since it was sealed.
    """
    path = Path(path)
    manifest, seal = _read(path)
    missing = [name for name in NEEDED if name not in manifest]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}: it is not a manifest; `fakefreq index` makes one"
        )
    wrong = manifest[~manifest["label"].isin(["0", "1", 0, 1])]
    if len(wrong):
        raise UserError(
            f"{path}: the label of {wrong['path'].iloc[0]} is {wrong['label'].iloc[0]!r}; it is 0 (real) or 1"
        )
    twice = manifest[manifest["path"].duplicated()]
    if len(twice):
        name = twice["path"].iloc[0]
        labels = sorted(set(manifest.loc[manifest["path"] == name, "label"].astype(int)))
        how = "once as real and once as fake" if len(labels) > 1 else "twice"
        raise UserError(f"{path} lists {name} {how}; keep one of the rows")
    present = [name for name in COLUMNS if name in manifest]
    for name in COLUMNS:
        if name not in manifest:
            manifest[name] = ""
        if name in NUMBERS:
            manifest[name] = pd.to_numeric(manifest[name], errors="coerce").fillna(0).astype(int)
    found = _digest(manifest, present) if sealed and seal else seal
    if found != seal:
        raise UserError(
            f"{path} was changed since fakefreq wrote it: its seal is {seal}, its content makes {found}. If the change "
            f"is meant, accept it with `fakefreq manifest seal {path}`; scores and runs made before are the old one's"
        )
    return manifest[COLUMNS]


def _read(path: Path) -> tuple[pd.DataFrame, str]:
    """Return the table as it lies in the file, all text where it is CSV, and its seal or an empty text."""
    try:
        if path.suffix.lower() == ".parquet":
            from fakefreq.data.shards import need_pyarrow

            table = need_pyarrow().read_table(path)
            seal = (table.schema.metadata or {}).get(_PARQUET_SEAL, b"").decode("ascii", "replace")
            return table.to_pandas(), seal
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
                piece[name] = pd.to_numeric(piece[name], errors="coerce").fillna(0).astype(int)
        pieces.append(piece)
    return pd.concat(pieces, ignore_index=True)


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest with its seal, atomically: CSV, or Parquet where the path ends in .parquet."""
    manifest = _complete(manifest)
    seal = _digest(manifest, COLUMNS)
    if Path(path).suffix.lower() == ".parquet":
        from fakefreq.data.shards import need_pyarrow

        parquet = need_pyarrow()
        import pyarrow

        table = pyarrow.Table.from_pandas(manifest, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), _PARQUET_SEAL: seal.encode()}
        with atomic_path(path) as temporary:
            parquet.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")
        return
    manifest[SEAL + seal] = ""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(manifest.columns) + "\n")
        for start in range(0, len(manifest), _PIECE):
            _write_rows(file, manifest.iloc[start : start + _PIECE])


def _write_rows(file: TextIO, rows: pd.DataFrame) -> None:
    """Write rows as CSV; ten times faster than pandas where no text needs quotes."""
    columns = [rows[name].tolist() for name in rows]
    lines = "\n".join(map(",".join, zip(*(map(str, column) for column in columns), strict=True))) + "\n"
    if any(sign in lines for sign in '"\r') or lines.count(",") + lines.count("\n") != len(rows) * len(columns):
        # Quotes, commas or line ends inside texts. All texts are quoted then: csv leaves a carriage return bare.
        csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(zip(*columns, strict=True))
    else:
        file.write(lines)


def _complete(manifest: pd.DataFrame) -> pd.DataFrame:
    """A shallow copy with all columns in order; missing ones are empty or 0."""
    return pd.DataFrame(
        {
            name: manifest[name] if name in manifest else pd.Series(0 if name in NUMBERS else "", manifest.index)
            for name in COLUMNS
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
    order: Any = slice(None)
    if not manifest["path"].is_monotonic_increasing:
        order = np.argsort(manifest["path"].to_numpy(dtype=object), kind="stable")
    digest = hashlib.sha256()
    for name in columns:
        digest.update(f"\1{name}\1".encode())
        if name not in manifest:
            continue
        values = manifest[name].to_numpy()[order]
        if name in NUMBERS:
            digest.update(values.astype("<i8").tobytes())
            continue
        # In pieces: a million paths as one text would be a hundred megabytes more. No path holds a zero byte.
        for start in range(0, len(values), 65536):
            digest.update("\0".join(map(str, values[start : start + 65536].tolist())).encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
    return digest.hexdigest()[:16]


def write_skipped(skipped: list[tuple[str, str]], path: str | Path) -> None:
    """Write the list of images that were passed over, with the reason for each."""
    with atomic_path(path) as temporary:
        pd.DataFrame(skipped, columns=["path", "reason"]).to_csv(temporary, index=False, errors="backslashreplace")
