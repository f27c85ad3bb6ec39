"""The manifest, the table of images: made from a folder, read and written whole."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
from tqdm import tqdm

from fakefreq.data.header import ImageError, probe_header
from fakefreq.data.layouts import LAYOUTS, Entry, read_layout
from fakefreq.errors import UserError
from fakefreq.files import atomic_path

COLUMNS = [
    "path", "label", "generator", "source", "subset", "group", "split",
    "format", "mode", "width", "height", "jpeg_quality", "subsampling", "bytes", "sha256",
]  # fmt: skip
NUMBERS = ["label", "width", "height", "jpeg_quality", "bytes"]
NEEDED = ["path", "label", "generator", "subset", "group"]


def index_folder(
    folder: str | Path,
    manifest_path: str | Path,
    group_by: Literal["stem", "file", "folder"] = "stem",
    sources: Mapping[str, str] | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    allow_one_class: bool = False,
    jobs: int = -1,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Make the manifest of a folder and write it.

    Args:
        folder: real and fake images in a layout of `fakefreq.data.layouts`.
        manifest_path: the CSV file to write; the paths in it are relative to its folder.
        group_by: what is never parted by a split: images of the same file `stem` anywhere (an identity's number, a
            parent photo's name), of the same `folder` (a person), or only the same bytes (`file`). Files with the
            same bytes are in one group always.
        sources: subset -> where its reals come from.
        on_error: `stop` at an unreadable image, or `skip` it and list it in skipped.csv beside the manifest.
        allow_one_class: accept reals only or fakes only.
        jobs: threads; -1 is one a core. Hashing and reading leave the interpreter's lock.
        say: called with lines for the user.

    Returns:
        The manifest, sorted by path, and the skipped images as (path, reason).

    Raises:
        UserError: anything that the user can mend; nothing is written then.
    """
    manifest_path = Path(manifest_path)
    layout, entries, others = read_layout(folder)
    say(f"layout: {LAYOUTS[layout]}: {len(entries)} images" + (f", {others} other files ignored" if others else ""))
    base = Path(os.path.abspath(manifest_path)).parent  # noqa: PTH100 (resolve() would follow links)
    rows, skipped = [], []
    workers = (os.cpu_count() or 1) if jobs < 1 else jobs
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda entry: _row(entry, base, group_by), entries)
        for entry, row in zip(
            entries, tqdm(found, total=len(entries), desc="index", unit="image", leave=False), strict=True
        ):
            if isinstance(row, ImageError):
                if on_error == "stop":
                    pool.shutdown(cancel_futures=True)
                    raise UserError(f"{row}; mend or remove it, or pass it over with --on-error skip")
                skipped.append((row.path, row.reason))
            else:
                rows.append({**row, "source": (sources or {}).get(entry.subset, "") if not entry.label else ""})
    unknown = sorted(set(sources or {}) - {entry.subset for entry in entries})
    if unknown:
        raise UserError(f"--source names the subsets {', '.join(unknown)}, which {folder} does not have")
    manifest = pd.DataFrame(rows, columns=COLUMNS).sort_values("path", ignore_index=True)
    classes = manifest["label"].nunique()
    if classes < 2 and not allow_one_class:
        what = "no readable image" if not classes else f"only {'fake' if manifest['label'].iloc[0] else 'real'} images"
        raise UserError(
            f"{folder} holds {what}; both classes are needed to train or test (--allow-one-class accepts it)"
        )
    manifest["group"] = _merge_identical(manifest)
    for (subset, label), count in sorted(Counter(zip(manifest["subset"], manifest["label"], strict=True)).items()):
        say(f"  {subset or 'all'}: {count} {'fake' if label else 'real'}")
    write_manifest(manifest, manifest_path)
    say(f"manifest: {manifest_path} ({len(manifest)} images, {manifest['group'].nunique()} groups)")
    if skipped:
        listed = manifest_path.with_name("skipped.csv")
        write_skipped(skipped, listed)
        say(f"{len(skipped)} images skipped; listed with reasons in {listed}")
    return manifest, skipped


def _row(entry: Entry, base: Path, group_by: str) -> dict[str, Any] | ImageError:
    try:
        content = entry.path.read_bytes()
        facts = probe_header(entry.path, content)
    except OSError as error:
        return ImageError(entry.path, f"cannot be read ({error.strerror})")
    except ImageError as error:
        return error
    sha256 = hashlib.sha256(content).hexdigest()
    absolute = os.path.abspath(entry.path)  # noqa: PTH100 (resolve() would follow links)
    group = {"stem": entry.path.stem, "folder": entry.path.parent.as_posix(), "file": sha256}[group_by]
    return {
        "path": Path(os.path.relpath(absolute, base)).as_posix(),
        "label": entry.label,
        "generator": entry.generator,
        "subset": entry.subset,
        "group": group,
        "split": entry.split,
        **asdict(facts),
        "sha256": sha256,
    }


def _merge_identical(manifest: pd.DataFrame) -> pd.Series:
    """Join the groups that share a file's bytes, chains included; the smallest name stands for all."""
    parent = {name: name for name in manifest["group"]}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first: dict[str, str] = {}
    for group, sha256 in zip(manifest["group"], manifest["sha256"], strict=True):
        a, b = root(group), root(first.setdefault(sha256, group))
        parent[max(a, b)] = min(a, b)
    return manifest["group"].map(root)


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest; identifiers stay text, so that 00001 keeps its zeros.

    Raises:
        UserError: missing, damaged, without a needed column, with a label other than 0 and 1, or with a path twice.
    """
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise UserError(f"there is no manifest {path}; make one with `fakefreq index FOLDER --out {path}`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the manifest {path}: {error}") from error
    missing = [name for name in NEEDED if name not in manifest]
    if missing:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}: it is not a manifest; `fakefreq index` makes one"
        )
    wrong = manifest[~manifest["label"].isin(["0", "1"])]
    if len(wrong):
        raise UserError(
            f"{path}: the label of {wrong['path'].iloc[0]} is {wrong['label'].iloc[0]!r}; it is 0 (real) or 1"
        )
    twice = manifest[manifest["path"].duplicated()]
    if len(twice):
        raise UserError(f"{path} lists {twice['path'].iloc[0]} twice; keep one of the rows")
    for name in COLUMNS:
        if name not in manifest:
            manifest[name] = ""
        if name in NUMBERS:
            manifest[name] = pd.to_numeric(manifest[name], errors="coerce").fillna(0).astype(int)
    return manifest[COLUMNS]


def fill_headers(manifest: pd.DataFrame, root: str | Path) -> pd.DataFrame:
    """Return a manifest whose header facts and hashes are read anew from its images.

    Args:
        manifest: a table of images that another program made, with path, label, generator, subset and group.
        root: the folder that its paths are relative to.

    Raises:
        UserError: an image that is missing or unreadable.
    """
    facts = []
    for path in tqdm(manifest["path"], desc="headers", unit="image", leave=False):
        try:
            content = (Path(root) / path).read_bytes()
        except OSError as error:
            raise ImageError(path, f"cannot be read ({error.strerror})") from error
        digest = hashlib.sha256(content).hexdigest()
        facts.append({**asdict(probe_header(path, content)), "sha256": digest})
    return manifest.assign(**pd.DataFrame(facts, index=manifest.index).to_dict("series"))[COLUMNS]  # type: ignore[arg-type]


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest as CSV, atomically."""
    with atomic_path(path) as temporary:
        manifest.to_csv(temporary, index=False, columns=COLUMNS)


def write_skipped(skipped: list[tuple[str, str]], path: str | Path) -> None:
    """Write the list of images that were passed over, with the reason for each."""
    with atomic_path(path) as temporary:
        pd.DataFrame(skipped, columns=["path", "reason"]).to_csv(temporary, index=False)


def manifest_digest(manifest: pd.DataFrame) -> str:
    """Return 16 hexadecimal digits that change with any image, label, group or split."""
    text = manifest.reindex(columns=[*NEEDED, "split", "sha256"]).sort_values("path").to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
    from fakefreq.data.splits import split_manifest

    manifest = split_manifest(read_manifest(manifest_path), fractions, seed, keep)
    here, there = (os.path.abspath(path.parent) for path in (Path(manifest_path), Path(out)))  # noqa: PTH100
    if here != there:
        manifest["path"] = [
            path if Path(path).is_absolute() else Path(os.path.relpath(Path(here, path), there)).as_posix()
            for path in manifest["path"]
        ]
    write_manifest(manifest, out)
    counts = manifest.groupby(["subset", "label"])["split"].value_counts().unstack(fill_value=0)
    for key, row in counts.iterrows():
        subset, label = cast("tuple[str, int]", key)
        parts = ", ".join(f"{row.get(name, 0)} {name}" for name in ("train", "val", "test"))
        say(f"  {subset or 'all'} {'fake' if label else 'real'}: {parts}")
    say(f"split manifest: {out}")
    return manifest
