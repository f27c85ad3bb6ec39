"""Recognise how a folder of real and fake images is laid out; and read a metadata table that lies in it."""

import itertools
import json
import operator
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.index.names import LAYOUTS, Entry, Hints, Listing, looks_like_a_generator, read_name, text_of
from fakefreq.data.index.packed import read_parquet_tables, read_tar_shards
from fakefreq.data.index.photo_sets import DETECTORS
from fakefreq.data.index.rows import names_of, read_rows
from fakefreq.data.index.tree import WORDS, Tree, root_name
from fakefreq.data.index.walk import SUFFIXES, Found, walk
from fakefreq.errors import UserError, choose

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
        table = _metadata_table(folder / place / name)
        there = names_of(table)
        paths = [column for column in (columns.path, *_PATHS) if column in there]
        labels = [column for column in (columns.label, "label", _TARGET) if column in there]
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
                filled.pop(_TARGET, None)
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


def _metadata_table(path: Path) -> list[dict[str, Any]]:
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        return rows if all(isinstance(row, dict) for row in rows) else []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}; mend it, or take it away") from error


Explain = Callable[[tuple[str, ...]], tuple[str, Entry] | None]


def read_layout(folder: str | Path, hints: Hints | None = None) -> Listing:
    """Recognise a folder's layout and list its images. A `train|val|test` level in any layout fills the split.

    Args:
        folder: the folder that holds the images, or one tar or Parquet file.
        hints: what the user says.

    Raises:
        UserError: missing or empty folder, an image that no layout explains (the message shows all layouts), or names
            and flags that contradict each other.
    """
    hints = hints or Hints()
    folder = Path(folder)
    found = _one_shard(folder) if folder.suffix.lower() in (".tar", ".parquet") and folder.is_file() else walk(folder)
    if folder.is_file():
        folder = folder.parent
    layout = hints.layout
    if layout != "auto":
        choose(layout, [name for name in LAYOUTS if name != "list"], "layout", "--layout")
    elif not found.images and found.shards:
        layout = "tar" if found.shards[0][1].lower().endswith(".tar") else "parquet"
    if hints.real_classes and (hints.label or layout not in ("auto", "image_folder")):
        other = "--label" if hints.label else f"the layout {layout}"
        raise UserError(f"--real-classes means nothing beside {other}; leave one of them")
    if layout in ("tar", "parquet"):
        if "--path-column" in hints.columns.named:
            raise UserError("--path-column is about a list, and shards hold their images; leave it")
        read = read_tar_shards if layout == "tar" else read_parquet_tables
        return with_generator(read(folder, found, hints), hints)
    if not found.images and not found.problems:
        others = f": {_by_ending(found.endings)}" if found.others else ""
        raise UserError(
            f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}) but {found.others} other files{others}"
        )
    if layout in ("auto", "metadata") and found.tables and not hints.real_classes:
        listing = read_metadata(folder, found, hints)
        if listing is not None:
            return with_generator(listing, hints)
    if layout == "metadata":
        raise UserError(f"{folder} has no metadata.csv or .jsonl with columns of paths and labels; see --list")
    _refuse_columns(hints)
    return with_generator(_of_files(folder, found, hints, layout), hints)


def _one_shard(path: Path) -> Found:
    return Found([], [("", path.name)], 0, [], [], Counter())


def _refuse_columns(hints: Hints) -> None:
    """A flag that would be dropped without a word is refused."""
    flags = dict(hints.columns.named)
    flags |= (
        {"--real-values": "", "--fake-values": ""} if hints.columns.real_values or hints.columns.fake_values else {}
    )
    flags |= {"--overrule columns": ""} if "columns" in hints.overrule else {}
    if flags:
        raise UserError(
            f"{' and '.join(flags)} is about a table, and here is none; give it with --list, or leave the flag"
        )


def _of_files(folder: Path, found: Found, hints: Hints, layout: str) -> Listing:

    others = found.others + len(found.shards)
    tree = Tree(found.images, root_name(folder))
    obeyed = "folders" not in hints.overrule
    if layout == "auto" and not hints.label and not hints.real_classes and (not tree.says_labels or not obeyed):
        layout = next((name for name, (detect, _) in DETECTORS.items() if detect(folder, found)), "")
    if layout in DETECTORS:
        if hints.label == "fake":
            raise UserError(f"--layout {layout} is of photographs, --label says fake; leave one of them")
        _, read = DETECTORS[layout]
        for place in dict.fromkeys(place for place, _ in found.images) if obeyed else ():
            if place and tree.label(tuple(place.split("/"))) == 1:
                raise UserError(
                    f"the layout {layout} is of photographs, but a folder of {folder}/{place} says fake; choose "
                    "another --layout, or --overrule folders"
                )
        return Listing(layout, read(folder, found), others, found.problems, _other_notes(found))
    explain: Explain = tree.explain
    if hints.label:
        explain = _one_label(hints, tree, folder)
    elif hints.real_classes or layout == "image_folder":
        explain = _by_class(hints, tree)
    elif not obeyed:
        raise UserError(
            "with --overrule folders something else must say what is real: --label, --real-classes or --list"
        )
    entries, names = explain_all(folder, found.images, explain)
    if len(names) > 1:
        raise UserError(f"{folder} mixes the layouts {' and '.join(sorted(names))}; index each part by itself")
    recognised = names.pop() if names else "two_classes"
    if layout not in ("auto", "", recognised):
        raise UserError(f"{folder} is not laid out as {LAYOUTS[layout]}, but as {LAYOUTS[recognised]}; leave --layout")
    return Listing(recognised, entries, others, found.problems, [*_other_notes(found), *_notes(tree, entries, hints)])


def explain_all(folder: Path, images: list[tuple[str, str]], explain: Explain) -> tuple[list[Entry], set[str]]:
    """Explain each folder once, and give its meaning to all images in it; also return the layouts' names."""
    names: set[str] = set()
    without_layout = False
    root = os.fspath(folder)
    entries: list[Entry] = []
    new = tuple.__new__  # a fifth of the time of Entry(...), which counts for a million images
    for relative, images_there in itertools.groupby(images, operator.itemgetter(0)):
        try:
            explained = explain(tuple(relative.split("/")) if relative else ())
        except UserError as error:
            name = next(images_there)[1]
            raise UserError(f"{folder}/{relative}/{name}: {error}") from error
        if explained is None:
            name = next(images_there)[1]  # noqa: B031 (left at the other use)
            raise UserError(_unknown(folder, f"{relative}/{name}" if relative else name))
        layout, meaning = explained
        names |= {layout} - {""}
        without_layout |= not layout
        place, rest = f"{root}/{relative}/" if relative else f"{root}/", meaning[1:]
        entries += [new(Entry, (place + name, *rest)) for _, name in images_there]  # noqa: B031 (left at the other use)
    if without_layout and names <= {"generators", "genimage"}:
        names.add("two_classes")  # reals below the root, and no fakes there to say more
    return entries, names


def explain_parts(parts: tuple[str, ...]) -> tuple[str, Entry] | None:
    """Return the layout and the meaning of the folders above one image, with no other folder in sight."""
    return Tree([("/".join(parts), "")]).explain(parts)


def _one_label(hints: Hints, tree: Tree, folder: Path) -> Explain:
    word = choose(hints.label, list(WORDS), "label", "--label")
    label = WORDS.index(word)
    obeyed = "folders" not in hints.overrule
    advice = "leave --label, or --overrule folders if the folder's name is wrong"
    above = read_name(root_name(folder)).label
    if obeyed and above is not None and above != label and not tree.says_labels:
        raise UserError(f"{folder} is called {WORDS[above]}, --label says {word}; {advice}")

    def explain(parts: tuple[str, ...]) -> tuple[str, Entry]:
        said = tree.label(parts) if obeyed else None
        if said is not None and said != label:
            raise UserError(f"its folders say {WORDS[said]}, --label says {word}; {advice}")
        explained = tree.explain(parts) if said is not None else None
        if explained is not None:
            return "one_label", explained[1]._replace(source=explained[1].source or ("" if label else hints.source))
        split = tree.split(parts) if obeyed else ""
        maker, source = ("unknown", "") if label else ("", hints.source)
        return "one_label", Entry("", label, maker, "", split, "", source, tree.pair(parts, None))

    return explain


def _by_class(hints: Hints, tree: Tree) -> Explain:
    if not hints.real_classes:
        raise UserError("the layout image_folder needs --real-classes: which of its folders hold photographs")
    there = tree.class_names()
    for name in hints.real_classes:
        choose(name, there, "folder", "--real-classes")
    level = tree.level_of(hints.real_classes)
    obeyed = "folders" not in hints.overrule

    def explain(parts: tuple[str, ...]) -> tuple[str, Entry] | None:
        rest = tree.without_splits(parts)
        if len(rest) <= level:
            return None
        name = rest[level]
        label = int(name not in hints.real_classes)
        said = tree.label(parts) if obeyed else None
        if said is not None and said != label:
            raise UserError(
                f"its folders say {WORDS[said]}, --real-classes makes it {WORDS[label]}; change --real-classes, or "
                "--overrule folders if the folder's name is wrong"
            )
        if label and read_name(name).label == 1 and not read_name(name).name:
            name = rest[level + 1] if len(rest) > level + 1 else "unknown"
        split = tree.split(parts)
        if label:
            return "image_folder", Entry("", 1, name, "", split, pair=tree.pair(parts, None))
        return "image_folder", Entry("", 0, "", "", split, "", name, tree.pair(parts, None))

    return explain


def with_generator(listing: Listing, hints: Hints) -> Listing:
    """Return a listing whose fakes are of `hints.generator`, where a folder or a column names no other one.

    Folders such as `car` and `cat` are then categories of that generator, as in CNNDetection's `progan/car`.

    Raises:
        UserError: a name that is of another generator, or no fakes, or reals whose source --real-source would name.
    """
    if hints.source and not any(not entry.label and entry.source in ("", hints.source) for entry in listing.entries):
        raise UserError(f"--real-source {hints.source} would name nothing: no real is without a source; leave it")
    if not hints.generator:
        return listing
    given = hints.generator
    makers = {entry.generator for entry in listing.entries if entry.label}
    if not makers:
        raise UserError(f"--generator {given} would name nothing: there is no fake; leave it")
    others = sorted(name for name in makers if looks_like_a_generator(name) and name.lower() != given.lower())
    if others or (listing.layout in ("list", "metadata", "tar", "parquet") and makers - {"unknown", given}):
        name = others[0] if others else sorted(makers - {"unknown", given})[0]
        raise UserError(
            f"the data name the generator {name}, --generator says {given}; leave it, or index each by itself"
        )
    subsets = {entry.subset for entry in listing.entries if entry.label}
    entries = [
        entry._replace(
            generator=given if entry.label else "",
            subset=given if entry.subset and entry.subset in subsets else entry.subset,
        )
        for entry in listing.entries
    ]
    return listing._replace(entries=entries)


def _by_ending(endings: Counter[str]) -> str:
    return ", ".join(
        f"{count} {ending or 'without an ending'}"
        for ending, count in sorted(endings.items(), key=lambda one: (-one[1], one[0]))[:6]
    )


def _other_notes(found: Found) -> list[str]:
    return [f"other files: {_by_ending(found.endings)}"] if found.endings else []


def _notes(tree: Tree, entries: list[Entry], hints: Hints) -> list[str]:
    notes = []
    if tree.wrappers:
        notes.append(f"folders that say nothing: {', '.join(sorted(tree.wrappers))}")
    makers = sorted({entry.generator for entry in entries if entry.label})
    subsets = {entry.subset for entry in entries if entry.label}
    if makers and makers != ["unknown"] and not hints.generator:
        doubtful = subsets != {""} and not any(map(looks_like_a_generator, makers))
        more = "; if these are categories, say what made them with --generator" if doubtful else ""
        notes.append(f"generators: {', '.join(makers[:12])}{', ...' if len(makers) > 12 else ''}{more}")
    return notes


def _unknown(folder: Path, image: str) -> str:
    children = [child for child in folder.iterdir() if not child.name.startswith(".")]
    shown = ", ".join(sorted(child.name + ("/" if child.is_dir() else "") for child in children)[:8])
    return (
        f"the layout of {folder} is unknown: {image} lies in no folder named real or fake. "
        f"Looked for: {'; '.join(LAYOUTS.values())}; each also below train|val|test. Found: {shown}. "
        "Say it with --label real|fake (with --generator), --real-classes or --list"
    )
