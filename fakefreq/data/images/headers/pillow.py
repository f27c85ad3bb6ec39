"""Pillow's reader for the formats that face sets rarely have: what their headers tell, and their pixels."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fakefreq.data.images.headers.facts import HeaderFacts
from fakefreq.data.images.headers.metadata import exif_software, icc_name

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
    """Return pixels turned as the file's EXIF orientation says."""
    with _opened(data) as image:
        method = _TURNS.get(image.getexif().get(0x112, 1))
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
