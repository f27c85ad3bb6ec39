"""One history for all: the crop, the resize and the codec that every image goes through, real or fake."""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.config.input import InputConfig
from fakefreq.data.images.resample import KERNELS, Kernel, resize
from fakefreq.errors import UserError, choose

Codec = Literal["jpeg", "png", "webp"]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Crop = Literal["center square", "none"]
CODECS: list[str] = list(get_args(Codec))
SUBSAMPLINGS: list[str] = list(get_args(Subsampling))
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}

_SAMPLING_FACTORS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


@dataclass(frozen=True)
class History:
    """What is done to an image between camera or generator and file, in this order: crop, resize, encode.

    Attributes:
        size: side in pixels after the crop; None keeps the size.
        kernel: of the resize; see `fakefreq.data.images.resample.resize`. `any` is drawn anew for each image, like a
            range of qualities.
        antialias: whether the kernel is widened when it reduces (`area` always is).
        codec: `jpeg`, `png` (no loss) or `webp` (lossy).
        quality: of the codec, 1 to 100; two values are a range, drawn anew for each image by one law for
            both classes. PNG has none.
        subsampling: of JPEG's chroma.
        crop: `center square`, or `none`, which needs square images when there is a size.
    """

    size: int | None = 128
    kernel: Kernel | Literal["any"] = "area"
    antialias: bool = True
    codec: Codec = "jpeg"
    quality: int | tuple[int, int] = 90
    subsampling: Subsampling = "4:2:0"
    crop: Crop = "center square"

    def __post_init__(self) -> None:
        choose(self.kernel, [*KERNELS, "any"], "kernel", "--history kernel=")
        choose(self.codec, CODECS, "codec", "--history codec=")
        choose(self.subsampling, SUBSAMPLINGS, "subsampling", "--history subsampling=")
        choose(self.crop, list(get_args(Crop)), "crop", "--history crop=")
        low, high = self.quality_range
        if not 1 <= low <= high <= 100:
            raise UserError(f"quality {self.quality} is out of range; --history codec={self.codec}:Q takes 1 to 100")
        if self.size is not None and self.size < 8:
            raise UserError(f"size {self.size} is too small; --history size= takes 8 or more")

    @property
    def quality_range(self) -> tuple[int, int]:
        """Lowest and highest quality."""
        return self.quality if isinstance(self.quality, tuple) else (self.quality, self.quality)

    @property
    def suffix(self) -> str:
        """Of the files that the history writes."""
        return SUFFIXES[self.codec]

    def __str__(self) -> str:
        """The text that `parse_history` reads back, with nothing left to a default."""
        parts = [
            f"crop={'center' if self.crop == 'center square' else 'none'}",
            f"size={self.size or 'keep'}",
        ]
        parts += [f"kernel={self.kernel}", "antialias" if self.antialias else "no-antialias"]
        low, high = self.quality_range
        quality = str(low) if low == high else f"{low}-{high}"
        parts.append("codec=png" if self.codec == "png" else f"codec={self.codec}:{quality}")
        if self.codec == "jpeg":
            parts.append(f"subsampling={self.subsampling}")
        return ",".join(parts)


NATIVE = History(size=None, codec="jpeg", quality=(75, 95), crop="none")
"""Nothing resized or cropped, one JPEG law for all: where low-level evidence can be judged fairly."""

RAW = History(size=None, codec="png", crop="none")
"""The generator's own output, or the photo as it was decoded, without loss."""


def parse_history(text: str) -> History:
    """Read a history such as `size=128,kernel=lanczos,antialias,codec=jpeg:80-95`, or `raw`, or `native`.

    `native` is `crop=none,size=keep,codec=jpeg:75-95`; parts after it change it.

    Raises:
        UserError: an unknown word, or a value out of range.

    >>> str(parse_history("size=64,kernel=lanczos,no-antialias,codec=jpeg:80-95"))
    'crop=center,size=64,kernel=lanczos,no-antialias,codec=jpeg:80-95,subsampling=4:2:0'
    >>> parse_history("raw") == RAW, str(parse_history("native"))
    (True, 'crop=none,size=keep,kernel=area,antialias,codec=jpeg:75-95,subsampling=4:2:0')
    """
    if text.strip() == "raw":
        return RAW
    parts = [part.strip() for part in text.split(",") if part.strip()]
    history = History()
    if parts[:1] == ["native"]:
        history, parts = NATIVE, parts[1:]
    for part in parts:
        word, _, value = part.partition("=")
        try:
            if word == "size":
                history = replace(history, size=None if value == "keep" else int(value))
            elif word == "codec":
                codec, _, quality = value.partition(":")
                history = replace(history, codec=codec)  # type: ignore[arg-type]
                if quality:
                    low, _, high = quality.partition("-")
                    history = replace(history, quality=(int(low), int(high)) if high else int(low))
            elif word in ("antialias", "no-antialias") and not value:
                history = replace(history, antialias=word == "antialias")
            elif word == "crop":
                history = replace(history, crop="center square" if value.startswith("center") else value)  # type: ignore[arg-type]
            elif word in ("kernel", "subsampling"):
                history = replace(history, **{word: value})  # type: ignore[arg-type]
            else:
                words = ["size", "kernel", "antialias", "no-antialias", "codec", "subsampling", "crop", "raw", "native"]
                choose(word, words, "part of a history", "--history")
                raise UserError(f"cannot read {part!r} in --history; write it like size=128,codec=jpeg:90")
        except ValueError as error:
            raise UserError(f"{part!r} in --history is not a number; write it like size=128,codec=jpeg:90") from error
    return history


def written_out(text: str) -> str:
    """Return a history's text with nothing left to a default; empty stays empty.

    Raises:
        UserError: as `parse_history`.
    """
    return str(parse_history(text)) if text else ""


def history_of(config: InputConfig) -> History | None:
    """Return what images go through on their way into a detector; None where that is nothing."""
    return parse_history(config.history) if config.history else None


def apply_history(image: NDArray[np.uint8], history: History, key: str = "", seed: int = 0) -> bytes:
    """Crop, resize and encode one image.

    Args:
        image: RGB; at least `history.size` pixels a side, since enlarging leaves traces of its own.
        history: what to do.
        key: names the image where quality or kernel is drawn; give the same law, not the same key, to both
            classes.
        seed: of the draw.

    Shape: (H, W, 3) uint8.

    Returns:
        The file's bytes; the same input gives the same bytes.

    Raises:
        UserError: the image is smaller than the size, or not an RGB image.
    """
    history = draw_history(history, key, seed)
    return encode(bring_to_size(image, history), history, history.quality_range[0])


def bring_to_size(image: NDArray[np.uint8], history: History) -> NDArray[np.uint8]:
    """The history's crop and resize, without its codec.

    Shape: (H, W, 3) uint8 -> (size, size, 3), or as it is where the history keeps the size.

    Raises:
        UserError: as `apply_history`, or a kernel that is still to be drawn.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"expected an RGB image of bytes, (H, W, 3), got {image.dtype} {image.shape}")
    if history.crop == "center square":
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        image = image[top : top + side, left : left + side]
    if history.size is None:
        return np.ascontiguousarray(image)
    if min(image.shape[:2]) < history.size:
        raise UserError(
            f"an image of {image.shape[1]}x{image.shape[0]} is too small for size {history.size}: "
            "enlarging would leave traces of its own; lower --size, or leave this generator or photo out"
        )
    if image.shape[0] != image.shape[1]:
        raise UserError(f"an image of {image.shape[1]}x{image.shape[0]} is not square; use --history crop=center")
    if history.kernel == "any":
        raise UserError("the kernel `any` is drawn for each image; here --history kernel= must name one")
    return resize(image, history.size, history.size, history.kernel, history.antialias)


def draw_history(history: History, key: str, seed: int) -> History:
    """The history of one image: its quality and its kernel drawn by the image's key and seed."""
    kernel = history.kernel
    if kernel == "any":
        digest = hashlib.sha256(f"{seed}/kernel/{key}".encode()).digest()
        kernel = cast(Kernel, KERNELS[int.from_bytes(digest[:8], "big") % len(KERNELS)])
    return replace(history, quality=draw_quality(history, key, seed), kernel=kernel)


def draw_quality(history: History, key: str, seed: int) -> int:
    """The codec's quality for one image: uniform over the history's range, by the image's key and seed."""
    low, high = history.quality_range
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return low + int.from_bytes(digest[:8], "big") % (high - low + 1)


def encode(image: NDArray[np.uint8], history: History, quality: int) -> bytes:
    """Encode an RGB image with the history's codec."""
    options: list[int] = []
    if history.codec == "jpeg":
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING_FACTORS[history.subsampling]]
    elif history.codec == "webp":
        options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    done, payload = cv2.imencode(history.suffix, image[..., ::-1], options)
    if not done:
        raise UserError(f"this OpenCV cannot write {history.codec}; use --history codec=png")
    return payload.tobytes()
