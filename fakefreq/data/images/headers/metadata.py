"""Names inside metadata: the program that wrote an image, the colour profile that it carries. Never an error."""

import struct

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
