"""The frequency streams: spectra of the batch, computed on its device, and a small network that reads them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra import BlockDCT, PowerSpectrum, rgb_to_gray, rgb_to_ycbcr


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, GELU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.GELU(),
    )


class BlockDCTStream(nn.Module):
    """8x8 block DCT of YCbCr, signed log, batch norm a frequency, and a small convolutional network.

    The blocks are JPEG's own: with a crop on the 8-pixel grid a coefficient here is the one that the codec rounded.
    The sign is kept, because a rectified coefficient has lost half of its signal.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 128): mean and standard deviation over the blocks of 64 learnt maps
    """

    block = 8
    width = 128
    minimum_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.transform = BlockDCT(block=self.block, stride=self.block)
        frequencies = 3 * self.block**2
        # One mean and variance for each colour channel and frequency: their scales differ by orders of magnitude.
        self.normalise = nn.BatchNorm2d(frequencies)
        # The stride keeps the whole stream below a tenth of the cost of the smallest usual backbone.
        network = nn.Sequential(_conv(frequencies, 64, 1), _conv(64, 64, 3, stride=2), _conv(64, 64, 3))
        self.network = network.to(memory_format=torch.channels_last)

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return the signed log coefficients, (B, 192, H // 8, W // 8), float32."""
        # In units of 8-bit steps a coefficient below 1 is lost to rounding, so log1p is linear just there.
        coefficients: Tensor = self.transform(rgb_to_ycbcr(pixels) * 255.0).flatten(1, 2)
        return torch.copysign(coefficients.abs().log1p(), coefficients)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        maps = self.network(self.normalise(self.spectrum(pixels).contiguous(memory_format=torch.channels_last)))
        mean = maps.mean(dim=(2, 3))
        # Not Tensor.std: its gradient is infinite where a map is constant, and it takes eight times as long.
        variance = (maps.square().mean(dim=(2, 3)) - mean.square()).clamp_min(0)
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)


class FFTStream(nn.Module):
    """Welch-averaged, Hann-windowed log power spectrum of the grey image, read by a small convolutional network.

    Averaging over overlapping tiles gives one spectrum of one size for images of every size, so that each
    frequency can have its own normalisation, and lowers the variance of the estimate (Welch 1967).

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 64
        - output: (B, 128)
    """

    tile = 64
    width = 128
    minimum_size = 64

    def __init__(self) -> None:
        super().__init__()
        self.transform = PowerSpectrum(window="hann", tile=self.tile, overlap=0.5, scale="log1p", half=True)
        rows, columns = self.tile, self.tile // 2 + 1
        self.normalise = nn.BatchNorm1d(rows * columns)
        self.network = nn.Sequential(_conv(1, 16, 3, 2), _conv(16, 32, 3, 2), _conv(32, 32, 3, 2))
        flat = 32 * (rows // 8) * -(-columns // 8)
        # Where a peak lies is what tells an upsampler, so positions are kept: no pooling.
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(flat, self.width), nn.GELU())

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return log power, (B, 1, 64, 33), float32: rows 0 to -1/64, columns 0 to 1/2 cycles/pixel."""
        return self.transform(rgb_to_gray(pixels) * 255.0)  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        power = self.spectrum(pixels)
        normalised = self.normalise(power.flatten(1)).view_as(power)
        return self.project(self.network(normalised))  # type: ignore[no-any-return]


SPECTRA: dict[str, Callable[[], nn.Module]] = {"block_dct": BlockDCTStream, "fft": FFTStream}


class FrequencyStream(nn.Module):
    """One or several spectra side by side, their features concatenated.

    Args:
        spectrum: names out of `SPECTRA`, joined by `+`, as in `block_dct+fft`.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1]
        - output: (B, width)

    Raises:
        UserError: an unknown or repeated spectrum.
    """

    def __init__(self, spectrum: str) -> None:
        super().__init__()
        names = [choose(name.strip(), sorted(SPECTRA), "spectrum", "--spectrum") for name in spectrum.split("+")]
        if len(set(names)) != len(names):
            raise UserError(f"the spectrum {spectrum!r} names one twice; --spectrum takes each at most once")
        self.branches = nn.ModuleDict({name: SPECTRA[name]() for name in names})
        branches: list[Any] = list(self.branches.values())
        self.width = sum(int(branch.width) for branch in branches)
        self.minimum_size = max(int(branch.minimum_size) for branch in branches)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        return torch.cat([branch(pixels) for branch in self.branches.values()], dim=1)
