"""What a JPEG's marker segments tell: size, quality, subsampling, progressive, software, colour profile."""

import functools
import struct
from typing import NamedTuple

import numpy as np

from fakefreq.data.images.headers.facts import HeaderFacts, exif_software, icc_name

# Luma table of ITU-T T.81, Annex K, in zig-zag order as a DQT segment stores it.
_LUMA = np.array(
    [16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51,
     61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77,
     113, 121, 112, 100, 120, 92, 101, 103, 99]
)  # fmt: skip

_SUBSAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


def ijg_tables() -> np.ndarray:
    """Return the luma table of each quality 1 to 100, as the Independent JPEG Group's library scales it, (100, 64)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: np.ndarray = np.clip((_LUMA * scale[:, None] + 50) // 100, 1, 255)
    return tables


_TABLES = ijg_tables()


def estimate_jpeg_quality(table: np.ndarray) -> int:
    """Return the IJG quality, 1 to 100, whose luma table is nearest to a table in zig-zag order (least absolutes)."""
    return int(np.abs(_TABLES - table).sum(axis=1).argmin()) + 1


@functools.lru_cache(maxsize=1024)
def _quality_of(raw: bytes) -> int:
    """The quality of a stored table; a data set has few different ones, so it is looked up, not computed, mostly."""
    return estimate_jpeg_quality(np.frombuffer(raw, ">u2" if len(raw) == 128 else "u1").astype(np.int64))


class JpegHead(NamedTuple):
    """What stands before a JPEG's first scan.

    Args:
        facts: what the manifest keeps.
        scan: where the first scan's data begin.
        is_sequential: whether that scan holds the whole picture, Huffman coded.
        restarts: restart markers that the scan must hold.
        components: planes of the picture.
        in_first: planes in the first scan.
    """

    facts: HeaderFacts
    scan: int
    is_sequential: bool
    restarts: int
    components: int
    in_first: int


def probe_jpeg(data: bytes) -> HeaderFacts:
    """Return what the marker segments up to the first scan say.

    Raises:
        ValueError, IndexError, struct.error: cut or damaged.
    """
    return HeaderFacts(*read_jpeg_head(data).facts[:-1], len(data))


def read_jpeg_head(data: bytes) -> JpegHead:
    """Return what stands before the first scan, without the number of bytes; errors as `probe_jpeg`."""
    # One program writes the same header for every image of one size and quality: it is walked once, then looked up.
    # What looks like the start of the scan may lie in a thumbnail; then the head alone is cut, and all is walked.
    start = data.find(b"\xff\xda")
    if start >= 0:
        length = int.from_bytes(data[start + 2 : start + 4])
        head = _of_head(data[: start + 2 + length])
        if head:
            return head
    return _walk_segments(data)


@functools.lru_cache(maxsize=4096)
def _of_head(head: bytes) -> JpegHead | None:
    try:
        return _walk_segments(head)
    except (ValueError, IndexError, struct.error):
        return None


def _walk_segments(data: bytes) -> JpegHead:
    position, luma, frame, coding, interval, software, icc = 2, b"", b"", 0, 0, "", ""
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker where one is due")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xD9:
            raise ValueError("no scan")
        start = position + 4
        length = data[position + 2] << 8 | data[position + 3]
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("segment beyond the end")
        position = end
        if marker == 0xDA:
            break
        if marker == 0xDB:
            luma = luma or _luma_table(data[start:end])
        elif marker == 0xDD:
            interval = int.from_bytes(data[start : start + 2])
        elif marker == 0xE1 and not software and data[start : start + 6] == b"Exif\0\0":
            software = exif_software(data[start + 6 : end])
        elif marker == 0xE2 and not icc and data[start : start + 12] == b"ICC_PROFILE\0":
            icc = icc_name(data[start + 14 : end])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame, coding = data[start:end], marker
    if not frame:
        raise ValueError("no frame header")
    _, height, width, components = struct.unpack_from(">BHHB", frame)
    subsampling = ""
    if components == 3:
        horizontal = (frame[7] >> 4) // max(1, frame[10] >> 4)
        vertical = (frame[7] & 15) // max(1, frame[10] & 15)
        subsampling = _SUBSAMPLINGS.get((horizontal, vertical), f"{horizontal}x{vertical}")
    mode = {1: "gray", 3: "rgb", 4: "cmyk"}.get(components, "")
    quality = _quality_of(luma) if luma else 0
    progressive = int(coding in (0xC2, 0xC6, 0xCA, 0xCE))
    facts = HeaderFacts("jpeg", mode, width, height, quality, subsampling, progressive, software, icc)
    is_sequential = coding in (0xC0, 0xC1) and data[start] == components
    restarts = (_units(width, height, frame) - 1) // interval if interval and is_sequential else 0
    return JpegHead(facts, position, is_sequential, restarts, components, data[start])


def _units(width: int, height: int, frame: bytes) -> int:
    """Return the number of units that a scan of all components is made of (MCUs; of one component: its blocks)."""
    factors = [(factor >> 4, factor & 15) for factor in frame[7::3]]
    across, down = (max(1, *(factor[axis] for factor in factors)) if len(factors) > 1 else 1 for axis in (0, 1))
    return -(-width // (8 * across)) * -(-height // (8 * down))


def _luma_table(segment: bytes) -> bytes:
    """Return the raw table 0 of a DQT segment, 64 or 128 bytes in zig-zag order; empty where another is there."""
    position = 0
    while position < len(segment):
        size = 128 if segment[position] >> 4 else 64
        table = segment[position + 1 : position + 1 + size]
        if len(table) < size:
            raise ValueError("cut quantisation table")
        if segment[position] & 15 == 0:
            return table
        position += 1 + size
    return b""
