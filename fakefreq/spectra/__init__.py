"""Image spectra in torch: on the batch's device, in float32 or float64, at any size, differentiable."""

from fakefreq.spectra.band_filters import BandFilters, band_filters
from fakefreq.spectra.bayar import BayarConv2d, constrain_bayar
from fakefreq.spectra.block_dct import BlockDCT, BlockIDCT, block_dct, block_idct, zigzag
from fakefreq.spectra.color import HSV, Gray, YCbCr, rgb_to_gray, rgb_to_hsv, rgb_to_ycbcr, to_float
from fakefreq.spectra.cross import Autocorrelation, CrossSpectrum, Phase, autocorrelation, cross_spectrum, phase
from fakefreq.spectra.dct import DCT2, IDCT2, dct2, dct_basis, idct2
from fakefreq.spectra.fft import PowerSpectrum, full_plane, power_spectrum
from fakefreq.spectra.jpeg import QuantisationLikelihood, jpeg_quality, luma_steps, quantisation_table
from fakefreq.spectra.lattice import (
    LatticePValue,
    LatticeScores,
    LatticeTile,
    lattice_frequencies,
    lattice_pvalue,
    lattice_scores,
    lattice_tile,
)
from fakefreq.spectra.lattice_fields import LatticeFieldScores, lattice_field_scores, lattice_fields
from fakefreq.spectra.lattice_residual import lattice_residual
from fakefreq.spectra.peaks import Peaks, PeakScores, SpectralPeaks, peak_scores, spectral_peaks
from fakefreq.spectra.profiles import (
    AngularProfile,
    Bins,
    RadialProfile,
    SpectralSlope,
    angular_bins,
    angular_profile,
    radial_bins,
    radial_profile,
    spectral_slope,
)
from fakefreq.spectra.residuals import (
    HighpassResidual,
    MedianResidual,
    NPRResidual,
    highpass_residual,
    median_residual,
    npr_residual,
)
from fakefreq.spectra.srm import SRMResidual, srm_filters, srm_residual
from fakefreq.spectra.studio_range import StudioRangeTrace, studio_range_trace
from fakefreq.spectra.wavelets import WaveletBands, wavelet_bands
from fakefreq.spectra.windows import window_1d

__all__ = [
    "DCT2",
    "HSV",
    "IDCT2",
    "AngularProfile",
    "Autocorrelation",
    "BandFilters",
    "BayarConv2d",
    "Bins",
    "BlockDCT",
    "BlockIDCT",
    "CrossSpectrum",
    "Gray",
    "HighpassResidual",
    "LatticeFieldScores",
    "LatticePValue",
    "LatticeScores",
    "LatticeTile",
    "MedianResidual",
    "NPRResidual",
    "PeakScores",
    "Peaks",
    "Phase",
    "PowerSpectrum",
    "QuantisationLikelihood",
    "RadialProfile",
    "SRMResidual",
    "SpectralPeaks",
    "SpectralSlope",
    "StudioRangeTrace",
    "WaveletBands",
    "YCbCr",
    "angular_bins",
    "angular_profile",
    "autocorrelation",
    "band_filters",
    "block_dct",
    "block_idct",
    "constrain_bayar",
    "cross_spectrum",
    "dct2",
    "dct_basis",
    "full_plane",
    "highpass_residual",
    "idct2",
    "jpeg_quality",
    "lattice_field_scores",
    "lattice_fields",
    "lattice_frequencies",
    "lattice_pvalue",
    "lattice_residual",
    "lattice_scores",
    "lattice_tile",
    "luma_steps",
    "median_residual",
    "npr_residual",
    "peak_scores",
    "phase",
    "power_spectrum",
    "quantisation_table",
    "radial_bins",
    "radial_profile",
    "rgb_to_gray",
    "rgb_to_hsv",
    "rgb_to_ycbcr",
    "spectral_peaks",
    "spectral_slope",
    "srm_filters",
    "srm_residual",
    "studio_range_trace",
    "to_float",
    "wavelet_bands",
    "window_1d",
    "zigzag",
]
