"""Squares cut out of images: one at a place, or several views."""

import cv2
import numpy as np


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
