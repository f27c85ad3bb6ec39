"""Ready-made fakes of Gemini 3 Pro Image, which the package openpeople carries: 40 of its 60 images.

An unseen family to test on, never to train on: ten people who do not exist, four images of each, all of them
saved once as JPEG before the zoo meets them. The package's other 20 images are sheets of many views with
captions, no face images, and are left out. There are no reals of their kind, so read their recall at a
threshold set elsewhere, or their scores beside other reals' with the real-vs-real control.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.wheels.archive import list_members, read_member
from fakefreq.wheels.fetch import WHEELS, fetch_wheel
from fakefreq.zoo.photos import decode_photo

PACKAGE = "openpeople"
SIZE = 1536
"""The least side of all; each image is cropped to it, not resampled."""

COUNT = 40
_PEOPLE = 10
_KINDS = ("studio_portrait", "amateur_selfie", "studio_posture", "amateur_posture")
_FOLDER = "openpeople/data/curated/"


class OpenPeople:
    """The images in a fixed order: 10 portraits, 10 selfies, 20 standing people; image i shows person i % 10.

    Args:
        path: the wheel.

    Raises:
        UserError: it cannot be read, or lacks images.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        members = list_members(path, _FOLDER, ".jpg")
        self.members = [member for kind in _KINDS for member in members if member.endswith(f"/{kind}.jpg")]
        if not self.members:
            raise UserError(f"{Path(path).name} holds no images; fetch it again")

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.members)

    def sample_at(self, indices: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
        """Read chosen images.

        Args:
            indices: 0 to 39.
            seed: means nothing here, since the images are fixed.

        Shape: (len(indices), 1536, 1536, 3) uint8, RGB.

        Raises:
            UserError: there are not as many.
        """
        del seed
        if max(indices, default=0) >= len(self):
            raise UserError(
                f"openpeople has {len(self)} images, number {max(indices)} is wanted; lower --count to {len(self)}"
            )
        images = [decode_photo(read_member(self.path, self.members[index]), self.members[index]) for index in indices]
        return np.stack([_crop(image) for image in images])


def person_of(index: int) -> str:
    """The group of an image: who is on it.

    >>> person_of(13)
    'openpeople_P004'
    """
    return f"openpeople_P{index % _PEOPLE + 1:03d}"


def _crop(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a square without resampling: the middle, but of a tall image the top, where the head is."""
    height, width = image.shape[:2]
    if min(height, width) < SIZE:
        raise UserError(f"an image of openpeople has {width}x{height} pixels, fewer than {SIZE}; fetch it again")
    top, left = (0 if height > width else (height - SIZE) // 2), (width - SIZE) // 2
    return image[top : top + SIZE, left : left + SIZE]


def load_openpeople() -> OpenPeople:
    """Fetch the images.

    Raises:
        UserError: the wheel cannot be had.
    """
    return OpenPeople(fetch_wheel(WHEELS[PACKAGE]))
