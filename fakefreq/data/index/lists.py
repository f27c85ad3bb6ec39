"""A list, as a table or JSON, flat or nested, that says which file is what."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.index.folders import with_generator
from fakefreq.data.index.names import SPLIT_NAMES, Columns, Hints, Listing, read_name, text_of
from fakefreq.data.index.rows import names_of, read_rows, refuse_values
from fakefreq.data.index.videos import Video, group_videos
from fakefreq.data.index.walk import SUFFIXES
from fakefreq.errors import UserError


def read_list(folder: str | Path, path: str | Path, hints: Hints | None = None) -> Listing:
    """Return the images that a list names.

    Args:
        folder: what the list's paths are relative to.
        path: a table (.csv, .tsv, .txt, parted by commas, semicolons, tabs or blanks) with a heading, or without one
            where its columns are a path and a label alone; a JSON list of objects, a JSON object of columns, JSON lines
            (.jsonl), or nested JSON as of DeepfakeBench.
        hints: its `columns` name the columns; `label` and `generator` hold for all rows where it has no such column.

    Raises:
        UserError: missing or damaged list, a column that is not there, or labels that something else contradicts.
    """
    hints = hints or Hints()
    if hints.layout != "auto" or hints.real_classes:
        flag = "--real-classes" if hints.real_classes else "--layout"
        raise UserError(f"{flag} means nothing beside --list, which says what each file is; leave one of them")
    columns, path = hints.columns, Path(path)
    rows, has_heading = _rows(path, columns)
    if not rows:
        raise UserError(f"the list {path} is empty")
    wanted = {"--path-column": columns.path, **columns.named}
    if has_heading and not hints.label:
        wanted["--label-column"] = columns.label
    there = names_of(rows)
    for flag, name in wanted.items():
        if name not in there:
            raise UserError(f"{path} has no column {name!r}; {flag} takes one of {', '.join(map(str, there))}")
    refuse_values(str(path), {text_of(row.get(columns.label)) for row in rows}, columns)
    found = read_rows(folder, str(path), rows, hints, needs_label=has_heading)
    return with_generator(Listing("list", found.entries, 0, found.problems), hints)


def _rows(path: Path, columns: Columns) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows, and whether a heading names their columns."""
    try:
        text = _text(path)
        if path.suffix.lower() in (".json", ".jsonl"):
            if path.suffix.lower() == ".jsonl":
                content: Any = [json.loads(line) for line in text.split("\n") if line.strip()]
            else:
                content = json.loads(text)
            return _as_rows(content, path, columns), True
        return _table(text, path, columns)
    except FileNotFoundError as error:
        raise UserError(f"there is no list {path}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"cannot read the list {path}: {error}; a table (.csv, .tsv, .txt) or JSON (.json, .jsonl) is due"
        ) from error


def _text(path: Path) -> str:
    """Return a file's text: UTF-8, or UTF-16 as Windows' programs write it, without its mark of byte order."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _table(text: str, path: Path, columns: Columns) -> tuple[list[dict[str, Any]], bool]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return [], True
    separator = next((mark for mark in ("\t", ";", ",") if mark in lines[0] and _fits(mark, lines, columns)), "")
    first = _cells(lines[0], separator)
    if columns.path in first or not any(_is_image(cell) for cell in first):
        if not separator and len(first) == 1 and columns.path not in first:
            separator = ","
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, sep=separator or r"\s+", engine="c")
        return frame.to_dict("records"), True  # type: ignore[return-value]
    rows = []
    for line in lines:
        cells = [cell for cell in _cells(line, separator) if cell] or [""]
        if len(cells) > 2:
            # Which of them is the label would be a guess: a number of a person is 0 or 1 too.
            raise UserError(
                f"{path} has more than a path and a label in the line {line.strip()!r}, and no heading; write the "
                f"names of the columns as its first line, such as {columns.path}, {columns.label}, "
                f"{columns.generator}, {columns.split}; other names: --path-column, --label-column, ..."
            )
        place = next((i for i, cell in enumerate(cells) if _is_image(cell)), 0)
        label = next((cell for i, cell in enumerate(cells) if i != place and _is_label(cell, columns)), "")
        if not label and len(cells) > 1:
            label = cells[place - 1 if place else 1]
        rows.append({columns.path: cells[place], columns.label: label})
    return rows, False


def _fits(mark: str, lines: list[str], columns: Columns) -> bool:
    """Whether a mark parts columns: a semicolon or comma may also be in a file's name."""
    cells = next(csv.reader([lines[0]], delimiter=mark))
    return len(cells) > 1 and (columns.path in cells or mark != ";" or "," not in lines[0])


def _cells(line: str, separator: str) -> list[str]:
    """Return a line's cells; without a separator a path, which may hold blanks, and a label before or after it."""
    line = line.strip()
    if separator:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    if _is_image(line) and not re.match(r"[01]\s", line):
        return [line]
    parts = line.rsplit(None, 1)
    if len(parts) == 2 and _is_image(parts[0]):
        return parts
    parts = line.split(None, 1)
    return parts if len(parts) == 2 and _is_image(parts[1]) else line.split()


def _is_image(cell: str) -> bool:
    return cell[cell.rfind(".") :].lower() in SUFFIXES if "." in cell else False


def _is_label(cell: str, columns: Columns) -> bool:
    return columns.parse_label(cell) is not None or read_name(cell).label is not None


def _as_rows(content: Any, path: Path, columns: Columns) -> list[dict[str, Any]]:
    """Bring all forms of JSON, a list of objects, an object of columns, and nested objects, into rows."""
    if isinstance(content, dict) and len(content) == 1:
        only = next(iter(content.values()))
        if isinstance(only, list) and only and all(isinstance(row, dict) for row in only):
            content = only  # such as {"images": [...]}
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        if len({len(column) for column in content.values()}) > 1:
            raise UserError(f"the columns of {path} are of different lengths")
        content = [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)]
    if isinstance(content, dict):
        content = nested_rows(content, columns) or content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(
            f"{path} is none of the forms that are known: a list of objects, an object of columns, or nested objects "
            "that end in a label and a list of frames (DeepfakeBench) or in a label (DFDC)"
        )
    return content


# What DeepfakeBench calls the parts of FaceForensics++.
_FORENSICS = {
    "df": "Deepfakes", "f2f": "Face2Face", "fs": "FaceSwap", "nt": "NeuralTextures", "sh": "FaceShifter",
    "fh": "FaceShifter", "dfd": "DeepFakeDetection",
}  # fmt: skip


def nested_rows(content: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    """Return one row a frame, or an empty list where the JSON is not of these forms.

    Args:
        content: objects in objects; the innermost hold a `label` and a list of `frames`, or are an image each, by path;
            instead of an object it may have its label alone.
        columns: how the columns of the rows are to be called.

    >>> video = {"label": "FF-DF", "frames": ["a/000_003/1.png"]}
    >>> nested_rows({"FaceForensics++": {"FF-DF": {"train": {"c23": {"000_003": video}}}}}, Columns())
    [{'path': 'a/000_003/1.png', 'label': '1', 'split': 'train', 'generator': 'Deepfakes', 'group': 'train/000_003'}]
    """
    rows: list[dict[str, Any]] = []
    videos: list[Video | None] = []
    for above, name, inner in _innermost(content, ()):
        split = next((SPLIT_NAMES[key.lower()] for key in above if key.lower() in SPLIT_NAMES), "")
        given = str(inner.get(columns.label, inner.get("label", "")))
        label = columns.parse_label(given)
        label = _label(given) if label is None else label
        frames = inner.get("frames")
        about = {columns.label: given if label is None else str(label), columns.split: str(inner.get("split", split))}
        if isinstance(frames, list):
            # The outermost object is the data set: numbers of videos in two of them are two videos.
            where = f"{split}/" if split else ""
            video = Video(where, where, name, label or 0)
            maker = _maker(given, above) if label else ""
            for frame in frames:
                rows.append({columns.path: str(frame), **about, columns.generator: maker})
                videos.append(video)
        elif _is_image_record(name):
            rows.append(
                {columns.path: name, **{k: v for k, v in inner.items() if isinstance(v, str | int | float)}, **about}
            )
            videos.append(None)
    groups = group_videos(dict.fromkeys(video for video in videos if video))
    return [
        row if video is None else {**row, columns.group: groups[video]} for row, video in zip(rows, videos, strict=True)
    ]


def _innermost(
    content: dict[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    for name, inner in content.items():
        if isinstance(inner, dict):
            if "label" in inner and not isinstance(inner["label"], dict):
                yield above, str(name), inner
            else:
                yield from _innermost(inner, (*above, str(name)))
        elif isinstance(inner, str | int) and _is_image_record(str(name)):
            yield above, str(name), {"label": inner}


def _is_image_record(name: str) -> bool:
    return name[name.rfind(".") :].lower() in SUFFIXES


def _label(text: str) -> int | None:
    """Return the label of a name such as FF-real, FF-DF, CelebDFv2_fake or DFDCP_FakeA."""
    label = read_name(text).label
    if label is None:
        words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
        if len(words) > 1 and words[0] == "ff" and words[-1] in _FORENSICS:
            return 1
        if words and re.fullmatch(r"fake[a-z]", words[-1]):
            return 1
    return label


def _maker(text: str, above: tuple[str, ...]) -> str:
    """Return what made the fakes: a part of FaceForensics++, or the name of the class or the data set."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    if len(words) > 1 and words[0].lower() == "ff":
        return _FORENSICS.get(words[-1].lower(), text)
    return text if read_name(text).name or len(words) > 1 else (above[0] if above else "unknown")
