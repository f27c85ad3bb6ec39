"""A history is exact, repeatable, said in full, and the same law for both classes."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.data.degrade.history import (
    NATIVE,
    RAW,
    History,
    apply_history,
    bring_to_size,
    draw_quality,
    parse_history,
)
from fakefreq.data.images.resample import Kernel, resampling_matrix, resize
from fakefreq.errors import UserError

Draw = Callable[..., NDArray[np.uint8]]


def decode(payload: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image[..., ::-1], np.uint8)


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(31, 24), (40, 17)])
def test_antialiased_kernels_are_torch_s(pixels: Draw, kernel: Kernel, height: int, width: int) -> None:
    image = pixels(0)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(tensor, (height, width), mode=kernel, antialias=True)
    found = resize(image, height, width, kernel, antialias=True)
    np.testing.assert_allclose(found, expected[0].permute(1, 2, 0).clamp(0, 255).numpy(), atol=0.5001)


def test_lanczos_is_the_windowed_sinc_at_a_hand_computed_place() -> None:
    # Doubling: output 11 lies at input 5.25, so tap 5 is .25 and tap 7 is 1.75 away.
    row = resampling_matrix(16, 32, "lanczos", antialias=True)[11]
    near = np.sinc(0.25) * np.sinc(0.25 / 3)
    far = np.sinc(1.75) * np.sinc(1.75 / 3)
    assert row[7] / row[5] == pytest.approx(far / near)
    assert np.count_nonzero(row) == 6


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic", "lanczos"])
def test_antialiasing_removes_what_the_smaller_grid_cannot_hold(kernel: Kernel) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = resize(stripes, 16, 16, kernel, antialias=True)[:, 3:-3]
    assert int(reduced.max()) - int(reduced.min()) <= 2
    assert abs(float(reduced.mean()) - 127.5) < 2


def test_without_antialiasing_stripes_alias() -> None:
    stripes = np.zeros((63, 63, 3), np.uint8)
    stripes[:, ::3] = 255
    reduced = resize(stripes, 21, 21, "bilinear", antialias=False)
    assert int(reduced.max()) == 0  # every sample falls between the stripes


def test_the_crop_is_the_centre_square(pixels: Draw) -> None:
    image = pixels(1, 50, 70)
    np.testing.assert_array_equal(bring_to_size(image, History(size=None)), image[:, 10:60])


def test_raw_keeps_every_pixel(pixels: Draw) -> None:
    image = pixels(2, 50, 70)
    np.testing.assert_array_equal(decode(apply_history(image, RAW)), image)


@pytest.mark.parametrize(("subsampling", "factors"), [("4:2:0", 0x22), ("4:2:2", 0x21), ("4:4:4", 0x11)])
def test_jpeg_has_the_size_and_the_subsampling_asked_for(pixels: Draw, subsampling: str, factors: int) -> None:
    payload = apply_history(pixels(3), parse_history(f"size=48,codec=jpeg:80,subsampling={subsampling}"))
    assert payload == apply_history(pixels(3), parse_history(f"size=48,codec=jpeg:80,subsampling={subsampling}"))
    assert decode(payload).shape == (48, 48, 3)
    frame = payload.index(b"\xff\xc0")
    assert payload[frame + 11] == factors  # first component's sampling, horizontal and vertical


def test_a_quality_range_is_one_law_for_both_classes() -> None:
    history = parse_history("codec=jpeg:80-95")
    for label in ("0_real", "1_fake"):
        drawn = [draw_quality(history, f"dcgan/{label}/{index}", seed=0) for index in range(2000)]
        assert set(drawn) == set(range(80, 96))
        assert np.mean(drawn) == pytest.approx(87.5, abs=0.4)  # 4 standard errors
    assert draw_quality(history, "a", 0) == draw_quality(history, "a", 0)
    assert [draw_quality(history, str(i), 0) for i in range(9)] != [draw_quality(history, str(i), 1) for i in range(9)]


@pytest.mark.parametrize(
    "history",
    [
        History(),
        RAW,
        History(64, "lanczos", False, "webp", (50, 60)),
        History(codec="jpeg", subsampling="4:4:4"),
    ],
)
def test_the_text_of_a_history_reads_back(history: History) -> None:
    text = str(history)
    assert str(parse_history(text)) == text
    assert parse_history(text).size == history.size


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("size=abc", "size=abc"),
        ("size=2", "too small"),
        ("kernel=cubic", "bicubic"),
        ("codec=jpeg:0", "out of range"),
        ("codec=jpeg:95-80", "out of range"),
        ("codec=bmp", "jpeg, png, webp"),
        ("sise=64", "size"),
    ],
)
def test_a_wrong_history_names_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(UserError, match="--history") as caught:
        parse_history(text)
    assert told in str(caught.value)


def test_enlarging_is_refused(pixels: Draw) -> None:
    with pytest.raises(UserError, match="too small for size 128"):
        apply_history(pixels(4), History(size=128))


def test_parts_after_native_change_it() -> None:
    assert parse_history("native,size=64,codec=jpeg:90") == replace(NATIVE, size=64, quality=90)
    with pytest.raises(UserError, match="cannot read 'native' in --history"):
        parse_history("size=64,native")
