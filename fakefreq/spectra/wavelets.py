"""Wavelet bands of images (Mallat 1989, A theory for multiresolution signal decomposition)."""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import to_float

_HALF = math.sqrt(0.5)
# Decomposition filters, low then high. db4: Daubechies 1988, Orthonormal bases of compactly supported wavelets;
# bior1.3: Cohen, Daubechies and Feauveau 1992. They are convolved, so they stand in reversed time.
_DB4 = (
    -0.010597401785069032,
    0.0328830116668852,
    0.030841381835560764,
    -0.18703481171909309,
    -0.027983769416859854,
    0.6308807679298589,
    0.7148465705529157,
    0.2303778133088965,
)
_FILTERS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "haar": ((_HALF, _HALF), (-_HALF, _HALF)),
    "bior1.3": (
        tuple(_HALF * tap / 8 for tap in (-1, 1, 8, 8, 1, -1)),
        tuple(_HALF * tap for tap in (0, 0, -1, 1, 0, 0)),
    ),
    # The quadrature mirror of the low-pass filter: reversed, every second sign changed.
    "db4": (_DB4, tuple((-1) ** (tap + 1) * value for tap, value in enumerate(reversed(_DB4)))),
}
WAVELETS = sorted(_FILTERS)


class WaveletBands(nn.Module):
    """One level of the two-dimensional discrete wavelet transform, borders continued by half-sample reflection.

    Args:
        wavelet: `haar` (2 taps), `bior1.3` (6) or `db4` (8).
        level: 1 or more; level n is the transform of the LL band of level n - 1.

    Shape:
        - input: (B, C, H, W), uint8 or float, any size
        - output: (B, C, 4, h, w): LL, LH (horizontal edges: high along y), HL (vertical edges: high along x), HH, as
          PyWavelets' cA, cH, cV, cD; h = (H + taps - 1) // 2 at level 1. Only LL is positive by nature, only [:, :, 1:]
          are residuals. A band at level n covers 2^-(n+1) to 2^-n cycles/pixel along each axis where it is high.

    Raises:
        UserError: an unknown wavelet or a level below 1.
    """

    def __init__(self, wavelet: str = "haar", level: int = 1) -> None:
        super().__init__()
        choose(wavelet, WAVELETS, "wavelet", "wavelet")
        if level < 1:
            raise UserError(f"level is {level}; it takes 1 or more")
        self.wavelet, self.level = wavelet, level
        self.taps = len(_FILTERS[wavelet][0])

    def forward(self, images: Tensor) -> Tensor:
        """Return LL, LH, HL and HH of the last level, (B, C, 4, h, w)."""
        check_images(images)
        with no_autocast(images):
            band = to_float(images)
            bands = self._split(band)
            for _ in range(self.level - 1):
                bands = self._split(bands[:, :, 0])
            return bands

    def _split(self, band: Tensor) -> Tensor:
        rows = _reflection(band.shape[-2], self.taps, band.device)
        columns = _reflection(band.shape[-1], self.taps, band.device)
        reflected = band.index_select(-1, columns).index_select(-2, rows)
        low, high = (self._filter(reflected, kind, -2) for kind in (0, 1))
        bands = [self._filter(half, kind, -1) for kind in (0, 1) for half in (low, high)]
        return torch.stack(bands, dim=2)

    def _filter(self, signal: Tensor, kind: int, dim: int) -> Tensor:
        """Filter along one axis by the low-pass (kind 0) or high-pass (1) taps, and keep every second value.

        Tap by tap: a convolution of one channel takes six times as long on a CPU, and cannot skip the taps that are 0.
        """
        outputs = (signal.shape[dim] - self.taps) // 2 + 1
        total: Tensor | None = None
        for place, tap in enumerate(reversed(_FILTERS[self.wavelet][kind])):
            if tap == 0:
                continue
            every_second = slice(place, place + 2 * outputs - 1, 2)
            values = signal[..., every_second] if dim == -1 else signal[..., every_second, :]
            total = values * tap if total is None else total.add(values, alpha=tap)
        if total is None:
            raise ValueError(f"the wavelet {self.wavelet} has a filter without taps")
        return total


def _reflection(size: int, taps: int, device: torch.device) -> Tensor:
    """Return which sample stands at each place of a signal that is reflected at both ends, its end samples doubled."""
    outputs = (size + taps - 1) // 2
    place = torch.arange(2 - taps, 2 * outputs, device=device) % (2 * size)
    return torch.where(place < size, place, 2 * size - 1 - place)


def wavelet_bands(images: Tensor, wavelet: str = "haar", level: int = 1) -> Tensor:
    """Return LL, LH, HL and HH of a wavelet transform; see `WaveletBands`.

    >>> bands = wavelet_bands(torch.ones(1, 1, 4, 4))[0, 0, :, 0, 0]
    >>> torch.allclose(bands, torch.tensor([2.0, 0, 0, 0]), atol=1e-6)   # a flat image is all LL
    True
    """
    return WaveletBands(wavelet, level)(images)  # type: ignore[no-any-return]
