"""How strongly the last JPEG compressed an image, estimated from its pixels whatever crop of it one has; cheap.

`jpeg.jpeg_quality` knows every step at every frequency but only on the codec's own grid; here the grid is found first,
by the edges that blocks leave, and a few qualities are weighed against each other at low frequencies.
"""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import Constant, check_images, no_autocast
from fakefreq.spectra.block_dct import BlockDCT
from fakefreq.spectra.color import rgb_to_gray, to_float
from fakefreq.spectra.jpeg import _LEAST, _NOISE, _OUTLIERS, luma_steps

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
