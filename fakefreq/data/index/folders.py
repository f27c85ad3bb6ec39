"""Recognise how a folder of real and fake images is laid out."""

import itertools
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.index.values import FAKE_NAMES, REAL_NAMES, SPLIT_NAMES, Columns, Entry
from fakefreq.data.index.walk import SUFFIXES, Found, walk
from fakefreq.errors import UserError, choose

LAYOUTS = {
    "generators": "<generator>[/<class>]/{0_real,1_fake}/*",
    "genimage": "<generator>[/<archive>]/{train,val}/{ai,nature}/*",
    "shared_reals": "real/* beside fake/<generator>/*",
    "two_classes": "{real,fake}/* (also {0,1} and {0_real,1_fake})",
    "celeba": "CelebA: *.jpg with identity_CelebA.txt or list_eval_partition.txt",
    "lfw": "LFW: <person>/<person>_0001.jpg",
    "ffhq": "FFHQ: <thousand>/<number>.png, five digits each",
    "image_folder": "<class>/* with --real-classes",
    "one_label": "anything, with --label real|fake",
    "tar": "WebDataset shards: *.tar",
    "parquet": "Parquet tables with image bytes: *.parquet",
    "list": "a CSV or JSON list, with --list",
}


class Listing(NamedTuple):
    """The images of a folder.

    Args:
        layout: a key of `LAYOUTS`.
        entries: sorted by path.
        others: number of other files, which were passed over.
        problems: what cannot be used and why: members with unsafe names, folders that cannot be listed, ...
    """

    layout: str
    entries: list[Entry]
    others: int = 0
    problems: Sequence[ImageError] = ()


class Hints(NamedTuple):
    """What the user says where folders do not.

    Args:
        layout: a key of `LAYOUTS`, or `auto`.
        label: of all images: `real`, `fake`, or empty.
        generator: of the fakes, where nothing else names it.
        source: of all reals, where nothing else names it.
        real_classes: folders of `image_folder` that hold photographs; each is a source, every other one a generator.
        columns: what the columns of a list, of a Parquet table or the keys of a shard's JSON are called.
    """

    layout: str = "auto"
    label: str = ""
    generator: str = ""
    source: str = ""
    real_classes: Sequence[str] = ()
    columns: Columns = Columns()


def read_layout(folder: str | Path, hints: Hints | None = None) -> Listing:
    """Recognise a folder's layout and list its images. A `train|val|test` level in any layout fills the split.

    Args:
        folder: the folder that holds the images, or one tar or Parquet file.
        hints: what the user says.

    Raises:
        UserError: missing or empty folder, or an image that no layout explains; the message shows all layouts.
    """
    hints = hints or Hints()
    folder = Path(folder)
    found = _one_shard(folder) if folder.suffix in (".tar", ".parquet") and folder.is_file() else walk(folder)
    if folder.is_file():
        folder = folder.parent
    layout = hints.layout
    if layout != "auto":
        choose(layout, [name for name in LAYOUTS if name != "list"], "layout", "--layout")
    elif not found.images and found.shards:
        layout = "tar" if found.shards[0][1].endswith(".tar") else "parquet"
    if layout in ("tar", "parquet"):
        from fakefreq.data.index.packed import read_parquet_tables, read_tar_shards

        read = read_tar_shards if layout == "tar" else read_parquet_tables
        return read(folder, found, hints, explain_parts)
    if not found.images and not found.problems:
        raise UserError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}) but {found.others} other files")
    return _of_files(folder, found, hints, layout)


def _one_shard(path: Path) -> Found:
    return Found([], [("", path.name)], 0, [])


def _of_files(folder: Path, found: Found, hints: Hints, layout: str) -> Listing:
    from fakefreq.data.index.photo_sets import DETECTORS

    others = found.others + len(found.shards)
    if layout == "auto":
        layout = next((name for name, (detect, _) in DETECTORS.items() if detect(folder, found)), "")
    if layout in DETECTORS:
        _, read = DETECTORS[layout]
        return Listing(layout, read(folder, found), others, found.problems)
    explain: Callable[[tuple[str, ...]], tuple[str, Entry] | None] = explain_parts
    if hints.label:
        explain = _one_label(hints)
    elif hints.real_classes or layout == "image_folder":
        explain = _by_class(hints)
    entries, names = explain_all(folder, found.images, explain)
    if len(names) > 1:
        raise UserError(f"{folder} mixes the layouts {' and '.join(sorted(names))}; index each part by itself")
    recognised = names.pop() if names else "two_classes"
    if layout not in ("auto", "", recognised):
        raise UserError(f"{folder} is not laid out as {LAYOUTS[layout]}, but as {LAYOUTS[recognised]}; leave --layout")
    return Listing(recognised, entries, others, found.problems)


def explain_all(
    folder: Path, images: list[tuple[str, str]], explain: Callable[[tuple[str, ...]], tuple[str, Entry] | None]
) -> tuple[list[Entry], set[str]]:
    """Explain each folder once, and give its meaning to all images in it; also return the layouts' names."""
    names: set[str] = set()
    without_layout = False
    root = os.fspath(folder)
    entries: list[Entry] = []
    new = tuple.__new__  # a fifth of the time of Entry(...), which counts for a million images
    for relative, images_there in itertools.groupby(images, operator.itemgetter(0)):
        explained = explain(tuple(relative.split("/")) if relative else ())
        if explained is None:
            name = next(images_there)[1]
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
    """Return the layout and the meaning of the folders between the root and an image, or None where they say nothing.

    A real directly below the root fits two layouts, so its layout is left empty: the fakes decide.
    """
    split, rest = "", []
    for part in parts:
        folded = part.lower()
        label = 0 if folded in REAL_NAMES else 1 if folded in FAKE_NAMES else None
        if label is None:
            if folded in SPLIT_NAMES and not split:
                split = SPLIT_NAMES[folded]
            else:
                rest.append(part)
            continue
        below = parts[parts.index(part) + 1 :]
        if not rest and label == 1 and below:
            return "shared_reals", Entry("", 1, below[0], "", split)
        if not rest:
            return "two_classes" if label else "", Entry("", label, "unknown" if label else "", "", split)
        layout = "genimage" if folded in ("ai", "nature") else "generators"
        return layout, Entry("", label, rest[0] if label else "", rest[0], split)
    return None


def _split_off(parts: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    split = SPLIT_NAMES.get(parts[0].lower(), "") if parts else ""
    return split, parts[1:] if split else parts


def _one_label(hints: Hints) -> Callable[[tuple[str, ...]], tuple[str, Entry]]:
    label = int(choose(hints.label, ["real", "fake"], "label", "--label") == "fake")

    def explain(parts: tuple[str, ...]) -> tuple[str, Entry]:
        split, _ = _split_off(parts)
        source = "" if label else hints.source
        return "one_label", Entry("", label, (hints.generator or "unknown") if label else "", "", split, "", source)

    return explain


def _by_class(hints: Hints) -> Callable[[tuple[str, ...]], tuple[str, Entry] | None]:
    if not hints.real_classes:
        raise UserError("the layout image_folder needs --real-classes: which of its folders hold photographs")

    def explain(parts: tuple[str, ...]) -> tuple[str, Entry] | None:
        split, rest = _split_off(parts)
        if not rest:
            return None
        if rest[0] in hints.real_classes:
            return "image_folder", Entry("", 0, "", "", split, "", rest[0])
        return "image_folder", Entry("", 1, rest[0], "", split)

    return explain


def _unknown(folder: Path, image: str) -> str:
    children = [child for child in folder.iterdir() if not child.name.startswith(".")]
    shown = ", ".join(sorted(child.name + ("/" if child.is_dir() else "") for child in children)[:8])
    return (
        f"the layout of {folder} is unknown: {image} lies in no folder named real or fake. "
        f"Looked for: {'; '.join(LAYOUTS.values())}; each also below train|val|test. Found: {shown}. "
        "Say it with --label real|fake (with --generator), --real-classes or --list"
    )
