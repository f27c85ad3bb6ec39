"""WebP leaves the trace of studio range, until a resize or another codec takes it away; nothing else does."""

import cv2
import numpy as np
import pytest
import torch

from fakefreq.data.degrade.distortions import jpeg, rescale, webp
from fakefreq.errors import UserError
from fakefreq.models.streams.lattice import STUDIO_RANGE
from fakefreq.spectra import studio_range_trace
from tests.helpers.photo_files import photo


def trace(image: np.ndarray) -> float:
    return float(studio_range_trace(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0)))


def picture(seed: int, side: int = 192) -> np.ndarray:
    """A photograph-like picture in colour: all of its three channels vary by themselves."""
    random = np.random.default_rng(seed)
    tint = cv2.GaussianBlur(random.normal(0, 60, (side, side, 3)), (0, 0), 8) * 6
    return np.clip(photo(seed, side).astype(np.float64) * 0.6 + 50 + tint, 1, 254).astype(np.uint8)


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("seed", range(3))
def test_webp_leaves_it_and_a_crop_keeps_it(quality: int, seed: int) -> None:
    saved = webp(picture(seed), quality)
    assert trace(saved) > STUDIO_RANGE
    assert trace(saved[13:150, 7:160]) > STUDIO_RANGE


@pytest.mark.parametrize("seed", range(3))
def test_nothing_else_does(seed: int) -> None:
    image = picture(seed)
    for other in (image, jpeg(image, 50), jpeg(image, 95, "4:4:4"), jpeg(webp(image, 80), 90)):
        assert trace(other) < 0.3
    for factor in (0.7, 1.5):
        assert trace(rescale(webp(image, 80), factor)) < 0.3


def test_its_size_is_what_rounding_leaves() -> None:
    """Luma in whole steps and chroma anywhere, rounded to 8 bits in R, G and B."""
    random = np.random.default_rng(0)
    y = random.integers(60, 180, (300, 300))
    u, v = random.uniform(-20, 20, (2, 300, 300))
    scaled = 255 / 219 * (y - 16)
    rgb = np.stack([scaled + 1.596 * v, scaled - 0.392 * u - 0.813 * v, scaled + 2.017 * u], axis=2)
    expected = np.prod(np.sinc([0.2568, 0.5041, 0.0979]))
    assert trace(np.round(rgb).astype(np.uint8)) == pytest.approx(expected, abs=0.01)


def test_pixels_that_are_black_or_white_do_not_count() -> None:
    frame = np.zeros((192, 192, 3), np.uint8)
    frame[40:150, 40:150] = picture(1)[40:150, 40:150]
    assert trace(frame) < 0.3
    assert trace(np.zeros((64, 64, 3), np.uint8)) == pytest.approx(0, abs=1e-5)


def test_it_takes_three_channels() -> None:
    with pytest.raises(UserError, match="1 channels"):
        studio_range_trace(torch.zeros(1, 1, 32, 32))
