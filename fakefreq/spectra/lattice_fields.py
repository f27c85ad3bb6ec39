"""The lattice by fields: what its mean is over bright and dark areas, over bluish and reddish ones.

An upsampler's lattice need not be alike all over the image. What it adds to a pixel depends on the features there, and
so on what is drawn: its sign may differ between skin and background, and the mean over all pixels cancels. Weighted
with a field that varies slowly over the picture, such as its brightness, the residual keeps its null: a photograph has
no mean by position modulo P, under whatever weights. And a lattice that follows the field adds up.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import rgb_to_gray, rgb_to_ycbcr, to_float
from fakefreq.spectra.lattice import check_period, scores_of_segments, segment_side
from fakefreq.spectra.lattice_residual import lattice_residual

FIELDS = ("constant", "brightness", "brightness squared", "Cb", "Cr")

# Rows Y, Cb and Cr, of R, G and B.
YCBCR = rgb_to_ycbcr(torch.eye(3).view(3, 3, 1, 1))[..., 0, 0].T.contiguous().numpy()
# In 8-bit steps of Y, Cb and Cr: a field that varies less is taken for noise, and counts less.
LEAST = (1.0, 0.5, 0.5)
# Of the fields, in deviations: beyond it nothing counts more.
CLIP = 2.5


def lattice_fields(images: Tensor, period: int = 8) -> Tensor:
    """Return what weighs the residual: 1, brightness b, b^2, Cb and Cr.

    Means of P x P blocks, smoothed by [1, 6, 1] / 8 both ways, less their mean, over their deviation, clipped to
    [-2.5, 2.5]; b^2 less its mean. Between the blocks' centres they are interpolated: a weight that jumped from block
    to block would have the period itself, and with the slope of the picture bring a lattice of its own in.

    Args:
        images: RGB, uint8 or floats in [0, 1].
        period: P in pixels, 2 to 32.

    Shape:
        - input: (B, 3, H, W), H and W at least 2P
        - output: (B, 5, P (H // P), P (W // P)), in the order of `FIELDS`: without what is left over of whole blocks

    Raises:
        UserError: images without three channels, a period out of range, or an image below two periods.

    >>> [round(value, 2) for value in lattice_fields(torch.full((1, 3, 16, 16), 0.5)).mean(dim=(2, 3))[0].tolist()]
    [1.0, 0.0, 0.0, 0.0, 0.0]
    """
    with no_autocast(images):
        blocks = _fields_of_blocks(images, period)
        return F.interpolate(blocks, scale_factor=float(period), mode="bilinear", align_corners=False)


def _fields_of_blocks(images: Tensor, period: int) -> Tensor:
    """The fields at the centres of the blocks: (B, 3, H, W) -> (B, 5, H // P, W // P)."""
    check_images(images, 3)
    check_period(images, period)
    planes = rgb_to_ycbcr(F.avg_pool2d(to_float(images), period))
    down = F.pad(planes, (0, 0, 1, 1), mode="replicate")
    planes = (down[..., :-2, :] + 6 * down[..., 1:-1, :] + down[..., 2:, :]) / 8
    across = F.pad(planes, (1, 1, 0, 0), mode="replicate")
    planes = (across[..., :-2] + 6 * across[..., 1:-1] + across[..., 2:]) / 8
    planes = planes - planes.mean(dim=(-2, -1), keepdim=True)
    least = torch.tensor(LEAST, dtype=planes.dtype, device=planes.device).view(1, 3, 1, 1) / 255.0
    # The root's slope is infinite at 0.
    deviation = (planes.square().mean(dim=(-2, -1), keepdim=True) + 1e-12).sqrt()
    scaled = (planes / torch.maximum(deviation, least)).clamp(-CLIP, CLIP)
    brightness, chroma = scaled[:, :1], scaled[:, 1:]
    square = brightness.square()
    square = square - square.mean(dim=(-2, -1), keepdim=True)
    return torch.cat([torch.ones_like(square), brightness, square, chroma], dim=1)


def lattice_field_scores(images: Tensor, period: int = 8, quiet: float = 0.0) -> Tensor:
    """Return luma's lattice scores z, weighted with each field.

    As `fakefreq.spectra.lattice_scores`, of the residual times the field. The first field is 1: its z is what
    `lattice_scores` gives of luma.

    Args:
        images: RGB, uint8 or floats in [0, 1].
        period: P in pixels, 2 to 32.
        quiet: areas quieter than so many 8-bit steps are left out, see `fakefreq.spectra.lattice_residual`.

    Shape:
        - input: (B, 3, H, W), H and W at least 2P
        - output: (B, 5, P, P // 2 + 1), in the order of `FIELDS`; planes as `lattice_scores` lays them out

    Raises:
        UserError: images without three channels, a period out of range, or an image below two periods.

    >>> checks = 2 * ((torch.arange(96).view(-1, 1) + torch.arange(96)) % 2) - 1
    >>> left = (torch.arange(96) < 48) * 2 - 1  # light at the left, where the pattern has the other sign
    >>> noise = torch.randn(96, 96, generator=torch.Generator().manual_seed(0))
    >>> image = (0.5 + 0.2 * left + 0.02 * left * checks + 0.02 * noise).expand(1, 3, 96, 96)
    >>> z = lattice_field_scores(image)[0, :, 4, 4]
    >>> bool(z[0] < 3), bool(z[1] > 5)
    (True, True)
    """
    with no_autocast(images):
        fields = _fields_of_blocks(images, period)
        residual = lattice_residual(rgb_to_gray(images), quiet)[:, 0]
        return scores_of_segments(_weighted_tiles(residual, fields, period), period)


def _weighted_tiles(residual: Tensor, fields: Tensor, period: int) -> Tensor:
    """Tiles of the segments of the residual times each field, without the weights of single pixels.

    A field at a pixel is a mean of the four blocks about it, whose shares depend on the place in the block alone. So
    each field is summed over a segment's blocks, as it is and moved by one block each way, and then comes the share.

    Shape: (B, H, W) and (B, F, H // P, W // P), the first of the fields 1 -> (B, F, M, P, P).
    """
    side = segment_side(residual.shape[-2], residual.shape[-1], period)
    down, across, count = residual.shape[-2] // side, residual.shape[-1] // side, side // period
    cut = residual[..., : down * side, : across * side].reshape(-1, down, count, period, across, count, period)
    pixels = cut.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, down * across, count * count, period * period)
    around = F.pad(fields[:, 1:], (1, 1, 1, 1), mode="replicate")
    height, width = down * count, across * count
    moved = [around[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    weights = torch.cat([fields[:, :1, :height, :width], *moved], dim=1)
    weights = weights.reshape(weights.shape[0], -1, down, count, across, count).permute(0, 2, 4, 1, 3, 5)
    sums = weights.reshape(*weights.shape[:3], -1, count * count).flatten(1, 2) @ pixels
    others = sums[:, :, 1:].reshape(*sums.shape[:2], 9, -1, period * period)
    others = (others * _shares(period, sums).unsqueeze(1)).sum(dim=2)
    tiles = torch.cat([sums[:, :, :1], others], dim=2) / (count * count)
    return tiles.transpose(1, 2).reshape(sums.shape[0], -1, sums.shape[1], period, period)


def _shares(period: int, like: Tensor) -> Tensor:
    """What each of the nine blocks about a place in a block adds to a field there: (9, P P)."""
    place = (torch.arange(period, dtype=like.dtype, device=like.device) + 0.5) / period - 0.5
    along = torch.stack([(-place).clamp_min(0), 1 - place.abs(), place.clamp_min(0)])
    return (along[:, None, :, None] * along[None, :, None, :]).reshape(9, -1)


class LatticeFieldScores(nn.Module):
    """`lattice_field_scores` as a module, with the same arguments."""

    def __init__(self, period: int = 8, quiet: float = 0.0) -> None:
        super().__init__()
        self.period, self.quiet = period, quiet

    def forward(self, images: Tensor) -> Tensor:
        """Return z by field, (B, 5, P, P // 2 + 1)."""
        return lattice_field_scores(images, self.period, self.quiet)
