"""Residuals, wavelets and bands against scipy and PyWavelets in float64, and against what they are for."""

import numpy as np
import pytest
import pywt
import scipy.ndimage
import torch
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.spectra import (
    BandFilters,
    BayarConv2d,
    WaveletBands,
    band_filters,
    constrain_bayar,
    highpass_residual,
    median_residual,
    npr_residual,
    rgb_to_hsv,
    srm_filters,
    srm_residual,
    wavelet_bands,
)

SIZES = [(1, 1), (2, 2), (7, 8), (63, 64), (224, 224), (255, 256), (299, 301)]


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def error(found: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.double().numpy() - expected).max() / max(np.abs(expected).max(), 1e-30))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wavelet", ["haar", "bior1.3", "db4"])
def test_wavelet_bands_are_pywavelets(wavelet: str, size: tuple[int, int]) -> None:
    images = noise(2, 1, *size)
    low, details = pywt.dwt2(images.numpy(), wavelet, mode="symmetric", axes=(-2, -1))
    expected = np.stack([low, *details], axis=2)
    assert error(wavelet_bands(images, wavelet), expected) <= 1e-12
    assert error(wavelet_bands(images.float(), wavelet), expected) <= 1e-6
    low, details = pywt.dwt2(low, wavelet, mode="symmetric", axes=(-2, -1))
    assert error(wavelet_bands(images, wavelet, level=2), np.stack([low, *details], axis=2)) <= 1e-12


@pytest.mark.parametrize("size", SIZES)
def test_median_residual_is_scipy_s(size: tuple[int, int]) -> None:
    images = noise(2, 3, *size)
    expected = images.numpy() - scipy.ndimage.median_filter(images.numpy(), size=(1, 1, 3, 3), mode="nearest")
    assert np.array_equal(median_residual(images).numpy(), expected)


@pytest.mark.parametrize("size", SIZES)
def test_srm_residuals_are_scipy_s_correlations(size: tuple[int, int]) -> None:
    image = noise(*size)
    found = srm_residual(image.view(1, 1, *size))[0, 0]
    expected = np.stack(
        [scipy.ndimage.correlate(image.numpy(), taps.numpy(), mode="nearest") for taps in srm_filters()]
    )
    assert np.abs(found.numpy() - expected).max() <= 1e-12
    assert np.abs(srm_residual(image.float().view(1, 1, *size))[0, 0].numpy() - expected).max() <= 1e-6


def test_the_srm_bank_is_the_paper_s() -> None:
    filters = srm_filters()
    assert filters.shape == (30, 5, 5)
    assert torch.equal(filters[:, 2, 2], torch.full((30,), -1.0, dtype=torch.float64))
    torch.testing.assert_close(filters.sum(dim=(1, 2)), torch.zeros(30, dtype=torch.float64), rtol=0, atol=1e-15)
    assert len({tuple(taps.flatten().tolist()) for taps in filters}) == 30
    # Number of pixels that each class of the paper's figure 2 touches.
    sizes = [int((taps != 0).sum()) for taps in filters]
    assert sizes == [2] * 8 + [3] * 4 + [4] * 8 + [9] + [6] * 4 + [25] + [15] * 4
    # A difference of order n cancels every polynomial of a lower degree.
    ramp = torch.arange(5, dtype=torch.float64) - 2
    for order, bank in ((1, filters[:8]), (2, filters[8:12]), (3, filters[12:20])):
        for degree in range(order):
            along = (bank * ramp.view(1, 1, 5) ** degree).sum(dim=(1, 2))
            across = (bank * ramp.view(1, 5, 1) ** degree).sum(dim=(1, 2))
            assert float(torch.stack([along, across]).abs().max()) < 1e-12


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, 3])
def test_npr_vanishes_on_nearest_upsampling_and_only_there(size: tuple[int, int], factor: int) -> None:
    small = noise(1, 2, *size)
    large = small.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    assert float(npr_residual(large, factor).abs().max()) == 0
    if min(size) > 1:
        assert float(npr_residual(small, factor).abs().max()) > 0
    # By the definition: each patch minus its upper left pixel.
    image = small.numpy()[0, 0]
    corner = image[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)[: size[0], : size[1]]
    assert np.array_equal(npr_residual(small, factor)[0, 0].numpy(), image - corner)


def tone(side: int, row: int, column: int) -> Tensor:
    place = torch.arange(side, dtype=torch.float64)
    return torch.cos(2 * np.pi * (row * place[:, None] + column * place[None, :]) / side).view(1, 1, side, side)


def test_high_pass_stops_low_tones_and_passes_high_ones() -> None:
    low, high = tone(64, 2, 0), tone(64, 9, 20)
    found = highpass_residual(low + high + 0.7, cutoff=0.1, transition=0.05, border="periodic")
    torch.testing.assert_close(found, high, rtol=0, atol=1e-12)
    half = highpass_residual(tone(40, 0, 4), cutoff=0.1, transition=0.05, border="periodic")
    torch.testing.assert_close(half, 0.5 * tone(40, 0, 4), rtol=0, atol=1e-12)


def test_a_mirrored_border_makes_no_step() -> None:
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    assert float(highpass_residual(ramp, border="periodic").abs().max()) > 0.2
    assert float(highpass_residual(ramp, border="mirror").abs().max()) < 0.01


def test_bayar_filters_obey_the_constraint_after_any_step() -> None:
    torch.manual_seed(0)
    layer = BayarConv2d(3, 4, 5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    images = noise(2, 3, 16, 16, dtype=torch.float32)
    for _ in range(5):
        optimizer.zero_grad()
        layer(images).square().mean().backward()
        optimizer.step()
    filters = constrain_bayar(layer.weight)
    assert torch.equal(filters[:, :, 2, 2], torch.full((4, 3), -1.0))
    torch.testing.assert_close(filters.sum(dim=(2, 3)), torch.zeros(4, 3), rtol=0, atol=1e-5)
    assert float(layer(torch.full((1, 3, 9, 9), 0.4)).detach().abs().max()) < 1e-6


@pytest.mark.parametrize("geometry", ["radial", "diagonal"])
def test_bands_add_up_and_each_tone_lies_in_its_own(geometry) -> None:  # type: ignore[no-untyped-def]
    images = noise(2, 3, 45, 64)
    torch.testing.assert_close(band_filters(images, geometry=geometry).sum(dim=2), images, rtol=0, atol=1e-12)
    place = (torch.arange(64, dtype=torch.float64) + 0.5) * np.pi / 64
    for index, band in ((2, 0), (10, 1), (40, 2)):  # k / 128 cycles/pixel: .016, .078, .31
        wave = torch.cos(index * place).expand(1, 1, 64, 64)
        energy = band_filters(wave, geometry=geometry).square().sum(dim=(0, 1, 3, 4))
        assert float(energy[band] / energy.sum()) > 1 - 1e-12


def test_the_diagonal_bands_are_the_paper_s_triangles() -> None:
    gains = BandFilters(geometry="diagonal").gains(32, 32, torch.zeros(1))
    total = torch.arange(32).view(-1, 1) + torch.arange(32)
    assert torch.equal(gains[0].bool(), total < 64 / 16)  # the paper: the first 1/16 of the diagonals
    assert torch.equal(gains[1].bool(), (total >= 64 / 16) & (total < 64 / 8))
    assert torch.equal(gains.sum(dim=0), torch.ones(32, 32))


def test_learnt_bands_start_as_fixed_ones_learn_and_fit_every_size() -> None:
    filters = BandFilters(learnable=True, grid=16)
    for size in ((20, 33), (64, 64)):
        images = noise(1, 3, *size, dtype=torch.float32)
        assert torch.equal(filters(images), band_filters(images))
        filters(images).square().mean().backward()
    assert filters.weight is not None and filters.weight.grad is not None
    assert int((filters.weight.grad != 0).sum()) > 100
    with torch.no_grad():
        filters.weight.fill_(0.8)
    expected = np.tanh(0.4) + 1  # (1 - e^-w) / (1 + e^-w) = tanh(w / 2)
    assert abs(float(filters.gains(8, 8, torch.zeros(1))[0, 0, 0].detach()) - expected) < 1e-6


def test_hsv_is_python_s() -> None:
    import colorsys

    colours = np.random.default_rng(0).random((200, 3))
    colours[:4] = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 1], [0.5, 0.5, 0.2]])
    found = rgb_to_hsv(torch.from_numpy(colours).view(200, 3, 1, 1)).flatten(1).numpy()
    expected = np.array([colorsys.rgb_to_hsv(*colour) for colour in colours])
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: npr_residual(noise(1, 1, 4, 4), 1), "factor is 1"),
        (lambda: npr_residual(noise(3, 4, 4)), "add a batch dimension"),
        (lambda: highpass_residual(noise(1, 1, 4, 4), cutoff=0.6), "cutoff is 0.6"),
        (lambda: WaveletBands("db5"), "unknown wavelet"),
        (lambda: WaveletBands(level=0), "level is 0"),
        (lambda: BayarConv2d(kernel_size=4), "kernel_size is 4"),
        (lambda: BayarConv2d(1)(noise(1, 3, 4, 4)), r"expected images of shape \(B, 1, H, W\)"),
        (lambda: BandFilters(edges=(0.2, 0.1)), "rising frequencies"),
        (lambda: BandFilters(grid=1), "grid is 1"),
        (lambda: rgb_to_hsv(noise(1, 1, 4, 4)), r"\(B, 3, H, W\)"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        make()
