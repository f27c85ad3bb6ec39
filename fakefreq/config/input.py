"""What a detector makes of an image file before it reads pixels, as plain data."""

from dataclasses import dataclass

from fakefreq.errors import UserError


@dataclass(frozen=True)
class InputConfig:
    """The way of an image into a detector: what training and validation did to images, and what scoring does therefore.

    Args:
        crop: side in pixels of the random crop in training and the centre crop in validation and scoring. Nothing is
            resized.
        views: crops of an image that validation and scoring average: 1, the centre; 2, that and its mirror image; up to
            6 with the corners, up to 10 with their mirror images. Each costs one pass through the network.
        history: what every image of either class goes through before the crop, in training, validation and scoring, in
            the words of `align`, such as `size=128,codec=jpeg:75`; empty: nothing.

    Raises:
        UserError: a value out of range.
    """

    crop: int = 224
    views: int = 1
    history: str = ""

    def __post_init__(self) -> None:
        if self.crop < 1:
            raise UserError(f"--crop is {self.crop}; it takes 1 or more")
        if not 1 <= self.views <= 10:
            raise UserError(f"--views is {self.views}; it takes 1 to 10")
