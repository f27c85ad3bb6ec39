"""Images in WebDataset tar shards and in Parquet tables as Hugging Face writes them."""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.images.shards import MEMBER, image_column, open_parquet, read_columns, read_member, tar_members
from fakefreq.data.index.listing import LAYOUTS, Hints, Listing
from fakefreq.data.index.names import read_name
from fakefreq.data.index.tree import WORDS, Tree, root_name
from fakefreq.data.index.values import SPLIT_NAMES, Entry, text_of
from fakefreq.data.index.walk import SUFFIXES, Found
from fakefreq.errors import UserError


def _shards(found: Found, suffix: str) -> tuple[list[tuple[str, str]], int]:
    """The shards of one kind, and the number of all other files."""
    chosen = [shard for shard in found.shards if shard[1].endswith(suffix)]
    return chosen, found.others + len(found.images) + len(found.shards) - len(chosen)


def _split_of(place: str, name: str) -> str:
    """The split that a shard's name says (`train-00001-of-00008.parquet`), or a folder above it."""
    words = [re.split(r"[-_.]", name)[0], *place.split("/")]
    return next((SPLIT_NAMES[word.lower()] for word in words if word.lower() in SPLIT_NAMES), "")


class _Sample(NamedTuple):
    """An image in a tar: its shard, that below the root, the shard's split, its member, and the folders above it."""

    shard: str
    relative: str
    split: str
    member: str
    place: str


def read_tar_shards(folder: Path, found: Found, hints: Hints) -> Listing:
    """List the images in tar shards; members of one stem are one sample.

    The label is the sample's `.cls` (0 or 1), or the `label` of its `.json` (with generator, source, group and split),
    or the folders in the shard's and the member's name, or --label. Where two of them disagree, it stops.
    """
    shards, others = _shards(found, ".tar")
    if not shards:
        raise UserError(f"{folder} holds no .tar")
    entries, problems, samples = [], list(found.problems), list[_Sample]()
    for place, name in shards:
        shard = f"{folder}/{place}/{name}" if place else f"{folder}/{name}"
        members, refused = tar_members(shard)
        problems += refused
        split = _split_of(place, name)
        for member in members:
            if posixpath.splitext(member)[1].lower() not in SUFFIXES:
                others += not member.lower().endswith((".cls", ".json"))
                continue
            within = "/".join(part for part in (place, posixpath.dirname(member)) if part)
            samples.append(_Sample(shard, f"{place}/{name}" if place else name, split, member, within))
    tree = Tree(sorted((sample.place, posixpath.basename(sample.member)) for sample in samples), root_name(folder))
    for sample in samples:
        path = f"{sample.shard}{MEMBER}{sample.member}"
        try:
            entries.append(_of_sample(path, sample, tree, hints))
        except ValueError as error:
            problems.append(ImageError(path, str(error)))
    return Listing("tar", sorted(entries), others, problems)


def _keys(member: str) -> Iterator[str]:
    """Yield the keys a member may have: WebDataset ends the key at the first dot, others at the last."""
    head, name = posixpath.split(member)
    pieces = name.split(".")
    for count in range(len(pieces) - 1, 0, -1):
        yield posixpath.join(head, ".".join(pieces[:count]))
    yield member


def _of_sample(path: str, sample: _Sample, tree: Tree, hints: Hints) -> Entry:
    """Return what is said of one image. ValueError: nothing, or nonsense; the message is the reason."""
    members, columns = tar_members(sample.shard)[0], hints.columns
    row: dict[str, Any] = {}
    said: dict[str, int] = {}
    beside = next((f"{key}.json" for key in _keys(sample.member) if f"{key}.json" in members), "")
    if beside:
        row = _json(read_member(sample.shard, beside))
        if columns.label in row:
            said[f"its .json ({text_of(row[columns.label])!r})"] = _label(row[columns.label], hints)
    beside = next((f"{key}.cls" for key in _keys(sample.member) if f"{key}.cls" in members), "")
    if beside:
        given = read_member(sample.shard, beside).decode("utf-8", "replace").strip()
        said = {f"its .cls ({given!r})": _label(given, hints), **said}
    parts = tuple(sample.place.split("/")) if sample.place else ()
    explained = tree.explain(parts) if "folders" not in hints.overrule else None
    if explained is not None:
        said["its folder"] = explained[1].label
    if hints.label:
        said = {"--label": WORDS.index(hints.label), **said}
    if not said:
        raise ValueError("neither .cls, .json, a folder called real or fake nor --label says what it is")
    label = next(iter(said.values()))
    _must_agree(path, said)
    split = (explained[1].split if explained else "") or sample.split
    about = (
        explained[1]
        if explained is not None
        else Entry("", label, "", pair=f"{tree.root}{sample.relative}{MEMBER}{posixpath.dirname(sample.member)}/")
    )
    entry = columns.entry(path, row, label, split)
    return _with_hints(
        entry._replace(
            generator=about.generator
            if label and entry.generator == "unknown" and about.generator
            else entry.generator,
            source=entry.source or ("" if label else about.source),
            subset=about.subset,
            group=entry.group or about.group,
            pair=about.pair,
        ),
        hints,
    )


def _label(given: Any, hints: Hints) -> int:
    label = hints.columns.parse_label(given)
    if label is None:
        raise ValueError(f"its label {given!r} means neither real nor fake; see --real-values and --fake-values")
    return label


def _must_agree(path: str, said: dict[str, int]) -> None:
    """Stop where two of what speaks of a label disagree."""
    first, label = next(iter(said.items()))
    for what, other in said.items():
        if other == label:
            continue
        value = re.search(r"'(.*)'", first)
        mend = f"; --{WORDS[other]}-values {value[1]} if that means {WORDS[other]}" if value else ""
        mend += "; --overrule folders if the folder's name is wrong" if what == "its folder" else "; mend one of them"
        raise UserError(f"{path}: {first} says {WORDS[label]}, {what} says {WORDS[other]}{mend}")


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


def read_parquet_tables(folder: Path, found: Found, hints: Hints) -> Listing:
    """List the rows of Parquet tables with image bytes; a ClassLabel's names in Hugging Face metadata are obeyed."""
    tables, others = _shards(found, ".parquet")
    if not tables:
        raise UserError(f"{folder} holds no .parquet")
    entries, problems = [], list(found.problems)
    columns = hints.columns
    tree = Tree(tables, root_name(folder))
    for place, name in tables:
        table = f"{folder}/{place}/{name}" if place else f"{folder}/{name}"
        image_column(table)
        schema = open_parquet(table).schema_arrow
        wanted = (columns.label, columns.generator, columns.source, columns.group, columns.split)
        there = [column for column in wanted if column in schema.names]
        explained = tree.explain(tuple(place.split("/"))) if place and "folders" not in hints.overrule else None
        for flag, column in columns.named.items():
            if column not in schema.names and flag != "--path-column":
                raise UserError(f"{table} has no column {column!r}; {flag} takes one of {', '.join(schema.names)}")
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
            label = columns.parse_label(value) if columns.label in there else None
            if label is None and names and isinstance(value, str) and value in names:
                label = read_name(value).label
            said = {} if label is None else {f"its {columns.label} ({text_of(value)!r})": label}
            said |= {"its folder": explained[1].label} if explained else {}
            said |= {"--label": WORDS.index(hints.label)} if hints.label else {}
            if said and (label is not None or columns.label not in there or (hints.label and not text_of(value))):
                _must_agree(path, said)
                label = next(iter(said.values()))
            if label is not None and explained is not None:
                row = {columns.generator: explained[1].generator, columns.source: explained[1].source, **row}
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
