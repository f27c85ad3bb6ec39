"""Profiles, slope, peaks, phase, cross spectrum and autocorrelation: what a tone, noise and an upsampler must show."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra import (
    angular_bins,
    angular_profile,
    autocorrelation,
    cross_spectrum,
    full_plane,
    peak_scores,
    phase,
    power_spectrum,
    radial_bins,
    radial_profile,
    spectral_peaks,
    spectral_slope,
)

SIZES = [(64, 64), (63, 65), (64, 33), (37, 80), (299, 301)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tone(height: int, width: int, row: int, column: int, shift: float = 0.0) -> Tensor:
    y, x = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    wave = torch.cos(2 * np.pi * (row * y[:, None] / height + column * x[None, :] / width) + shift)
    return wave.view(1, 1, height, width)


def pink(count: int, side: int, exponent: float = 1.0, seed: int = 0) -> Tensor:
    """Crops of fields whose amplitude falls with frequency to the `exponent`."""
    random = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.fftfreq(2 * side)[None, :])
    radius[0, 0] = 1
    fields = np.fft.ifft2(np.fft.fft2(random.standard_normal((count, 2 * side, 2 * side))) / radius**exponent).real
    return torch.from_numpy(fields[:, None, :side, :side] / fields.std())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("half", [True, False])
def test_a_tone_lands_in_its_own_ring_and_sector(size: tuple[int, int], half: bool) -> None:
    for row, column in ((0, 9), (9, 0), (7, 7), (3, 12), (-6, 6)):
        power = power_spectrum(tone(*size, row, column), window="none", scale="linear", half=half)
        fy, fx = row / size[0], column / size[1]
        rings = radial_profile(power, width=size[1])[0, 0] * radial_bins(*size).counts
        assert int(rings.argmax()) == round(np.hypot(fy, fx) * min(size))
        assert float(rings.max() / rings.sum()) > 1 - 1e-9
        sectors = angular_profile(power, bins=12, width=size[1])[0, 0] * angular_bins(*size, bins=12).counts
        assert int(sectors.argmax()) == round(np.degrees(np.arctan2(fy, fx)) / 15) % 12
        assert float(sectors.max() / sectors.sum()) > 1 - 1e-9


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 8), *SIZES])
def test_ring_0_is_frequency_0_alone_and_rings_hold_all_frequencies_up_to_a_half(size: tuple[int, int]) -> None:
    bins = radial_bins(*size)
    assert int(bins.counts[0]) == 1
    assert float(bins.centre[-1]) <= 0.5
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None, :]) * min(size)
    assert int(bins.counts.sum()) == int((radius < min(size) // 2 + 0.5 - 1e-9).sum())
    flat = power_spectrum(torch.full((1, 1, *size), 0.5), window="none", scale="linear", half=False, detrend="none")
    profile = radial_profile(flat, "full")[0, 0]
    assert float(profile[0]) == pytest.approx(0.25 * size[0] * size[1])
    assert float(profile[1:].abs().sum()) < 1e-9


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 8), *SIZES])
def test_a_half_plane_gives_the_profiles_of_the_full_one(size: tuple[int, int]) -> None:
    images = noise(2, 2, *size)
    half = power_spectrum(images, scale="linear", half=True)
    whole = power_spectrum(images, scale="linear", half=False)
    torch.testing.assert_close(full_plane(half, size[1]), whole)
    torch.testing.assert_close(radial_profile(half, width=size[1]), radial_profile(whole, "full"))
    torch.testing.assert_close(angular_profile(half, width=size[1]), angular_profile(whole, width="full"))
    for half_plane in (True, False):
        assert torch.equal(radial_bins(*size, half=half_plane).counts, radial_bins(*size).counts)


@pytest.mark.parametrize("size", [(16, 16), (17, 16), (16, 17), (24, 16), (2, 2), (2, 3)])
@pytest.mark.parametrize("high", [0.5, 0.6, 0.8])
def test_sectors_beyond_a_half_are_the_same_in_both_planes(size: tuple[int, int], high: float) -> None:
    images = noise(2, 1, *size)
    half, whole = (power_spectrum(images, scale="linear", half=which) for which in (True, False))
    found = angular_profile(half, 8, 0.0, high, width=size[1])
    torch.testing.assert_close(found, angular_profile(whole, 8, 0.0, high, width="full"))
    assert torch.equal(angular_bins(*size, 8, 0.0, high, half=True).counts, angular_bins(*size, 8, 0.0, high).counts)


def test_white_noise_has_flat_profiles_and_slope_0() -> None:
    power = power_spectrum(noise(200, 1, 64, 64), scale="linear", half=False).mean(dim=0, keepdim=True)
    assert float((radial_profile(power, 64)[0, 0, 3:] - 1).abs().max()) < 0.05
    assert float((angular_profile(power, width=64)[0, 0] - 1).abs().max()) < 0.05
    assert abs(float(spectral_slope(power, width=64))) < 0.03


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_slope_of_a_power_law_is_recovered(exponent: float) -> None:
    power = power_spectrum(pink(60, 96, exponent), scale="linear", half=False).mean(dim=0, keepdim=True)
    # Power is amplitude squared.
    assert float(spectral_slope(power, width="full")) == pytest.approx(-2 * exponent, abs=0.1)


def frequencies_of(images: Tensor, count: int, least: float = 6.0) -> set[tuple[float, float]]:
    peaks = spectral_peaks(
        power_spectrum(images, scale="linear", half=False).mean(dim=0, keepdim=True), count, width="full"
    )
    return {
        (abs(round(float(fy), 6)), round(float(fx), 6))
        for (fy, fx), z in zip(peaks.frequency[0, 0].tolist(), peaks.z[0, 0].tolist(), strict=True)
        if z > least
    }


NYQUIST = {(0.0, 0.5), (0.5, 0.0), (0.5, 0.5)}


def test_a_transposed_convolution_s_checkerboard_is_named() -> None:
    """Stride 2, kernel 3: neighbouring outputs sum 1, 2 or 4 weights (Odena et al. 2016), a wave of period 2."""
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1, bias=False).double()
    nn.init.uniform_(layer.weight, 0.1, 0.3)
    images = layer(pink(40, 64) + 3.0).detach()
    assert frequencies_of(images, 8) == NYQUIST
    assert frequencies_of(pink(40, 128) + 3.0, 8) == set()  # the photograph itself has none


def test_pixel_shuffle_s_four_filters_are_named() -> None:
    """Each filter fills one phase of the 2x2 grid; their unequal sums are a pattern of period 2."""
    filters = torch.tensor([0.8, 1.0, 1.1, 1.6], dtype=torch.float64).view(4, 1, 1, 1).expand(4, 1, 3, 3) / 9
    small = nn.functional.pad(pink(40, 64) + 3.0, (1, 1, 1, 1), mode="replicate")
    images = nn.functional.pixel_shuffle(nn.functional.conv2d(small, filters), 2)
    assert frequencies_of(images, 8) == NYQUIST


def test_two_upsamplings_leave_peaks_at_a_quarter_as_well() -> None:
    """Zero insertion by 4 copies the mean to every multiple of 1/4 cycles/pixel."""
    images = torch.zeros(40, 1, 128, 128, dtype=torch.float64)
    images[..., ::4, ::4] = pink(40, 32) + 3.0
    smooth = nn.functional.conv2d(images, torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64), padding=1)
    quarter = {(a, b) for a in (0.0, 0.25, 0.5) for b in (0.0, 0.25, 0.5)} - {(0.0, 0.0)}
    assert frequencies_of(smooth, 16, least=4.0) == quarter


def test_nearest_upsampling_leaves_notches_at_the_nyquist_lines() -> None:
    """Its kernel (1, 1) has gain cos(pi f): 0 at 1/2 cycles/pixel, so the copies' centres are cancelled, not peaks."""
    images = pink(40, 64).repeat_interleave(2, -1).repeat_interleave(2, -2)
    power = power_spectrum(images, window="none", scale="linear").mean(dim=0, keepdim=True)
    scores = peak_scores(power, width=128)
    assert float(scores[0, 0, 64, :].max()) < -5
    assert float(scores[0, 0, :, 64].max()) < -5


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (8, 8)])
def test_peaks_exist_for_tiny_spectra(size: tuple[int, int]) -> None:
    peaks = spectral_peaks(power_spectrum(noise(2, 3, *size), scale="linear", half=False), count=4, width="full")
    assert not bool(peaks.z.isnan().any())
    assert peaks.frequency.shape[:2] == (2, 3)


def test_a_flat_image_has_no_peaks() -> None:
    assert float(peak_scores(torch.zeros(1, 1, 16, 16), width=16).abs().max()) == 0


def test_phase_is_the_angle_of_the_tone() -> None:
    for shift in (0.0, 1.0, 3.1, -2.0):
        found = phase(tone(32, 40, 3, 5, shift), window="none")[0, 0, :, 3, 5]
        assert float(torch.atan2(found[1], found[0])) == pytest.approx(shift, abs=1e-9)
    images = noise(2, 3, 33, 20)
    expected = scipy.fft.rfft2(images.numpy() - images.numpy().mean(axis=(2, 3), keepdims=True))
    parts = phase(images, window="none").numpy()
    angle = np.angle(expected)
    keep = np.abs(expected) > 2  # of a root mean square of 26: below, phases fade to 0
    assert np.abs(parts[:, :, 0] - np.cos(angle))[keep].max() < 1e-9
    assert np.abs(parts[:, :, 1] - np.sin(angle))[keep].max() < 1e-9
    assert float(phase(torch.full((1, 1, 8, 8), 0.5)).abs().max()) == 0


def test_cross_spectrum_is_scipy_s() -> None:
    images = noise(1, 3, 128, 64)
    centred = images.numpy() - images.numpy().mean(axis=(2, 3), keepdims=True)
    spectrum = scipy.fft.rfft2(centred)[0]
    found = cross_spectrum(images, window="none")[0].numpy()
    for number, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        expected = spectrum[i] * np.conj(spectrum[j]) / (128 * 64)
        assert np.abs(found[number, 0] + 1j * found[number, 1] - expected).max() < 1e-12 * np.abs(expected).max()


def test_coherency_is_1_for_one_signal_and_small_for_independent_ones() -> None:
    images = noise(1, 2, 512, 512)
    shared = torch.cat([images[:, :1], 3 * images[:, :1]], dim=1)
    modulus = cross_spectrum(shared, tile=32, coherency=True).square().sum(dim=2).sqrt()
    assert float((modulus - 1).abs().max()) < 1e-6
    modulus = cross_spectrum(images, tile=32, coherency=True).square().sum(dim=2).sqrt()
    assert float(modulus[..., 2:30, 2:15].mean()) < 0.12


def test_autocorrelation_is_scipy_s() -> None:
    for size in ((20, 31), (16, 16)):
        image = noise(1, 1, *size)
        centred = (image - image.mean()).numpy()[0, 0]
        ones = np.ones(size)
        expected = scipy.signal.correlate(centred, centred) / scipy.signal.correlate(ones, ones).round()
        expected = expected / centred.var()
        middle = tuple(length - 1 for length in size)
        expected = expected[middle[0] - 6 : middle[0] + 7, middle[1] - 6 : middle[1] + 7]
        assert np.abs(autocorrelation(image, 6)[0, 0].numpy() - expected).max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_image_does_not_correlate_with_itself(dtype: torch.dtype) -> None:
    for value in (0.0, 0.1, 0.3, 1 / 3, 0.7, 1.0):
        for size in ((33, 37), (64, 64), (224, 224), (500, 300)):
            flat = torch.full((1, 1, *size), value, dtype=dtype)
            assert float(autocorrelation(flat, 4).abs().max()) == 0
    one_step = (100 + (torch.arange(512 * 512) == 7)).to(torch.uint8).view(1, 1, 512, 512)
    assert float(autocorrelation(one_step, 0)) == pytest.approx(1, abs=1e-3)


def without_power() -> dict[str, Tensor]:
    """Batches with an image, a channel or frequencies in which there is nothing."""
    black_image, black_channel = noise(2, 3, 32, 32).float(), noise(2, 3, 32, 32).float()
    black_image[0] = 0
    black_channel[:, 2] = 0
    step = (torch.arange(32) > 15).float().expand(1, 3, 32, 32) * 0.5
    flat = torch.full((1, 3, 32, 32), 0.1)
    return {"black image": black_image, "black channel": black_channel, "step": step, "flat": flat}


@pytest.mark.parametrize("name", without_power())
@pytest.mark.parametrize("transform", [phase, lambda images: cross_spectrum(images, tile=16, coherency=True)])
def test_gradients_are_finite_where_there_is_no_power(transform: Callable[[Tensor], Tensor], name: str) -> None:
    for images in (without_power()[name], without_power()[name].double()):
        found = transform(images.requires_grad_())
        (slopes,) = torch.autograd.grad(found.sum(), images)
        assert bool(slopes.isfinite().all())
        assert bool(found.isfinite().all())
    if name == "black image":
        assert float(found[0].detach().abs().max()) == 0 and float(slopes[0].abs().max()) == 0


PROFILES: dict[str, Callable[..., object]] = {
    "radial_profile": radial_profile,
    "angular_profile": angular_profile,
    "spectral_slope": spectral_slope,
    "peak_scores": peak_scores,
    "spectral_peaks": spectral_peaks,
}


@pytest.mark.parametrize("width", [None, 0, -64, True, 64.0, "half", "64"])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("name", PROFILES)
def test_a_spectrum_whose_plane_is_not_said_is_refused(name: str, half: bool, width: object) -> None:
    """A half plane of 64 columns may be that of an image 126 or 127 wide, or a full one of 64."""
    power = power_spectrum(noise(1, 1, 64, 126), scale="linear", half=half)
    given = {} if width is None else {"width": width}
    with pytest.raises(UserError, match=r"width is .*half plane .*full"):
        PROFILES[name](power, **given)


@pytest.mark.parametrize("width", [63, 65, 33, 34, 125, 128])
@pytest.mark.parametrize("name", PROFILES)
def test_a_spectrum_of_another_width_than_said_is_refused(name: str, width: int) -> None:
    power = power_spectrum(noise(1, 1, 64, 126), scale="linear")
    with pytest.raises(UserError, match=rf"64 columns and width is {width}"):
        PROFILES[name](power, width=width)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (64, 126), (64, 127), (31, 61), (16, 2), (16, 3)])
@pytest.mark.parametrize("name", PROFILES)
def test_half_and_full_plane_give_the_same_whatever_says_which_it_is(name: str, size: tuple[int, int]) -> None:
    images = noise(2, 1, *size)
    half, full = (power_spectrum(images, scale="linear", half=which) for which in (True, False))
    if name == "spectral_slope" and min(size) < 10:
        pytest.skip("too small for a slope")
    expected = PROFILES[name](full, width="full")
    for power, width in ((half, size[1]), (full, size[1]), (full, np.int64(size[1]))):
        torch.testing.assert_close(PROFILES[name](power, width=width), expected)


def test_the_default_plane_of_a_cosine_is_read_right() -> None:
    power = power_spectrum(tone(64, 64, 0, 16), scale="linear", window="none")
    profile = radial_profile(power, width=64)[0, 0]
    assert int(profile.argmax()) / 64 == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: radial_profile(noise(1, 1, 8, 8), width=20), "half plane 11"),
        (lambda: angular_profile(noise(1, 1, 8, 8), bins=0, width=8), "bins is 0"),
        (lambda: spectral_slope(noise(1, 1, 4, 4), width=4), "rings between"),
        (lambda: spectral_peaks(noise(1, 1, 4, 4), count=0, width=4), "count is 0"),
        (lambda: peak_scores(noise(1, 1, 4, 4), neighbourhood=4, width=4), "neighbourhood is 4"),
        (lambda: cross_spectrum(noise(1, 1, 4, 4)), "2 channels or more"),
        (lambda: autocorrelation(noise(1, 1, 4, 9), max_lag=4), "4x9 image takes 3 at most"),
        (lambda: full_plane(noise(1, 1, 4, 4), width=9), "has 5 columns"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        make()
