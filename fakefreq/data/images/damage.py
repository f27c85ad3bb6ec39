"""What can be told of an image's damage without decoding it: cut files, checksums, markers and holes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from fakefreq.data.images.headers.facts import HeaderFacts, ImageError
from fakefreq.data.images.headers.formats import png_chunks
from fakefreq.data.images.headers.jpeg import JpegHead, read_jpeg_head

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
    # JPEG 2000 has the same end mark, and neither has it within its data.
    if facts.format in ("jpeg", "jpeg2000") and content.rfind(b"\xff\xd9", len(content) // 2) < 0:
        raise _cut(path, facts.format.upper())
    if facts.format == "jpeg":
        # Metadata have such runs, too: only what lies behind them counts.
        return _HOLE in content and content.find(_HOLE, read_jpeg_head(content).scan) > 0
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
    def components(self) -> bytes:
        """Their names."""
        return self.header[1 : 1 + 2 * self.header[0] : 2]


def _scans(content: bytes, head: JpegHead) -> Iterator[_Scan]:
    """Yield all scans."""
    start, header = head.scan, content[head.scan - 4 - 2 * head.in_first : head.scan]
    while header and (found := _END_OF_SCAN.search(content, start)):
        yield _Scan(header, start, found.start())
        position, header = found.start(), b""
        while content[position : position + 1] == b"\xff" and content[position + 1] != 0xD9:
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
            if content[position + 1] == 0xDA:
                start, header = end, content[position + 4 : end]
                break
            position = end  # tables before the next scan


def _check_progression(path: str | Path, content: bytes, head: JpegHead) -> None:
    """Refuse where data lie that progressive coding never makes, or where scans are missing that it always has."""
    sent: dict[int, set[int]] = {}
    for scan in _scans(content, head):
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
