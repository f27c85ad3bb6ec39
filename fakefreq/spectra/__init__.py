"""Image spectra in torch: on the batch's device, in float32 or float64, at any size, differentiable."""

from fakefreq.spectra.band_filters import BandFilters, band_filters
from fakefreq.spectra.bayar import BayarConv2d, constrain_bayar
from fakefreq.spectra.color import HSV, Gray, YCbCr, rgb_to_gray, rgb_to_hsv, rgb_to_ycbcr, to_float
from fakefreq.spectra.dct import BlockDCT, block_dct, dct2, dct_basis, idct2
from fakefreq.spectra.fft import PowerSpectrum, power_spectrum
from fakefreq.spectra.residuals import (
    HighpassResidual,
    MedianResidual,
    NPRResidual,
    highpass_residual,
    median_residual,
    npr_residual,
)
from fakefreq.spectra.srm import SRMResidual, srm_filters, srm_residual
from fakefreq.spectra.wavelets import WaveletBands, wavelet_bands
from fakefreq.spectra.windows import window_1d

__all__ = [
    "HSV",
    "BandFilters",
    "BayarConv2d",
    "BlockDCT",
    "Gray",
    "HighpassResidual",
    "MedianResidual",
    "NPRResidual",
    "PowerSpectrum",
    "SRMResidual",
    "WaveletBands",
    "YCbCr",
    "band_filters",
    "block_dct",
    "constrain_bayar",
    "dct2",
    "dct_basis",
    "highpass_residual",
    "idct2",
    "median_residual",
    "npr_residual",
    "power_spectrum",
    "rgb_to_gray",
    "rgb_to_hsv",
    "rgb_to_ycbcr",
    "srm_filters",
    "srm_residual",
    "to_float",
    "wavelet_bands",
    "window_1d",
]
