"""Made images of every mode, format and orientation, and what Pillow makes of them: the oracle of decoding."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import PIL
from PIL import Image, ImageOps

HEIGHT, WIDTH = 37, 53
_DOWN, _ACROSS = np.mgrid[0:HEIGHT, 0:WIDTH]
COLORS = np.stack([_ACROSS * 4, _DOWN * 6, (_ACROSS + _DOWN) * 2], axis=-1).astype(np.uint8)
ALPHA = (_ACROSS * 5 % 256).astype(np.uint8)
ALPHA[:5], ALPHA[5:9] = 0, 255
DEEP = (_ACROSS * 1100 + _DOWN * 30).astype(np.uint16)
_ANIMATED = [Image.fromarray(COLORS), Image.fromarray(255 - COLORS)]


def picture(mode: str) -> Image.Image:
    """One picture in a mode of Pillow; `PA` is a palette with alpha."""
    image = Image.fromarray(COLORS)
    if mode in ("RGBA", "LA"):
        image = image.convert("L") if mode == "LA" else image
        image.putalpha(Image.fromarray(ALPHA))
        return image
    if mode == "P":
        return image.quantize(16)
    if mode == "PA":
        return picture("RGBA").quantize(16, method=Image.Quantize.FASTOCTREE)
    if mode == "I;16":
        return Image.fromarray(DEEP)
    return image.convert(mode)


def saved(mode: str, form: str, **options: Any) -> bytes:
    """The bytes of the picture in a mode and format."""
    file = io.BytesIO()
    picture(mode).save(file, form, **options)
    return file.getvalue()


def animated(form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    _ANIMATED[0].save(file, form, save_all=True, append_images=_ANIMATED[1:], **options)
    return file.getvalue()


def oracle(content: bytes) -> np.ndarray:
    """Pillow's pixels: turned upright, over white, 16 bits rounded to 8."""
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        return np.repeat(np.rint(np.asarray(image) / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    return png[:33] + png_chunk(kind, content) + png[33:]


def _png() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"):
        yield mode, saved(mode, "PNG")
    yield "P, one clear entry", saved("P", "PNG", transparency=3)
    yield "P, many clear entries", saved("P", "PNG", transparency=bytes([0, 100, 255, 30] * 4))
    yield "RGB, a clear colour", saved("RGB", "PNG", transparency=tuple(COLORS[3, 3].tolist()))
    yield "L, a clear grey", saved("L", "PNG", transparency=int(np.asarray(picture("L"))[3, 3]))
    yield "1, clear black", saved("1", "PNG", transparency=0)
    yield "animated", animated("PNG")


def _tiff() -> Iterator[tuple[str, bytes]]:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"):
            if (mode, compression) == ("YCbCr", "raw") and int(PIL.__version__.split(".")[0]) < 13:
                continue  # Pillow 12 writes such a file and cannot read it back
            yield f"{mode} {compression}", saved(mode, "TIFF", compression=compression)
    for mode in ("L", "RGB", "RGBA", "CMYK", "YCbCr"):
        yield f"{mode} jpeg", saved(mode, "TIFF", compression="jpeg")
    yield "I;16B", saved("I;16B", "TIFF")
    yield "several pages", animated("TIFF")


def _others() -> Iterator[tuple[str, bytes]]:
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        for options in ({}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 3}):
            yield f"jpeg {mode} {' '.join(options)}", saved(mode, "JPEG", quality=95, **options)
    for mode in ("L", "LA", "RGB", "RGBA", "P", "PA"):
        yield f"webp {mode}", saved(mode, "WEBP", quality=95)
        yield f"webp {mode} lossless", saved(mode, "WEBP", lossless=True, exact=True)
        yield f"avif {mode}", saved(mode, "AVIF", quality=100, subsampling="4:4:4")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", saved(mode, "BMP")
    for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        yield f"gif {mode}", saved(mode, "GIF")
        yield f"gif {mode} not interlaced", saved(mode, "GIF", interlace=0)
    yield "gif P, one clear entry", saved("P", "GIF", transparency=3)
    for form in ("GIF", "WEBP", "AVIF"):
        yield f"{form.lower()} animated", animated(form, **({"lossless": True} if form == "WEBP" else {}))
    for mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        for bare in (False, True):
            yield f"jpeg2000 {mode}{' bare' * bare}", saved(mode, "JPEG2000", no_jp2=bare)
    for mode in ("1", "L", "RGB", "I;16"):
        yield f"ppm {mode}", saved(mode, "PPM")
    yield "ppm with another maximum", b"P2 2 1 100\n0 50\n"


def _turned() -> Iterator[tuple[str, bytes]]:
    modes = {
        "PNG": ("L", "LA", "P", "PA", "RGB", "RGBA", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "TIFF": ("L", "RGB", "RGBA", "CMYK", "I;16"),
        "AVIF": ("RGB", "RGBA"),
    }
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100},
        "AVIF": {"quality": 100},
        "WEBP": {"lossless": True},
    }
    for form, all_modes in modes.items():
        for mode in all_modes:
            for orientation in range(1, 9):
                exif = Image.Exif()
                exif[0x112] = orientation
                yield (
                    f"{form.lower()} {mode} turned {orientation}",
                    saved(mode, form, exif=exif, **options.get(form, {})),
                )


def corpus() -> dict[str, bytes]:
    """Name -> bytes; the name's first word is the format."""
    made = {f"png {name}": content for name, content in _png()}
    made |= {f"tiff {name}": content for name, content in _tiff()}
    return made | dict(_others()) | dict(_turned())


def deep_corpus() -> dict[str, tuple[bytes, np.ndarray]]:
    """Colours of 16 bits, of which Pillow keeps the upper 8: name -> bytes, and what rounding makes of them."""
    colors = np.stack([DEEP, DEEP[::-1], 65535 - DEEP], axis=-1)
    alpha = ALPHA.astype(np.uint16) * 257
    share = alpha[..., None] / 65535
    plain, over_white = (
        np.rint(part / 257).astype(np.uint8) for part in (colors, colors * share + 65535 * (1 - share))
    )

    def encoded(suffix: str, pixels: np.ndarray) -> bytes:
        return cv2.imencode(suffix, pixels)[1].tobytes()

    blue_first = np.ascontiguousarray(colors[..., ::-1])
    png, tiff = encoded(".png", blue_first), encoded(".tiff", blue_first)
    key = colors[3, 4]
    cleared = np.where((colors == key).all(axis=2, keepdims=True), 255, plain).astype(np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    with_alpha = encoded(".png", np.dstack([blue_first, alpha]))
    return {
        "png rgb16": (png, plain),
        "png rgba16": (with_alpha, over_white),
        "png rgba16 turned": (with_chunk(with_alpha, b"eXIf", exif.tobytes()[6:]), np.rot90(over_white, -1)),
        "png rgb16 turned": (with_chunk(png, b"eXIf", exif.tobytes()[6:]), np.rot90(plain, -1)),
        "png rgb16, a clear colour": (with_chunk(png, b"tRNS", key.astype(">u2").tobytes()), cleared),
        "tiff rgb16": (tiff, plain),
        "tiff rgba16": (encoded(".tiff", np.dstack([blue_first, alpha])), over_white),
    }
