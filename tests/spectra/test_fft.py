"""Spectra against what physics says: tones, noise, edges, checkerboards."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fakefreq.spectra import (
    PowerSpectrum,
    power_spectrum,
)

SIZES = [(1, 1), (2, 2), (7, 8), (8, 8), (63, 64), (64, 63), (224, 224), (255, 256), (299, 301)]


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tone(height: int, width: int, row: int, column: int) -> Tensor:
    y, x = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    return torch.cos(2 * np.pi * (row * y[:, None] / height + column * x[None, :] / width)).view(1, 1, height, width)


@pytest.mark.parametrize("size", [(64, 64), (63, 65), (64, 33)])
@pytest.mark.parametrize("frequency", [(0, 5), (7, 0), (3, 11), (9, 9)])
def test_a_pure_tone_is_one_bin(size: tuple[int, int], frequency: tuple[int, int]) -> None:
    power = power_spectrum(tone(*size, *frequency), window="none", scale="linear")[0, 0]
    conjugate = ((-frequency[0]) % size[0], frequency[1]) if frequency[1] == 0 else frequency
    assert float(power[frequency] + power[conjugate] * (conjugate != frequency)) > 0.999 * float(power.sum())


def test_white_noise_is_flat_and_of_its_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(400, 1, 32, 32, dtype=torch.float64, generator=generator)
    for window in ("hann", "none"):
        power = power_spectrum(images, window=window, scale="linear", half=False).mean(0)[0]
        away_from_dc = power[4:28, 4:28]
        assert abs(float(away_from_dc.mean()) - 1) < 0.01
        assert float(away_from_dc.std()) < 0.08


@pytest.mark.slow
def test_the_window_removes_the_cross_that_a_photo_s_edges_make() -> None:
    """Row 11 of the traps: high-frequency power on the axes over that off the axes."""
    random = np.random.default_rng(0)
    side, crop, ratios = 512, 128, {}
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    radius[0, 0] = 1
    crops = []
    for _ in range(20):
        # Amplitude falls with f to the 1.5: a smooth photograph, such as a portrait.
        field = np.fft.ifft2(np.fft.fft2(random.standard_normal((side, side))) / radius**1.5).real
        crops.append(field[100 : 100 + crop, 100 : 100 + crop])
    images = torch.from_numpy(np.stack(crops)).unsqueeze(1)
    for window in ("none", "hann"):
        power = power_spectrum(images, window=window, scale="linear", half=False).mean(0)[0]
        high = slice(crop // 4, crop // 2)
        axis = 0.5 * (power[0, high].mean() + power[high, 0].mean())
        # Off the axes, at the same distance from 0.
        k = torch.arange(crop // 4, crop // 2)
        diagonal = power[(k / np.sqrt(2)).round().long(), (k / np.sqrt(2)).round().long()].mean()
        ratios[window] = float(axis / diagonal)
    # Here 59x and 0.97x; how large the cross is depends on how steeply a photo's spectrum falls.
    assert ratios["none"] > 50
    assert 0.85 < ratios["hann"] < 1.15


def checkerboard(images: Tensor, factor: int = 2) -> Tensor:
    """Nearest-neighbour upsampling."""
    return images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def test_nearest_upsampling_empties_the_nyquist_frequency_and_zero_insertion_copies_the_spectrum() -> None:
    small = torch.randn(50, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nearest = power_spectrum(checkerboard(small), window="none", scale="linear").mean(0)[0]
    assert float(nearest[32, :].mean()) < 1e-20  # cos(pi f / 2) is 0 at 1/2 cycles/pixel
    inserted = torch.zeros(50, 1, 64, 64, dtype=torch.float64)
    inserted[..., ::2, ::2] = small + 1.0
    zeros = power_spectrum(inserted, window="none", scale="linear", half=False).mean(0)[0]
    peaks = sorted(zip(*np.unravel_index(np.argsort(zeros.flatten().numpy())[-3:], zeros.shape), strict=True))
    assert [(int(a), int(b)) for a, b in peaks] == [(0, 32), (32, 0), (32, 32)]


def test_tiles_average_to_the_same_power_with_less_spread() -> None:
    images = torch.randn(64, 1, 128, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tiles = PowerSpectrum(tile=32, scale="linear")(images)
    assert tiles.shape == (64, 1, 32, 17)
    one = PowerSpectrum(scale="linear")(images[..., :32, :32])
    inner = (slice(None), 0, slice(4, 28), slice(4, 14))
    assert abs(float(tiles[inner].mean()) - 1) < 0.02
    assert float(tiles[inner].std()) < 0.4 * float(one[inner].std())


def test_log1p_has_no_outliers_below_zero() -> None:
    assert float(power_spectrum(torch.zeros(1, 1, 16, 16)).abs().max()) == 0
    assert float(power_spectrum(noise(1, 1, 16, 16)).min()) >= 0
