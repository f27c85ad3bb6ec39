"""A degradation is read back from its text, is the same for the same image and seed, and does what its name says."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakefreq.data.degrade import distortions
from fakefreq.data.degrade.language import WORDS, image_rng, parse_augmentation, parse_degradation
from fakefreq.errors import UserError

Draw = Callable[..., NDArray[np.uint8]]
EACH = [
    "jpeg:60", "jpeg:50..95:any", "double_jpeg:60..90:70..90:4:4:4", "webp:50..95", "avif:50..90", "blur:0.5..2",
    "resize:0.5:lanczos", "rescale:0.6..1.2:any", "noise:1..10", "gamma:0.5..2", "social", "social:0.7:60..80",
    "sharpen:0.5..2",
    "mask:0.2", "freqmask:0.05..0.15", "freqmask:0.2:high", "rotate:-10..10", "crop:0.5..1", "grayscale",
    "resize:0.5:area+jpeg:60..95:4:2:2+noise:2", "none",
]  # fmt: skip


@pytest.mark.parametrize("text", EACH)
def test_the_text_reads_back_and_seed_and_image_decide_all(pixels: Draw, text: str) -> None:
    if "avif" in text and not distortions.has_avif():
        pytest.skip("this OpenCV writes no AVIF")
    degradation = parse_degradation(text)
    assert parse_degradation(str(degradation)) == degradation
    image = pixels(0)
    before = image.copy()
    first, again, other = (degradation.apply(image, image_rng(seed, "key")) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(image, before)  # what was given is not written on
    if ".." in str(degradation):
        assert first.shape != other.shape or (first != other).any()
    for height, width in ((1, 1), (1, 40), (3, 2), (17, 9)):
        tiny = degradation.apply(pixels(1, height, width), image_rng(0, "tiny"))
        assert tiny.dtype == np.uint8 and tiny.ndim == 3 and tiny.shape[2] == 3 and tiny.size


def test_every_word_is_tested() -> None:
    assert set(WORDS) == {step.split(":")[0] for text in EACH for step in text.split("+")} - {"none"}


def test_sharpening_adds_what_a_blur_takes_away_and_nothing_to_a_plain_image() -> None:
    step = np.full((20, 20, 3), 100, np.uint8)
    step[:, 10:] = 150
    sharp = distortions.sharpen(step, 1.0).astype(int)
    assert sharp[10, 9, 0] < 100
    assert sharp[10, 10, 0] > 150
    np.testing.assert_array_equal(distortions.sharpen(step, 0.0), step)
    plain = np.full((9, 7, 3), 200, np.uint8)
    np.testing.assert_array_equal(distortions.sharpen(plain, 3.0), plain)


def test_a_jpeg_degradation_is_the_codec_s_own_round_trip(pixels: Draw) -> None:
    image = pixels(2)
    factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    _, payload = cv2.imencode(
        ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    )
    expected = cv2.imdecode(payload, cv2.IMREAD_COLOR)
    assert expected is not None
    found = parse_degradation("jpeg:60:4:4:4").apply(image, image_rng(0, ""))
    np.testing.assert_array_equal(found, expected[..., ::-1])


def test_lower_quality_loses_more_with_each_codec(pixels: Draw) -> None:
    image = pixels(3, 96, 96).astype(np.float64)
    for codec in ("jpeg", "webp", *(["avif"] if distortions.has_avif() else [])):
        errors = [
            np.square(parse_degradation(f"{codec}:{quality}").apply(image.astype(np.uint8), image_rng(0, "")) - image)
            for quality in (95, 60, 20)
        ]
        assert errors[0].mean() < errors[1].mean() < errors[2].mean()


def _edges_by_phase(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean step between neighbouring columns, by column modulo 8."""
    steps = np.abs(np.diff(image.astype(np.float64).mean(axis=2), axis=1)).mean(axis=0)
    return np.array([steps[phase::8].mean() for phase in range(8)])


def test_double_jpeg_leaves_a_second_grid_where_it_was_shifted_to(pixels: Draw) -> None:
    image = pixels(4, 256, 256)
    once = _edges_by_phase(distortions.jpeg(image, 20))
    assert int(once.argmax()) == 7  # between columns 7 and 8
    # The first grid starts 3 columns further left: its edges lie after column 7 - 3.
    twice = _edges_by_phase(distortions.double_jpeg(image, 20, 95, 5, 3))
    assert int(twice.argmax()) == 4


def test_blur_noise_gamma_and_mask_have_the_strength_asked_for(pixels: Draw) -> None:
    edge = np.zeros((41, 42, 3), np.uint8)
    edge[:, 21:] = 255
    spread = np.diff(distortions.blur(edge, 2.5)[20, :, 0].astype(np.float64))
    assert (spread * (np.arange(41) - 20) ** 2).sum() / 255 == pytest.approx(2.5**2, rel=0.04)
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert distortions.noise(grey, 8, image_rng(0, "")).std() == pytest.approx(8, rel=0.02)
    assert distortions.gamma(grey, 2.0)[0, 0, 0] == round(255 * (128 / 255) ** 2)
    image = pixels(5, 160, 160)
    masked = distortions.mask(image, 0.25, image_rng(0, ""))
    share = (masked == np.rint(image.mean(axis=(0, 1)))).all(axis=2).mean()
    assert share == pytest.approx(0.25, abs=0.01)


def test_resize_comes_back_to_the_size_and_loses_what_the_small_grid_cannot_hold() -> None:
    stripes = np.zeros((64, 48, 3), np.uint8)
    stripes[:, ::2] = 200
    for kernel in ("area", "bilinear", "bicubic", "lanczos"):
        back = parse_degradation(f"resize:0.5:{kernel}").apply(stripes, image_rng(0, ""))
        assert back.shape == stripes.shape
        assert back[:, 6:-6].std() < 5
    assert parse_degradation("rescale:0.5").apply(stripes, image_rng(0, "")).shape == (32, 24, 3)
    assert parse_degradation("crop:0.5").apply(stripes, image_rng(0, "")).shape == (32, 24, 3)


def test_a_quarter_turn_is_exact(pixels: Draw) -> None:
    image = pixels(6, 33, 33)
    found = distortions.rotate(image, 90).astype(int)
    assert np.abs(found - np.rot90(image).astype(int)).max() <= 1


def test_entries_happen_with_their_probability_independently(pixels: Draw) -> None:
    augmentation = parse_augmentation("0.5*gamma:2 0.3*grayscale|rotate:180 mask:0")
    assert parse_augmentation(str(augmentation)) == augmentation
    image = pixels(7, 9, 9)
    counts = {"gamma": 0, "other": 0}
    dark, grey = distortions.gamma(image, 2.0), distortions.grayscale
    for number in range(2000):
        found = augmentation.apply(image, image_rng(0, str(number)))
        is_dark = any((found == variant).all() for variant in (dark, grey(dark), distortions.rotate(dark, 180)))
        counts["gamma"] += is_dark
        counts["other"] += not (found == (dark if is_dark else image)).all()
    assert counts["gamma"] / 2000 == pytest.approx(0.5, abs=0.045)  # 4 standard errors
    assert counts["other"] / 2000 == pytest.approx(0.3, abs=0.041)
    np.testing.assert_array_equal(parse_augmentation("").apply(image, image_rng(0, "")), image)


def test_ranges_are_drawn_evenly_with_both_ends() -> None:
    step = parse_degradation("jpeg:60..64").steps[0].arguments[0]
    drawn = [step.draw(image_rng(0, str(number))) for number in range(2000)]
    counts = [drawn.count(quality) for quality in range(60, 65)]
    assert sum(counts) == 2000 and min(counts) > 320 and max(counts) < 480  # 400 by 4.5 standard errors


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jpg:60", "jpeg"),
        ("jpeg", "jpeg:quality"),
        ("jpeg:0", "1 to 100"),
        ("jpeg:90..60", "out of range"),
        ("jpeg:60.5", "whole"),
        ("jpeg:60:4:1:1", "4:2:0"),
        ("blur:a", "not a number"),
        ("blur:nan", "out of range"),
        ("blur:1:2", "more arguments"),
        ("resize:0.5:cubic", "bicubic"),
        ("crop:0", "out of range"),
        ("freqmask:1.5", "0 to 1"),
        ("freqmask:0.1:top", "high"),
        ("2*jpeg:60", "0 to 1"),
        ("0.5*jpeg:60+", "jpeg"),
    ],
)
def test_a_wrong_text_names_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_augmentation(text)
    assert told in str(caught.value)
