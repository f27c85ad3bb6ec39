"""Colour: the only door through which pixels enter the spectra."""

import torch
from torch import Tensor

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

    >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32) / 255.0
    return images if images.dtype == torch.float64 else images.to(torch.float32)


def rgb_to_gray(images: Tensor) -> Tensor:
    """Return JPEG's luma Y.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W)
        - output: (B, 1, H, W), in [0, 1]
    """
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

    >>> [round(value, 4) for value in rgb_to_ycbcr(torch.ones(1, 3, 1, 1)).flatten().tolist()]
    [1.0, 0.0, 0.0]
    """
    with torch.autocast(images.device.type, enabled=False):
        pixels = to_float(images)
        matrix = torch.tensor(_YCBCR, dtype=pixels.dtype, device=pixels.device)
        return (matrix @ pixels.flatten(2)).reshape(pixels.shape)
