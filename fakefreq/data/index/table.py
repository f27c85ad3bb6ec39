"""The table of an index: what images' places and their headers say, put into columns."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from fakefreq.data.index.cache import IndexCache
from fakefreq.data.index.probe import FACTS, probe_paths
from fakefreq.data.index.values import Entry
from fakefreq.data.manifest.table import COLUMNS, NUMBERS, is_ascending

GroupBy = Literal["auto", "stem", "file", "folder"]
# Rows are put into tables by this many: Python objects of a whole million would take gigabytes.
BLOCK = 32768


class Meaning(NamedTuple):
    """How the columns that no header fills are made.

    Args:
        base: the manifest's folder, absolute.
        group_by: what is never parted by a split; see `fakefreq.data.index.index.index_folder`.
        sources: subset -> where its reals come from.
        everywhere: where all other reals come from.
    """

    base: str
    group_by: GroupBy
    sources: Mapping[str, str]
    everywhere: str


def read_table(
    entries: list[Entry],
    meaning: Meaning,
    skip: Callable[[str, str], None],
    jobs: int,
    phash: bool,
    cache: IndexCache | None,
) -> pd.DataFrame:
    """Read all images' headers and return the table, sorted by path.

    Args:
        entries: sorted by path.
        meaning: how the columns that no header fills are made.
        skip: called with path and reason of each image that cannot be used.
        jobs: processes; -1 is one a core.
        phash: decode the images for their perceptual hash.
        cache: of a former index.
    """
    relative = _RelativePaths(meaning.base)
    block = _Block()
    blocks = [block.table(relative, meaning)]
    start = 0
    # Closed whatever happens: an error's line must not stand behind a half-drawn progress bar.
    with contextlib.closing(probe_paths([entry.path for entry in entries], phash, jobs, cache)) as chunks:
        for chunk in chunks:
            part = entries[start : start + chunk.images]
            start += chunk.images
            for position, reason in sorted(chunk.reasons.items()):
                skip(part[position].path, reason)
            if chunk.reasons:
                part = [entry for position, entry in enumerate(part) if position not in chunk.reasons]
            block.add(part, chunk.columns)
            if len(block.entries) >= BLOCK:
                blocks.append(block.table(relative, meaning))
                block = _Block()
    blocks.append(block.table(relative, meaning))
    manifest = pd.concat(blocks, ignore_index=True)
    if not is_ascending(manifest["path"]):
        manifest = manifest.sort_values("path", ignore_index=True)
    return manifest


class _Block:
    """Images that are put into one table."""

    def __init__(self) -> None:
        self.entries = list[Entry]()
        self.facts: dict[str, list[Any]] = {name: [] for name in FACTS}

    def add(self, entries: list[Entry], columns: Mapping[str, Any]) -> None:
        """Append images and their facts: a list of values, or the one value of all."""
        self.entries += entries
        for name, values in columns.items():
            self.facts[name] += values if isinstance(values, list) else [values] * len(entries)

    def table(self, relative: "_RelativePaths", meaning: Meaning) -> pd.DataFrame:
        """Return the rows with all columns of a manifest."""
        names = Entry._fields
        given: dict[str, Sequence[Any]] = dict(
            zip(names, zip(*self.entries, strict=True) if self.entries else [()] * len(names), strict=True)
        )
        if meaning.sources or meaning.everywhere:
            given["source"] = [
                where if fake else meaning.sources.get(subset) or where or meaning.everywhere
                for where, fake, subset in zip(given["source"], given["label"], given["subset"], strict=True)
            ]
        given["path"] = [relative(path) for path in given["path"]]
        if meaning.sources:
            # The same name of one source is the same photograph, also in two generators' folders.
            given["pair"] = [
                f"{meaning.sources[subset]}:{pair.replace(f'/{subset}/', '/', 1)}"
                if subset in meaning.sources
                else pair
                for pair, subset in zip(given["pair"], given["subset"], strict=True)
            ]
        if meaning.group_by == "file":
            given["group"] = self.facts["sha256"]
        else:
            given["group"] = [
                _group(path, group, pair, meaning.group_by)
                for path, group, pair in zip(given["path"], given["group"], given["pair"], strict=True)
            ]
        columns = {**given, **self.facts}
        return pd.DataFrame({name: _column(columns[name], name in NUMBERS) for name in COLUMNS})


def _column(values: Any, is_number: bool) -> pd.Series:
    if is_number:
        return pd.Series(values, dtype="int64")
    # One text for all, as most columns of a block have, is converted once.
    if len(values) and values[0] == values[-1] and values.count(values[0]) == len(values):
        return pd.Series(values[:1], dtype="str").repeat(len(values)).reset_index(drop=True)
    return pd.Series(values, dtype="str")


def _group(path: str, given: str, pair: str, group_by: GroupBy) -> str:
    if group_by == "auto" and given:
        return given
    folder, _, name = path.rpartition("/")
    if group_by == "folder":
        return folder
    stem, dot, _ = name.rpartition(".")
    stem = stem if dot and stem else name
    return stem if group_by == "stem" else pair + stem


class _RelativePaths:
    """Paths relative to the manifest's folder; computed once a folder, not once an image."""

    def __init__(self, base: str) -> None:
        self.base, self.folders = base, dict[str, str]()

    def __call__(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        prefix = self.folders.get(folder)
        if prefix is None:
            absolute = os.path.abspath(folder or ("/" if path.startswith("/") else "."))  # noqa: PTH100
            there = os.path.relpath(absolute, self.base).replace(os.sep, "/")
            prefix = self.folders[folder] = "" if there == "." else there + "/"
        return prefix + name
