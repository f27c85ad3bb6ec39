"""Train, validation and test parts that never share a group."""

import numpy as np
import pandas as pd

from fakefreq.errors import UserError

SPLITS = ("train", "val", "test")


def split_manifest(
    manifest: pd.DataFrame, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0, keep: bool = True
) -> pd.DataFrame:
    """Fill the `split` column by group, stratified by subset, generator and label.

    Groups are taken in an order shuffled by the seed, large ones first, and each goes where it leaves the summed
    squared distance from the wanted counts of its strata smallest. With groups of one image the counts are exact.

    Args:
        manifest: a table of images.
        fractions: shares of train, val and test, each 0 or more, of sum 1.
        seed: of the shuffle.
        keep: rows that have a split keep it, and with them their whole group; False splits all anew.

    Returns:
        A copy with `split` filled.

    Raises:
        UserError: fractions that are not shares of one; a group whose images have been given to different splits.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"--fractions takes three shares of train, val and test of sum 1; got {fractions}")
    result = manifest.copy()
    if not keep:
        result["split"] = ""
    check_splits(result)
    strata = result.groupby(["subset", "generator", "label"], sort=True).ngroup().to_numpy()
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


def check_splits(manifest: pd.DataFrame) -> None:
    """Prove that no group, and no file's bytes, is in two splits.

    Raises:
        UserError: names two files that are parted, or a split of an unknown name.
    """
    unknown = sorted(set(manifest["split"]) - {*SPLITS, ""})
    if unknown:
        raise UserError(f"the manifest has a split named {unknown[0]!r}; splits are train, val and test")
    placed = manifest[manifest["split"] != ""]
    for column, what in (("group", "group"), ("sha256", "bytes")):
        known = placed[placed[column] != ""]
        parted = known.groupby(column)["split"].transform("nunique") > 1
        if parted.any():
            rows = known[parted]
            rows = rows[rows[column] == rows[column].iloc[0]].drop_duplicates("split").iloc[:2]
            (a, b), (x, y) = rows["path"], rows["split"]
            raise UserError(
                f"{a} ({x}) and {b} ({y}) are of the same {what} but in different splits: the result would be "
                "leaked; split again with `fakefreq split --overwrite`"
            )
