"""Images in WebDataset tar shards and in Parquet tables as Hugging Face writes them."""

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.shards import MEMBER, image_column, open_parquet, read_columns, read_member, tar_members
from fakefreq.data.index.names import LAYOUTS, SPLIT_NAMES, Entry, Hints, Listing, read_name, text_of
from fakefreq.data.index.photo_sets import class_names, read_card
from fakefreq.data.index.rows import other_columns, refuse_values
from fakefreq.data.index.tree import WORDS, Tree, root_name
from fakefreq.data.index.walk import SUFFIXES, Found
from fakefreq.errors import UserError


def _shards(found: Found, suffix: str) -> tuple[list[tuple[str, str]], int]:
    """The shards of one kind, and the number of all other files."""
    chosen = [shard for shard in found.shards if shard[1].lower().endswith(suffix)]
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
    keys, values = set[str](), set[str]()
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
            entries.append(_of_sample(path, sample, tree, hints, keys, values))
        except ValueError as error:
            problems.append(ImageError(path, str(error)))
    for flag, column in hints.columns.named.items():
        if column not in keys:
            there = f"one of {', '.join(sorted(keys))}" if keys else "a key of them, and here is none; leave it"
            raise UserError(f"no .json in the shards of {folder} has {column!r}; {flag} takes {there}")
    refuse_values(str(folder), values, hints.columns)
    return Listing("tar", sorted(entries), others, problems)


def _keys(member: str) -> Iterator[str]:
    """Yield the keys a member may have: WebDataset ends the key at the first dot, others at the last."""
    head, name = posixpath.split(member)
    pieces = name.split(".")
    for count in range(len(pieces) - 1, 0, -1):
        yield posixpath.join(head, ".".join(pieces[:count]))
    yield member


def _of_sample(path: str, sample: _Sample, tree: Tree, hints: Hints, keys: set[str], values: set[str]) -> Entry:
    """Return what is said of one image. ValueError: nothing, or nonsense; the message is the reason.

    The keys of its .json, and the values of its labels, are put into `keys` and `values`.
    """
    members, columns = tar_members(sample.shard)[0], hints.columns
    row: dict[str, Any] = {}
    said: dict[str, int] = {}
    beside = next((f"{key}.json" for key in _keys(sample.member) if f"{key}.json" in members), "")
    if beside:
        row = _json(read_member(sample.shard, beside))
        keys.update(row)
        if columns.label in row:
            values.add(text_of(row[columns.label]))
            said[f"its .json ({text_of(row[columns.label])!r})"] = _label(row[columns.label], hints)
    beside = next((f"{key}.cls" for key in _keys(sample.member) if f"{key}.cls" in members), "")
    if beside:
        given = read_member(sample.shard, beside).decode("utf-8", "replace").strip()
        values.add(given)
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
        if what == "its folder" or what.startswith("the path"):
            mend += "; --overrule folders if the folder's name is wrong"
        elif what.startswith("its column"):
            mend += "; --overrule columns if the label is right"
        else:
            mend += "; mend one of them"
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
    """List the rows of Parquet tables with image bytes.

    The names of a ClassLabel are obeyed, whether the table or the set's card says them, and are read as names of
    folders are: `FAKE` is a label, `stylegan_fake` a label and a generator. Where a label and the table's folder,
    another column, the path beside the image's bytes or --label disagree, it stops.
    """
    tables, others = _shards(found, ".parquet")
    if not tables:
        raise UserError(f"{folder} holds no .parquet")
    entries, problems, values = [], list(found.problems), set[str]()
    columns, card = hints.columns, read_card(folder)
    tree = Tree(tables, root_name(folder))
    for place, name in tables:
        table = _Table.open(f"{folder}/{place}/{name}" if place else f"{folder}/{name}", hints, card, place)
        has_label = columns.label in table.names
        explained = tree.explain(tuple(place.split("/"))) if place and "folders" not in hints.overrule else None
        if not hints.label and not has_label and explained is None:
            raise UserError(
                f"{table.path} has no column {columns.label!r}; --label-column takes one of {', '.join(table.names)}, "
                f"or say it for all with --label. Known: {LAYOUTS['parquet']}"
            )
        split = _split_of(place, name)
        for number, row in enumerate(table.rows):
            path = f"{table.path}{MEMBER}{number}"
            value = row.get(columns.label)
            values.add(text_of(value))
            label, maker = columns.parse_label(value) if has_label else None, ""
            if value in table.classes:
                meant = read_name(str(value))
                label, maker = meant.label if label is None else label, meant.name
            said = {} if label is None else {f"its {columns.label} ({text_of(value)!r})": label}
            said |= {"its folder": explained[1].label} if explained else {}
            said |= {"--label": WORDS.index(hints.label)} if hints.label else {}
            if said and (label is not None or not has_label or (hints.label and not text_of(value))):
                _must_agree(path, said | table.readings(row, hints))
                label = next(iter(said.values()))
            if label is None:
                told = f" (of {', '.join(table.classes)})" if table.classes else ""
                what = f"its label {value!r}{told} means neither real nor fake; see --real-values"
                problems.append(ImageError(path, what))
                continue
            if maker:
                row = {columns.generator if label else columns.source: maker, **row}
            if explained is not None:
                row = {columns.generator: explained[1].generator, columns.source: explained[1].source, **row}
            try:
                entry = _with_hints(columns.entry(path, row, label, split), hints)
            except ValueError as error:
                problems.append(ImageError(path, str(error)))
                continue
            # Row numbers say nothing of what the picture shows: they must not join rows of two tables.
            own = f"{tree.root}{place}/{Path(name).stem}-{number}"
            entries.append(entry if entry.group else entry._replace(group=own))
    refuse_values(str(folder), values, columns)
    return Listing("parquet", entries, others, problems)


class _Table(NamedTuple):
    """What is read of a Parquet table beside its pictures.

    Args:
        path: of the file.
        names: of its columns.
        rows: with names of classes for their numbers.
        classes: of the label column; empty where nothing names them.
        images: the column of pictures.
        speaking: further columns that say real or fake.
    """

    path: str
    names: list[str]
    rows: list[dict[str, Any]]
    classes: list[str]
    images: str
    speaking: Mapping[str, Callable[[Any], int | None]]

    @classmethod
    def open(cls, path: str, hints: Hints, card: dict[str, Any], place: str) -> Self:
        """Read it.

        Raises:
            UserError: no column of pictures, or a column that a flag names is not there.
        """
        images, columns = image_column(path), hints.columns
        schema = open_parquet(path).schema_arrow
        names = list(map(str, schema.names))
        for flag, column in columns.named.items():
            if column not in names and flag != "--path-column":
                raise UserError(f"{path} has no column {column!r}; {flag} takes one of {', '.join(names)}")
        wanted = (columns.label, columns.generator, columns.source, columns.group, columns.split)
        there = [column for column in dict.fromkeys(wanted) if column in names]
        spare = [
            name for name in names if name not in (*there, images) and str(schema.field(name).type).startswith(_TELLING)
        ]
        classes = {name: _class_names(schema, name) or class_names(card, name, place) for name in (*there, *spare)}
        speaking: list[str] = []
        if spare and "columns" not in hints.overrule:
            # Captions may be long: of what cannot speak of the label, no more than a row group is read.
            some = _with_names(read_columns(path, spare, row_groups=1), classes)
            speaking = list(other_columns(some, columns)) if some else []
        kind = schema.field(images).type
        beside = [f"{images}.path"] if str(kind).startswith("struct") and kind.get_field_index("path") >= 0 else []
        rows = _with_names(read_columns(path, [*there, *speaking, *beside]), classes)
        others = [{name: row[name] for name in speaking} for row in rows] if speaking else []
        return cls(path, names, rows, classes.get(columns.label, []), images, other_columns(others or [{}], columns))

    def readings(self, row: dict[str, Any], hints: Hints) -> dict[str, int]:
        """Return what else than label, folder and flag speaks of a row's label."""
        said = {f"its column {name} ({text_of(row[name])!r})": read(row[name]) for name, read in self.speaking.items()}
        shown = text_of((row.get(self.images) or {}).get("path"))
        if shown and "folders" not in hints.overrule:
            parts = map(read_name, shown.replace("\\", "/").split("/")[:-1])
            labels = {part.label for part in parts if part.label is not None and not part.is_number}
            said |= {f"the path beside its bytes ({shown!r})": labels.pop()} if len(labels) == 1 else {}
        return {what: label for what, label in said.items() if label is not None}


# Types of columns that may say real or fake.
_TELLING = ("string", "large_string", "dictionary<values=string", "bool", "int", "uint")


def _with_names(rows: list[dict[str, Any]], classes: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return rows with a class's name for its number."""
    named = {column: names for column, names in classes.items() if names}
    for row in rows if named else ():
        for column, names in named.items():
            value = row.get(column)
            if isinstance(value, int) and 0 <= value < len(names):
                row[column] = names[value]
    return rows


def _class_names(schema: Any, column: str) -> list[str]:
    """The names behind the numbers of a ClassLabel column; empty where the metadata says none."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = about["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
