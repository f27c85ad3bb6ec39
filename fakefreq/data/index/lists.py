"""A CSV or JSON list that says which file is what."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.index.folders import Hints, Listing
from fakefreq.data.index.values import Entry
from fakefreq.errors import UserError


def read_list(folder: str | Path, path: str | Path, hints: Hints | None = None) -> Listing:
    """Return the images that a list names.

    Args:
        folder: what the list's paths are relative to.
        path: a CSV file with a heading, a JSON list of objects, a JSON object of columns, or JSON lines (.jsonl).
        hints: its `columns` name the columns; `label` and `generator` hold for all rows where it has no such column.

    Raises:
        UserError: missing or damaged list, or a column that is not there.
    """
    hints = hints or Hints()
    columns = hints.columns
    rows = _rows(Path(path))
    if not rows:
        raise UserError(f"the list {path} is empty")
    wanted = (
        {columns.path: "--path-column"}
        if hints.label
        else {columns.path: "--path-column", columns.label: "--label-column"}
    )
    for name, flag in wanted.items():
        if name not in rows[0]:
            raise UserError(f"{path} has no column {name!r}; {flag} takes one of {', '.join(map(str, rows[0]))}")
    known: dict[str, tuple[int, Entry]] = {}
    problems, contradicted = [], set()
    for number, row in enumerate(rows, 1):
        name = str(row.get(columns.path) or "")
        place = os.path.join(folder, name)  # noqa: PTH118 (a Path a row is slow)
        label = int(hints.label == "fake") if hints.label else columns.parse_label(row.get(columns.label))
        if not name or label is None:
            what = f"its label {row.get(columns.label)!r} means neither real nor fake; see --real-values, --fake-values"
            problems.append(ImageError(f"{path}, row {number}: {name}", what if name else "no path"))
            continue
        try:
            entry = columns.entry(place, row, label)
        except ValueError as error:
            problems.append(ImageError(f"{path}, row {number}: {name}", str(error)))
            continue
        if label and hints.generator and entry.generator == "unknown":
            entry = entry._replace(generator=hints.generator)
        first = known.setdefault(os.path.normpath(place), (number, entry))
        if first[1].label != label:
            contradicted.add(os.path.normpath(place))
            words = ("real", "fake")
            problems.append(
                ImageError(
                    f"{path}: {name}", f"row {first[0]} calls it {words[first[1].label]}, row {number} {words[label]}"
                )
            )
    entries = [entry for place, (_, entry) in sorted(known.items()) if place not in contradicted]
    return Listing("list", entries, 0, problems)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            rows = json.loads(text)
    except FileNotFoundError as error:
        raise UserError(f"there is no list {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read the list {path}: {error}") from error
    return _as_rows(rows, path)


def _as_rows(content: Any, path: Path) -> list[dict[str, Any]]:
    """Bring both forms of JSON, a list of objects and an object of columns, into rows."""
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        if len({len(column) for column in content.values()}) > 1:
            raise UserError(f"the columns of {path} are of different lengths")
        content = [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(f"{path} is neither a list of objects nor an object of columns")
    return content
