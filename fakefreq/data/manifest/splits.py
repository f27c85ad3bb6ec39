"""Train, validation and test parts that never share a group."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.manifest.duplicates import near_duplicates
from fakefreq.errors import UserError, choose

SPLITS = ("train", "val", "test")


def split_manifest(
    manifest: pd.DataFrame,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    keep: bool = True,
    hold_out: Sequence[str] = (),
) -> pd.DataFrame:
    """Fill the `split` column by group, stratified by subset, generator, source and label.

    Groups are taken in an order shuffled by the seed, large ones first, and each goes where it leaves the summed
    squared distance from the wanted counts of its strata smallest. With groups of one image the counts are exact.

    Args:
        manifest: a table of images.
        fractions: shares of train, val and test, each 0 or more, of sum 1.
        seed: of the shuffle.
        keep: rows that have a split keep it, and with them their whole group; False splits all anew.
        hold_out: `generator=NAME` or `source=NAME`, all of which goes to test, with its groups: the detector never
            sees it. With a generator go the reals of its subset, which stand against it.

    Returns:
        A copy with `split` filled.

    Raises:
        UserError: fractions that are not shares of one; a group whose images have been given to different splits.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"--fractions takes three shares of train, val and test of sum 1; got {fractions}")
    result = manifest.copy(deep=False)  # columns are replaced below, never written into
    if not keep:
        result["split"] = ""
    check_splits(result)
    for term in hold_out:
        held = result["group"].isin(set(result["group"][_held_out(result, term)]))
        result["split"] = result["split"].where(~held, "test")
    strata_columns = [name for name in ("subset", "generator", "source", "label") if name in result]
    strata = result.groupby(strata_columns, sort=True).ngroup().to_numpy()
    # A key that no path order decides: the same images give the same split, however the table is sorted.
    groups = pd.Categorical(result["group"])
    counts = np.zeros((len(groups.categories), strata.max() + 1 if len(result) else 0), dtype=np.int64)
    np.add.at(counts, (groups.codes, strata), 1)
    targets = np.outer(fractions, counts.sum(axis=0))
    filled = np.zeros_like(targets)
    given = _given_splits(result, groups)
    for group, split in given.items():
        filled[split] += counts[group]
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    chosen = np.empty(len(counts), dtype=np.int64)
    for group in order:
        if group in given:
            chosen[group] = given[group]
            continue
        deficit = targets - filled
        # What squared distance adds when the group goes to a split, up to a constant, relative to the stratum's size.
        cost = (counts[group] * (counts[group] - 2 * deficit) / np.maximum(targets.sum(axis=0), 1)).sum(axis=1)
        chosen[group] = int(np.argmin(np.where(np.asarray(fractions) > 0, cost, np.inf)))
        filled[chosen[group]] += counts[group]
    result["split"] = np.asarray(SPLITS)[chosen[groups.codes]] if len(result) else ""
    return result


def _given_splits(manifest: pd.DataFrame, groups: pd.Categorical) -> dict[int, int]:
    """Return group code -> split number of the groups that have one already."""
    has = manifest["split"].to_numpy() != ""
    pairs = zip(groups.codes[has], manifest["split"].to_numpy()[has], strict=True)
    return {int(code): SPLITS.index(split) for code, split in pairs}


def _held_out(manifest: pd.DataFrame, term: str) -> pd.Series:
    """Return which rows a `generator=NAME` or `source=NAME` means."""
    column, separator, name = term.partition("=")
    if not separator or column not in ("generator", "source"):
        raise UserError(f"--hold-out takes generator=NAME or source=NAME; got {term!r}")
    there = manifest[column] if column in manifest else pd.Series("", manifest.index)
    choose(name, sorted(set(there) - {""}), column, "--hold-out")
    held = there == name
    if column == "generator":
        subsets = set(manifest["subset"][held]) - {""}
        # Reals that other generators' fakes stand against as well are not this generator's own.
        shared = set(manifest["subset"][(manifest["label"] == 1) & ~held])
        held |= (manifest["label"] == 0) & manifest["subset"].isin(subsets - shared)
    return held


def check_splits(manifest: pd.DataFrame) -> None:
    """Prove that no group, no file's bytes and no near-duplicates (where hashes are known) are in two splits.

    Raises:
        UserError: names two files that are parted, or a split of an unknown name.
    """
    unknown = sorted(set(manifest["split"]) - {*SPLITS, ""})
    if unknown:
        raise UserError(f"the manifest has a split named {unknown[0]!r}; splits are train, val and test")
    # Not all columns: a million rows of them would be copied.
    needed = [name for name in ("path", "group", "split", "sha256", "phash") if name in manifest]
    placed = manifest[needed]
    if (placed["split"] == "").any():
        placed = placed[placed["split"] != ""]
    number = placed["split"].map({name: code for code, name in enumerate(SPLITS)}).to_numpy(dtype=np.int64)
    for column, what in (("group", "are of the same group"), ("sha256", "are of the same bytes")):
        known = _perhaps_repeated(placed[column])
        known = known[(placed[column].iloc[known] != "").to_numpy()]
        codes = pd.factorize(placed[column].iloc[known])[0]
        lowest, highest = np.full(len(known), len(SPLITS)), np.full(len(known), -1)
        np.minimum.at(lowest, codes, number[known])
        np.maximum.at(highest, codes, number[known])
        parted = np.flatnonzero(lowest[codes] < highest[codes])
        if len(parted):
            rows = known[codes == codes[parted[0]]]
            other = rows[number[rows] != number[rows[0]]][0]
            raise _leak(placed, int(rows[0]), int(other), what)
    if "phash" in placed:
        pairs = near_duplicates(placed)
        parted = np.flatnonzero(number[pairs[:, 0]] != number[pairs[:, 1]])
        if len(parted):
            first, other = pairs[parted[0]]
            raise _leak(placed, int(first), int(other), "look the same")


def _perhaps_repeated(column: pd.Series) -> NDArray[np.int64]:
    """Return the positions of texts that are there twice, and hardly any other; a million texts are never copied."""
    starts = range(0, len(column), 65536)
    parts = [pd.util.hash_pandas_object(column.iloc[s : s + 65536], index=False, categorize=False) for s in starts]
    hashes = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
    order = np.argsort(hashes, kind="stable")
    is_same = hashes[order[1:]] == hashes[order[:-1]]
    return np.union1d(order[1:][is_same], order[:-1][is_same])


def _leak(placed: pd.DataFrame, first: int, other: int, what: str) -> UserError:
    (a, b), (x, y) = placed["path"].iloc[[first, other]], placed["split"].iloc[[first, other]]
    return UserError(
        f"{a} ({x}) and {b} ({y}) {what} but are in different splits: the result would be leaked; "
        "split again with `fakefreq split --overwrite`"
    )
