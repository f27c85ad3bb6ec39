"""Contact sheets: a few images of a build side by side, for a person to look at."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import resize
from fakefreq.files import atomic_path

SHEETS = "contact_sheets"
_COLUMNS = 8
_GAP = 4


def write_sheet(path: str | Path, rows: Sequence[Sequence[Path]], side: int = 128) -> None:
    """Write a grid of images as PNG, one list of files a row, the shorter rows filled with grey.

    Args:
        path: the PNG to write.
        rows: image files, at most eight of each list are shown.
        side: of a cell in pixels; a larger image is reduced, a smaller one shown as it is, so that no pixel of
            its own is smoothed.
    """
    rows = [row[:_COLUMNS] for row in rows if row]
    columns = max(len(row) for row in rows)
    step = side + _GAP
    sheet = np.full((len(rows) * step + _GAP, columns * step + _GAP, 3), 128, np.uint8)
    for line, row in enumerate(rows):
        for column, file in enumerate(row):
            cell = _fit(read_image(file), side)
            top, left = _GAP + line * step, _GAP + column * step
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _fit(image: np.ndarray, side: int) -> np.ndarray:
    """At most `side` pixels a side, by the mean over the covered pixels; a tiny image is repeated in whole pixels."""
    longer = max(image.shape[:2])
    if longer > side:
        height, width = (max(1, round(edge * side / longer)) for edge in image.shape[:2])
        return resize(image, height, width, "area", True)
    times = side // longer
    return image.repeat(times, axis=0).repeat(times, axis=1)
