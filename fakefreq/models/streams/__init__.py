"""The frequency streams: spectra of the batch, computed on its device, and small networks that read them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.models.streams.block_dct import BlockDCTStream
from fakefreq.models.streams.dct import DCTStream
from fakefreq.models.streams.fft import FFTStream, ProfileStream, ResidualFFTStream
from fakefreq.models.streams.residual import (
    bayar_stream,
    fad_stream,
    median_stream,
    npr_stream,
    srm_stream,
    wavelet_stream,
)

SPECTRA: dict[str, Callable[[], nn.Module]] = {
    "bayar": bayar_stream,
    "block_dct": BlockDCTStream,
    "dct": DCTStream,
    "fad": fad_stream,
    "fft": FFTStream,
    "fft_residual": ResidualFFTStream,
    "median": median_stream,
    "npr": npr_stream,
    "profiles": ProfileStream,
    "srm": srm_stream,
    "wavelet": wavelet_stream,
}


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
