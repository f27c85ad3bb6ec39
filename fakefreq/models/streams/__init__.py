"""The frequency streams: spectra of the batch, computed on its device, and small networks that read them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.models.streams.base import CONDITIONS, QualityCondition
from fakefreq.models.streams.dct import BlockDCTStream, DCTStream
from fakefreq.models.streams.fft import FFTStream, ProfileStream, ResidualFFTStream
from fakefreq.models.streams.lattice import LatticeFeatures
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
    "lattice": LatticeFeatures,
    "median": median_stream,
    "npr": npr_stream,
    "profiles": ProfileStream,
    "srm": srm_stream,
    "wavelet": wavelet_stream,
}

# What a spectrum may be asked for after a colon, as in `fft:none`; the first is what it is without.
OPTIONS: dict[str, tuple[str, ...]] = {
    "block_dct": ("ycbcr", "rgb", "gray"),
    "fft": ("hann", "hamming", "kaiser", "none"),
    "fft_residual": ("hann", "hamming", "kaiser", "none"),
}


class FrequencyStream(nn.Module):
    """One or several spectra side by side, their features concatenated.

    Args:
        spectrum: names out of `SPECTRA`, joined by `+`, as in `block_dct+fft`; the colour space of `block_dct` and the
            window of `fft` and `fft_residual` after a colon, as in `block_dct:rgb` and `fft:none`; see `OPTIONS`.
        condition: what modulates the features: `none`, or the estimated `quality` of the last JPEG.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1]
        - output: (B, width)

    Raises:
        UserError: an unknown or repeated spectrum, or an option that it does not have.
    """

    def __init__(self, spectrum: str, condition: str = "none") -> None:
        super().__init__()
        names = [name.strip() for name in spectrum.split("+")]
        branches_of = {name: _branch(name) for name in names}
        if len(branches_of) != len(names):
            raise UserError(f"the spectrum {spectrum!r} names one twice; --spectrum takes each at most once")
        self.branches = nn.ModuleDict(branches_of)
        branches: list[Any] = list(self.branches.values())
        self.width = sum(int(branch.width) for branch in branches)
        self.minimum_size = max(int(branch.minimum_size) for branch in branches)
        choose(condition, list(CONDITIONS), "condition", "--condition")
        self.condition = QualityCondition(self.width) if condition == "quality" else None
        if self.condition is not None:
            self.minimum_size = max(self.minimum_size, self.condition.minimum_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        return self.join([branch(pixels) for branch in self.branches.values()], pixels)

    def join(self, features: Sequence[Tensor], pixels: Tensor) -> Tensor:
        """Return the branches' features side by side, (B, width), modulated where there is a condition."""
        joined = torch.cat(list(features), dim=1)
        return joined if self.condition is None else self.condition(joined, pixels)


def _branch(text: str) -> nn.Module:
    """Build one spectrum from its name and, after a colon, its option."""
    name, colon, option = text.partition(":")
    build: Callable[..., nn.Module] = SPECTRA[choose(name, sorted(SPECTRA), "spectrum", "--spectrum")]
    if not colon:
        return build()
    if name not in OPTIONS:
        having = ", ".join(f"{key}:{'|'.join(words)}" for key, words in OPTIONS.items())
        raise UserError(f"the spectrum {name} has no options, so {text!r} names none; --spectrum knows {having}")
    return build(choose(option, list(OPTIONS[name]), f"option of {name}", "--spectrum"))
