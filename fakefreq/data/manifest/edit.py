"""What is done to manifests after they were made: split, merge, filter, sample, check."""

import hashlib
import logging
import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from fakefreq.data.images.decode import read_bytes
from fakefreq.data.manifest.duplicates import NEAR_BITS, merge_groups, near_duplicates
from fakefreq.data.manifest.kept_splits import check_kept
from fakefreq.data.manifest.places import PathsFrom
from fakefreq.data.manifest.splits import FRACTIONS, check_splits, split_manifest
from fakefreq.data.manifest.table import (
    COLUMNS,
    NUMBERS,
    manifest_digest,
    own_columns,
    read_manifest,
    to_texts,
    write_manifest,
)
from fakefreq.errors import UserError, at_least, choose
from fakefreq.progress import track

logger = logging.getLogger(__name__)


def move_paths(manifest: pd.DataFrame, here: str | Path, there: str | Path) -> pd.DataFrame:
    """Return a manifest whose paths are relative to another folder; absolute ones stay.

    Args:
        manifest: a table of images.
        here: the folder that its paths are relative to.
        there: the folder that they shall be relative to.
    """
    if Path(here).resolve() == Path(there).resolve():
        return manifest
    relative = PathsFrom(there)
    moved = [path if path.startswith("/") else relative(f"{Path(here)}/{path}") for path in manifest["path"]]
    return manifest.assign(path=moved)


def rewrite_split(
    manifest_path: Path,
    out: Path,
    fractions: tuple[float, float, float] | None = None,
    seed: int | None = None,
    keep: bool = True,
    *,
    hold_out: Sequence[str] = (),
    val_from_train: float = 0.0,
    val_is_test: bool = False,
) -> pd.DataFrame:
    """Split a manifest file by group and write it, to itself or elsewhere; the work of `fakefreq split`.

    Args:
        manifest_path: the manifest.
        out: where to write; the paths in it are made relative to its folder.
        fractions: shares of train, val and test; None: those of `split_manifest`, or what splits are there.
        seed: of the shuffle; None: 0.
        keep: rows that have a split keep it; their number is told.
        hold_out: `generator=NAME` or `source=NAME`, which goes to test as a whole.
        val_from_train: share of train's groups that become val.
        val_is_test: the official val is the test part.

    Raises:
        UserError: as `split_manifest`, `check_kept` and `check_splits`; nothing is written then.
    """
    before = read_manifest(manifest_path, with_own=True)
    manifest = split_manifest(
        before,
        fractions or FRACTIONS,
        seed or 0,
        keep,
        hold_out,
        val_from_train=val_from_train,
        val_is_test=val_is_test,
    )
    if keep:
        check_kept(before, manifest, fractions, seed, hold_out, val_from_train=val_from_train)
    check_splits(manifest)
    manifest = move_paths(manifest, Path(manifest_path).parent, Path(out).parent)
    write_manifest(manifest, out)
    counts = manifest.groupby(["subset", "label"])["split"].value_counts().unstack(fill_value=0)
    for key, row in counts.iterrows():
        subset, label = cast("tuple[str, int]", key)
        parts = ", ".join(f"{row.get(name, 0)} {name}" for name in ("train", "val", "test"))
        logger.info(f"  {subset or 'all'} {'fake' if label else 'real'}: {parts}")
    logger.info(f"split manifest: {out}")
    return manifest


def merge_manifests(paths: Sequence[Path], out: Path) -> pd.DataFrame:
    """Put several manifests into one.

    Args:
        paths: the manifests. A group of the same name in two of them is one group: an FFHQ number is the same
            photograph everywhere; where numbers mean different people, index with --group-by file.
        out: where to write; paths are made relative to its folder.

    Raises:
        UserError: an image with both labels, or an image in two splits.
    """
    parts = [move_paths(read_manifest(path, with_own=True), Path(path).parent, Path(out).parent) for path in paths]
    merged = _with_own_once(pd.concat(parts, ignore_index=True)).drop_duplicates(COLUMNS, ignore_index=True)
    twice = merged[merged["path"].duplicated(keep=False)]
    if len(twice):
        path = twice["path"].iloc[0]
        rows = twice[twice["path"] == path]
        column = next((n for n in ("label", "split", *COLUMNS) if rows[n].nunique() > 1), "row")
        raise _two_values(path, column, rows[column])
    check_labels(merged)
    merged["group"] = merge_groups(merged["group"], merged["sha256"], near_duplicates(merged))
    merged = merged.sort_values("path", ignore_index=True)
    check_splits(merged)
    write_manifest(merged, out)
    return merged


def _with_own_once(merged: pd.DataFrame) -> pd.DataFrame:
    """Of an image that is in several manifests, give each row what any of them has in the user's own columns."""
    twice = merged["path"].duplicated(keep=False)
    for name in own_columns(merged) if twice.any() else []:
        known = merged[twice & merged[name].notna() & (merged[name].astype(str) != "")]
        first = known.drop_duplicates("path").set_index("path")[name].astype(object)
        other = known[known[name].astype(str).to_numpy() != first.reindex(known["path"]).astype(str).to_numpy()]
        if len(other):
            path = other["path"].iloc[0]
            raise _two_values(path, name, known[name][known["path"] == path])
        merged[name] = merged[name].astype(object).where(~twice, first.reindex(merged["path"]).to_numpy())
    return merged


def _two_values(path: str, column: str, values: pd.Series) -> UserError:
    shown = " and ".join(repr(value) for value in values.unique()[:2])
    return UserError(f"the manifests give {path} two values of {column}: {shown}; mend one of them")


def check_labels(manifest: pd.DataFrame, near_bits: int = NEAR_BITS) -> None:
    """Prove that no file's bytes, and no near-duplicates of different groups, have both labels.

    Raises:
        UserError: names two files.
    """
    known = manifest[manifest["sha256"] != ""]
    labels = known.drop_duplicates("sha256").set_index("sha256")["label"]
    wrong = known[known["label"].to_numpy() != labels.reindex(known["sha256"]).to_numpy()]
    if len(wrong):
        other = known[(known["sha256"] == wrong["sha256"].iloc[0]) & (known["label"] != wrong["label"].iloc[0])]
        raise _contradiction(wrong.iloc[0], other.iloc[0], "have the same bytes")
    pairs = near_duplicates(manifest, near_bits)
    label, group = manifest["label"].to_numpy(), manifest["group"].to_numpy()
    across = pairs[(label[pairs[:, 0]] != label[pairs[:, 1]]) & (group[pairs[:, 0]] != group[pairs[:, 1]])]
    if len(across):
        raise _contradiction(manifest.iloc[across[0, 0]], manifest.iloc[across[0, 1]], "look the same")


def _contradiction(one: pd.Series, other: pd.Series, what: str) -> UserError:
    words = ("real", "fake")
    return UserError(
        f"{one['path']} ({words[one['label']]}) and {other['path']} ({words[other['label']]}) {what}: "
        "one of the labels is wrong, or they are a photograph and its fake and belong into one group"
    )


def check_manifest(path: Path, files: bool = False) -> None:
    """See whether a manifest can be trusted: its seal, labels, splits, and on demand every file's bytes.

    Args:
        path: the manifest.
        files: also hash every image anew.

    Raises:
        UserError: the first thing that is wrong, with the files that it is about.
    """
    manifest = read_manifest(path)
    check_labels(manifest)
    check_splits(manifest)
    pairs = near_duplicates(manifest)
    group = manifest["group"].to_numpy()
    apart = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
    if len(apart):
        a, b = manifest["path"].iloc[apart[0]]
        raise UserError(f"{a} and {b} look the same but are in different groups; index again with --phash")
    unknown = int((manifest["sha256"] == "").sum())
    if files:
        for name, sha256 in track(zip(manifest["path"], manifest["sha256"], strict=True), "check", len(manifest)):
            if hashlib.sha256(read_bytes(path.parent / name)).hexdigest() != sha256 != "":
                raise UserError(f"{name} is not the file that was indexed: its bytes changed; index again")
    hashed = int((manifest["phash"] != "").sum())
    logger.info(f"{len(manifest)} images, {manifest['group'].nunique()} groups, digest {manifest_digest(manifest)}")
    logger.info(
        "labels, groups and splits agree"
        + (f", and {'all' if not unknown else len(manifest) - unknown} files are as they were indexed" if files else "")
    )
    if files and unknown:
        logger.warning(f"{unknown} of {len(manifest)} images have no sha256 to compare with: they are there, no more")
    logger.info(
        f"near-duplicates: {hashed} of {len(manifest)} images have a hash" + ("" if hashed else " (index --phash)")
    )


def filter_rows(manifest: pd.DataFrame, terms: Sequence[str]) -> pd.DataFrame:
    """Return the rows that all terms are true of.

    Args:
        manifest: a table of images.
        terms: `column=value`, `column!=value`, several values parted by commas, but one with commas in it where a row
            has that; for numbers also `<`, `>`, `<=`, `>=`. A value that no row has is warned of.

    Raises:
        UserError: not a term, no such column, or no row left.

    >>> table = pd.DataFrame({"path": ["a", "b", "c"], "generator": ["", "gan", "vae"], "width": [64, 128, 256]})
    >>> filter_rows(table, ["generator!=", "width<=128"])["path"].tolist()
    ['b']
    """
    table = manifest
    for term in terms:
        found = re.fullmatch(r"(\w+)\s*(!=|<=|>=|=|<|>)(.*)", term, re.DOTALL)
        if not found:
            raise UserError(f"{term!r} is no condition; --where takes column=value, column!=value, width>=256, ...")
        name, sign, value = found.groups()
        column = manifest[choose(name, list(manifest.columns), "column", "--where")]
        is_number = name in NUMBERS
        if sign in ("=", "!="):
            known, whole = set(to_texts(table[name]).unique()), value.strip()
            # A path may have commas in it.
            wanted = [whole] if whole in known else [part.strip() for part in value.split(",")]
            for absent in (part for part in wanted if part not in known):
                logger.warning(f"--where {term}: no {name} of the manifest is {absent!r}")
            among = to_texts(column).isin(wanted)
            manifest = manifest[among if sign == "=" else ~among]
            continue
        if not is_number or not re.fullmatch(r"\s*-?\d+\s*", value):
            raise UserError(f"{term!r}: {sign} compares numbers; columns of numbers are {', '.join(NUMBERS)}")
        compare = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}[sign]
        manifest = manifest[compare(column, int(value))]
    if manifest.empty:
        raise UserError(f"no image is left after {' and '.join(terms)}")
    return manifest.reset_index(drop=True)


def sample_rows(manifest: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return at most `count` images of each subset, generator, source and label, whole groups first, in path order.

    Args:
        manifest: a table of images.
        count: images a stratum, 1 or more.
        seed: of the choice, which does not depend on the order of rows.
    """
    if count < 1:
        raise UserError(f"--count takes 1 or more; got {count}")
    at_least(seed, 0, "--seed")
    ordered = manifest.sort_values("path", ignore_index=True)
    # A shuffle of groups, not of rows: pairs and people stay together as far as the count allows.
    groups = pd.factorize(ordered["group"], sort=True)[0]
    rank = np.random.default_rng(seed).permutation(groups.max() + 1 if len(groups) else 0)[groups]
    chosen = ordered.iloc[np.argsort(rank, kind="stable")]
    chosen = chosen.groupby(["subset", "generator", "source", "label"], sort=False).head(count)
    return chosen.sort_values("path", ignore_index=True)
