"""Train, validation and test parts that never share a group."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.manifest.duplicates import near_duplicates
from fakefreq.errors import UserError, at_least, choose

SPLITS = ("train", "val", "test")
FRACTIONS = (0.7, 0.1, 0.2)


def split_manifest(
    manifest: pd.DataFrame,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    keep: bool = True,
    hold_out: Sequence[str] = (),
    *,
    val_from_train: float = 0.0,
    val_is_test: bool = False,
) -> pd.DataFrame:
    """Fill the `split` column by group, stratified by subset, generator, source and label.

    Groups are taken in an order shuffled by the seed, large ones first, and each goes where it leaves the summed
    squared distance from the wanted counts of its strata smallest. With groups of one image the counts are exact. A
    stratum of fewer groups than splits is counted with the others of its subset and label, or of its label.

    Args:
        manifest: a table of images.
        fractions: shares of train, val and test, each 0 or more, of sum 1.
        seed: of the shuffle.
        keep: rows that have a split keep it, and with them their whole group; False splits all anew.
        hold_out: `generator=NAME` or `source=NAME`, all of which goes to test, with its groups: the detector never
            sees it. With a generator go the reals of its subset, which stand against it.
        val_from_train: share of train's groups that become val, where an official split has no val; 0: none.
        val_is_test: the official val is the test part, as in GenImage.

    Returns:
        A copy with `split` filled, both classes in each split whose share is not 0.

    Raises:
        UserError: fractions that are not shares of one; a group whose images have been given to different splits; a
            class of a split that cannot be filled.
    """
    # Not so of nan either.
    if len(fractions) != 3 or not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6):
        raise UserError(f"--fractions takes three shares of train, val and test of sum 1; got {fractions}")
    at_least(seed, 0, "--seed")
    result = manifest.copy(deep=False)  # columns are replaced below, never written into
    if not keep:
        result["split"] = ""
    if val_is_test:
        result["split"] = _val_as_test(result["split"])
    check_splits(result)
    official = result["split"]
    if hold_out:
        result["split"] = result["split"].where(~held_rows(result, hold_out), "test")
    # A key that no path order decides: the same images give the same split, however the table is sorted.
    groups = pd.Categorical(result["group"])
    given = _given_splits(result, groups)
    shares = np.asarray(fractions)
    if val_from_train:
        given, shares = _val_from_train(result, groups, given, val_from_train)
    wanted = np.flatnonzero(np.asarray(fractions) + (np.arange(3) == 1) * val_from_train > 0)
    strata = _strata(result, groups.codes, len(wanted))
    counts = np.zeros((len(groups.categories), strata.max() + 1 if len(result) else 0), dtype=np.int64)
    np.add.at(counts, (groups.codes, strata), 1)
    chosen = _placed(counts, given, shares, np.random.default_rng(seed).permutation(len(counts)))
    for names in (["subset", "generator", "label"], ["label"]):
        _fill(_codes(result, names), groups.codes, chosen, set(given), wanted)
    result["split"] = np.asarray(SPLITS)[chosen[groups.codes]] if len(result) else ""
    _check_filled(result, wanted, official, hold_out, not keep, val_from_train)
    return result


def _codes(manifest: pd.DataFrame, names: Sequence[str]) -> NDArray[np.int64]:
    """Return a number a row for each combination of the columns that are there."""
    used = [name for name in names if name in manifest]
    return manifest.groupby(used, sort=True).ngroup().to_numpy().astype(np.int64)


def _strata(manifest: pd.DataFrame, group_codes: NDArray[np.integer[Any]], needed: int) -> NDArray[np.int64]:
    """Return the stratum of each row: the finest that has at least as many groups as there are splits to fill."""
    strata = _codes(manifest, ("subset", "generator", "source", "label"))
    for coarser in (("subset", "label"), ("label",)):
        pairs = np.unique(np.stack([strata, group_codes], axis=1), axis=0)
        number = np.bincount(pairs[:, 0], minlength=strata.max() + 1 if len(strata) else 0)
        few = number[strata] < needed
        if not few.any():
            break
        merged = _codes(manifest, coarser) + strata.max() + 1
        strata = np.unique(np.where(few, merged, strata), return_inverse=True)[1].reshape(-1).astype(np.int64)
    return strata


def _placed(
    counts: NDArray[np.int64], given: dict[int, int], shares: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the split of each group: what is given, else where it leaves the wanted counts nearest.

    Args:
        counts: images of each group in each stratum, (groups, strata).
        given: group -> split.
        shares: of the three splits.
        order: of the groups; large ones come first.
    """
    targets = np.outer(shares, counts.sum(axis=0))
    filled = np.zeros_like(targets)
    for group, split in given.items():
        filled[split] += counts[group]
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    chosen = np.empty(len(counts), dtype=np.int64)
    for group in order:
        if group in given:
            chosen[group] = given[group]
            continue
        deficit = targets - filled
        # What squared distance adds when the group goes to a split, up to a constant, relative to the stratum's size.
        cost = (counts[group] * (counts[group] - 2 * deficit) / np.maximum(targets.sum(axis=0), 1)).sum(axis=1)
        chosen[group] = int(np.argmin(np.where(shares > 0, cost, np.inf)))
        filled[chosen[group]] += counts[group]
    return chosen


def _val_as_test(split: pd.Series) -> pd.Series:
    if (split == "test").any() or not (split == "val").any():
        raise UserError("--val-is-test makes an official val the test part: there must be a val, and no test yet")
    return split.where(split != "val", "test")


def _val_from_train(
    manifest: pd.DataFrame, groups: pd.Categorical, given: dict[int, int], share: float
) -> tuple[dict[int, int], NDArray[np.float64]]:
    """Free the groups of train, and return what is given still and the shares of the splits among all images."""
    if not 0 < share < 1:
        raise UserError(f"--val-from-train takes a share between 0 and 1; got {share}")
    if (manifest["split"] == "val").any():
        raise UserError("--val-from-train draws val from train, but there is a val; leave it, or add --overwrite")
    if not (manifest["split"] == "train").any():
        raise UserError("--val-from-train draws val from an official train, and there is none; leave it")
    kept = {group: split for group, split in given.items() if SPLITS[split] != "train"}
    rest = 1 - float((np.isin(groups.codes, list(kept))).mean())
    return kept, np.array([rest * (1 - share), rest * share, 0.0])


def _fill(
    cells: NDArray[np.int64],
    group_codes: NDArray[np.integer[Any]],
    chosen: NDArray[np.int64],
    fixed: set[int],
    wanted: NDArray[np.intp],
) -> None:
    """Give each wanted split a group of each cell that has enough of them, from the split with most of it.

    Args:
        cells: of each row, such as its label.
        group_codes: of each row.
        chosen: split of each group; changed here.
        fixed: groups that stay.
        wanted: splits to be filled.
    """
    present = np.zeros((cells.max() + 1 if len(cells) else 0, len(SPLITS)), dtype=np.int64)
    np.add.at(present, (cells, chosen[group_codes]), 1)
    for cell, split in itertools.product(range(len(present)), wanted):
        if present[cell, split] or not present[cell].any():
            continue
        groups, sizes = np.unique(group_codes[cells == cell], return_counts=True)
        if len(groups) < len(wanted):
            continue
        for home in np.argsort(-present[cell], kind="stable"):
            there = np.flatnonzero((chosen[groups] == home) & ~np.isin(groups, list(fixed)))
            # The smallest first; a few suffice, as nearly every group may be moved where there are many.
            for group in groups[there[np.argsort(sizes[there], kind="stable")][:64]]:
                moved = np.bincount(cells[group_codes == group], minlength=len(present))
                if home in wanted and ((moved > 0) & (moved == present[:, home])).any():
                    continue
                chosen[group] = split
                present[:, home] -= moved
                present[:, split] += moved
                break
            if present[cell, split]:
                break


def _check_filled(
    manifest: pd.DataFrame,
    wanted: NDArray[np.intp],
    official: pd.Series,
    hold_out: Sequence[str],
    overwritten: bool,
    val_from_train: float,
) -> None:
    """Refuse a split that lacks a class: training or testing would fail later, or mean nothing."""
    for label in sorted(set(manifest["label"])):
        rows = manifest[manifest["label"] == label]
        for split in (SPLITS[i] for i in wanted):
            if (rows["split"] == split).any():
                continue
            what, number = ("real", "fake")[label], rows["group"].nunique()
            there = "; ".join(f"{(rows['split'] == name).sum()} in {name}" for name in SPLITS)
            given = official[manifest["label"] == label]
            if val_from_train:
                advice = (
                    "train has too few groups to give one to val; index more images, or leave val out with --fractions"
                )
            elif not (given == "").any() and split == "val" and not overwritten:
                advice = "draw val from train by group with --val-from-train 0.1"
            elif not (given == "").any() and split == "test" and not overwritten:
                share = round(float((official == "train").mean()), 2)
                advice = (
                    "where the set's val is its test part, as in GenImage, say --val-is-test (and "
                    f"--val-from-train 0.1), or leave test out with --fractions {share:g} {1 - share:.2g} 0"
                )
            elif not (given == "").any() and not overwritten:
                advice = f"index the images of {split} as well, or leave it out with --fractions"
            elif hold_out:
                advice = (
                    "the groups that are held out take all others along; index with another --group-by (folder, "
                    "file), or hold out less"
                )
            else:
                advice = (
                    "groups are never parted: index more images, group them otherwise (`fakefreq index --group-by "
                    "folder` or file), or leave a split out with --fractions 0.8 0 0.2"
                )
            raise UserError(
                f"the {split} split would have no {what} image: {len(rows)} of them are in {number} groups ({there}); "
                f"{advice}"
            )


def _given_splits(manifest: pd.DataFrame, groups: pd.Categorical) -> dict[int, int]:
    """Return group code -> split number of the groups that have one already."""
    has = manifest["split"].to_numpy() != ""
    pairs = zip(groups.codes[has], manifest["split"].to_numpy()[has], strict=True)
    return {int(code): SPLITS.index(split) for code, split in pairs}


def held_rows(manifest: pd.DataFrame, hold_out: Sequence[str]) -> pd.Series:
    """Return which rows all terms mean, with their groups."""
    held = pd.Series(False, manifest.index)
    for term in hold_out:
        held |= manifest["group"].isin(set(manifest["group"][_held_out(manifest, term)]))
    return held


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
        "take one of them out (`fakefreq manifest filter`, --where path!=...), or, if the splits that were given need "
        "not be kept, draw all anew with `fakefreq split --overwrite`"
    )
