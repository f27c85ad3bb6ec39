"""The faces of a manifest's images: found once, kept in a table, and the square that is cut around each."""

import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.progress import track
from fakefreq.threads import one_torch_thread

logger = logging.getLogger(__name__)

Boxes = NDArray[np.float64]
"""(N, 4): left, top, right and bottom of each box in pixels, which may lie outside the image."""
FACES = "faces.csv"
"""What was found in each image: path, sha256, detector, width, height, faces, and the largest face's box in pixels."""
MARGINS = (-0.8, 2.0)
SIDES = ["left", "top", "right", "bottom"]
COLUMNS = ["path", "sha256", "detector", "width", "height", "faces", *SIDES]
# The table is written whole now and then, so that a killed run does not look for all faces again.
_KEEP_EVERY = 500


class FaceDetector(Protocol):
    """What finds faces; used by several threads at once.

    Attributes:
        name: of detector and weights, as recipes and tables write it.
    """

    @property
    def name(self) -> str: ...

    def find(self, image: NDArray[np.uint8]) -> Boxes:
        """Return the boxes of all faces in an RGB image, in any order.

        Shape: (H, W, 3) -> (N, 4).
        """
        ...


@dataclass(frozen=True)
class Square:
    """A square within an image, in pixels.

    Attributes:
        left: first column.
        top: first row.
        side: columns and rows.
        is_moved: whether it had to be moved to lie in the image.
    """

    left: int
    top: int
    side: int
    is_moved: bool

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the square's pixels.

        Shape: (H, W, 3) -> (side, side, 3).
        """
        return image[self.top : self.top + self.side, self.left : self.left + self.side]


def largest(boxes: Boxes) -> NDArray[np.float64]:
    """Return the box of the largest area; of equal ones the first.

    Shape: (N, 4), N of 1 or more -> (4,).
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    box: NDArray[np.float64] = boxes[int(areas.argmax())]
    return box


def square_around(box: NDArray[np.float64], height: int, width: int, margin: float = 0.0) -> Square | None:
    """Return the square around a box: of its longer side, on its centre, moved into the image where it leaves it.

    Args:
        box: left, top, right, bottom in pixels.
        height: of the image, in pixels.
        width: of the image, in pixels.
        margin: by how much the square is larger than the longer side, as a share of it.

    Returns:
        The square; None where it is larger than the image, since a part of it would be another framing.

    >>> square_around(np.array([10.0, 20.0, 30.0, 50.0]), 100, 100)
    Square(left=5, top=20, side=30, is_moved=False)
    >>> square_around(np.array([-4.0, 20.0, 16.0, 50.0]), 100, 100).left, square_around(np.array([0, 0, 9, 9]), 8, 99)
    (0, None)
    """
    side = round(max(box[2] - box[0], box[3] - box[1]) * (1 + margin))
    if side > min(height, width) or side < 1:
        return None
    left, top = round((box[0] + box[2] - side) / 2), round((box[1] + box[3] - side) / 2)
    inside = min(max(left, 0), width - side), min(max(top, 0), height - side)
    return Square(*inside, side, is_moved=inside != (left, top))


@dataclass(frozen=True)
class FaceCrop:
    """The crop to a face, the same for both classes: a square around the largest face that a detector finds.

    Attributes:
        detector: what finds faces.
        margin: by how much the square is larger than the longer side of the face's box, as a share of it, -.8 to 2.
    """

    detector: FaceDetector
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not MARGINS[0] <= self.margin <= MARGINS[1]:
            raise UserError(f"--face-margin takes {MARGINS[0]:g} to {MARGINS[1]:g}; got {self.margin:g}")

    def __str__(self) -> str:
        """As recipes name it, before the history."""
        return f"face={self.detector.name},margin={self.margin:g}"


@dataclass(frozen=True)
class Framing:
    """What is cut out of the images of a manifest.

    Attributes:
        squares: path -> its square.
        without: path -> why it has no square.
        unreadable: (path, reason) of images that do not decode.
    """

    squares: dict[str, Square]
    without: dict[str, str]
    unreadable: list[tuple[str, str]]


def frame_faces(
    manifest: pd.DataFrame,
    root: Path,
    crop: FaceCrop,
    table_path: Path,
    without_face: Literal["stop", "skip"] = "stop",
    *,
    on_error: Literal["stop", "skip"] = "stop",
    jobs: int = -1,
) -> Framing:
    """Find the faces of all images, write the table, and say which square is cut out of each image.

    Args:
        manifest: of the images.
        root: the folder that its paths are relative to.
        crop: which detector, which margin.
        table_path: the table; what it holds of the same bytes and the same detector is not looked for again.
        without_face: at images that have no face, or whose square is larger than the image: `stop`, or `skip`.
        on_error: the same for images that do not decode.
        jobs: threads; -1 is one a core.

    Raises:
        UserError: an image without a face or unreadable, where that stops; a table that is none.
    """
    table, unreadable = _find(manifest, root, crop.detector, table_path, on_error, jobs)
    squares: dict[str, Square] = {}
    without: dict[str, str] = {}
    needed = math.inf
    facts = table[["faces", "height", "width", *SIDES]].to_numpy(dtype=np.float64)
    for path, (faces, height, width, *sides) in zip(table["path"].astype(str), facts, strict=True):
        if not faces:
            without[path] = "no face is found"
            continue
        box = np.array(sides)
        longer = float(max(box[2:] - box[:2]))
        needed = min(needed, min(height, width) / longer - 1)
        square = square_around(box, int(height), int(width), crop.margin)
        if square is None:
            size = longer * (1 + crop.margin)
            without[path] = f"its face's square of {size:.0f} pixels is larger than {width:.0f}x{height:.0f}"
        else:
            squares[path] = square
    faceless = int((table["faces"] == 0).sum())
    if without and without_face == "stop":
        first, reason = next(iter(without.items()))
        advice = ["leave them out with --without-face skip"]
        if len(without) > faceless and needed > MARGINS[0]:
            advice.append(f"at --face-margin {math.floor(20 * needed) / 20:g} all squares fit")
        raise UserError(
            f"{len(without)} of {len(manifest)} images cannot be cropped to a face: {faceless} have none, "
            f"{len(without) - faceless} do not hold its square; the first is {first} ({reason}); {', or '.join(advice)}"
        )
    _tell(manifest, table, squares)
    return Framing(squares, without, unreadable)


def _find(
    manifest: pd.DataFrame,
    root: Path,
    detector: FaceDetector,
    table_path: Path,
    on_error: Literal["stop", "skip"],
    jobs: int,
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return a row of the table for each image that decodes, in the manifest's order, and those that do not."""
    known = _read(table_path, detector.name)
    rows: list[dict[str, Any]] = []
    unreadable: list[tuple[str, str]] = []

    def one(task: tuple[str, str]) -> dict[str, Any] | ImageError:
        path, sha256 = task
        if (path, sha256) in known:
            return known[path, sha256]
        try:
            image = read_image(root / path)
        except ImageError as error:
            return error
        boxes = detector.find(image)
        box = largest(boxes).round(2) if len(boxes) else [math.nan] * 4
        facts = [path, sha256, detector.name, image.shape[1], image.shape[0], len(boxes), *box]
        return dict(zip(COLUMNS, facts, strict=True))

    tasks = list(zip(manifest["path"].astype(str), manifest["sha256"].astype(str), strict=True))
    with one_torch_thread(), ThreadPoolExecutor((os.cpu_count() or 1) if jobs < 1 else jobs) as pool:
        for (path, _), found in zip(tasks, track(pool.map(one, tasks), "find faces", len(tasks)), strict=True):
            if isinstance(found, dict):
                rows.append(found)
                if len(rows) % _KEEP_EVERY == 0 and len(rows) > len(known):
                    _write(rows, table_path)
            elif on_error == "stop":
                pool.shutdown(cancel_futures=True)
                raise UserError(f"{found}; mend or remove it, or pass it over with --on-error skip")
            else:
                unreadable.append((path, found.reason))
    _write(rows, table_path)
    return pd.DataFrame(rows, columns=COLUMNS), unreadable


def _read(path: Path, detector: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what an earlier run found with the same detector, by path and sha256."""
    if not path.exists():
        return {}
    try:
        table = pd.read_csv(path, dtype={"path": str, "sha256": str, "detector": str}, keep_default_na=False,
                            na_values={name: [""] for name in SIDES})[COLUMNS]  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no table of faces ({error}); delete it, or choose another --out") from error
    records = table[table["detector"] == detector].to_dict("records")
    return {(row["path"], row["sha256"]): {str(name): value for name, value in row.items()} for row in records}


def _write(rows: list[dict[str, Any]], path: Path) -> None:
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(temporary, index=False)


def _tell(manifest: pd.DataFrame, table: pd.DataFrame, squares: dict[str, Square]) -> None:
    """Say of each class how many images have a face, several, or one near the border: a difference is a bias."""
    several = set(table.loc[table["faces"] > 1, "path"])
    moved = {path for path, square in squares.items() if square.is_moved}
    for label, paths in manifest.groupby("label")["path"]:
        cut = [path for path in paths if path in squares]
        logger.info(
            f"faces, {'fake' if label else 'real'}: {len(cut)} of {len(paths)} images are cropped to one; "
            f"{sum(path in several for path in cut)} have several, and the largest is taken; "
            f"{sum(path in moved for path in cut)} squares were moved into the image"
        )
