"""What is done to manifests after they were made: split, merge, filter, sample, check."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pandas as pd

from fakefreq.data.manifest_table import read_manifest, write_manifest
from fakefreq.data.splits import split_manifest


def move_paths(manifest: pd.DataFrame, here: str | Path, there: str | Path) -> pd.DataFrame:
    """Return a manifest whose paths are relative to another folder; absolute ones stay.

    Args:
        manifest: a table of images.
        here: the folder that its paths are relative to.
        there: the folder that they shall be relative to.
    """
    here, there = os.path.abspath(here), os.path.abspath(there)  # noqa: PTH100 (resolve() would follow links)
    if here == there:
        return manifest
    moved = [
        path if path.startswith("/") else os.path.relpath(f"{here}/{path}", there).replace(os.sep, "/")
        for path in manifest["path"]
    ]
    return manifest.assign(path=moved)


def rewrite_split(
    manifest_path: Path,
    out: Path,
    fractions: tuple[float, float, float],
    seed: int,
    keep: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Split a manifest file by group and write it, to itself or elsewhere; the work of `fakefreq split`.

    Args:
        manifest_path: the manifest.
        out: where to write; the paths in it are made relative to its folder.
        fractions: shares of train, val and test.
        seed: of the shuffle.
        keep: rows that have a split keep it.
        say: called with lines for the user.
    """
    manifest = split_manifest(read_manifest(manifest_path), fractions, seed, keep)
    manifest = move_paths(manifest, Path(manifest_path).parent, Path(out).parent)
    write_manifest(manifest, out)
    counts = manifest.groupby(["subset", "label"])["split"].value_counts().unstack(fill_value=0)
    for key, row in counts.iterrows():
        subset, label = cast("tuple[str, int]", key)
        parts = ", ".join(f"{row.get(name, 0)} {name}" for name in ("train", "val", "test"))
        say(f"  {subset or 'all'} {'fake' if label else 'real'}: {parts}")
    say(f"split manifest: {out}")
    return manifest
