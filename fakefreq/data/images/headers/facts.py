"""What is kept of an image's header, and the error of an image that cannot be used."""

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
