"""Transforms of benchmarks/spectra.py beyond cosine transforms and power: what each is checked and timed against."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import matplotlib.colors
import numpy as np
import pywt
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.stats
import torch
from torch import Tensor, nn

from fakefreq import spectra

Case = Callable[[], Any]
Make = Callable[[Tensor], Case]
JPEG = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


@dataclass(frozen=True)
class Other:
    """A transform, its definition in float64, and plainer operations that take as many numbers.

    Args:
        own: of images, or of what `prepare` makes of them.
        exact: the same of float64 arrays, by numpy, scipy, PyWavelets or matplotlib.
        peers: by name; those called bare do less than the transform, and have no error.
        prepare: what the transform reads, where that isn't images.
    """

    own: Callable[[Tensor], Tensor]
    exact: Callable[[np.ndarray], np.ndarray]
    peers: dict[str, Make] = field(default_factory=dict)
    prepare: Callable[[Tensor], Tensor] = lambda images: images


def _npr(images: np.ndarray) -> np.ndarray:
    return images - images[..., ::2, ::2].repeat(2, -1).repeat(2, -2)[..., : images.shape[-2], : images.shape[-1]]  # type: ignore[no-any-return]


def _by_interpolation(images: Tensor) -> Tensor:
    small = nn.functional.interpolate(images, scale_factor=0.5)
    return images - nn.functional.interpolate(small, size=images.shape[-2:])


def _padded(images: Tensor, margin: int) -> Tensor:
    return nn.functional.pad(images, (margin,) * 4, mode="replicate")


def _median(images: Tensor) -> Tensor:
    windows = _padded(images, 1).unfold(2, 3, 1).unfold(3, 3, 1)
    return images - windows.flatten(-2).median(dim=-1).values


def _correlated(images: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(B, C, H, W) by (filters, k, k) into (B, C, filters, H, W)."""
    return np.stack([scipy.ndimage.correlate(images, taps[None, None], mode="nearest") for taps in filters], axis=2)


def _wavelet(images: np.ndarray, wavelet: str) -> np.ndarray:
    low, details = pywt.dwt2(images, wavelet, mode="symmetric", axes=(-2, -1))
    return np.stack([low, *details], axis=2)


def _radius(height: int, width: int) -> np.ndarray:
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])  # type: ignore[no-any-return]


def _highpass(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[-2:]
    frame = np.pad(images, ((0, 0), (0, 0), (0, height), (0, width)), mode="symmetric")
    gain = 0.5 - 0.5 * np.cos(np.pi * np.clip((_radius(2 * height, 2 * width) - 0.1) / 0.05 + 0.5, 0, 1))
    return scipy.fft.irfft2(scipy.fft.rfft2(frame) * gain, s=frame.shape[-2:])[..., :height, :width]


def _there_and_back(images: Tensor, times: int = 1) -> Tensor:
    spectrum = torch.fft.rfft2(images)
    return torch.stack([torch.fft.irfft2(spectrum, s=images.shape[-2:]) for _ in range(times)])


def _bands(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[-2:]
    radius = np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width)[None, :] / (2 * width))
    coefficients = scipy.fft.dctn(images, axes=(2, 3), norm="ortho")
    limits = [0, *spectra.BandFilters().edges, np.inf]
    masks = [(radius >= low) & (radius < high) for low, high in itertools.pairwise(limits)]
    return np.stack([scipy.fft.idctn(coefficients * mask, axes=(2, 3), norm="ortho") for mask in masks], axis=2)


def _amplitude(images: np.ndarray) -> np.ndarray:
    window = np.outer(*(scipy.signal.get_window("hann", size) for size in images.shape[-2:]))
    window /= np.sqrt(np.square(window).sum())
    found: np.ndarray = scipy.fft.rfft2((images - images.mean(axis=(2, 3), keepdims=True)) * window)
    return found


def _parts(spectrum: np.ndarray) -> np.ndarray:
    return np.stack([spectrum.real, spectrum.imag], axis=2)


def _cross(images: np.ndarray) -> np.ndarray:
    found = _amplitude(images)
    return _parts(np.stack([found[:, i] * found[:, j].conj() for i, j in ((0, 1), (0, 2), (1, 2))], axis=1))


def _autocorrelation(images: np.ndarray, lag: int = 16) -> np.ndarray:
    height, width = images.shape[-2:]
    shifts = np.abs(np.arange(-lag, lag + 1))
    overlap = np.outer(height - shifts, width - shifts)
    found = []
    for plane in images.reshape(-1, height, width):
        centred = plane - plane.mean()
        products = scipy.signal.correlate(centred, centred, method="fft")
        middle = products[height - 1 - lag : height + lag, width - 1 - lag : width + lag]
        found.append(middle / overlap / centred.var())
    return np.stack(found).reshape(*images.shape[:2], 2 * lag + 1, 2 * lag + 1)


def _mean_over(power: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Mean of full planes in bins; what lies at `size` or beyond is left out."""
    planes = power.reshape(-1, power.shape[-2] * power.shape[-1])
    total = np.stack([np.bincount(places.ravel(), plane, size + 1)[:size] for plane in planes])
    return (total / np.bincount(places.ravel(), minlength=size + 1)[:size]).reshape(*power.shape[:2], size)


def _full_radius(side: int) -> np.ndarray:
    return np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])  # type: ignore[no-any-return]


def _radial(power: np.ndarray) -> np.ndarray:
    side = power.shape[-1]
    rings = np.floor(_full_radius(side) * side + 0.5 + 1e-9).astype(int)
    return _mean_over(power, np.minimum(rings, side // 2 + 1), side // 2 + 1)


def _angular(power: np.ndarray, bins: int = 16) -> np.ndarray:
    side = power.shape[-1]
    angle = np.arctan2(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :] + np.zeros((side, 1)))
    sectors = np.floor(angle / np.pi * bins + 0.5 + 1e-9).astype(int) % bins
    radius = _full_radius(side)
    return _mean_over(power, np.where((radius > 0) & (radius <= 0.5 + 1e-12), sectors, bins), bins)


def _slope(power: np.ndarray) -> np.ndarray:
    profile = _radial(power)[..., 3:]
    rings = np.log(np.arange(3, 3 + profile.shape[-1]))
    return np.polyfit(rings, np.log(profile).reshape(-1, profile.shape[-1]).T, 1)[0].reshape(profile.shape[:2])  # type: ignore[no-any-return]


def _scores(power: np.ndarray, side: int = 11) -> np.ndarray:
    reach = side // 2
    log_power = np.log(power + 1e-10 * power.mean(axis=(2, 3), keepdims=True))
    wrapped = np.pad(log_power, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="wrap")
    found = np.empty_like(log_power)
    for row in range(power.shape[-2]):  # row by row: all windows at once would take gigabytes
        strip = wrapped[..., row : row + side, :]
        around = np.lib.stride_tricks.sliding_window_view(strip, side, axis=-1).swapaxes(2, 3)
        around = around.reshape(*around.shape[:3], -1)
        background = np.median(around, axis=-1)
        spread = np.median(np.abs(around - background[..., None]), axis=-1) / scipy.stats.norm.ppf(0.75)
        found[..., row, :] = (log_power[..., row, :] - background) / np.maximum(spread, 0.05)
    return found  # type: ignore[no-any-return]


def _power(images: Tensor) -> Tensor:
    return spectra.power_spectrum(images, scale="linear", half=False)


def _mean_power(images: Tensor) -> Tensor:
    return _power(images).mean(dim=0, keepdim=True)


def _by_matrix(bins: spectra.Bins, power: Tensor) -> Case:
    """A mean over bins as one matrix product."""
    size = bins.centre.numel()
    matrix = nn.functional.one_hot(bins.places, size + 1)[:, :size] / bins.counts
    matrix = matrix.to(power)
    return lambda: power.flatten(2) @ matrix


def _convolution(kernels: Tensor, images: Tensor, stride: int = 1, channelwise: bool = True) -> Case:
    margin = kernels.shape[-1] // 2 if stride == 1 else kernels.shape[-1] - 2
    planes = images.flatten(0, 1).unsqueeze(1) if channelwise else images
    padded, kernels = _padded(planes, margin), kernels.to(images)
    return lambda: nn.functional.conv2d(padded, kernels, stride=stride)


def _jpeg(images: np.ndarray, rows: Sequence[int] = (0, 1, 2)) -> np.ndarray:
    return np.einsum("ij,bjhw->bihw", JPEG[list(rows)], images)  # type: ignore[no-any-return]


def _opencv_hsv(images: Tensor) -> Case:
    arrays = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return lambda: np.stack([cv2.cvtColor(array, cv2.COLOR_RGB2HSV) for array in arrays])


def _bayar() -> spectra.BayarConv2d:
    torch.manual_seed(0)
    return spectra.BayarConv2d().requires_grad_(False)


def _bayar_exact(images: np.ndarray) -> np.ndarray:
    filters = spectra.constrain_bayar(_bayar().weight.double()).numpy()
    found = [_correlated(images[:, c : c + 1], filters[:, c])[:, 0] for c in range(images.shape[1])]
    return np.sum(found, axis=0)  # type: ignore[no-any-return]


def _of(function: Callable[[Tensor], Any]) -> Make:
    return lambda images: lambda: function(images)


BACK = {"bare rfft2 and irfft2": _of(_there_and_back)}
RFFT2 = {"bare rfft2": _of(torch.fft.rfft2)}
OTHERS: dict[str, Other] = {
    "block_idct": Other(
        lambda blocks: spectra.block_idct(blocks, 8, 8),
        lambda blocks: (
            scipy.fft.idctn(blocks.reshape(*blocks.shape[:2], 8, 8, *blocks.shape[-2:]), axes=(2, 3), norm="ortho")
            .transpose(0, 1, 4, 2, 5, 3)
            .reshape(*blocks.shape[:2], 8 * blocks.shape[-2], 8 * blocks.shape[-1])
        ),
        {
            "bare conv_transpose2d": lambda blocks: (
                lambda: nn.functional.conv_transpose2d(
                    blocks.flatten(0, 1), torch.ones(64, 1, 8, 8).to(blocks), stride=8
                )
            )
        },
        lambda images: spectra.block_dct(images, 8, 8),
    ),
    "phase": Other(spectra.phase, lambda images: _parts((found := _amplitude(images)) / np.abs(found)), RFFT2),
    "cross_spectrum": Other(spectra.cross_spectrum, _cross, RFFT2),
    "autocorrelation": Other(spectra.autocorrelation, _autocorrelation, BACK),
    "radial_profile": Other(
        partial(spectra.radial_profile, width="full"),
        _radial,
        {"plain matmul": lambda power: _by_matrix(spectra.radial_bins(*power.shape[-2:]), power)},
        _power,
    ),
    "angular_profile": Other(
        partial(spectra.angular_profile, width="full"),
        _angular,
        {"plain matmul": lambda power: _by_matrix(spectra.angular_bins(*power.shape[-2:]), power)},
        _power,
    ),
    "spectral_slope": Other(
        partial(spectra.spectral_slope, width="full"),
        _slope,
        {"bare matmul": lambda power: _by_matrix(spectra.radial_bins(*power.shape[-2:]), power)},
        _power,
    ),
    # Of the batch's mean spectrum: peaks are looked for in means.
    "peak_scores": Other(partial(spectra.peak_scores, width="full"), _scores, {}, _mean_power),
    "spectral_peaks": Other(
        lambda power: spectra.spectral_peaks(power, width="full").z,
        lambda power: spectra.spectral_peaks(torch.from_numpy(power), width="full").z.numpy(),
        {},
        _mean_power,
    ),
    "npr_residual": Other(spectra.npr_residual, _npr, {"plain interpolation": _of(_by_interpolation)}),
    "median_residual": Other(
        spectra.median_residual,
        lambda images: images - scipy.ndimage.median_filter(images, size=(1, 1, 3, 3), mode="nearest"),
        {"plain median of windows": _of(_median)},
    ),
    "srm_residual": Other(
        spectra.srm_residual,
        lambda images: _correlated(images, spectra.srm_filters().numpy()),
        {"bare conv2d": partial(_convolution, spectra.srm_filters().unsqueeze(1))},
    ),
    "highpass_residual": Other(spectra.highpass_residual, _highpass, BACK),
    "wavelet_bands": Other(
        spectra.wavelet_bands,
        partial(_wavelet, wavelet="haar"),
        {"bare conv2d": partial(_convolution, torch.ones(4, 1, 2, 2), stride=2)},
    ),
    "wavelet_bands_db4": Other(
        lambda images: spectra.wavelet_bands(images, "db4"),
        partial(_wavelet, wavelet="db4"),
        {"bare conv2d": partial(_convolution, torch.ones(4, 1, 8, 8), stride=2)},
    ),
    "bayar": Other(
        lambda images: _bayar().to(images.device)(images),
        _bayar_exact,
        {"bare conv2d": partial(_convolution, torch.ones(3, 3, 5, 5), channelwise=False)},
    ),
    "band_filters": Other(
        spectra.band_filters, _bands, {"bare rfft2 and 3 irfft2": _of(partial(_there_and_back, times=3))}
    ),
    "rgb_to_gray": Other(spectra.rgb_to_gray, partial(_jpeg, rows=(0,))),
    "rgb_to_ycbcr": Other(spectra.rgb_to_ycbcr, _jpeg),
    "rgb_to_hsv": Other(
        spectra.rgb_to_hsv,
        lambda images: matplotlib.colors.rgb_to_hsv(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        {"bare OpenCV, one thread": _opencv_hsv},
    ),
}
