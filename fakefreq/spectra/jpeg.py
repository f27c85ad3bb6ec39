"""What JPEG leaves in decoded pixels: the rounding steps of luma, its quality, and its strength in a crop.

A decoded image's block-DCT coefficients lie near multiples of the quantisation step (Fan and de Queiroz 2003,
Identification of bitmap compression history). They do so only on the grid of the last compression: no crop or resize
in between, and a crop's offset must be a multiple of 8.
"""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
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
        if images.shape[1] not in (1, 3):
            raise UserError(f"expected RGB or luma, (B, 3, H, W) or (B, 1, H, W), got {tuple(images.shape)}")
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


QUALITIES = (30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
# (row, column) of the frequencies that are looked at: the lowest, without the mean, are seldom rounded to 0.
_FREQUENCIES = tuple((row, column) for row in range(5) for column in range(5) if 0 < row + column < 5)
# Grey levels above which a step between neighbours is the picture's own edge and tells no more about the grid.
_EDGE = 12.0


def block_grid(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the first whole 8x8 block of the last compression starts.

    At its borders neighbours differ more than within (the blockiness of Wang, Sheikh and Bovik 2002); the phase with
    the largest excess wins.

    Args:
        luma: in 8-bit steps.

    Shape:
        - input: (B, H, W), H and W at least 16
        - output: row and column, both (B,), long, 0 to 7
    """
    return _phase(luma.transpose(1, 2)), _phase(luma)


def _phase(luma: Tensor) -> Tensor:
    steps = (luma[..., 1:] - luma[..., :-1]).abs().clamp_max(_EDGE)
    excess = (steps[..., 1:-1] - 0.5 * (steps[..., :-2] + steps[..., 2:])).mean(dim=1)
    length = excess.shape[-1]
    whole = nn.functional.pad(excess, (0, -length % 8)).reshape(excess.shape[0], -1, 8).sum(dim=1)
    counts = nn.functional.pad(torch.ones_like(excess[:1]), (0, -length % 8)).reshape(1, -1, 8).sum(dim=1)
    # Entry k stands for the border between columns k + 1 and k + 2.
    phase: Tensor = ((whole / counts).argmax(dim=-1) + 2) % 8
    return phase


class QualityPosterior(nn.Module):
    """Probability of each of `QUALITIES` of libjpeg, given the pixels of any crop of a decoded image.

    100 also stands for an image without such a trace: never compressed, or resampled since. Of two compressions on one
    grid the coarser is told. In random 224-pixel crops of 48 faces the quality was right in all at 40 to 85, in 44 at
    90, and in none at 95 (told as 100); in crops of 64 pixels in 47 at 40, 40 at 75 and 24 at 85, else told as 100.
    Nothing is learnt, and no gradient flows through.

    Shape:
        - input: (B, 3, H, W) RGB, uint8 or floats in [0, 1], H and W at least 24
        - output: (B, 11), of sum 1
    """

    minimum_size = 24

    def __init__(self) -> None:
        super().__init__()
        self.transform = BlockDCT(8, 8)
        self.places = [8 * row + column for row, column in _FREQUENCIES]
        tables = torch.stack([luma_steps(quality).flatten()[self.places] for quality in QUALITIES])
        self.steps = Constant(tables.double())

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities."""
        check_images(images)
        height, width = images.shape[-2:]
        if min(height, width) < self.minimum_size:
            raise UserError(f"images of {height}x{width} are too small for an estimate of quality; 24 pixels a side")
        with no_autocast(images):
            pixels = to_float(images)
            luma = rgb_to_gray(pixels)[:, 0] * 255.0 - 128.0
            top, left = block_grid(luma)
            # As many whole blocks as there are wherever the grid starts.
            rows = top[:, None] + torch.arange(8 * (height // 8 - 1), device=luma.device)
            columns = left[:, None] + torch.arange(8 * (width // 8 - 1), device=luma.device)
            is_clipped = ((pixels <= 0) | (pixels >= 1)).any(dim=1).to(luma.dtype)
            both = torch.stack([luma, is_clipped], dim=1)
            both = both.gather(2, rows[:, None, :, None].expand(-1, 2, -1, width))
            both = both.gather(3, columns[:, None, None, :].expand(-1, 2, rows.shape[1], -1))
            coefficients = self.transform(both[:, :1])[:, 0, self.places].flatten(2)
            is_whole = nn.functional.max_pool2d(both[:, 1:], 8).flatten(2) == 0
            counts = ((coefficients.abs() > _LEAST) & is_whole).to(coefficients.dtype)
            found = []
            for table in self.steps(coefficients).unbind():
                step = table[:, None]
                distance = coefficients - step * torch.round(coefficients / step)
                density = torch.exp(-0.5 * (distance / _NOISE).square()) * (step / (_NOISE * math.sqrt(2 * math.pi)))
                # A step of 1 is below the noise and tells nothing: it is what no compression looks like.
                evidence = torch.log((1 - _OUTLIERS) * density + _OUTLIERS) * counts * (step > 1)
                # One frequency that an edit has spoilt must not outvote the others.
                found.append(evidence.sum(dim=-1).clamp_min(-20.0).sum(dim=-1))
            return torch.softmax(torch.stack(found, dim=-1), dim=-1)
