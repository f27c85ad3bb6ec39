"""What the header of an image file tells, and the metadata that may carry a name of its maker."""

import struct
from pathlib import Path
from typing import NamedTuple

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
