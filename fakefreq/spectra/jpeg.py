"""What JPEG leaves in decoded pixels: the steps to which it rounded the coefficients of luma, and its quality.

A decoded image's block-DCT coefficients lie near multiples of the quantisation step (Fan and de Queiroz 2003,
Identification of bitmap compression history). They do so only on the grid of the last compression: no crop or resize
in between, and a crop's offset must be a multiple of 8.
"""

import math

import torch
from torch import Tensor, nn

from fakefreq.spectra._tensor import Constant, check_images, no_autocast
from fakefreq.spectra.block_dct import BlockDCT
from fakefreq.spectra.color import rgb_to_gray, to_float

# ITU-T T.81, table K.1: the luma steps from which libjpeg derives those of each quality.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
# Luma is rounded once by the decoder, and again as RGB: sqrt(1 + .299^2 + .587^2 + .114^2) / sqrt(12), in 8-bit steps.
_NOISE = 0.347
# Coefficients smaller than this say nothing: every step has 0 as a multiple.
_LEAST = 2.0
# Share of coefficients that follow no step, such as those of edited regions.
_OUTLIERS = 0.02


def luma_steps(quality: int) -> Tensor:
    """Return the quantisation steps of luma at a quality of libjpeg.

    Args:
        quality: 1 to 100.

    Shape:
        - output: (8, 8), long, 1 to 255

    >>> luma_steps(75)[0].tolist()
    [8, 6, 5, 8, 12, 20, 26, 31]
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(LUMA_TABLE) * scale + 50) // 100).clamp(1, 255)


class QuantisationLikelihood(nn.Module):
    """Log likelihood of each quantisation step at each frequency of the luma's 8x8 blocks, given the pixels.

    A coefficient near a multiple of step q within the rounding noise counts log q in favour, because a chance hit is
    that much less likely; one away from all multiples counts against it.

    Args:
        largest: the largest step that is considered, up to 255.

    Shape:
        - input: (B, 3, H, W) RGB or (B, 1, H, W) luma, uint8 or floats in [0, 1]; H and W at least 8, the blocks' grid
          starting in the upper left corner
        - output: (B, 64, largest): likelihood of step 1, 2, ... relative to none; 0 where no coefficient is large
          enough. Blocks with a clipped pixel, 0 or 255 in any channel, are left out: clipping moves coefficients.
    """

    def __init__(self, largest: int = 255) -> None:
        super().__init__()
        self.largest = largest
        self.transform = BlockDCT(8, 8)
        tables = torch.stack([luma_steps(quality) for quality in range(1, 101)]).flatten(1)
        self.register_buffer("tables", tables, persistent=False)
        self.steps = Constant(torch.arange(1, largest + 1, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        """Return log likelihoods."""
        check_images(images)
        with no_autocast(images):
            pixels = to_float(images)
            luma = (rgb_to_gray(pixels) if pixels.shape[1] == 3 else pixels) * 255.0 - 128.0
            coefficients = self.transform(luma)[:, 0].flatten(2)
            is_clipped = ((pixels <= 0) | (pixels >= 1)).any(dim=1, keepdim=True).to(pixels.dtype)
            is_whole = nn.functional.max_pool2d(is_clipped, 8).flatten(2) == 0
            is_large = ((coefficients.abs() > _LEAST) & is_whole).to(coefficients.dtype)
            found = []
            # One step at a time: all at once would take 255 times the coefficients' memory.
            for step in self.steps(coefficients).unbind():
                distance = coefficients - step * torch.round(coefficients / step)
                density = torch.exp(-0.5 * (distance / _NOISE).square()) * (step / (_NOISE * math.sqrt(2 * math.pi)))
                found.append((torch.log((1 - _OUTLIERS) * density + _OUTLIERS) * is_large).sum(dim=-1))
            return torch.stack(found, dim=-1)


def quantisation_table(images: Tensor) -> Tensor:
    """Return the luma quantisation steps that decoded images show; see `QuantisationLikelihood`.

    Args:
        images: RGB or luma, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W) or (B, 1, H, W)
        - output: (B, 8, 8), long: the most likely step; 0 where the image does not tell
    """
    likelihood = QuantisationLikelihood().to(images.device)(images)
    best, step = likelihood.max(dim=-1)
    return torch.where(best > 0, step + 1, 0).reshape(-1, 8, 8)


def jpeg_quality(images: Tensor) -> Tensor:
    """Return the quality of libjpeg whose luma table decoded images show best.

    Other encoders have other tables; then the number says which libjpeg quality comes nearest.

    Args:
        images: RGB or luma, uint8 or floats in [0, 1], on the grid of their last compression.

    Shape:
        - input: (B, 3, H, W) or (B, 1, H, W)
        - output: (B,), long, 1 to 100; above 95 also where there was no compression, whose steps are all 1

    >>> jpeg_quality(torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))).tolist()
    [100]
    """
    module = QuantisationLikelihood().to(images.device)
    likelihood = module(images)
    tables: Tensor = module.get_buffer("tables")
    frequency = torch.arange(64, device=images.device)
    # (B, 100): for each quality, the likelihood of its own step at each frequency.
    # One frequency that an edit or a bright border has spoilt must not outvote the others.
    total = likelihood[:, frequency, tables - 1].clamp_min(-10.0).sum(dim=-1)
    # Of equal ones the highest: the weakest claim.
    best: Tensor = 100 - total.flip(-1).argmax(dim=-1)
    return best
