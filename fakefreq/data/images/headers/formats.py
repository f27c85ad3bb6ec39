"""What the headers of PNG, WebP, GIF, BMP and TIFF tell.

Cut or damaged ones raise ValueError, IndexError or struct.error.
"""

import struct
from collections.abc import Iterator

from fakefreq.data.images.headers.facts import HeaderFacts, clean_text, exif_software, icc_name


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
