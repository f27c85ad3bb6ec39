"""One way from a file to RGB pixels, for every image of either class."""

import os
from pathlib import Path

import cv2
import numpy as np

from fakefreq.data.images.damage import check_jpeg, check_whole, without_last_bytes
from fakefreq.data.images.headers.formats import png_chunks
from fakefreq.data.images.headers.header import (
    HeaderFacts,
    ImageError,
    decode_by_pillow,
    probe_content,
    read_file,
    round_to_8_bits,
    turn,
)
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


def check_image(path: str | Path, content: bytes) -> HeaderFacts:
    """Return what the header tells of an image that is not damaged, as far as can be told cheaply.

    A PNG is held against its checksums; a JPEG or a WebP must not be cut. A JPEG with a hole and every image of the
    other formats are decoded, to be sure.

    Args:
        path: its name, for errors.
        content: the file's bytes.

    Raises:
        ImageError: as `read_image`, but for damage of a JPEG or WebP that only decoding shows.
    """
    facts = probe_content(path, content)
    check_size(path, facts)
    if check_whole(path, content, facts):
        _pixels(path, content, facts, is_in_doubt=True)
    return facts


def decode_image(path: str | Path, content: bytes) -> np.ndarray:
    """Decode an image's bytes.

    One policy for all formats: EXIF orientation is obeyed; grey is repeated into three channels; 16 bits become 8 by
    division by 257, rounded; transparency, of an alpha channel, a palette or a colour, is laid over white; CMYK and
    palettes become RGB, colour profiles are not applied; of an animation the first frame is taken. A file that is cut
    or damaged is refused: decoders fill the rest with grey, which would look like a trace.

    cv2 reads what most sets are made of, JPEG and opaque PNG and WebP, and what has 16 bits; Pillow reads all else.

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
    return _pixels(path, content, facts, check_whole(path, content, facts))


def _pixels(path: str | Path, content: bytes, facts: HeaderFacts, is_in_doubt: bool) -> np.ndarray:
    if facts.format == "jpeg":
        return _decode_jpeg(path, content, is_in_doubt)
    if facts.mode.endswith("16") and facts.format in ("png", "tiff"):
        return _decode_16_bits(path, content, facts)
    if _is_plain(content, facts):
        return cv2.cvtColor(_by_cv2(path, content, facts, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    try:
        return decode_by_pillow(content)
    except ValueError as error:
        raise ImageError(path, f"the {facts.format.upper()} data cannot be decoded: {error}") from error


def _is_plain(content: bytes, facts: HeaderFacts) -> bool:
    """Whether it is a PNG or WebP without transparency, palette, and EXIF, whose orientation some cv2 pass over."""
    if facts.mode not in ("gray", "rgb"):
        return False
    if facts.format == "webp":
        return content[12:16] != b"VP8X" or not content[20] & 8
    return facts.format == "png" and not any(kind in (b"tRNS", b"eXIf") for kind, _, _ in png_chunks(content))


def _by_cv2(path: str | Path, content: bytes, facts: HeaderFacts, flags: int) -> np.ndarray:
    decoded = _imdecode(content, flags)
    if decoded is None:
        raise ImageError(path, f"the {facts.format.upper()} data cannot be decoded")
    return decoded


def _imdecode(content: bytes, flags: int) -> np.ndarray | None:
    try:
        decoded: np.ndarray | None = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
    return decoded


def _decode_jpeg(path: str | Path, content: bytes, is_in_doubt: bool) -> np.ndarray:
    endless = check_jpeg(path, content)
    # RGB straight from the decoder saves a pass over the pixels.
    decoded = _imdecode(endless, cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        ends_early = endless is not content and _imdecode(content, cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None
        reason = "are damaged: they end before the picture does" if ends_early else "cannot be decoded"
        raise ImageError(path, f"the JPEG data {reason}")
    if is_in_doubt and endless is not content:
        shorter = _imdecode(without_last_bytes(endless), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if shorter is not None:
            raise ImageError(path, "the JPEG data are damaged: the picture ends before they do")
    return decoded


def _decode_16_bits(path: str | Path, content: bytes, facts: HeaderFacts) -> np.ndarray:
    """Decode a PNG or TIFF of 16 bits, which Pillow would cut to 8 without rounding."""
    if facts.format == "tiff" and facts.mode not in ("gray16", "rgb16", "rgba16"):
        raise ImageError(path, f"a TIFF of {facts.mode[:-2] or 'unknown colours'} with 16 bits is not handled")
    is_png = facts.format == "png"
    # An alpha channel survives only so; the orientation of a PNG does not.
    deep = _by_cv2(path, content, facts, cv2.IMREAD_UNCHANGED)
    if deep.dtype != np.uint16:
        raise ImageError(path, f"pixels of type {deep.dtype} are not handled; convert it to 8 or 16 bits")
    colors = deep[..., None] if deep.ndim == 2 else deep
    alpha = np.full((*colors.shape[:2], 1), 65535, np.uint16) if colors.shape[2] < 4 else colors[..., 3:]
    keys = [content[start:end] for kind, start, end in png_chunks(content) if kind == b"tRNS"] if is_png else []
    if keys:
        is_clear = (colors[..., :3] == np.frombuffer(keys[0], ">u2")[::-1]).all(axis=2, keepdims=True)
        alpha = np.where(is_clear, 0, alpha)
    share = alpha.astype(np.float64) / 65535
    pixels = np.rint(colors[..., :3] * share + 65535 * (1 - share)).astype(np.uint16)
    rounded = np.ascontiguousarray(np.broadcast_to(round_to_8_bits(pixels)[..., ::-1], (*pixels.shape[:2], 3)))
    return turn(rounded, content) if is_png else rounded
