"""Tables called metadata.csv or metadata.jsonl beside images: ArtiFact's, and those of Hugging Face's imagefolder."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.index.listing import Hints, Listing
from fakefreq.data.index.rows import read_rows
from fakefreq.data.index.tree import Tree, root_name
from fakefreq.data.index.values import text_of
from fakefreq.data.index.walk import Found
from fakefreq.errors import UserError

_PATHS = ("image_path", "file_name", "path", "filename")
_TARGET = "target"


def read_metadata(folder: Path, found: Found, hints: Hints) -> Listing | None:
    """List the images that metadata tables name, and by their folders those that none does.

    In ArtiFact's tables `target` is 0 for photographs and 1 to 6 for kinds of fakes; the folder of the table is the
    generator, or the source of photographs.

    Returns:
        None where no table has a column of paths and one of labels.
    """
    columns = hints.columns
    rows: list[dict[str, Any]] = []
    for place, name in found.tables:
        table = _table(folder / place / name)
        paths = [column for column in (columns.path, *_PATHS) if table and column in table[0]]
        labels = [column for column in (columns.label, "label", _TARGET) if table and column in table[0]]
        if not paths or not labels:
            continue
        path = _right_column(folder, place, paths, table[0])
        is_artifact = labels[0] == _TARGET
        for row in table:
            given, image = text_of(row.get(labels[0])), text_of(row.get(path[0]))
            filled = {**row, columns.path: f"{path[1]}{image}" if image else "", columns.label: given}
            if is_artifact:
                filled[columns.label] = _of_target(given)
                maker = columns.source if filled[columns.label] == "0" else columns.generator
                filled = {columns.generator: "", columns.source: "", maker: place.rpartition("/")[2], **filled}
                del filled[_TARGET]
            rows.append(filled)
    if not rows:
        return None
    listed = read_rows(folder, f"a metadata table of {folder}", rows, hints)
    entries = listed.entries
    known = {entry.path for entry in entries}
    rest = [image for image in found.images if f"{folder}/{image[0]}/{image[1]}" not in known and image[0]]
    tree = Tree(found.images, root_name(folder))
    problems = [*found.problems, *listed.problems]
    for place, name in rest:
        explained = tree.explain(tuple(place.split("/")))
        place_of = f"{folder}/{place}/{name}"
        if explained is None:
            problems.append(ImageError(place_of, "no metadata table lists it, and no folder says what it is"))
        else:
            entries.append(explained[1]._replace(path=place_of))
    return Listing("metadata", sorted(entries), found.others - len(found.tables) + len(found.shards), problems)


def _of_target(text: str) -> str:
    return ("0" if int(text) == 0 else "1") if text.isdecimal() else text


def _right_column(folder: Path, place: str, names: list[str], row: dict[str, Any]) -> tuple[str, str]:
    """Return the column of paths, and what is before them: relative to the table's folder or to the root."""
    within = f"{place}/" if place else ""
    for name in names:
        for before in dict.fromkeys((within, "")):
            if (folder / f"{before}{text_of(row.get(name))}").is_file():
                return name, before
    return names[0], within


def _table(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        return rows if all(isinstance(row, dict) for row in rows) else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}; mend it, or take it away") from error
