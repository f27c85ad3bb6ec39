"""The header formats: marker segments of JPEG, chunks of PNG, WebP, BMP and GIF."""

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fakefreq.errors import UserError


class ImageError(UserError):
    """An image that cannot be used; one line with the path and the reason.

    Args:
        path: the file.
        reason: what is wrong with it, in a few words.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class HeaderFacts(NamedTuple):
    """What a header says; every field is a column of the manifest.

    Args:
        format: `jpeg`, `png`, `webp`, `bmp`, `gif`, `tiff`, `avif`, `jpeg2000` or `ppm` (also PBM and PGM).
        mode: channels and depth: `gray`, `rgb`, `rgba`, `gray+alpha`, `palette`, `cmyk`, with `16` where deeper
            than 8 bits; empty where the header does not say simply.
        width: pixels.
        height: pixels.
        jpeg_quality: of the IJG scale, nearest to the luma quantisation table; 0 for other formats.
        subsampling: of a JPEG's chroma: `4:4:4`, `4:2:2`, `4:2:0` or `HxV` factors; empty otherwise.
        progressive: 1 for a progressive JPEG or an interlaced PNG or GIF, else 0.
        software: the program that EXIF or PNG text names; empty where none does.
        icc: the name of the embedded colour profile; `?` for one without a readable name; empty for none.
        bytes: size of the file.
    """

    format: str
    mode: str
    width: int
    height: int
    jpeg_quality: int = 0
    subsampling: str = ""
    progressive: int = 0
    software: str = ""
    icc: str = ""
    bytes: int = 0


# A name, not a novel: what an attacker or a verbose program puts there must not swell the manifest.
LONGEST = 80


def clean_text(raw: bytes) -> str:
    """Return the printable start of a text that ends at its first zero byte.

    >>> clean_text(b"GIMP 2.10\\n\\0rest")
    'GIMP 2.10'
    """
    text = raw[: 4 * LONGEST].split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable())[:LONGEST].strip()


def exif_software(tiff: bytes) -> str:
    """Return the `Software` (0x131) of the first directory of a TIFF structure, as EXIF blocks hold it; "" for none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return ""
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, offset)
        for number in range(min(count, 512)):
            at = offset + 2 + 12 * number
            tag, kind, length = struct.unpack_from(order + "HHI", tiff, at)
            if tag == 0x131 and kind == 2:
                start = at + 8 if length <= 4 else struct.unpack_from(order + "I", tiff, at + 8)[0]
                return clean_text(tiff[start : start + min(length, 4 * LONGEST)])
    except struct.error:
        return ""
    return ""


def icc_name(profile: bytes) -> str:
    """Return the description of an ICC profile, versions 2 (`desc`) and 4 (`mluc`); `?` where it cannot be read."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        for number in range(min(count, 100)):
            signature, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
            if signature != b"desc":
                continue
            kind = profile[offset : offset + 4]
            if kind == b"desc":
                (length,) = struct.unpack_from(">I", profile, offset + 8)
                return clean_text(profile[offset + 12 : offset + 12 + min(length, 4 * LONGEST)]) or "?"
            if kind == b"mluc":
                length, start = struct.unpack_from(">II", profile, offset + 20)
                text = profile[offset + start : offset + start + min(length, 2 * LONGEST)].decode(
                    "utf-16-be", "replace"
                )
                return clean_text(text.encode()) or "?"
    except struct.error:
        return "?"
    return "?"


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


def probe_png(data: bytes) -> HeaderFacts:
    """Read IHDR and the text, EXIF and profile chunks before the pixels."""
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    mode = {0: "gray", 2: "rgb", 3: "palette", 4: "gray+alpha", 6: "rgba"}.get(colour, "")
    position, software, icc = 33, "", ""
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"IDAT", b"IEND"):
            break
        start = position + 8
        if kind == b"tEXt" and data[start : start + 9] == b"Software\0":
            software = clean_text(data[start + 9 : min(start + length, start + 400)])
        elif kind == b"eXIf" and not software:
            software = exif_software(data[start : start + length])
        elif kind == b"iCCP":
            icc = clean_text(data[start : start + 80]) or "?"
        position = start + length + 4
    mode += "16" if depth == 16 else ""
    return HeaderFacts(
        "png", mode, width, height, progressive=int(interlace == 1), software=software, icc=icc, bytes=len(data)
    )


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the start and the end of the content of every PNG chunk that is whole, up to IEND."""
    position, size = 8, len(data)
    while position + 12 <= size:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > size:
            return
        yield kind, position + 8, end
        if kind == b"IEND":
            return
        position = end + 4


def probe_bmp(data: bytes) -> HeaderFacts:
    """Read the information header, or the short one of OS/2."""
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return HeaderFacts("bmp", "", abs(width), abs(height), bytes=len(data))


def probe_gif(data: bytes) -> HeaderFacts:
    """Read the logical screen."""
    width, height = struct.unpack_from("<HH", data, 6)
    return HeaderFacts("gif", "palette", width, height, bytes=len(data))


def probe_webp(data: bytes) -> HeaderFacts:
    """Read the first chunk, and of the extended form the profile and EXIF chunks."""
    if data[8:12] != b"WEBP":
        raise ValueError("RIFF, but not WebP")
    kind, software, icc = data[12:16], "", ""
    if kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
        mode = "rgb"
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        mode = "rgba" if bits >> 28 & 1 else "rgb"
    elif kind == b"VP8X":
        if len(data) < 30:
            raise ValueError("cut")
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        mode = "rgba" if data[20] & 0x10 else "rgb"
        position = 30
        while position + 8 <= len(data):
            name, length = struct.unpack_from("<4sI", data, position)
            if name == b"ICCP":
                icc = icc_name(data[position + 8 : position + 8 + length])
            elif name == b"EXIF":
                block = data[position + 8 : position + 8 + length]
                software = exif_software(block.removeprefix(b"Exif\0\0"))
            position += 8 + length + length % 2
    else:
        raise ValueError("unknown WebP chunk")
    return HeaderFacts("webp", mode, width, height, software=software, icc=icc, bytes=len(data))


def probe_tiff(data: bytes) -> HeaderFacts:
    """Read size (256, 257), bits (258), kind (262, 277) and profile (34675) of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    values, icc = {}, ""
    for number in range(min(count, 4096)):
        tag, kind, length = struct.unpack_from(order + "HHI", data, offset + 2 + 12 * number)
        at = offset + 10 + 12 * number
        if tag == 34675:
            (start,) = struct.unpack_from(order + "I", data, at)
            icc = icc_name(data[start : start + length])
        if kind == 3 and length > 2:
            (at,) = struct.unpack_from(order + "I", data, at)
        values[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at)[0]
    if 256 not in values or 257 not in values:
        raise ValueError("no size")
    kind = {0: "gray", 1: "gray", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}.get(values.get(262, -1), "")
    channels = {"gray": 1, "palette": 1, "rgb": 3, "cmyk": 4}.get(kind, 0)
    has_alpha = channels and values.get(277, 1) > channels
    mode = {"gray": "gray+alpha", "rgb": "rgba"}.get(kind, kind) if has_alpha else kind
    mode += "16" if values.get(258) == 16 else ""
    return HeaderFacts("tiff", mode, values[256], values[257], software=exif_software(data), icc=icc, bytes=len(data))
