"""One way from a file to RGB pixels, for every image of either class; and what tells that a file is damaged."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np

from fakefreq.data.images.headers.formats import HeaderFacts, ImageError, JpegHead, png_chunks, read_jpeg_head
from fakefreq.data.images.headers.header import decode_by_pillow, probe_content, read_file, round_to_8_bits, turn
from fakefreq.data.images.shards import MEMBER, read_member, split_member
from fakefreq.errors import UserError

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
    with _refused(path):
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
    with _refused(path):
        facts = probe_content(path, content)
        check_size(path, facts)
        pixels = _pixels(path, content, facts, check_whole(path, content, facts))
    return pixels


@contextlib.contextmanager
def _refused(path: str | Path) -> Iterator[None]:
    """Make an `ImageError` of whatever damaged data make a decoder run into: no worker may die of one image."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(path, f"its data cannot be decoded ({type(error).__name__}: {error})") from error


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
        raise _undecodable(path, facts, error) from error


def _undecodable(path: str | Path, facts: HeaderFacts, why: object) -> ImageError:
    return ImageError(path, f"the {facts.format.upper()} data cannot be decoded: {why}")


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
        if len(keys[0]) != (2 if facts.mode.startswith("gray") else 6):
            raise _undecodable(path, facts, f"its transparent colour (tRNS) has {len(keys[0])} bytes")
        is_clear = (colors[..., :3] == np.frombuffer(keys[0], ">u2")[::-1]).all(axis=2, keepdims=True)
        alpha = np.where(is_clear, 0, alpha)
    share = alpha.astype(np.float64) / 65535
    pixels = np.rint(colors[..., :3] * share + 65535 * (1 - share)).astype(np.uint16)
    rounded = np.ascontiguousarray(np.broadcast_to(round_to_8_bits(pixels)[..., ::-1], (*pixels.shape[:2], 3)))
    try:
        return turn(rounded, content) if is_png else rounded
    except ValueError as error:
        raise _undecodable(path, facts, error) from error


# In a JPEG's picture data 0xFF is followed by 0, a restart marker or a fill byte; all else ends them.
_END_OF_SCAN = re.compile(rb"\xff(?:[^\x00\xd0-\xd7\xff]|\xff+\x00)")
_RESTARTS = re.compile(rb"\xff([\xd0-\xd7])")
_CYCLE = bytes(range(0xD0, 0xD8))
# Bytes of ones (a stuffed 0xFF): libjpeg fills a word of 64 bits before it looks at what it needs of them.
_AHEAD = b"\xff\x00" * 8
# What a hole in a file is made of; picture data have no such run, but for flat areas under tables made for them.
_HOLE = bytes(64)
# Refining scans are mostly bits of the coefficients, all 0 where an earlier compression had twice the step, as at
# quality 50 and then 75; but after at most a thousand of them a code must come.
_HOLE_OF_BITS = bytes(1024)


def check_whole(path: str | Path, content: bytes, facts: HeaderFacts) -> bool:
    """Refuse a file that is cut, or a PNG whose checksums do not hold; return whether to be sure it must be decoded.

    That is so of a JPEG with a hole, and in the formats whose structure is not looked into here. Some programs append
    bytes after the end of the image, which is harmless.

    Args:
        path: its name, for errors.
        content: the file's bytes.
        facts: of its header.

    Raises:
        ImageError: cut or damaged.
    """
    if facts.format in ("jpeg", "jpeg2000"):
        # JPEG 2000 has the same end mark, and neither has it within its data; a thumbnail before them has one.
        scan = read_jpeg_head(content).scan if facts.format == "jpeg" else len(content) // 2
        if content.rfind(b"\xff\xd9", scan) < 0:
            raise _cut(path, facts.format.upper())
    if facts.format == "jpeg":
        # Metadata have such runs, too: only what lies behind them counts.
        return _HOLE in content and content.find(_HOLE, scan) > 0
    if facts.format == "png":
        _check_png(path, content)
        return False
    if facts.format == "webp":
        if len(content) < 8 + int.from_bytes(content[4:8], "little"):
            raise _cut(path, "WEBP")
        return False
    return True


def _cut(path: str | Path, name: str) -> ImageError:
    return ImageError(path, f"the {name} file is cut: its end is missing")


def _check_png(path: str | Path, content: bytes) -> None:
    """Hold every chunk against its checksum."""
    view, kind = memoryview(content), b""
    for kind, start, end in png_chunks(content):
        if crc32(view[start - 4 : end]) != int.from_bytes(content[end : end + 4]):
            name = kind.decode("ascii", "backslashreplace")
            raise ImageError(path, f"the PNG file is damaged: the checksum of its chunk {name} does not hold")
    if kind != b"IEND":
        raise _cut(path, "PNG")


def check_jpeg(path: str | Path, content: bytes) -> bytes:
    """Refuse a JPEG whose picture data hold markers or holes that no picture has; return what a decoder is to be given.

    libjpeg fills with grey what comes after data that end too early, and only prints a warning. Without an end marker,
    in place of which some padding stands, it waits for more, and cv2 gives up: a damaged picture is refused, a whole
    one is decoded as ever, to the bit. Of several scans that is not possible.

    Returns:
        The file without its end marker, or, of several scans, as it is.

    Raises:
        ImageError: cut or damaged.
    """
    head = read_jpeg_head(content)
    found = _END_OF_SCAN.search(content, head.scan)
    if found is None:
        raise _cut(path, "JPEG")
    if not head.is_sequential:
        _check_progression(path, content, head)
        return content
    end = found.start()
    marker = content[end + 1]
    if marker not in (0xD9, 0xDC):
        raise ImageError(path, f"the JPEG data are damaged: marker {marker:02x} lies within the picture")
    if head.restarts:
        _check_restarts(path, content[head.scan : end], head.restarts)
    return content[:end] + _AHEAD if marker == 0xD9 else content


def _check_restarts(path: str | Path, scan: bytes, least: int) -> None:
    found = b"".join(_RESTARTS.findall(scan))
    if len(found) < least or found != (_CYCLE * (len(found) // 8 + 1))[: len(found)]:
        raise ImageError(path, "the JPEG data are damaged: restart markers are missing or out of order")


class _Scan(NamedTuple):
    """A scan of a JPEG.

    Args:
        header: of its SOS segment, without marker and length.
        start: where its data begin.
        end: where they end.
    """

    header: bytes
    start: int
    end: int

    @property
    def is_whole(self) -> bool:
        """Whether the header is as long as its number of components says."""
        return len(self.header) == 4 + 2 * self.header[0]

    @property
    def components(self) -> bytes:
        """Their names."""
        return self.header[1 : 1 + 2 * self.header[0] : 2]


def _scans(content: bytes, head: JpegHead) -> Iterator[_Scan]:
    """Yield all scans."""
    start, header = head.scan, content[head.scan - 4 - 2 * head.in_first : head.scan]
    while header and (found := _END_OF_SCAN.search(content, start)):
        yield _Scan(header, start, found.start())
        position, header = found.start(), b""
        # A slice: a file may end behind a marker's first byte.
        while (marker := content[position : position + 2])[:1] == b"\xff" and marker != b"\xff\xd9":
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
            if marker == b"\xff\xda":
                start, header = end, content[position + 4 : end]
                break
            position = end  # tables before the next scan


def _check_progression(path: str | Path, content: bytes, head: JpegHead) -> None:
    """Refuse where data lie that progressive coding never makes, or where scans are missing that it always has."""
    sent: dict[int, set[int]] = {}
    for scan in _scans(content, head):
        if not scan.is_whole:
            raise ImageError(path, "the JPEG data are damaged: the header of a scan has a wrong length")
        first, last, bits = scan.header[-3:]
        # Before and after a scan so many bits are missing of each coefficient.
        hole = _HOLE_OF_BITS if bits >> 4 else _HOLE
        if first > 0 and hole in content[scan.start : scan.end].rstrip(b"\0"):
            raise ImageError(path, "the JPEG data are damaged: there is a hole of zeros in the picture")
        if not bits & 15:
            for component in scan.components:
                sent.setdefault(component, set()).update(range(first, last + 1))
    if head.facts.progressive and (len(sent) < head.components or any(len(found) < 64 for found in sent.values())):
        raise ImageError(path, "the JPEG data are damaged: the last scans of the picture are missing")


def without_last_bytes(endless: bytes) -> bytes:
    """Return what `check_jpeg` returned without the last bytes of the picture, which no whole one can do without.

    Zeros after the picture, which some programs append, do not count as its bytes.
    """
    return endless.removesuffix(_AHEAD).rstrip(b"\0")[: -len(_HOLE)]
