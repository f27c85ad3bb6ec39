"""Synthbuster (Bammey 2023, "Synthbuster: Towards Detection of Diffusion Model Generated Images", IEEE Open Journal of
Signal Processing): the periods 2, 4 and 8 of the cross-difference, read by gradient-boosted trees."""

import math

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.classical import BoostedTrees, FittedDetector, Standardise
from fakefreq.spectra import lattice_frequencies

PERIOD = 8


def cross_difference(planes: Tensor) -> Tensor:
    """Return abs(x[i, j] + x[i+1, j+1] - x[i, j+1] - x[i+1, j]).

    It is 0 on edges along rows and columns and on flat and sloping ground (Chen and Hsu 2011, "Detecting recompression
    of JPEG images via periodicity analysis of compression artifacts for tampering detection").

    Shape:
        - input: (B, C, H, W)
        - output: (B, C, H - 1, W - 1)

    >>> cross_difference(torch.tensor([[[[0.0, 1.0], [1.0, 5.0]]]])).item()
    3.0
    """
    rows = planes[..., 1:, :] - planes[..., :-1, :]
    return (rows[..., 1:] - rows[..., :-1]).abs()


class PeriodStream(nn.Module):
    """Magnitudes of the cross-difference's Fourier transform at all multiples of 1/8 cycles/pixel, then boosted trees.

    At these frequencies the transform of the whole plane is that of its mean by position modulo 8: no other is
    computed. Of a frequency and its negative one counts: 34 a channel, frequency 0 among them.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 17; what is left over of whole periods at the right
          and the bottom is not read
        - output: (B, 1), the log of the odds
    """

    minimum_size = 2 * PERIOD + 1
    width = 1
    # Trees are steps: no derivative tells which pixels decided.
    has_gradient = False
    cosine: Tensor
    sine: Tensor

    def __init__(self) -> None:
        super().__init__()
        chosen = lattice_frequencies(PERIOD)
        chosen[0, 0] = True
        position = torch.arange(PERIOD, dtype=torch.float64)
        turns = chosen.nonzero().double() @ torch.cartesian_prod(position, position).T
        angle = (2 * math.pi / PERIOD) * turns
        for name, values in (("cosine", angle.cos()), ("sine", angle.sin())):
            self.register_buffer(name, (values.T / PERIOD**2).float().contiguous(), persistent=False)
        self.standardise = Standardise(3 * len(angle))
        self.machine = BoostedTrees()

    def raw(self, pixels: Tensor) -> Tensor:
        """Return the magnitudes a pixel in 8-bit steps, (B, 102)."""
        residual = cross_difference(pixels * 255.0)
        down, across = residual.shape[-2] // PERIOD, residual.shape[-1] // PERIOD
        cut = residual[..., : down * PERIOD, : across * PERIOD]
        tile = cut.reshape(-1, 3, down, PERIOD, across, PERIOD).mean(dim=(2, 4)).flatten(2)
        return ((tile @ self.cosine).square() + (tile @ self.sine).square()).sqrt().flatten(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return what the trees add up to, (B, 1)."""
        with torch.autocast(pixels.device.type, enabled=False):
            return self.machine(self.standardise(self.raw(pixels)))  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/synthbuster`; no pretrained weights belong to it."""
    del pretrained, name
    return FittedDetector(config, PeriodStream(), "trees")
