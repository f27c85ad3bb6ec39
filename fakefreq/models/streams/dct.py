"""Streams of the DCT: of 8x8 blocks, and of the whole image."""

from typing import Literal

import torch
from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream, conv, moments, signed_log
from fakefreq.spectra import BlockDCT, dct2, rgb_to_gray, rgb_to_ycbcr, to_float


class DCTStream(SpectrumStream):
    """Log DCT of the whole grey frame (Frank et al. 2020), averaged over 48 x 48 cells of equal frequency.

    The cells span 0 to 1/2 cycles/pixel along each axis whatever the image's size, so that each has a normalisation of
    its own; the paper's per-coefficient one fits a single size.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 48
        - output: (B, 128)
    """

    cells = 48
    width = 128
    minimum_size = 48

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(self.cells**2)
        self.network = nn.Sequential(conv(1, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 32, 3, 2))
        # Where a peak lies is what tells an upsampler, so positions are kept: no pooling.
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(32 * (self.cells // 8) ** 2, self.width), nn.GELU())

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return mean log magnitude, (B, 1, 48, 48), lowest frequencies first."""
        magnitude = (dct2(rgb_to_gray(pixels)) * 255.0).abs().log1p()
        return nn.functional.interpolate(magnitude, (self.cells, self.cells), mode="area")

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        normalised = self.normalise(spectrum.flatten(1)).view_as(spectrum)
        return self.project(self.network(normalised))  # type: ignore[no-any-return]


Colour = Literal["ycbcr", "rgb", "gray"]


class BlockDCTStream(SpectrumStream):
    """8x8 block DCT, signed log, batch norm a frequency, and a small convolutional network.

    The blocks are JPEG's own: with a crop on the 8-pixel grid a coefficient here is the one that the codec rounded.
    The sign is kept, because a rectified coefficient has lost half of its signal.

    Args:
        colour: what is transformed: `ycbcr`, whose planes are JPEG's own, `rgb`, or `gray`, the luma alone.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 128): mean and standard deviation over the blocks of 64 learnt maps
    """

    block = 8
    width = 128
    minimum_size = 16

    def __init__(self, colour: Colour = "ycbcr") -> None:
        super().__init__()
        self.colour = colour
        self.transform = BlockDCT(block=self.block, stride=self.block)
        frequencies = (1 if colour == "gray" else 3) * self.block**2
        # One mean and variance for each colour channel and frequency: their scales differ by orders of magnitude.
        self.normalise = nn.BatchNorm2d(frequencies)
        # The stride keeps the whole stream below a tenth of the cost of the smallest usual backbone.
        network = nn.Sequential(conv(frequencies, 64, 1), conv(64, 64, 3, stride=2), conv(64, 64, 3))
        self.network = network.to(memory_format=torch.channels_last)

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return the signed log coefficients, (B, 192, H // 8, W // 8), float32; 64 of them where only luma is read."""
        planes = {"ycbcr": rgb_to_ycbcr, "gray": rgb_to_gray, "rgb": to_float}[self.colour](pixels)
        # In units of 8-bit steps a coefficient below 1 is lost to rounding, so the curve is linear just there.
        coefficients: Tensor = self.transform(planes).flatten(1, 2)
        return signed_log(coefficients, scale=255.0)

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        return moments(self.network(self.normalise(spectrum.contiguous(memory_format=torch.channels_last))))
