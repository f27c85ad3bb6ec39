"""Small copies of public data sets: the same folders and names, other pictures."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def picture(seed: int, side: int = 32) -> np.ndarray:
    """Smooth noise of its own: no two of them look the same."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX))  # type: ignore[call-overload]


def make_set(root: Path, names: Iterable[str], near: bool = False) -> Path:
    """Write a picture for each name.

    Args:
        root: the set's folder.
        names: below it.
        near: pictures of one folder are nearly equal, as the frames of a video are.
    """
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = zlib.crc32((str(path.parent) if near else f"{path} {number}").encode())
        pixels = picture(seed)
        pixels[0, 0] = number % 251
        assert cv2.imwrite(str(path), pixels)
    return root


def both(form: str, count: int = 4, classes: tuple[str, str] = ("real", "fake")) -> list[str]:
    """Return `form` with {k} replaced by each class and {i} by numbers from 0."""
    return [form.format(k=name, i=number) for name in classes for number in range(count)]
