"""Image spectra in torch: on the batch's device, in float32 or float64, at any size, differentiable."""

from fakefreq.spectra.color import rgb_to_gray, rgb_to_ycbcr, to_float
from fakefreq.spectra.dct import BlockDCT, block_dct, dct2, dct_basis, idct2
from fakefreq.spectra.fft import PowerSpectrum, power_spectrum

__all__ = [
    "BlockDCT",
    "PowerSpectrum",
    "block_dct",
    "dct2",
    "dct_basis",
    "idct2",
    "power_spectrum",
    "rgb_to_gray",
    "rgb_to_ycbcr",
    "to_float",
]
