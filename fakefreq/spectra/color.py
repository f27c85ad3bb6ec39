"""Colour: the only door through which pixels enter the spectra."""

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, no_autocast

# JFIF 1.02 (ITU-R BT.601 luma), full range: rows Y, Cb, Cr.
_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735891647856, -0.331264108352144, 0.5),
    (0.5, -0.418687589158345, -0.081312410841655),
)


def to_float(images: Tensor) -> Tensor:
    """Return pixels as floats, before any arithmetic: a difference of uint8 would wrap around.

    Args:
        images: uint8 in [0, 255], or floats in [0, 1], which pass; half precision becomes float32.

    Shape:
        - any; the output's is the input's

    Raises:
        UserError: other integers, whose range nobody knows, or complex numbers.

    >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32) / 255.0
    if not images.dtype.is_floating_point:
        raise UserError(
            f"expected uint8 in 0 to 255 or floats, got {images.dtype}; pixels become uint8 by .to(torch.uint8)"
        )
    return images if images.dtype == torch.float64 else images.to(torch.float32)


def rgb_to_gray(images: Tensor) -> Tensor:
    """Return JPEG's luma Y.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W)
        - output: (B, 1, H, W), in [0, 1]

    Raises:
        UserError: not three channels.
    """
    check_images(images, channels=3)
    red, green, blue = to_float(images).unbind(dim=1)
    weights = _YCBCR[0]
    return (weights[0] * red + weights[1] * green + weights[2] * blue).unsqueeze(1)


def rgb_to_ycbcr(images: Tensor) -> Tensor:
    """Return JPEG's full-range YCbCr with chroma centred at 0.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W)
        - output: (B, 3, H, W): Y in [0, 1], Cb and Cr in [-0.5, 0.5]

    Raises:
        UserError: not three channels.

    >>> [round(value, 4) for value in rgb_to_ycbcr(torch.ones(1, 3, 1, 1)).flatten().tolist()]
    [1.0, 0.0, 0.0]
    """
    check_images(images, channels=3)
    with torch.autocast(images.device.type, enabled=False):
        pixels = to_float(images)
        matrix = torch.tensor(_YCBCR, dtype=pixels.dtype, device=pixels.device)
        return (matrix @ pixels.flatten(2)).reshape(pixels.shape)


def rgb_to_hsv(images: Tensor) -> Tensor:
    """Return hue, saturation and value (Smith 1978, Color gamut transform pairs).

    Hue is an angle with a jump at red, so it is given as a share of the circle and, where a network reads it,
    better taken as its cosine and sine. Grey has hue 0 and saturation 0.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W)
        - output: (B, 3, H, W): hue in [0, 1), saturation and value in [0, 1]

    Raises:
        UserError: not three channels.

    >>> blue = torch.tensor([0.0, 0.0, 0.5]).view(1, 3, 1, 1)
    >>> [round(value, 4) for value in rgb_to_hsv(blue).flatten().tolist()]
    [0.6667, 1.0, 0.5]
    """
    check_images(images, channels=3)
    with no_autocast(images):
        red, green, blue = to_float(images).unbind(dim=1)
        value = torch.maximum(torch.maximum(red, green), blue)
        chroma = value - torch.minimum(torch.minimum(red, green), blue)
        # A 1 where the divisor would be 0: the numerator is 0 there as well, and the gradient stays finite.
        divisor = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
        sextant = torch.where(
            value == red,
            (green - blue) / divisor,
            torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
        )
        hue = torch.where(chroma > 0, sextant / 6, torch.zeros_like(chroma))
        hue = torch.where(hue < 0, hue + 1, hue)
        hue = torch.where(hue >= 1, hue - 1, hue)  # of a red that is hardly bluish 1 is what rounding gives
        saturation = chroma / torch.where(value > 0, value, torch.ones_like(value))
        return torch.stack([hue, saturation, value], dim=1)


class Gray(nn.Module):
    """`rgb_to_gray` as a module."""

    def forward(self, images: Tensor) -> Tensor:
        """Return luma, (B, 1, H, W)."""
        return rgb_to_gray(images)


class YCbCr(nn.Module):
    """`rgb_to_ycbcr` as a module."""

    def forward(self, images: Tensor) -> Tensor:
        """Return luma and centred chroma, (B, 3, H, W)."""
        return rgb_to_ycbcr(images)


class HSV(nn.Module):
    """`rgb_to_hsv` as a module."""

    def forward(self, images: Tensor) -> Tensor:
        """Return hue, saturation and value, (B, 3, H, W)."""
        return rgb_to_hsv(images)
