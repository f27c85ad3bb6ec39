"""A simulated family keeps the picture, leaves its upsampler's trace, and is the same for a seed."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.simulated.families import UPSAMPLERS, SimulatedFamily, draw_family, parse_family
from fakefreq.simulated.upsamplers import _fourier, build_autoencoder, haar_pyramid, simulate
from tests.conftest import draw_photo


def draw_faces(count: int, side: int = 64) -> NDArray[np.uint8]:
    """Smooth enough that a faithful autoencoder should return them almost unchanged."""
    rng = np.random.default_rng(5)
    return np.stack([cv2.GaussianBlur(draw_photo(rng, side), (0, 0), 0.8) for _ in range(count)])


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean()))


@pytest.mark.slow
@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_every_upsampler_keeps_the_picture_and_changes_it(upsampler: str) -> None:
    photos = draw_faces(3)
    fakes = simulate(photos, parse_family(upsampler), seed=1)
    assert fakes.shape == photos.shape
    assert psnr(fakes, photos) > 25
    assert not np.array_equal(fakes, photos)
    tint = (fakes.astype(float) - photos).mean(axis=(0, 1, 2))
    assert np.ptp(tint) < 2.5


def grid_power(images: NDArray[np.uint8], period: int) -> float:
    """Power of the mean image's luma at multiples of 1 / period cycles a pixel, DC left out: the checkerboard."""
    mean = images.astype(np.float64).mean(axis=(0, 3))
    spectrum = np.abs(np.fft.fft2(mean - mean.mean())) ** 2 / mean.size
    grid = np.zeros(mean.shape, bool)
    grid[:: mean.shape[0] // period, :: mean.shape[1] // period] = True
    grid[0, 0] = False
    return float(spectrum[grid].mean())


@pytest.mark.slow
@pytest.mark.parametrize("upsampler", ["transposed2", "transposed3", "transposed4", "pixel_shuffle", "zero_insertion"])
def test_a_flat_picture_gets_a_checkerboard_from_uneven_upsamplers_only(upsampler: str) -> None:
    flat = np.full((1, 64, 64, 3), 60, np.uint8)
    family = SimulatedFamily(noise=0.05)
    uneven = [grid_power(simulate(flat, parse_family(f"{upsampler},noise=0.05"), seed), 2) for seed in range(3)]
    assert max(uneven) > 1.0
    for smooth in ("nearest", "bilinear", "fourier"):
        even = [grid_power(simulate(flat, parse_family(f"{smooth},noise={family.noise}"), seed), 2) for seed in (0, 1)]
        assert max(even) < 1e-6, smooth


@pytest.mark.slow
def test_a_deeper_decoder_leaves_a_coarser_grid() -> None:
    flat = np.full((1, 64, 64, 3), 60, np.uint8)
    deep = [grid_power(simulate(flat, parse_family("transposed3,depth=2,noise=0.05"), seed), 4) for seed in range(2)]
    shallow = [grid_power(simulate(flat, parse_family("transposed3,noise=0.05"), seed), 4) for seed in range(2)]
    two = [grid_power(simulate(flat, parse_family("transposed3,noise=0.05"), seed), 2) for seed in range(2)]
    # With one step every multiple of 1/4 that is no multiple of 1/2 stays empty: 12 of 15 places.
    np.testing.assert_allclose(np.array(shallow) * 15, np.array(two) * 3, rtol=1e-6)
    assert min(deep) > 0.1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_no_image_depends_on_its_batch() -> None:
    photos = draw_faces(3, 48)
    family = parse_family("pixel_shuffle,depth=2")
    first = simulate(photos, family, seed=3)
    build_autoencoder.cache_clear()
    np.testing.assert_array_equal(first[1:2], simulate(photos[1:2], family, seed=3))
    assert not np.array_equal(first, simulate(photos, family, seed=4))


@pytest.mark.slow
@pytest.mark.parametrize("side", [(17, 31), (64, 16), (30, 33)])
def test_odd_and_tiny_sides_come_back_as_they_were(side: tuple[int, int]) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (1, *side, 3)).astype(np.uint8)
    for text in ("fourier,depth=3", "transposed3,depth=2", "nearest,kernel=7"):
        assert simulate(photos, parse_family(text)).shape == photos.shape


@pytest.mark.slow
@pytest.mark.parametrize(("side", "depth"), [(16, 3), (32, 4)])
@pytest.mark.parametrize("upsampler", ["nearest", "fourier", "pixel_shuffle", "transposed4"])
def test_the_smallest_side_is_enough_for_the_largest_kernel(upsampler: str, side: int, depth: int) -> None:
    ramp = 10 + 80 * np.add.outer(np.arange(side), np.arange(2 * side)) / side
    photos = np.repeat(ramp.astype(np.uint8)[None, ..., None], 3, axis=3)
    fakes = simulate(photos, parse_family(f"{upsampler},kernel=7,depth={depth},width=8"))
    assert fakes.shape == photos.shape
    assert np.corrcoef(fakes.ravel(), photos.ravel())[0, 1] > 0.5


def test_the_fourier_upsampler_is_an_ideal_low_pass() -> None:
    places = torch.arange(16) / 16
    tone = torch.cos(2 * torch.pi * 3 * places)[None, None, None]
    fine = torch.cos(2 * torch.pi * 3 * torch.arange(32) / 32)[None, None, None]
    torch.testing.assert_close(_fourier(tone, 3), fine, atol=1e-5, rtol=0)
    odd = torch.cos(2 * torch.pi * 2 * torch.arange(15) / 15)[None, None, None]
    twice = torch.cos(2 * torch.pi * 2 * torch.arange(30) / 30)[None, None, None]
    torch.testing.assert_close(_fourier(odd, 3), twice, atol=1e-5, rtol=0)


def test_the_pyramid_loses_nothing() -> None:
    image = torch.rand(2, 1, 8, 12)
    level = haar_pyramid(image, 1)[0]
    low, a, b, c = level[:, 0], level[:, 1] / 2, level[:, 2] / 2, level[:, 3] / 2
    torch.testing.assert_close(image[:, 0, ::2, ::2], low + a + b + c)
    torch.testing.assert_close(image[:, 0, 1::2, ::2], low + a - b - c)


def test_families_are_written_and_read_back_and_drawn_over_everything() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_family(rng) for _ in range(200)]
    assert all(parse_family(str(family)) == family for family in drawn)
    assert {family.upsampler for family in drawn} == set(UPSAMPLERS)
    assert len({family.name for family in drawn}) == len(set(drawn))
    assert all(family.name.isidentifier() for family in drawn)


@pytest.mark.parametrize(
    ("text", "message"),
    [("bicubic", "upsampler"), ("kernel=4", "kernel"), ("depth=9", "1 to 4"), ("width=x", "number"), ("k=3", "part")],
)
def test_wrong_families_say_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_family(text)


def test_wrong_images_are_refused() -> None:
    with pytest.raises(UserError, match="at least 16"):
        simulate(np.zeros((1, 12, 64, 3), np.uint8), SimulatedFamily())
