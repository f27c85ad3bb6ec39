"""A frequency mask takes the share of the band that it is asked for, nothing else, and never the mean."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fakefreq.data.degrade.distortions import FREQUENCY_BANDS, _kept_frequencies, mask_frequencies
from fakefreq.data.degrade.language import image_rng, parse_degradation

Draw = Callable[..., NDArray[np.uint8]]


def band_of(height: int, width: int, band: str) -> NDArray[np.bool_]:
    """The band's coefficients in the full plane of `fft2`, the mean left out."""
    radius = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))[None, :])
    low, high = FREQUENCY_BANDS[band]
    inside: NDArray[np.bool_] = (radius > 0) & (radius >= low) & ((radius < high) | (high == 0.5))
    return inside


def full_plane(height: int, width: int, fraction: float, band: str, seed: int) -> NDArray[np.bool_]:
    """Which coefficients of `fft2` are kept: seen in what the mask does to an impulse, whose spectrum is flat."""
    kept = _kept_frequencies(height, width, fraction, FREQUENCY_BANDS[band], np.random.default_rng(seed))
    impulse = np.zeros((height, width))
    impulse[0, 0] = 1
    masked = np.fft.irfft2(np.fft.rfft2(impulse) * kept, s=(height, width))
    response = np.fft.fft2(masked)
    # Real and binary: had one of a pair stayed alone, both would be at one half.
    np.testing.assert_allclose(response, np.rint(response.real), atol=1e-9)
    plane: NDArray[np.bool_] = response.real > 0.5
    return plane


@pytest.mark.parametrize("band", sorted(FREQUENCY_BANDS))
@pytest.mark.parametrize(("height", "width"), [(64, 64), (63, 50), (50, 63), (7, 9)])
def test_the_share_is_that_of_the_band_in_whole_pairs_and_the_mean_stays(height: int, width: int, band: str) -> None:
    inside = band_of(height, width, band)
    for fraction in (0.0, 0.15, 0.5, 1.0):
        gone = ~full_plane(height, width, fraction, band, seed=3)
        assert abs(gone.sum() - fraction * inside.sum()) <= 2
        assert not (gone & ~inside).any()
        assert not gone[0, 0]
        mirrored = np.roll(gone[::-1, ::-1], (1, 1), axis=(0, 1))
        np.testing.assert_array_equal(gone, mirrored)


def test_the_bands_part_the_plane() -> None:
    counts = [band_of(60, 61, band).sum() for band in ("low", "mid", "high")]
    assert sum(counts) == band_of(60, 61, "all").sum() == 60 * 61 - 1


def test_every_coefficient_goes_as_often_as_any_other() -> None:
    gone = np.mean([~full_plane(12, 10, 0.3, "all", seed) for seed in range(600)], axis=0)
    assert gone[0, 0] == 0
    others = np.delete(gone.ravel(), 0)
    assert np.abs(others - 0.3).max() < 4.5 * np.sqrt(0.3 * 0.7 / 600)


def test_energy_falls_by_that_of_the_masked_coefficients_and_the_mean_stays() -> None:
    # White and far from black and white: nothing is clipped, and each coefficient holds the same energy on average.
    image = np.clip(np.random.default_rng(0).normal(128, 20, (128, 120, 3)), 40, 215).astype(np.uint8)
    for band, fraction in (("all", 0.15), ("high", 0.5), ("low", 1.0)):
        masked = mask_frequencies(image, fraction, band, image_rng(0, "key")).astype(np.float64)
        share = fraction * band_of(128, 120, band).sum() / (128 * 120 - 1)
        # Rounding adds 1/12.
        expected = (1 - share) * image.astype(np.float64).var(axis=(0, 1)) + 1 / 12
        np.testing.assert_allclose(masked.var(axis=(0, 1)), expected, rtol=0.03)
        np.testing.assert_allclose(masked.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.01)


def test_parseval_holds_coefficient_by_coefficient() -> None:
    image = np.clip(np.random.default_rng(1).normal(128, 15, (40, 44, 3)), 60, 200).astype(np.uint8)
    masked = mask_frequencies(image, 0.25, "all", np.random.default_rng(5))
    kept = full_plane(40, 44, 0.25, "all", seed=5)
    before, after = (np.fft.fft2(plane.astype(np.float64), axes=(0, 1)) for plane in (image, masked))
    rounding = np.sqrt(40 * 44 / 12)  # what rounding each pixel does to one coefficient
    assert np.abs(after[kept] - before[kept]).max() < 5 * rounding
    assert np.abs(after[~kept]).max() < 5 * rounding < np.abs(before[~kept]).mean()


def test_the_same_coefficients_go_in_all_channels_so_that_grey_stays_grey(pixels: Draw) -> None:
    grey = np.repeat(pixels(2, 33, 50)[..., :1], 3, axis=2)
    masked = parse_degradation("freqmask:0.3").apply(grey, image_rng(0, "key"))
    assert (masked[..., 0] == masked[..., 1]).all() and (masked[..., 1] == masked[..., 2]).all()
    assert not np.array_equal(masked, grey)


def test_nothing_to_mask_leaves_the_bytes(pixels: Draw) -> None:
    for text in ("freqmask:0", "freqmask:0:low"):
        np.testing.assert_array_equal(parse_degradation(text).apply(pixels(3), image_rng(0, "")), pixels(3))
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(mask_frequencies(flat, 1.0, "all", image_rng(0, "")), flat)
