"""Controls keep the picture and its size, change what they say they change, and repeat exactly."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fakefreq.zoo.controls import (
    CONTROLS,
    control_bicubic,
    control_demosaic,
    control_denoise,
    control_jpeg,
    control_sharpen,
)

Draw = Callable[..., NDArray[np.uint8]]


def high_power(image: NDArray[np.uint8]) -> float:
    """Power of the green channel above a quarter of the sampling rate, along either axis."""
    values = image[..., 1].astype(np.float64)
    window = np.outer(*(np.hanning(side) for side in values.shape))
    power = np.abs(np.fft.fft2((values - values.mean()) * window)) ** 2
    rows, columns = (np.abs(np.fft.fftfreq(side)) for side in values.shape)
    return float(power[(rows[:, None] > 0.25) | (columns[None, :] > 0.25)].sum())


@pytest.mark.parametrize("name", list(CONTROLS))
@pytest.mark.parametrize("size", [(64, 64), (41, 53)])
def test_a_control_keeps_picture_and_size_and_repeats(pixels: Draw, name: str, size: tuple[int, int]) -> None:
    image = pixels(0, *size)
    kept = image.copy()
    processed = CONTROLS[name](image)
    assert processed.shape == image.shape
    assert processed.dtype == np.uint8
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(processed, CONTROLS[name](image))
    assert not np.array_equal(processed, image)
    # Channels stay in their places: each is more like itself than like another.
    correlation = np.corrcoef(np.concatenate([image.reshape(-1, 3), processed.reshape(-1, 3)], axis=1).astype(float).T)[
        :3, 3:
    ]
    assert (np.argmax(correlation, axis=1) == [0, 1, 2]).all()
    assert np.diag(correlation).min() > 0.7


def test_bicubic_and_denoise_lower_high_frequencies_and_sharpen_raises_them(pixels: Draw) -> None:
    noisy = np.clip(pixels(1) + np.random.default_rng(0).normal(0, 4, (80, 72, 3)), 0, 255).astype(np.uint8)
    assert high_power(control_bicubic(noisy)) < 0.5 * high_power(noisy)
    assert high_power(control_denoise(noisy)) < high_power(noisy)
    assert high_power(control_sharpen(noisy)) > 1.5 * high_power(noisy)


def test_demosaic_keeps_flat_colour_and_the_greens_that_the_mosaic_kept(pixels: Draw) -> None:
    flat = np.broadcast_to(np.array([200, 120, 40], np.uint8), (16, 16, 3)).copy()
    np.testing.assert_array_equal(control_demosaic(flat), flat)
    image = pixels(2)
    processed = control_demosaic(image)
    inner = (slice(2, -2), slice(2, -2))
    for row, column, channel in [(0, 1, 1), (1, 0, 1), (0, 0, 0), (1, 1, 2)]:
        np.testing.assert_array_equal(
            processed[inner][row::2, column::2, channel], image[inner][row::2, column::2, channel]
        )


def test_twice_compressed_is_not_once_compressed(pixels: Draw) -> None:
    image = pixels(3)
    assert not np.array_equal(control_jpeg(image), control_jpeg(image, (85,)))
