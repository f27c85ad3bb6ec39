"""From a folder, shards or a list to a manifest."""

import contextlib
import gc
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.images.decode import read_bytes
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.headers.header import probe_content
from fakefreq.data.index.folders import read_layout
from fakefreq.data.index.names import LAYOUTS, Entry, Hints, Listing
from fakefreq.data.index.photo_sets import fetch_set
from fakefreq.data.index.probe import FACTS, IndexCache, probe_paths
from fakefreq.data.manifest.duplicates import NEAR_BITS, check_near_bits, merge_groups, near_duplicates
from fakefreq.data.manifest.places import PathsFrom
from fakefreq.data.manifest.table import (
    COLUMNS,
    NUMBERS,
    PARQUET_ABOVE,
    is_ascending,
    own_columns,
    write_manifest,
    write_skipped,
)
from fakefreq.errors import UserError
from fakefreq.hub import is_hub_name
from fakefreq.progress import track

logger = logging.getLogger(__name__)


GroupBy = Literal["auto", "stem", "file", "folder"]
# Rows are put into tables by this many: Python objects of a whole million would take gigabytes.
BLOCK = 32768


class Meaning(NamedTuple):
    """How the columns that no header fills are made.

    Args:
        base: the manifest's folder.
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
    relative = PathsFrom(meaning.base)
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

    def table(self, relative: PathsFrom, meaning: Meaning) -> pd.DataFrame:
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


def index_folder(
    folder: str | Path,
    manifest_path: str | Path,
    group_by: GroupBy = "auto",
    sources: Mapping[str, str] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    *,
    allow_one_class: bool = False,
    jobs: int = -1,
    hints: Hints | None = None,
    listed: str | Path | None = None,
    phash: bool = False,
    near_bits: int = NEAR_BITS,
    fresh: bool = False,
    allow: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Make the manifest of a folder and write it.

    Args:
        folder: real and fake images in a layout of `fakefreq.data.index.folders`, or one shard, or a data set on the
            hub, `hf://datasets/owner/name[@revision]`, which is fetched into the hub's cache.
        manifest_path: the CSV or Parquet file to write; the paths in it are relative to its folder. Without an ending
            it is CSV up to `PARQUET_ABOVE` images and Parquet above.
        group_by: what is never parted by a split: what the layout knows of identity, person, video or parent photo,
            else a photograph and its fake of the same file stem in one generator's folder (`auto`); the same `stem`
            anywhere; the same `folder`; only the same bytes (`file`). The same bytes are one group always.
        sources: subset -> where its reals come from.
        on_error: `stop` at an image that cannot be used, or `skip` it and list it in skipped.csv beside the manifest.
        allow_one_class: accept reals only or fakes only.
        jobs: processes; -1 is one a core.
        hints: what folders do not say.
        listed: a list (CSV, TSV, text or JSON) of the images, with paths relative to `folder`.
        phash: decode the images for their perceptual hash, and join near-duplicates into one group.
        near_bits: bits of 256 by which the hashes of near-duplicates may differ, `NEAR_BITS` or more.
        fresh: read all files, also those that did not change since they were indexed last.
        allow: patterns of the files to fetch from the hub; by default images, shards and what may tell labels.

    Returns:
        The manifest, sorted by path, and the skipped images as (path, reason).

    Raises:
        UserError: anything that the user can mend; nothing is written then.
    """
    if is_hub_name(folder):
        folder = fetch_set(folder, allow)
    elif allow:
        raise UserError(f"--allow is of what is fetched from the hub, and {folder} is a folder; leave it")
    with _collector_paused():
        listing = _listing(folder, hints, listed)
    logger.info(_described(listing))
    for note in listing.notes:
        logger.info(f"  {note}")
    if near_bits != NEAR_BITS and not phash:
        raise UserError("--near-bits is about the hashes of --phash; add that, or leave it")
    check_near_bits(near_bits)
    manifest_path = Path(manifest_path)
    if not manifest_path.suffix:
        manifest_path = manifest_path.with_suffix(".parquet" if len(listing.entries) > PARQUET_ABOVE else ".csv")
    skipped = _Skipped(on_error)
    for problem in listing.problems:
        skipped.add(problem.path, problem.reason)
    if sources and (unknown := sorted(set(sources) - {entry.subset for entry in listing.entries})):
        raise UserError(f"--source names the subsets {', '.join(unknown)}, which {folder} does not have")
    meaning = Meaning(str(manifest_path.parent), group_by, sources or {}, (hints or Hints()).source)
    cache = None if fresh else IndexCache(manifest_path)
    with _collector_paused():
        manifest = read_table(listing.entries, meaning, skipped.add, jobs, phash, cache)
    del listing
    manifest = _without_contradictions(manifest, skipped)
    pairs = near_duplicates(manifest, near_bits) if phash else None
    if pairs is not None and len(pairs):
        manifest, pairs = _without_lookalikes(manifest, pairs, skipped, near_bits)
        logger.info(f"{len(pairs)} pairs of near-duplicates; their groups are joined")
    manifest["group"] = merge_groups(manifest["group"], manifest["sha256"], pairs)
    _check_classes(manifest, folder, allow_one_class)
    for key, count in manifest.groupby(["subset", "label"]).size().items():
        subset, label = cast("tuple[str, int]", key)
        logger.info(f"  {subset or 'all'}: {count} {'fake' if label else 'real'}")
    write_manifest(manifest, manifest_path)
    for line in described_groups(manifest):
        logger.info(f"  {line}")
    logger.info(f"manifest: {manifest_path} ({len(manifest)} images, {manifest['group'].nunique()} groups)")
    if skipped.rows:
        path = manifest_path.with_name("skipped.csv")
        write_skipped(skipped.rows, path)
        logger.warning(f"{len(skipped.rows)} images skipped; listed with reasons in {path}")
    return manifest, skipped.rows


def described_groups(manifest: pd.DataFrame) -> list[str]:
    """Return lines that show which images a split will keep together, with the largest group as an example."""
    sizes = manifest["group"].value_counts(sort=True)
    joined = sizes[sizes > 1]
    if joined.empty:
        return [f"groups: each of the {len(manifest)} images is its own"]
    example = manifest["path"][manifest["group"] == joined.index[0]]
    shown = ", ".join(example.iloc[[0, 1] if len(example) < 3 else [0, 1, -1]])
    alone = int((sizes == 1).sum())
    return [
        f"groups, which a split never parts: {len(joined)} of 2 to {joined.iloc[0]} images, {alone} images alone; the "
        f"largest, {joined.index[0]}: {shown}; --group-by makes others"
    ]


class _Skipped:
    """Images that cannot be used: the first one stops, or all are listed."""

    def __init__(self, on_error: Literal["stop", "skip"]) -> None:
        self.on_error, self.rows = on_error, list[tuple[str, str]]()

    def add(self, path: str, reason: str) -> None:
        if self.on_error == "stop":
            raise UserError(f"{path}: {reason}; mend or remove it, or pass it over with --on-error skip")
        self.rows.append((path, reason))


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of tuples, none of them in a cycle: the collector would go through them again and again in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _listing(folder: str | Path, hints: Hints | None, listed: str | Path | None) -> Listing:
    if listed is None:
        return read_layout(folder, hints)
    from fakefreq.data.index.lists import read_list

    return read_list(folder, listed, hints)


def _described(listing: Listing) -> str:
    text = f"layout: {LAYOUTS[listing.layout]}: {len(listing.entries)} images"
    return text + (f", {listing.others} other files ignored" if listing.others else "")


def _without_contradictions(manifest: pd.DataFrame, skipped: _Skipped) -> pd.DataFrame:
    """Take out (or stop at) files whose bytes are there with both labels: one of them must be wrong."""
    first = manifest.drop_duplicates("sha256").set_index("sha256")
    contradicted = manifest["label"].to_numpy() != first["label"].reindex(manifest["sha256"]).to_numpy()
    if not contradicted.any():
        return manifest
    bad = manifest["sha256"].isin(set(manifest["sha256"][contradicted]))
    for sha256, rows in manifest[bad].groupby("sha256", sort=False):
        real, fake = (rows["path"][rows["label"] == label].iloc[0] for label in (0, 1))
        for path, label in zip(rows["path"], rows["label"], strict=True):
            there = real if label else fake
            skipped.add(
                path, f"is labelled {'fake' if label else 'real'}, the same bytes in {there} the contrary ({sha256})"
            )
    return manifest[~bad].reset_index(drop=True)


def _without_lookalikes(
    manifest: pd.DataFrame, pairs: NDArray[np.int64], skipped: _Skipped, near_bits: int
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Take out (or stop at) near-duplicates with both labels, unless one group says that they belong together."""
    label, group, path = (manifest[name].to_numpy() for name in ("label", "group", "path"))
    left, right = pairs.T
    across = (label[left] != label[right]) & (group[left] != group[right])
    bad: dict[int, int] = {}
    for a, b in pairs[across]:
        bad.setdefault(int(a), int(b))
        bad.setdefault(int(b), int(a))
    for row, other in sorted(bad.items()):
        words = "fake" if label[row] else "real"
        skipped.add(
            str(path[row]),
            f"is labelled {words}, but {path[other]} looks the same (within {near_bits} of 256 bits) and is not; "
            "a photograph and its fake belong into one group",
        )
    if not bad:
        return manifest, pairs
    kept = manifest.drop(index=list(bad)).reset_index(drop=True)
    return kept, near_duplicates(kept, near_bits)


def _check_classes(manifest: pd.DataFrame, folder: str | Path, allow_one_class: bool) -> None:
    classes = manifest["label"].nunique()
    if not classes:
        raise UserError(f"{folder} holds no readable image; --on-error stop shows the first reason")
    if classes < 2 and not allow_one_class:
        raise UserError(
            f"{folder} holds only {'fake' if manifest['label'].iloc[0] else 'real'} images; both classes are needed to "
            "train or test (--allow-one-class accepts it, `fakefreq manifest merge` adds the other)"
        )


def fill_headers(manifest: pd.DataFrame, root: str | Path) -> pd.DataFrame:
    """Return a manifest whose header facts and hashes are read anew from its images.

    Args:
        manifest: a table of images that another program made, with path, label, generator, subset and group.
        root: the folder that its paths are relative to.

    Raises:
        UserError: an image that is missing or unreadable.
    """
    facts = []
    for path in track(manifest["path"], "headers"):
        try:
            content = read_bytes(Path(root) / path)
        except ImageError as error:
            raise ImageError(path, error.reason) from error
        facts.append((*probe_content(path, content), hashlib.sha256(content).hexdigest()))
    read = pd.DataFrame(facts, index=manifest.index, columns=[name for name in FACTS if name != "phash"])
    return manifest.assign(**read.to_dict("series"))[[*COLUMNS, *own_columns(manifest)]]  # type: ignore[arg-type]
