"""One history for both classes: every image of a manifest cropped, resized and encoded by one law."""

import hashlib
import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pandas as pd

from fakefreq.data.degrade.history import History, apply_history
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.manifest.faces import FACES, FaceCrop, Square, frame_faces
from fakefreq.data.manifests import fill_headers, read_manifest, write_manifest, write_skipped
from fakefreq.errors import UserError
from fakefreq.files import atomic_path, read_json, write_json
from fakefreq.progress import track

logger = logging.getLogger(__name__)

RECIPE = "align.json"
MANIFEST = "manifest.csv"
SKIPPED = "skipped.csv"


def refuse_second_history(manifest_path: str | Path, history: str, instead: str) -> None:
    """Refuse to bring images through a history on the way in where their files are what `align` made of others.

    Args:
        manifest_path: of the images.
        history: that they would go through.
        instead: what the user can do, such as `leave --history empty`.

    Raises:
        UserError: the manifest lies beside the recipe of `align`.
    """
    recipe = Path(manifest_path).parent / RECIPE
    if recipe.exists():
        done = read_json(recipe, "the recipe of an alignment")["history"]
        raise UserError(
            f"the images of {manifest_path} have gone through {done} already ({recipe}), and would now go through "
            f"{history} too; {instead}, or give the manifest of the originals"
        )


def align_manifest(
    manifest_path: str | Path,
    out: str | Path,
    history: History,
    seed: int = 0,
    too_small: Literal["stop", "skip"] = "stop",
    *,
    on_error: Literal["stop", "skip"] = "stop",
    jobs: int = -1,
    face: FaceCrop | None = None,
    without_face: Literal["stop", "skip"] = "stop",
) -> pd.DataFrame:
    """Bring every image of a manifest through one history and write files, manifest and recipe; resumable.

    Quality and kernel, where the history leaves them open, are drawn by seed and the original's sha256: one law for
    both classes, and the same bytes whenever it is done again. Groups, splits, generators, sources
    and columns of your own are kept.

    Args:
        manifest_path: of the originals.
        out: folder to write; files of an interrupted run with the same recipe are kept.
        history: one for all.
        seed: of the draws.
        too_small: images smaller than the history's size: `stop`, or `skip` and list them in skipped.csv. They are
            never enlarged: that leaves traces that would tell the classes apart.
        on_error: the same for images that cannot be read.
        jobs: threads; -1 is one a core.
        face: crop to a face before the history, in both classes alike; what was found is kept in faces.csv.
        without_face: the same as `too_small` for images without a face, or with one whose square they do not hold.

    Returns:
        The manifest of the new files, as written.

    Raises:
        UserError: another recipe in the folder, an image too small, unreadable or without a face, nothing left of a
            class.
    """
    manifest_path, out = Path(manifest_path), Path(out)
    manifest = read_manifest(manifest_path, with_own=True)
    if (manifest["sha256"] == "").any():
        raise UserError(f"{manifest_path} lacks sha256 sums, by which qualities are drawn; index the folder anew")
    root, recipe = manifest_path.parent, {"history": _law(face, history), "seed": seed}
    _check_recipe(out, recipe)
    squares: dict[str, Square] = {}
    skipped: list[tuple[str, str]] = []
    sized = manifest
    if face is not None:
        framing = frame_faces(manifest, root, face, out / FACES, without_face, on_error=on_error, jobs=jobs)
        squares = framing.squares
        skipped = [*framing.unreadable, *framing.without.items()]
        sized = manifest[manifest["path"].isin(squares)]
        sides = [squares[path].side for path in sized["path"]]
        sized = sized.assign(width=sides, height=sides)
    # 0 is no size but none that is known, as in manifests of other programs: the image itself tells.
    small = sized[_side(sized).between(1, (history.size or 0) - 1)]
    if len(small) and too_small == "stop":
        raise UserError(_too_small(small, len(manifest), history, face))
    rows = sized.drop(index=small.index).reset_index(drop=True)
    named = zip(rows["path"], rows["label"], rows["subset"], rows["sha256"], strict=True)
    names = [_name(path, label, subset, sha256, history.suffix) for path, label, subset, sha256 in named]
    write_json(out / RECIPE, recipe)

    def one(task: tuple[str, str, str]) -> ImageError | None:
        path, sha256, name = task
        return _write(root / path, sha256, out / name, history, seed, squares.get(path))

    skipped += [
        (path, f"{width}x{height} is smaller than {history.size}")
        for path, width, height in zip(small["path"], small["width"], small["height"], strict=True)
    ]
    kept = []
    with ThreadPoolExecutor((os.cpu_count() or 1) if jobs < 1 else jobs) as pool:
        tasks = zip(rows["path"], rows["sha256"], names, strict=True)
        for number, error in enumerate(track(pool.map(one, tasks), "align", len(rows))):
            if error is None:
                kept.append(number)
            elif on_error == "stop" and not isinstance(error, _TooSmall):
                pool.shutdown(cancel_futures=True)
                raise UserError(f"{error}; mend or remove it, or pass it over with --on-error skip")
            elif isinstance(error, _TooSmall) and too_small == "stop":
                pool.shutdown(cancel_futures=True)
                raise UserError(f"{error}; leave it out with --too-small skip, or lower --size")
            else:
                skipped.append((str(rows["path"].iloc[number]), error.reason))
    if rows["label"].iloc[kept].nunique() < manifest["label"].nunique():
        raise UserError(
            f"nothing is left of one class: all its images are smaller than size {history.size}, unreadable or "
            "without a face; lower --size"
        )
    table = rows.iloc[kept].assign(path=[names[number] for number in kept])
    table = fill_headers(table, out).sort_values("path", ignore_index=True)
    write_manifest(table, out / MANIFEST)
    logger.info(f"history: {recipe['history']}, seed {seed}")
    logger.info(f"manifest: {out / MANIFEST} ({len(table)} of {len(manifest)} images)")
    if skipped:
        write_skipped(skipped, out / SKIPPED)
        logger.warning(f"{len(skipped)} images left out; listed with reasons in {out / SKIPPED}")
        for line in _left_out(manifest, {path for path, _ in skipped}):
            logger.info(line)
    elif (out / SKIPPED).exists():
        (out / SKIPPED).unlink()
    return table


class _TooSmall(ImageError):
    """Found out only when decoding: the manifest's size was another."""


def _side(manifest: pd.DataFrame) -> pd.Series:
    return manifest[["width", "height"]].min(axis=1)


def _law(face: FaceCrop | None, history: History) -> str:
    """All that is done to an image, in words."""
    return f"{face},{history}" if face else str(history)


def _too_small(small: pd.DataFrame, total: int, history: History, face: FaceCrop | None) -> str:
    counts = Counter(
        (subset or "all", side) for subset, side in zip(small["subset"], _side(small).tolist(), strict=True)
    )
    listed = ", ".join(f"{count} of {subset} ({side} pixels)" for (subset, side), count in counts.most_common(4))
    return (
        f"{len(small)} of {total} {'faces' if face else 'images'} are smaller than size {history.size}: {listed}; "
        "enlarging would leave traces. "
        f"Lower --size to {int(_side(small).min())}, or leave them out with --too-small skip"
    )


def _left_out(manifest: pd.DataFrame, paths: set[str]) -> list[str]:
    """Of which subsets and classes images were left out: a class that loses more than the other is a bias."""
    lost = manifest["path"].isin(paths)
    lines = []
    for (subset, label), part in lost.groupby([manifest["subset"], manifest["label"]]):
        if part.any():
            lines.append(
                f"  {subset or 'all'} {'fake' if label else 'real'}: {int(part.sum())} of {len(part)} left out"
            )
    return lines


def _check_recipe(out: Path, recipe: dict[str, object]) -> None:
    path = out / RECIPE
    if path.exists():
        found = read_json(path, "the recipe of the alignment")
        if found != recipe:
            raise UserError(f"{out} holds images of another history or seed, {found}; choose another --out")
    elif out.exists() and any(file.name != FACES for file in out.iterdir()):
        raise UserError(f"{out} is not empty and holds no alignment; choose another --out")


def _name(path: str, label: int, subset: str, sha256: str, suffix: str) -> str:
    """A path without anything of the original's name that could hold the class but the folder of its label."""
    key = hashlib.sha256(path.encode()).hexdigest()[:8]
    parts = (_plain(subset), "1_fake" if label else "0_real", f"{sha256[:16]}-{key}{suffix}")
    return "/".join(part for part in parts if part)


def _plain(text: str) -> str:
    """A subset's name as a folder's: `.` and separators would lead out of the folder."""
    return "".join(letter if letter.isalnum() or letter in "-_ " else "_" for letter in text).strip()


def _write(
    source: Path, sha256: str, target: Path, history: History, seed: int, square: Square | None
) -> ImageError | None:
    # A file of the final name is whole: it was renamed into place.
    if target.exists():
        return None
    try:
        image = read_image(source)
    except ImageError as error:
        return error
    if square is not None:
        image = square.cut(image)
    if history.size is not None and min(image.shape[:2]) < history.size:
        return _TooSmall(source, f"{image.shape[1]}x{image.shape[0]} is smaller than {history.size}")
    payload = apply_history(image, history, sha256, seed)
    with atomic_path(target) as temporary:
        temporary.write_bytes(payload)
    return None
