"""What an image's header tells, read without decoding the picture; the format is judged by content, not by name."""

import struct
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class HeaderFacts:
    """What a header says.

    Args:
        format: `jpeg`, `png`, `webp`, `bmp`, `gif` or `tiff`.
        mode: channels and depth: `gray`, `rgb`, `rgba`, `gray+alpha`, `palette`, `cmyk`, with `16` where deeper
            than 8 bits; empty where the header does not say simply.
        width: pixels.
        height: pixels.
        jpeg_quality: of the IJG scale, nearest to the luma quantisation table; 0 for other formats.
        subsampling: of a JPEG's chroma: `4:4:4`, `4:2:2`, `4:2:0` or `HxV` factors; empty otherwise.
        bytes: size of the file.
    """

    format: str
    mode: str
    width: int
    height: int
    jpeg_quality: int
    subsampling: str
    bytes: int


# Luma table of ITU-T T.81, Annex K, in zig-zag order as a DQT segment stores it.
_LUMA = np.array(
    [16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51,
     61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77,
     113, 121, 112, 100, 120, 92, 101, 103, 99]
)  # fmt: skip


def _ijg_tables() -> np.ndarray:
    """The luma table of each quality 1 to 100, as the Independent JPEG Group's library scales it, (100, 64)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: np.ndarray = np.clip((_LUMA * scale[:, None] + 50) // 100, 1, 255)
    return tables


_TABLES = _ijg_tables()


def estimate_jpeg_quality(table: np.ndarray) -> int:
    """Return the IJG quality, 1 to 100, whose luma table is nearest to a table in zig-zag order (least absolutes)."""
    return int(np.abs(_TABLES - table).sum(axis=1).argmin()) + 1


def probe_header(path: str | Path, content: bytes | None = None) -> HeaderFacts:
    """Read an image's header.

    Args:
        path: the file.
        content: its bytes, where they are at hand.

    Raises:
        ImageError: missing, empty, cut, or not an image of a known format.
    """
    if content is None:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(path, f"cannot be read ({error.strerror})") from error
    if not content:
        raise ImageError(path, "the file is empty")
    for magic, probe in (
        (b"\xff\xd8\xff", _jpeg),
        (b"\x89PNG\r\n\x1a\n", _png),
        (b"BM", _bmp),
        (b"GIF8", _gif),
        (b"II*\0", _tiff),
        (b"MM\0*", _tiff),
        (b"RIFF", _webp),
    ):
        if content.startswith(magic):
            try:
                facts = probe(content)
            except (struct.error, IndexError, ValueError) as error:
                raise ImageError(path, "its header is cut or damaged") from error
            if facts.width < 1 or facts.height < 1:
                raise ImageError(path, f"its header says {facts.width}x{facts.height} pixels")
            return facts
    raise ImageError(path, "not an image that is known here (JPEG, PNG, WebP, BMP, GIF, TIFF), whatever its name says")


def _jpeg(data: bytes) -> HeaderFacts:
    """Walk the marker segments up to the frame header and the tables before the first scan."""
    position, luma, frame = 2, None, None
    while True:
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        if data[position] != 0xFF:
            raise ValueError("no marker where one is due")
        marker = data[position + 1]
        if marker in (0xDA, 0xD9):
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        if length < 2 or position + 2 + length > len(data):
            raise ValueError("segment beyond the end")
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xDB:
            luma = _luma_table(segment) if luma is None else luma
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = segment
        position += 2 + length
    if frame is None:
        raise ValueError("no frame header")
    _, height, width, components = struct.unpack_from(">BHHB", frame)
    sampling = [(frame[7 + 3 * i] >> 4, frame[7 + 3 * i] & 15) for i in range(components)]
    mode = {1: "gray", 3: "rgb", 4: "cmyk"}.get(components, "")
    subsampling = ""
    if components == 3:
        horizontal, vertical = (
            sampling[0][0] // max(1, sampling[1][0]),
            sampling[0][1] // max(1, sampling[1][1]),
        )
        names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}
        subsampling = names.get((horizontal, vertical), f"{horizontal}x{vertical}")
    quality = 0 if luma is None else estimate_jpeg_quality(luma)
    return HeaderFacts("jpeg", mode, width, height, quality, subsampling, len(data))


def _luma_table(segment: bytes) -> np.ndarray | None:
    """Return table 0 of a DQT segment, (64,), in zig-zag order."""
    position = 0
    while position < len(segment):
        precision, number = segment[position] >> 4, segment[position] & 15
        size = 128 if precision else 64
        values = np.frombuffer(segment, ">u2" if precision else "u1", 64, position + 1)
        if number == 0:
            return values.astype(np.int64)
        position += 1 + size
    return None


def _png(data: bytes) -> HeaderFacts:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    modes = {0: "gray", 2: "rgb", 3: "palette", 4: "gray+alpha", 6: "rgba"}
    mode = modes.get(colour, "")
    return HeaderFacts("png", mode + ("16" if depth == 16 else ""), width, height, 0, "", len(data))


def _bmp(data: bytes) -> HeaderFacts:
    width, height = struct.unpack_from("<ii", data, 18)
    return HeaderFacts("bmp", "", abs(width), abs(height), 0, "", len(data))


def _gif(data: bytes) -> HeaderFacts:
    width, height = struct.unpack_from("<HH", data, 6)
    return HeaderFacts("gif", "palette", width, height, 0, "", len(data))


def _webp(data: bytes) -> HeaderFacts:
    if data[8:12] != b"WEBP":
        raise ValueError("RIFF, but not WebP")
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
        mode = "rgb"
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        mode = "rgba" if bits >> 28 & 1 else "rgb"
    elif kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        if len(data) < 30:
            raise ValueError("cut")
        mode = "rgba" if data[20] & 0x10 else "rgb"
    else:
        raise ValueError("unknown WebP chunk")
    return HeaderFacts("webp", mode, width, height, 0, "", len(data))


def _tiff(data: bytes) -> HeaderFacts:
    """Read width (256), height (257) and bits (258) of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    values = {}
    for number in range(min(count, 4096)):
        tag, kind, length = struct.unpack_from(order + "HHI", data, offset + 2 + 12 * number)
        at = offset + 10 + 12 * number
        if kind == 3 and length > 2:
            (at,) = struct.unpack_from(order + "I", data, at)
        values[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at)[0]
    if 256 not in values or 257 not in values:
        raise ValueError("no size")
    return HeaderFacts("tiff", "16" if values.get(258) == 16 else "", values[256], values[257], 0, "", len(data))
