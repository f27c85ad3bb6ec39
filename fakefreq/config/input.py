"""What a detector makes of an image file before it reads pixels, as plain data."""

from dataclasses import dataclass

from fakefreq.errors import UserError


@dataclass(frozen=True)
class InputConfig:
    """The way of an image into a detector: what training and validation did to images, and what scoring does therefore.

    Args:
        crop: side in pixels of the centre crop, 1 or more. Nothing is resized.
        views: crops of an image whose logits are averaged, 1 to 10; see `fakefreq.data.images.crops.crop_views`.
        history: what every image goes through before the crop, in the words of `align`; empty: nothing.

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
