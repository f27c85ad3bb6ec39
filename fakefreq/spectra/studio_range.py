"""The trace of studio range: whether pixels were decoded from luma of 219 steps, as WebP and most video keep it."""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import to_float

# Y = 16 + (65.738 R + 129.057 G + 25.064 B) / 256 of 8-bit R, G, B: ITU-R BT.601, studio range. Whole steps of Y count,
# so its constant does not.
LUMA = (65.738 / 256, 129.057 / 256, 25.064 / 256)
# Every third row and column is read.
STEP = 3
# Added to the number of pixels: what a handful says is little.
FEW = 16.0


def studio_range_trace(images: Tensor) -> Tensor:
    """Return how far the luma of studio range lies on whole steps: abs(mean of exp(2 pi i Y)).

    WebP and most video keep Y of ITU-R BT.601 in whole steps from 16 to 235. What a decoder makes of it is rounded to
    8 bits in R, G and B. Each rounding is an error within half a step, and Y comes back with their sum, weighted by w:
    the trace is the product of sin(pi w) / (pi w) = .556. JPEG keeps 255 steps: where pixels came from there, or from
    no codec, Y lies anywhere and the trace is about 1 / sqrt(pixels read). Any resize or second codec takes it away,
    and most of the lattice that WebP leaves. A grey image has one error in R, G and B, and hardly any trace; one of a
    single colour has a trace near 1. Pixels at 0 or 255 are left out.

    Args:
        images: RGB, uint8 or floats in [0, 1] that come from 8 bits.

    Shape:
        - input: (B, 3, H, W)
        - output: (B,), in [0, 1)

    Raises:
        UserError: images without three channels.

    >>> pixels = torch.randint(40, 200, (1, 3, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    >>> bool(studio_range_trace(pixels) < 0.1)
    True
    """
    check_images(images)
    if images.shape[1] != 3:
        raise UserError(f"the images have {images.shape[1]} channels; the trace of studio range takes R, G and B")
    with no_autocast(images):
        steps = 255.0 * to_float(images[..., ::STEP, ::STEP])
        inside = ((steps.amin(dim=1) > 0.5) & (steps.amax(dim=1) < 254.5)).to(steps.dtype)
        weights = torch.tensor(LUMA, dtype=steps.dtype, device=steps.device).view(-1, 1, 1)
        angle = 2 * math.pi * (weights * steps).sum(dim=1)
        count = inside.sum(dim=(1, 2)) + FEW
        real, imaginary = ((inside * part).sum(dim=(1, 2)) / count for part in (angle.cos(), angle.sin()))
        return (real.square() + imaginary.square() + 1e-12).sqrt()


class StudioRangeTrace(nn.Module):
    """`studio_range_trace` as a module."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the trace of each image, (B,)."""
        return studio_range_trace(images)
