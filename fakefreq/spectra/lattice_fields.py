"""The lattice by fields: what its mean is over bright and dark areas, over bluish and reddish ones.

An upsampler's lattice need not be alike all over the image. What it adds to a pixel depends on the features there, and
so on what is drawn: its sign may differ between skin and background, and the mean over all pixels cancels. Weighted
with a field that varies slowly over the picture, such as its brightness, the residual keeps its null: a photograph has
no mean by position modulo P, under whatever weights. And a lattice that follows the field adds up.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import rgb_to_gray, rgb_to_ycbcr, to_float
from fakefreq.spectra.lattice import check_period, lattice_residual, scores_of_segments, segment_side

FIELDS = ("constant", "brightness", "brightness squared", "Cb", "Cr")

# In 8-bit steps of Y, Cb and Cr: a field that varies less is taken for noise, and counts less.
_LEAST = (1.0, 0.5, 0.5)
# Of the fields, in deviations: beyond it nothing counts more.
_CLIP = 2.5


def lattice_fields(images: Tensor, period: int = 8) -> Tensor:
    """Return what weighs the residual: 1, brightness b, b^2, Cb and Cr, a value for each block of P x P pixels.

    Means of blocks, smoothed by [1, 2, 1] / 4 both ways, less their mean, over their deviation, clipped to
    [-2.5, 2.5]; b^2 less its mean. A weight that is constant over a block can bring no lattice of its own in.

    Args:
        images: RGB, uint8 or floats in [0, 1].
        period: P in pixels, 2 to 32.

    Shape:
        - input: (B, 3, H, W), H and W at least 2P
        - output: (B, 5, H // P, W // P), in the order of `FIELDS`

    Raises:
        UserError: images without three channels, a period out of range, or an image below two periods.

    >>> [round(value, 2) for value in lattice_fields(torch.full((1, 3, 16, 16), 0.5)).mean(dim=(2, 3))[0].tolist()]
    [1.0, 0.0, 0.0, 0.0, 0.0]
    """
    check_images(images, 3)
    check_period(images, period)
    with no_autocast(images):
        planes = rgb_to_ycbcr(F.avg_pool2d(to_float(images), period))
        down = F.pad(planes, (0, 0, 1, 1), mode="replicate")
        planes = (down[..., :-2, :] + 2 * down[..., 1:-1, :] + down[..., 2:, :]) / 4
        across = F.pad(planes, (1, 1, 0, 0), mode="replicate")
        planes = (across[..., :-2] + 2 * across[..., 1:-1] + across[..., 2:]) / 4
        planes = planes - planes.mean(dim=(-2, -1), keepdim=True)
        least = torch.tensor(_LEAST, dtype=planes.dtype, device=planes.device).view(1, 3, 1, 1) / 255.0
        # The root's slope is infinite at 0.
        deviation = (planes.square().mean(dim=(-2, -1), keepdim=True) + 1e-12).sqrt()
        scaled = (planes / torch.maximum(deviation, least)).clamp(-_CLIP, _CLIP)
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
    check_images(images, 3)
    check_period(images, period)
    with no_autocast(images):
        residual = lattice_residual(rgb_to_gray(images), quiet)[:, 0]
        fields = lattice_fields(images, period)
        side = segment_side(residual.shape[-2], residual.shape[-1], period)
        down, across, count = residual.shape[-2] // side, residual.shape[-1] // side, side // period
        batch = residual.shape[0]
        cut = residual[..., : down * side, : across * side]
        blocks = cut.reshape(batch, down, count, period, across, count, period)
        blocks = blocks.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, down * across, count * count, period * period)
        weights = fields[..., : down * count, : across * count].reshape(batch, -1, down, count, across, count)
        weights = weights.permute(0, 2, 4, 1, 3, 5).reshape(batch, down * across, -1, count * count)
        tiles = (weights @ blocks / (count * count)).transpose(1, 2)
        return scores_of_segments(tiles.reshape(*tiles.shape[:3], period, period), period)


def fields_of_image(image: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """Return `lattice_fields` of one image by OpenCV, which is faster on a CPU.

    Args:
        image: RGB in 8-bit steps.
        period: P in pixels.

    Shape: (H, W, 3) -> (5, H // P, W // P).
    """
    rows, columns = image.shape[0] // period, image.shape[1] // period
    # Of whole factors this is the mean of each block.
    blocks = cv2.resize(image[: rows * period, : columns * period], (columns, rows), interpolation=cv2.INTER_AREA)
    smooth = np.array([0.25, 0.5, 0.25], np.float32)
    smoothed = cv2.sepFilter2D(cv2.transform(blocks, _YCC), -1, smooth, smooth, borderType=cv2.BORDER_REPLICATE)
    planes = smoothed.transpose(2, 0, 1)
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt(np.square(planes).mean(axis=(1, 2), keepdims=True))
    scaled = np.clip(planes / np.maximum(deviation, np.reshape(_LEAST, (3, 1, 1))), -_CLIP, _CLIP)
    square = np.square(scaled[0])
    return np.stack([np.ones_like(square), scaled[0], square - square.mean(), scaled[1], scaled[2]]).astype(np.float32)


_YCC = rgb_to_ycbcr(torch.eye(3).view(3, 3, 1, 1))[..., 0, 0].T.contiguous().numpy()


class LatticeFieldScores(nn.Module):
    """`lattice_field_scores` as a module, with the same arguments."""

    def __init__(self, period: int = 8, quiet: float = 0.0) -> None:
        super().__init__()
        self.period, self.quiet = period, quiet

    def forward(self, images: Tensor) -> Tensor:
        """Return z by field, (B, 5, P, P // 2 + 1)."""
        return lattice_field_scores(images, self.period, self.quiet)
