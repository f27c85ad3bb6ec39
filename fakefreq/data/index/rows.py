"""From the rows of a table to images: what their labels, their folders and their other columns say must agree."""

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.index.names import (
    FAKE_NAMES,
    REAL_NAMES,
    Columns,
    Entry,
    Hints,
    looks_like_a_generator,
    read_name,
    text_of,
)
from fakefreq.data.index.tree import WORDS, Tree, root_name
from fakefreq.errors import UserError

# Columns of 0 and 1 whose names say what 1 means.
_FLAGS = {"real": 0, "is_real": 0, "isreal": 0, "fake": 1, "is_fake": 1, "isfake": 1, "is_ai": 1, "deepfake": 1}
_TRUTH = {"1": 1, "true": 1, "yes": 1, "0": 0, "false": 0, "no": 0}
Parse = Callable[[Any], int | None]


class Reading(NamedTuple):
    """One thing that speaks of a row's label, beside its label column."""

    what: str
    label: int
    overruled_by: str


class Rows(NamedTuple):
    """The images of a table.

    Args:
        entries: sorted by path.
        problems: rows that cannot be used, and why.
    """

    entries: list[Entry]
    problems: list[ImageError]


def read_rows(
    folder: str | Path,
    table: str,
    rows: Sequence[dict[str, Any]],
    hints: Hints,
    parse: Parse | None = None,
    needs_label: bool = True,
) -> Rows:
    """Return the images that rows name.

    Args:
        folder: what the paths are relative to.
        table: what the rows are from, for messages.
        rows: one an image, with the columns that `hints.columns` names.
        hints: what the user says.
        parse: what a label's value means; by default what `hints.columns` says.
        needs_label: False where the folders may say the label of a row that has none.

    Raises:
        UserError: the label column, the folders' names, another column or a flag contradict each other.
    """
    columns, parse = hints.columns, parse or hints.columns.parse_label
    has = names_of(rows)
    names = [_slashes(text_of(row.get(columns.path)), folder) for row in rows]
    places = _places(names, folder)
    tree = Tree(
        sorted((place, name.rpartition("/")[2]) for place, name in zip(places, names, strict=True)), root_name(folder)
    )
    others = other_columns(rows, columns)
    flag = WORDS.index(hints.label) if hints.label else None
    found = _Found(table)
    conflicts = _Conflicts(table, columns, hints)
    for number, (row, name, place) in enumerate(zip(rows, names, places, strict=True), 1):
        given = row.get(columns.label)
        parts = tuple(place.split("/")) if place else ()
        at_row = f"{table}, row {number}: {name}"
        if not name:
            found.problems.append(ImageError(at_row, "no path"))
            continue
        try:
            said = tree.label(parts)
        except UserError:
            if "folders" not in hints.overrule:
                raise
            said = None
        label = parse(given) if columns.label in has else None
        if label is None and flag is not None and not text_of(given):
            label = flag
        if label is None and not needs_label and not text_of(given):
            label = said if said is not None else read_name(Path(name).stem).label
        if label is None:
            what = f"its label {given!r} means neither real nor fake; see --real-values, --fake-values"
            found.problems.append(ImageError(at_row, what))
            continue
        conflicts.see(
            name, given, label, _readings(row, parts, name, said, others, columns=columns, flag=flag, label=label)
        )
        explained = None if said is None or "folders" in hints.overrule else tree.explain(parts)
        try:
            entry = columns.entry(os.path.join(folder, name), row, label)  # noqa: PTH118 (a Path a row is slow)
        except ValueError as error:
            found.problems.append(ImageError(at_row, str(error)))
            continue
        if explained and label and columns.generator not in row:
            entry = entry._replace(generator=explained[1].generator)
        entry = _filled(entry, explained[1] if explained else None, columns, has, tree, parts)
        found.add(number, name, entry)
    conflicts.stop()
    return found.rows()


def names_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that any row has, in the order of their coming: rows of JSON leave out what they do not say.

    >>> names_of([{"path": "a.png"}, {"path": "b.png", "generator": "biggan"}])
    ['path', 'generator']
    """
    return list(dict.fromkeys(itertools.chain.from_iterable(rows)))


def refuse_values(table: str, values: set[str], columns: Columns) -> None:
    """Refuse a value of --real-values or --fake-values that no row has: it would be dropped without a word.

    Args:
        table: what the rows are from, for the message.
        values: of the label column.
        columns: with what the flags say.

    Raises:
        UserError: names the value and those that are there.
    """
    there = {value.lower() for value in values}
    for flag, given in (("--real-values", columns.real_values), ("--fake-values", columns.fake_values)):
        absent = [value for value in given if value != "*" and value.lower() not in there]
        if absent:
            shown = ", ".join(sorted(there)[:12])
            raise UserError(f"{flag} names {absent[0]!r}, which no {columns.label} of {table} is; there are {shown}")


class _Found:
    """Entries by place; a place with two labels, generators or splits is a problem."""

    def __init__(self, table: str) -> None:
        self.table, self.known, self.contradicted = table, dict[str, tuple[int, Entry]](), set[str]()
        self.problems = list[ImageError]()

    def add(self, number: int, name: str, entry: Entry) -> None:
        place = os.path.normpath(entry.path)
        first = self.known.setdefault(place, (number, entry))
        text = ""
        if first[1].label != entry.label:
            text = f"row {first[0]} calls it {WORDS[first[1].label]}, row {number} {WORDS[entry.label]}"
        elif first[1].generator != entry.generator:
            text = f"row {first[0]} has the generator {first[1].generator!r}, row {number} {entry.generator!r}"
        elif first[1].split != entry.split:
            text = f"row {first[0]} has the split {first[1].split!r}, row {number} {entry.split!r}"
        if text:
            self.contradicted.add(place)
            self.problems.append(ImageError(f"{self.table}: {name}", text))

    def rows(self) -> Rows:
        known = sorted(self.known.items())
        return Rows([entry for place, (_, entry) in known if place not in self.contradicted], self.problems)


class _Conflicts:
    """Counts where the label and something else disagree, so that one message can say what would mend all."""

    def __init__(self, table: str, columns: Columns, hints: Hints) -> None:
        self.table, self.columns, self.hints = table, columns, hints
        self.first: tuple[str, Any, int, Reading] | None = None
        self.seen = self.wrong = 0

    def see(self, name: str, given: Any, label: int, readings: list[Reading]) -> None:
        readings = [one for one in readings if one.overruled_by not in self.hints.overrule]
        self.seen += bool(readings)
        against = [one for one in readings if one.label != label]
        if against:
            self.wrong += 1
            if self.first is None or (label == 1 and self.first[2] == 0):
                self.first = name, given, label, against[0]

    def stop(self) -> None:
        if self.first is None:
            return
        name, given, label, reading = self.first
        value = text_of(given)
        said = f"({self.columns.label} {value!r}) " if value else ""
        advice = []
        if value and self.wrong == self.seen and reading.overruled_by:
            advice.append(f"--{WORDS[1 - label]}-values {value} if {value!r} means {WORDS[1 - label]}")
        if reading.overruled_by:
            advice.append(f"--overrule {reading.overruled_by} if the label is right all the same")
        else:
            advice.append("leave --label, or the column")
        raise UserError(
            f"{self.table} calls {name} {WORDS[label]} {said}but {reading.what} says {WORDS[reading.label]}; "
            f"{self.wrong} of {self.seen} images disagree. " + "; ".join(advice)
        )


def _readings(
    row: dict[str, Any],
    parts: tuple[str, ...],
    name: str,
    said: int | None,
    others: dict[str, Parse],
    *,
    columns: Columns,
    flag: int | None,
    label: int,
) -> list[Reading]:
    readings = [] if flag is None else [Reading("--label", flag, "")]
    if said is not None:
        word = next((part for part in parts if read_name(part).label == said), "/".join(parts))
        readings.append(Reading(f"its folder {word}/", said, "folders"))
    else:
        of_file = read_name(name.rpartition("/")[2].rpartition(".")[0]).label
        if of_file is not None and not name.rpartition("/")[2].rpartition(".")[0].isdigit():
            readings.append(Reading("its own name", of_file, "folders"))
    for column, read in others.items():
        other = read(row.get(column))
        if other is not None:
            readings.append(Reading(f"the column {column} ({text_of(row.get(column))!r})", other, "columns"))
    maker = text_of(row.get(columns.generator))
    if maker and label == 0 and looks_like_a_generator(maker):
        readings.append(Reading(f"the column {columns.generator} ({maker!r})", 1, "columns"))
    elif maker and label == 1 and read_name(maker).label == 0 and not maker.isdigit():
        readings.append(Reading(f"the column {columns.generator} ({maker!r})", 0, "columns"))
    return readings


def other_columns(rows: Sequence[dict[str, Any]], columns: Columns) -> dict[str, Parse]:
    """Return the columns, beside the label's, that say real or fake: all their values are such words, or their name."""
    known = {columns.path, columns.label, columns.generator, columns.source, columns.group, columns.split}
    others: dict[str, Parse] = {}
    for name in names_of(rows):
        if name in known or name is None:
            continue
        values = {text_of(row.get(name)).lower() for row in rows} - {""}
        if not values:
            continue
        if str(name).lower() in _FLAGS and values <= set(_TRUTH):
            means = _FLAGS[str(name).lower()]
            others[name] = functools.partial(_flag, means)
        elif all(
            value in REAL_NAMES | FAKE_NAMES or read_name(value).label is not None for value in values
        ) and not any(value.isdigit() for value in values):
            others[name] = _word
    return others


def _word(value: Any) -> int | None:
    return read_name(text_of(value)).label


def _flag(means: int, value: Any) -> int | None:
    truth = _TRUTH.get(text_of(value).lower())
    return None if truth is None else means if truth else 1 - means


def _filled(
    entry: Entry, explained: Entry | None, columns: Columns, has: list[str], tree: Tree, parts: tuple[str, ...]
) -> Entry:
    """Fill what the table has no columns for from the folders."""
    pair = explained.pair if explained else tree.pair(parts, None)
    if entry.split:
        pair = f"{entry.split}:{pair}"  # pairs never lie across official splits
    if explained is None:
        return entry._replace(pair=pair, split=entry.split or tree.split(parts))
    return entry._replace(
        source=entry.source or ("" if columns.source in has or entry.label else explained.source),
        subset=explained.subset if columns.generator not in has else "",
        group=entry.group or ("" if columns.group in has else explained.group),
        split=entry.split or ("" if columns.split in has else explained.split),
        pair=pair,
    )


def _slashes(name: str, folder: str | Path) -> str:
    """Return a path with `/`, where a list was written on Windows."""
    if "\\" in name and not Path(folder, name).exists():
        name = name.replace("\\", "/")
    return name.removeprefix("./")


def _places(names: Sequence[str], folder: str | Path) -> list[str]:
    """Return each file's folder as far as it says something: below `folder`, else below what all have in common."""
    base = os.path.abspath(folder)  # noqa: PTH100 (resolve() would follow links)
    cache: dict[str, str] = {}
    outside = set[str]()
    for name in names:
        place = name.rpartition("/")[0]
        if place not in cache:
            cache[place] = os.path.relpath(os.path.join(base, place), base).replace(os.sep, "/")  # noqa: PTH118
            if cache[place].startswith(".."):
                outside.add(os.path.abspath(os.path.join(base, place)))  # noqa: PTH100, PTH118
    common = os.path.commonpath(outside) if outside else ""
    for place, relative in cache.items():
        if relative.startswith(".."):
            cache[place] = os.path.relpath(os.path.join(base, place), common).replace(os.sep, "/")  # noqa: PTH118
        if cache[place] == ".":
            cache[place] = ""
    return [cache[name.rpartition("/")[0]] for name in names]
