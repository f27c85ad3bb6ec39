"""Resampling with kernel and antialiasing named, and crops by position: training, central and test-time crops."""

from functools import lru_cache
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fakefreq.errors import choose

Kernel = Literal["area", "bilinear", "bicubic", "lanczos"]
KERNELS: list[str] = list(get_args(Kernel))

_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}


def resize(image: NDArray[np.uint8], height: int, width: int, kernel: Kernel, antialias: bool) -> NDArray[np.uint8]:
    """Resample an image; sample points are pixel centres, and the result is rounded once.

    Args:
        image: RGB.
        height: rows wanted, at least 1.
        width: columns wanted, at least 1.
        kernel: `area` (mean over the covered pixels, which is its own antialiasing), `bilinear`,
            `bicubic` (a = -0.5; Keys, "Cubic convolution interpolation", 1981) or `lanczos` (three lobes).
        antialias: widen the kernel by the factor of reduction, so that it also filters.

    Shape: (H, W, 3) -> (height, width, 3).

    >>> resize(np.full((8, 8, 3), 77, np.uint8), 3, 5, "lanczos", True)[..., 0].tolist()[0]
    [77, 77, 77, 77, 77]
    """
    choose(kernel, KERNELS, "kernel", "--history kernel=")
    if image.shape[:2] == (height, width):
        return image.copy()
    if kernel == "area":
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    rows = _sparse_matrix(image.shape[0], height, kernel, antialias)
    columns = _sparse_matrix(image.shape[1], width, kernel, antialias)
    values = (rows @ image.reshape(image.shape[0], -1).astype(np.float64)).reshape(height, image.shape[1], 3)
    values = (columns @ values.swapaxes(0, 1).reshape(image.shape[1], -1)).reshape(width, height, 3).swapaxes(0, 1)
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded)


@lru_cache(maxsize=256)
def _sparse_matrix(before: int, after: int, kernel: Kernel, antialias: bool) -> csr_array:
    """`resampling_matrix` without its zeros, which are nearly all: a dense product takes 20 to 100 times longer."""
    return csr_array(resampling_matrix(before, after, kernel, antialias))


def resampling_matrix(before: int, after: int, kernel: Kernel, antialias: bool) -> NDArray[np.float64]:
    """The linear map of one axis; each row sums to 1, and what falls outside is given to no one.

    Shape: (after, before).
    """
    scale = before / after
    stretch = max(scale, 1.0) if antialias else 1.0
    centres = (np.arange(after) + 0.5) * scale - 0.5
    weights = _profile((np.arange(before)[None, :] - centres[:, None]) / stretch, kernel)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _profile(distance: NDArray[np.float64], kernel: Kernel) -> NDArray[np.float64]:
    far = np.abs(distance)
    if kernel == "bilinear":
        values = 1.0 - far
    elif kernel == "bicubic":
        near = (1.5 * far - 2.5) * far * far + 1.0
        values = np.where(far < 1.0, near, ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0)
    else:
        values = np.sinc(distance) * np.sinc(distance / 3.0)
    return np.where(far < _SUPPORT[kernel], values, 0.0)


def crop_image(image: np.ndarray, crop: int, top: float, left: float) -> np.ndarray:
    """Cut a square out of an image; where the image is smaller it is first continued by reflection, centred.

    Args:
        image: (H, W, 3).
        crop: side in pixels.
        top: where the square starts, as a share in [0, 1] of the room that there is; .5 is the centre.
        left: the same, sideways.

    Shape:
        - output: (crop, crop, 3)

    >>> crop_image(np.arange(3, dtype=np.uint8).reshape(1, 3, 1).repeat(3, 2), 2, 0.5, 1.0)[..., 0].tolist()
    [[1, 2], [1, 2]]
    """
    height, width = image.shape[:2]
    down, right = max(0, crop - height), max(0, crop - width)
    if down or right:
        # BORDER_REFLECT repeats the edge pixel, so it is defined for one pixel too and repeats as often as needed.
        image = cv2.copyMakeBorder(
            image, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_REFLECT
        )
        height, width = image.shape[:2]
    y, x = (min(int(share * (room + 1)), room) for share, room in ((top, height - crop), (left, width - crop)))
    return image[y : y + crop, x : x + crop]


# (top, left, mirrored) of each view: the two that see the middle, then corners across from each other.
_PLACES = ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
_VIEWS = (
    (0.5, 0.5, False),
    (0.5, 0.5, True),
    *((top, left, False) for top, left in _PLACES),
    *((top, left, True) for top, left in _PLACES),
)
MOST_VIEWS = len(_VIEWS)


def cut_views(image: np.ndarray, crop: int, views: int) -> list[tuple[np.ndarray, bool]]:
    """Cut the first of ten views; of each the square, not copied, and whether it has still to be mirrored."""
    return [(crop_image(image, crop, top, left), mirrored) for top, left, mirrored in _VIEWS[:views]]


def crop_views(image: np.ndarray, crop: int, views: int) -> np.ndarray:
    """Cut the first of ten views: the centre, the centre mirrored, the four corners, the corners mirrored.

    Where the image is no larger than the crop, a corner is the centre again.

    Args:
        image: (H, W, 3).
        crop: side in pixels; see `crop_image`.
        views: how many, 1 to 10.

    Shape:
        - output: (views, crop, crop, 3)
    """
    return np.stack([view[:, ::-1] if mirrored else view for view, mirrored in cut_views(image, crop, views)])
