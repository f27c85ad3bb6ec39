"""Images in WebDataset tar shards and in Parquet tables as Hugging Face writes them."""

import json
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.images.shards import (
    MEMBER,
    TarMember,
    image_column,
    open_parquet,
    read_columns,
    read_member,
    tar_members,
)
from fakefreq.data.index.folders import LAYOUTS, Hints, Listing
from fakefreq.data.index.values import SPLIT_NAMES, Entry
from fakefreq.data.index.walk import SUFFIXES, Found
from fakefreq.errors import UserError

Explain = Callable[[tuple[str, ...]], tuple[str, Entry] | None]


def _shards(found: Found, suffix: str) -> tuple[list[tuple[str, str]], int]:
    """The shards of one kind, and the number of all other files."""
    chosen = [shard for shard in found.shards if shard[1].endswith(suffix)]
    return chosen, found.others + len(found.images) + len(found.shards) - len(chosen)


def _split_of(place: str, name: str) -> str:
    """The split that a shard's name says (`train-00001-of-00008.parquet`), or a folder above it."""
    words = [re.split(r"[-_.]", name)[0], *place.split("/")]
    return next((SPLIT_NAMES[word.lower()] for word in words if word.lower() in SPLIT_NAMES), "")


def read_tar_shards(folder: Path, found: Found, hints: Hints, explain: Explain) -> Listing:
    """List the images in tar shards; members of one stem are one sample.

    The label is the sample's `.cls` (0 or 1), or the `label` of its `.json` (with generator, source, group and split),
    or the folders in the shard's and the member's name, or --label.
    """
    shards, others = _shards(found, ".tar")
    if not shards:
        raise UserError(f"{folder} holds no .tar")
    entries, problems = [], list(found.problems)
    for place, name in shards:
        shard = f"{folder}/{place}/{name}" if place else f"{folder}/{name}"
        members, refused = tar_members(shard)
        problems += refused
        split = _split_of(place, name)
        for member in members:
            if posixpath.splitext(member)[1].lower() not in SUFFIXES:
                others += not member.endswith((".cls", ".json"))
                continue
            path = f"{shard}{MEMBER}{member}"
            try:
                parts = (*(place.split("/") if place else ()), *member.split("/")[:-1])
                entries.append(_of_sample(path, shard, member, members, parts, split, hints, explain))
            except ValueError as error:
                problems.append(ImageError(path, str(error)))
    return Listing("tar", sorted(entries), others, problems)


def _of_sample(
    path: str,
    shard: str,
    member: str,
    members: dict[str, TarMember],
    parts: tuple[str, ...],
    split: str,
    hints: Hints,
    explain: Explain,
) -> Entry:
    """Return what is said of one image. ValueError: nothing, or nonsense; the message is the reason."""
    head, name = posixpath.split(member)
    key = posixpath.join(head, name.split(".")[0])
    row: dict[str, Any] = {}
    if f"{key}.json" in members:
        row = _json(read_member(shard, f"{key}.json"))
    if f"{key}.cls" in members:
        row[hints.columns.label] = read_member(shard, f"{key}.cls").decode("utf-8", "replace").strip()
    if hints.label:
        row = {**row, hints.columns.label: hints.label}
    given = row.get(hints.columns.label)
    if given is None:
        explained = explain(parts)
        if explained is None:
            raise ValueError("neither .cls, .json, a folder called real or fake nor --label says what it is")
        return explained[1]._replace(path=path, split=explained[1].split or split)
    label = 0 if hints.label == "real" else 1 if hints.label else hints.columns.parse_label(given)
    if label is None:
        raise ValueError(f"its label {given!r} means neither real nor fake; see --real-values and --fake-values")
    return _with_hints(hints.columns.entry(path, row, label, split), hints)


def _with_hints(entry: Entry, hints: Hints) -> Entry:
    if entry.label and hints.generator and entry.generator == "unknown":
        return entry._replace(generator=hints.generator)
    if not entry.label and hints.source and not entry.source:
        return entry._replace(source=hints.source)
    return entry


def _json(content: bytes) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("its .json is damaged") from error
    if not isinstance(row, dict):
        raise ValueError("its .json holds no object")
    return row


def read_parquet_tables(folder: Path, found: Found, hints: Hints, explain: Explain) -> Listing:
    """List the rows of Parquet tables with image bytes; a ClassLabel's names in Hugging Face metadata are obeyed."""
    tables, others = _shards(found, ".parquet")
    if not tables:
        raise UserError(f"{folder} holds no .parquet")
    entries, problems = [], list(found.problems)
    columns = hints.columns
    for place, name in tables:
        table = f"{folder}/{place}/{name}" if place else f"{folder}/{name}"
        image_column(table)
        schema = open_parquet(table).schema_arrow
        wanted = (columns.label, columns.generator, columns.source, columns.group, columns.split)
        there = [column for column in wanted if column in schema.names]
        explained = explain(tuple(place.split("/"))) if place else None
        if not hints.label and columns.label not in there and explained is None:
            raise UserError(
                f"{table} has no column {columns.label!r}; --label-column takes one of {', '.join(schema.names)}, "
                f"or say it for all with --label. Known: {LAYOUTS['parquet']}"
            )
        names = _class_names(schema, columns.label)
        rows = read_columns(table, there)
        split = _split_of(place, name)
        for number, row in enumerate(rows):
            path = f"{table}{MEMBER}{number}"
            value = row.get(columns.label)
            if names and isinstance(value, int) and 0 <= value < len(names):
                value = names[value]
            label = int(hints.label == "fake") if hints.label else columns.parse_label(value)
            if label is None and columns.label not in there and explained is not None:
                label = explained[1].label
                row = {columns.generator: explained[1].generator, **row}
            if label is None:
                problems.append(ImageError(path, f"its label {value!r} means neither real nor fake; see --real-values"))
                continue
            try:
                entry = _with_hints(columns.entry(path, row, label, split), hints)
            except ValueError as error:
                problems.append(ImageError(path, str(error)))
                continue
            # Row numbers say nothing of what the picture shows: they must not join rows of two tables.
            entries.append(entry if entry.group else entry._replace(group=f"{Path(table).stem}-{number}"))
    return Listing("parquet", entries, others, problems)


def _class_names(schema: Any, column: str) -> list[str]:
    """The names behind the numbers of a ClassLabel column; empty where the metadata says none."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = about["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
