"""One way from a file to RGB pixels, for every image of either class."""

import os
from pathlib import Path

import cv2
import numpy as np

from fakefreq.data.images.headers.header import HeaderFacts, ImageError, probe_content, read_file
from fakefreq.data.images.shards import MEMBER, read_member, split_member

# A header may promise any size: past this, decoding would take gigabytes (a decompression bomb).
PIXEL_LIMIT = 100_000_000


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of an image: a file's, or those of `shard.tar::member` or `table.parquet::row`.

    Raises:
        ImageError: the file, the shard or the member cannot be read.
    """
    text = os.fspath(path)
    if MEMBER in text:
        parts = split_member(text)
        if parts:
            return read_member(*parts)
    return read_file(path)


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image; see `decode_image` for what is done to it.

    Args:
        path: as `read_bytes` takes it; the format is judged by content.

    Shape:
        - output: (H, W, 3), uint8, RGB

    Raises:
        ImageError: missing, empty, cut, damaged, of an unknown format, or above `PIXEL_LIMIT` pixels.
    """
    return decode_image(path, read_bytes(path))


def check_size(path: str | Path, facts: HeaderFacts) -> None:
    """Refuse, before anything is decoded, an image whose header promises more than `PIXEL_LIMIT` pixels."""
    if facts.width * facts.height > PIXEL_LIMIT:
        raise ImageError(path, f"{facts.width}x{facts.height} pixels are above the limit of {PIXEL_LIMIT}")


def decode_image(path: str | Path, content: bytes) -> np.ndarray:
    """Decode an image's bytes.

    One policy for all: EXIF orientation is obeyed; grey is repeated into three channels; 16 bits become 8 by division
    by 257, rounded; transparency is laid over white; CMYK and palettes become RGB; of an animation the first frame
    is taken. A file that is cut is refused: decoders fill the rest with grey, which would look like a trace.

    Args:
        path: its name, for errors.
        content: the file's bytes.

    Shape:
        - output: (H, W, 3), uint8, RGB

    Raises:
        ImageError: as `read_image`.
    """
    facts = probe_content(path, content)
    check_size(path, facts)
    if not is_whole(content, facts.format):
        raise ImageError(path, f"the {facts.format.upper()} file is cut: its end is missing")
    # ANYDEPTH keeps 16 bits for our own rounding. An alpha channel survives only without COLOR, and cv2 then passes
    # over an EXIF orientation: cameras, which write one, write no alpha.
    has_alpha = facts.mode.removesuffix("16") in ("rgba", "gray+alpha", "palette")
    # A JPEG can come as RGB straight from the decoder, which saves a pass over the pixels; cv2's reader of 16-bit TIFF
    # ignores that flag.
    is_jpeg = facts.format == "jpeg"
    color = cv2.IMREAD_COLOR_RGB if is_jpeg else cv2.IMREAD_COLOR
    flags = cv2.IMREAD_UNCHANGED if has_alpha else color | cv2.IMREAD_ANYDEPTH
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(path, f"cannot be decoded ({error.err})") from error
    if decoded is None:
        raise ImageError(path, f"the {facts.format.upper()} data cannot be decoded")
    pixels = _to_8_bits(decoded, path)
    return pixels if is_jpeg else _bgr_to_rgb(pixels)


def is_whole(content: bytes, image_format: str) -> bool:
    """Whether the file reaches its own end mark; some programs append bytes after it, which is harmless."""
    if image_format == "jpeg":
        return content.rfind(b"\xff\xd9", len(content) // 2) > 0
    if image_format == "png":
        return content.rfind(b"IEND\xaeB`\x82") > 0
    if image_format == "webp":
        return len(content) >= 8 + int.from_bytes(content[4:8], "little")
    return True


def _to_8_bits(pixels: np.ndarray, path: str | Path) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise ImageError(path, f"pixels of type {pixels.dtype} are not handled; convert it to 8 or 16 bits")


def _bgr_to_rgb(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # a tenth of the time of turning the channels round by strides
