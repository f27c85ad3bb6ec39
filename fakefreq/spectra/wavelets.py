"""Wavelet bands of images (Mallat 1989, A theory for multiresolution signal decomposition)."""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra.color import to_float
from fakefreq.spectra.constants import Constant, check_images, no_autocast

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
        bank = torch.tensor(_FILTERS[wavelet], dtype=torch.float64)
        self.taps = bank.shape[1]
        self.filters = Constant(bank.flip(1))  # conv2d correlates

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
        batch, channels, height, width = band.shape
        filters = self.filters(band)
        rows = _reflection(height, self.taps, band.device)
        columns = _reflection(width, self.taps, band.device)
        planes = band.index_select(-1, columns).index_select(-2, rows).flatten(0, 1).unsqueeze(1)
        across = nn.functional.conv2d(planes, filters.view(2, 1, 1, -1), stride=(1, 2))
        both = nn.functional.conv2d(across.flatten(0, 1).unsqueeze(1), filters.view(2, 1, -1, 1), stride=(2, 1))
        return both.reshape(batch, channels, 4, *both.shape[-2:])


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
