"""What an image's header tells, read without decoding the picture; the format is judged by content, not by name."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fakefreq.data.images.headers.formats import (
    HeaderFacts,
    ImageError,
    estimate_jpeg_quality,
    exif_software,
    icc_name,
    probe_bmp,
    probe_gif,
    probe_jpeg,
    probe_png,
    probe_tiff,
    probe_webp,
)

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_MODES = {"1": "gray", "L": "gray", "LA": "gray+alpha", "RGB": "rgb", "RGBA": "rgba", "P": "palette", "PA": "palette"}
_MODES |= {"I;16": "gray16", "I;16B": "gray16", "I": "gray16", "CMYK": "cmyk"}


def probe_by_pillow(data: bytes) -> HeaderFacts:
    """Return what a header says; nothing is decoded.

    Raises:
        ValueError: cut, damaged, or a format that this installation of Pillow does not read.
    """
    with _opened(data) as image:
        about = image.info
        icc, exif = about.get("icc_profile"), about.get("exif") or b""
        return HeaderFacts(
            str(image.format).lower(),
            _MODES.get(image.mode, ""),
            *image.size,
            software=exif_software(exif.removeprefix(b"Exif\0\0")),
            icc=icc_name(icc) if icc else "",
            bytes=len(data),
        )


def decode_by_pillow(data: bytes) -> NDArray[np.uint8]:
    """Return the first frame, turned as EXIF says, transparency laid over white, 16 bits rounded to 8.

    Shape:
        - output: (H, W, 3), RGB

    Raises:
        ValueError: cut or damaged, or pixels of more than 16 bits.
    """
    with _opened(data) as image:
        try:
            image.load()
            turned = ImageOps.exif_transpose(image)
        except Exception as error:  # a plugin raises whatever damaged data make it run into
            raise ValueError(f"its data are cut or damaged ({error})") from error
        if turned.mode.startswith("I;16") or (turned.mode == "I" and image.format == "PPM"):
            gray = round_to_8_bits(np.asarray(turned))
            return np.repeat(gray[..., None], 3, axis=2)
        if turned.mode in ("I", "F"):
            raise ValueError(f"its pixels are {'32-bit' if turned.mode == 'I' else 'floats'}; convert to 8 or 16 bits")
        if turned.has_transparency_data:
            colors = turned.convert("RGBA")
            turned = Image.alpha_composite(Image.new("RGBA", colors.size, (255, 255, 255, 255)), colors)
        return np.array(turned.convert("RGB"))


def round_to_8_bits(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return 16 bits divided by 257, rounded."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def turn(pixels: NDArray[np.uint8], data: bytes) -> NDArray[np.uint8]:
    """Return pixels turned as the file's EXIF orientation says.

    Raises:
        ValueError: the EXIF data are damaged.
    """
    with _opened(data) as image:
        try:
            method = _TURNS.get(image.getexif().get(0x112, 1))
        except Exception as error:  # as in `decode_by_pillow`
            raise ValueError(f"its data are cut or damaged ({error})") from error
    return pixels if method is None else np.array(Image.fromarray(pixels).transpose(method))


# EXIF 2.3, tag 0x112: how the picture is brought upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:
        raise ValueError("cut, damaged, or not read by this installation of Pillow") from error


__all__ = [
    "HeaderFacts",
    "ImageError",
    "estimate_jpeg_quality",
    "probe_content",
    "probe_header",
    "read_file",
    "read_file_and_stamp",
]

_PROBES: tuple[tuple[bytes, Callable[[bytes], HeaderFacts]], ...] = (
    (b"\xff\xd8\xff", probe_jpeg),
    (b"\x89PNG\r\n\x1a\n", probe_png),
    (b"BM", probe_bmp),
    (b"GIF8", probe_gif),
    (b"II*\0", probe_tiff),
    (b"MM\0*", probe_tiff),
    (b"RIFF", probe_webp),
    (b"\0\0\0\x0cjP  \r\n\x87\n", probe_by_pillow),
    (b"\xff\x4f\xff\x51", probe_by_pillow),  # JPEG 2000 without a container
    *((b"P%c%c" % (kind, space), probe_by_pillow) for kind in b"123456" for space in b" \t\r\n#"),
)
# Brands of ISO base media files that hold pictures.
_UNREAD = {
    **dict.fromkeys((b"heic", b"heix", b"hevc"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
}
KNOWN = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, JPEG 2000, PBM, PGM, PPM"


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ImageError: missing, a broken or looping link, a folder, or without permission.
    """
    return read_file_and_stamp(path)[0]


def read_file_and_stamp(path: str | Path) -> tuple[bytes, tuple[int, int, int]]:
    """Return a file's bytes, and its size and times of last change and last status change (ns); as `read_file`."""
    try:
        # Plain system calls: a file object for each of a million small files costs as much as reading it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            about = os.fstat(handle)
            content = os.read(handle, about.st_size + 1)
            while len(content) < about.st_size and (more := os.read(handle, about.st_size)):
                content += more
        finally:
            os.close(handle)
        return content, (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    except FileNotFoundError as error:
        broken = Path(path).is_symlink()
        reason = "is a link to a file that is not there" if broken else f"cannot be read ({error.strerror})"
        raise ImageError(path, reason) from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ImageError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def probe_header(path: str | Path, content: bytes | None = None) -> HeaderFacts:
    """Read an image's header.

    Args:
        path: the file; only named in errors where `content` is given.
        content: its bytes, where they are at hand.

    Raises:
        ImageError: missing, empty, cut, or not an image of a known format.
    """
    return probe_content(path, read_file(path) if content is None else content)


def probe_content(path: str | Path, content: bytes) -> HeaderFacts:
    """Read the header at the start of an image's bytes; as `probe_header`."""
    if not content:
        raise ImageError(path, "the file is empty")
    probe = next((probe for magic, probe in _PROBES if content.startswith(magic)), None)
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis"):
        probe = probe_by_pillow
    if probe is not None:
        try:
            facts = probe(content)
        except (struct.error, IndexError, ValueError) as error:
            raise ImageError(path, "its header is cut or damaged") from error
        if facts.width < 1 or facts.height < 1:
            raise ImageError(path, f"its header says {facts.width}x{facts.height} pixels")
        return facts
    unread = _UNREAD.get(content[8:12]) if content[4:8] == b"ftyp" else None
    if unread:
        raise ImageError(path, f"{unread} is not read here, whatever its name says; convert it to PNG or JPEG")
    raise ImageError(path, f"not an image that is known here ({KNOWN}), whatever its name says")
