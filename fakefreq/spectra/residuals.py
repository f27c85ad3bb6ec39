"""Noise residuals: what is left of an image when a simple prediction of each pixel is taken away.

All keep their sign: a rectified residual has lost half of its signal.
"""

import math
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra._tensor import EachPlane, by_pieces, check_images, in_cpu_memory, no_autocast
from fakefreq.spectra.color import to_float

Border = Literal["mirror", "periodic"]


def npr_residual(images: Tensor, factor: int = 2) -> Tensor:
    """Return neighbouring-pixel relationships: the image minus itself sampled down and up by nearest neighbour.

    Each `factor` x `factor` patch loses its upper left pixel's value, so a generator's last x2 upsampling shows as
    relations inside the patch (Tan et al. 2024, Rethinking the up-sampling operations in CNN-based generative network
    for generalizable deepfake detection). Patches at the border may be incomplete: every size is allowed.

    Args:
        images: uint8 or float.
        factor: side of a patch in pixels, 2 or more.

    Shape:
        - input: (B, C, H, W)
        - output: (B, C, H, W), in [-1, 1] for pixels in [0, 1]

    Raises:
        UserError: a factor below 2.

    >>> npr_residual(torch.tensor([[[[1.0, 3.0, 7.0]]]])).tolist()
    [[[[0.0, 2.0, 0.0]]]]
    """
    check_images(images)
    if factor < 2:
        raise UserError(f"factor is {factor}; it takes 2 or more")
    with no_autocast(images):
        pixels = to_float(images)
        rows = torch.arange(pixels.shape[-2], device=pixels.device) // factor * factor
        columns = torch.arange(pixels.shape[-1], device=pixels.device) // factor * factor
        return pixels - pixels.index_select(-2, rows).index_select(-1, columns)


def median_residual(images: Tensor) -> Tensor:
    """Return the image minus its 3x3 median, borders continued by their outermost pixel.

    Without gradients (`torch.no_grad`, `torch.inference_mode`) a CPU takes OpenCV's median. Elsewhere it comes by
    comparisons of pairs instead of a sort: Smith 1996, Implementing median filters in XC4000E FPGAs: sort the columns,
    then the median of three is that of the greatest minimum, the median middle and the least maximum.

    Args:
        images: uint8 or float.

    Shape:
        - input: (B, C, H, W)
        - output: (B, C, H, W), in [-1, 1] for pixels in [0, 1]

    >>> spike = torch.zeros(1, 1, 3, 3)
    >>> spike[0, 0, 1, 1] = 1.0
    >>> median_residual(spike).sum().item()
    1.0
    """
    check_images(images)
    with no_autocast(images):
        pixels = to_float(images)
        if in_cpu_memory(pixels) and pixels.dtype == torch.float32 and not torch.is_grad_enabled():
            return pixels - EachPlane.apply(pixels, _median_plane)  # type: ignore[no-any-return]
        return by_pieces(_less_median, pixels.flatten(0, 1)).reshape(pixels.shape)


def _median_plane(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.medianBlur(plane, 3))


def _less_median(planes: Tensor, _: Tensor | None) -> Tensor:
    padded = nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
    height, width = planes.shape[-2:]
    # Every column of three is sorted once, and shared by the three windows that it lies in.
    low, middle, high = _sort3(*(padded[..., row : row + height, :] for row in range(3)))
    lows, middles, highs = ([part[..., k : k + width] for k in range(3)] for part in (low, middle, high))
    greatest_low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    least_high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return planes - _median3(greatest_low, _median3(*middles), least_high)


def _sort3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    middle = torch.minimum(high, c)
    return torch.minimum(low, middle), torch.maximum(low, middle), torch.maximum(high, c)


def _median3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def highpass_residual(
    images: Tensor, cutoff: float = 0.1, transition: float = 0.05, border: Border = "mirror"
) -> Tensor:
    """Return the image without its low frequencies, by FFT, with a smooth edge between stop and pass band.

    The gain rises as a raised cosine from 0 at cutoff - transition / 2 to 1 at cutoff + transition / 2: a hard edge
    would ring around every contour.

    Args:
        images: uint8 or float.
        cutoff: where the gain is 1/2, cycles/pixel, in (0, 0.5].
        transition: width of the edge in cycles/pixel, more than 0.
        border: `mirror` continues the image by its reflection, so that opposite edges make no step; `periodic` takes a
            quarter of the time and lets them.

    Shape:
        - input: (B, C, H, W), any size
        - output: (B, C, H, W), mean 0 over the frame

    Raises:
        UserError: an argument out of range.
    """
    check_images(images)
    choose(border, ["mirror", "periodic"], "border", "border")
    if not 0 < cutoff <= 0.5 or not transition > 0:
        raise UserError(
            f"cutoff is {cutoff} and transition {transition}; cutoff takes (0, 0.5] cycles/pixel, transition above 0"
        )
    with no_autocast(images):
        pixels = to_float(images)
        height, width = pixels.shape[-2:]
        rows, columns = (2 * height, 2 * width) if border == "mirror" else (height, width)
        # As fftfreq and rfftfreq, which exporters do not know.
        place = torch.arange(rows, dtype=torch.float64, device=pixels.device)
        vertical = ((place + rows // 2) % rows - rows // 2) / rows
        horizontal = torch.arange(columns // 2 + 1, dtype=torch.float64, device=pixels.device) / columns
        radius = torch.sqrt(vertical.square().unsqueeze(1) + horizontal.square())
        ramp = ((radius - cutoff) / transition + 0.5).clamp(0, 1)
        gain = (0.5 - 0.5 * torch.cos(math.pi * ramp)).masked_fill(radius == 0, 0.0).to(pixels.dtype)

        def filtered(planes: Tensor, _: Tensor | None) -> Tensor:
            frame = planes
            if border == "mirror":
                frame = torch.cat([frame, frame.flip(-1)], dim=-1)
                frame = torch.cat([frame, frame.flip(-2)], dim=-2)
            whole: Tensor = torch.fft.irfft2(torch.fft.rfft2(frame) * gain, s=(rows, columns))
            return whole[..., :height, :width]

        return by_pieces(filtered, pixels.flatten(0, 1)).reshape(pixels.shape)


class NPRResidual(nn.Module):
    """`npr_residual` as a module, with the same arguments."""

    def __init__(self, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Return the residual, (B, C, H, W)."""
        return npr_residual(images, self.factor)


class MedianResidual(nn.Module):
    """`median_residual` as a module."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the residual, (B, C, H, W)."""
        return median_residual(images)


class HighpassResidual(nn.Module):
    """`highpass_residual` as a module, with the same arguments."""

    def __init__(self, cutoff: float = 0.1, transition: float = 0.05, border: Border = "mirror") -> None:
        super().__init__()
        self.cutoff, self.transition, self.border = cutoff, transition, border

    def forward(self, images: Tensor) -> Tensor:
        """Return the residual, (B, C, H, W)."""
        return highpass_residual(images, self.cutoff, self.transition, self.border)
