"""Drawn photographs, in memory and as files."""

import itertools
from pathlib import Path

import cv2
import numpy as np

from tests.conftest import draw_photo


def photo(seed: int, side: int = 96) -> np.ndarray:
    return draw_photo(np.random.default_rng(seed), side)


def save(path: Path, picture: np.ndarray, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def small_set(root: Path, count: int = 6) -> Path:
    for kind, number in itertools.product(("0_real", "1_fake"), range(count)):
        save(root / "gan" / kind / f"{kind}{number}.jpg", photo(number + 100 * (kind == "1_fake")))
    return root
