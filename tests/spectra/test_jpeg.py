"""The quality of the last JPEG is found in any crop of it, and none where there was none or a resize came after."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.data.degrade import distortions
from fakefreq.errors import UserError
from fakefreq.models.streams.base import QualityCondition
from fakefreq.spectra.color import rgb_to_gray, to_float
from fakefreq.spectra.jpeg import QUALITIES, QualityPosterior, block_grid

Draw = Callable[..., NDArray[np.uint8]]


def batch(*images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.stack(images).copy()).permute(0, 3, 1, 2)


def photo(pixels: Draw, seed: int = 0) -> NDArray[np.uint8]:
    """With some fine grain, without which most coefficients would be rounded to zero."""
    image = pixels(seed, 160, 160).astype(np.float64)
    image = 128 + 0.6 * (image - 128) + np.random.default_rng(seed).normal(0, 4, image.shape)
    result: NDArray[np.uint8] = np.clip(image, 1, 254).astype(np.uint8)
    return result


def found(images: Tensor) -> list[int]:
    return [QUALITIES[number] for number in QualityPosterior()(images).argmax(dim=1).tolist()]


@pytest.mark.parametrize("quality", [40, 60, 75, 85])
def test_the_quality_is_found_wherever_the_crop_begins(pixels: Draw, quality: int) -> None:
    image = distortions.jpeg(photo(pixels), quality)
    starts = enumerate((3, 0, 7, 1, 5, 2, 6, 4))
    told = found(batch(*(image[top : top + 128, left : left + 120] for top, left in starts)))
    # At 85 and above blocks leave so faint an edge that their grid is missed at times; then nothing is told.
    assert told.count(quality) >= (8 if quality < 85 else 6) and set(told) <= {quality, 100}


def test_the_grid_starts_where_the_blocks_do(pixels: Draw) -> None:
    image = distortions.jpeg(photo(pixels, 1), 50)
    for top, left in ((0, 0), (3, 6), (7, 1)):
        luma = rgb_to_gray(to_float(batch(image[top : top + 96, left : left + 97])))[:, 0] * 255
        assert [value.item() for value in block_grid(luma)] == [-top % 8, -left % 8]


def test_what_was_not_compressed_or_resampled_since_has_no_such_trace(pixels: Draw) -> None:
    image = photo(pixels, 2)
    assert found(batch(image)) == [100]
    assert found(batch(distortions.rescale(distortions.jpeg(image, 60), 0.8))) == [100]


def test_the_coarser_of_two_on_one_grid_is_told(pixels: Draw) -> None:
    for first, second in ((40, 80), (80, 40)):
        assert found(batch(distortions.jpeg(distortions.jpeg(photo(pixels, 3), first), second))) == [40]


def test_probabilities_add_up_and_know_nothing_of_the_rest_of_the_batch(pixels: Draw) -> None:
    images = batch(*(distortions.jpeg(photo(pixels, seed), 60 + 10 * seed)[:64, :65] for seed in range(3)))
    whole = QualityPosterior()(images)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(3))
    alone = torch.cat([QualityPosterior()(image[None]) for image in images])
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)


def test_too_small_an_image_is_refused_and_the_smallest_has_an_answer() -> None:
    with pytest.raises(UserError, match="24 pixels a side"):
        QualityPosterior()(torch.zeros(1, 3, 23, 40))
    assert torch.isfinite(QualityPosterior()(torch.rand(2, 3, 24, 25))).all()


def test_the_condition_begins_as_nothing_and_then_tells_qualities_apart(pixels: Draw) -> None:
    condition = QualityCondition(4)
    images = to_float(batch(*(distortions.jpeg(photo(pixels, 4), quality) for quality in (40, 75))))
    features = torch.ones(2, 4)
    assert torch.equal(condition(features, images), features)
    with torch.no_grad():
        condition.modulate.weight[0, QUALITIES.index(40)] = 2.0
    changed = condition(features, images)
    torch.testing.assert_close(changed[0], torch.tensor([3.0, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(changed[1], torch.ones(4))
