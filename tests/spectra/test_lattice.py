"""The lattice by physics: a known null, a planted lattice that grows as theory says, processing that adds none."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fakefreq.data.degrade.distortions import jpeg
from fakefreq.data.images.decode import read_image
from fakefreq.errors import UserError
from fakefreq.models.streams.lattice import FREQUENCIES, QUIET, read_lattice_of_image
from fakefreq.spectra import (
    lattice_field_scores,
    lattice_fields,
    lattice_frequencies,
    lattice_pvalue,
    lattice_residual,
    lattice_scores,
    lattice_tile,
    rgb_to_gray,
    rgb_to_ycbcr,
)
from fakefreq.spectra.lattice import scores_of_segments, segment_side
from fakefreq.spectra.lattice_fields import FIELDS


def noise(count: int, side: int, colour: str, seed: int = 0) -> Tensor:
    """Pictures of noise, (count, 1, side, side), about .5."""
    random = np.random.default_rng(seed)
    large = 2 * side
    spectrum = np.fft.fft2(random.normal(size=(count, large, large)))
    radius = np.hypot(np.fft.fftfreq(large)[:, None], np.fft.fftfreq(large))
    radius[0, 0] = 1
    gain = {"white": 1.0, "blurred": np.exp(-((radius / 0.25) ** 2)), "1/f": 1 / radius}[colour]
    # Half of a larger frame: what wraps around is cut off.
    pictures = np.fft.ifft2(spectrum * gain).real[:, :side, :side]
    pictures *= 0.08 / pictures.std()
    return torch.from_numpy(pictures + 0.5).float().unsqueeze(1)


@pytest.mark.slow
@pytest.mark.parametrize("colour", ["white", "blurred", "1/f"])
@pytest.mark.parametrize(("side", "count"), [(64, 120), (101, 80), (256, 30)])
def test_squares_of_scores_are_exponential_where_there_is_no_lattice(colour: str, side: int, count: int) -> None:
    z = lattice_scores(noise(count, side, colour)).flatten(1)[:, lattice_frequencies(8).flatten()]
    squares = z.square().flatten().double().numpy()
    assert len(squares) > 900
    # Thousands of draws would find a deviation of .05 in the distribution function. Strongly blurred noise of 64 pixels
    # has the largest, to the safe side: its mean is .89.
    assert stats.kstest(squares, "expon").statistic < 0.06
    assert squares.mean() == pytest.approx(1.0, abs=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("period", [2, 3, 6, 12])
def test_the_null_holds_for_other_periods(period: int) -> None:
    z = lattice_scores(noise(150, 96, "white", seed=3), period).flatten(1)
    squares = z[:, lattice_frequencies(period).flatten()].square().flatten().double().numpy()
    assert stats.kstest(squares, "expon").statistic < 0.09


@pytest.mark.slow
def test_pvalues_of_pictures_without_a_lattice_are_uniform() -> None:
    pictures = torch.cat([noise(400, 64, "white", seed=channel) for channel in range(3)], dim=1)
    p = lattice_pvalue(pictures).double().numpy()
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert 0.02 < (p < 0.05).mean() < 0.09


@pytest.mark.parametrize(("period", "size"), [(2, (13, 17)), (2, (16, 16)), (2, (31, 24)), (4, (16, 31))])
def test_the_null_holds_for_short_periods_in_small_images_that_were_blurred(period: int, size: tuple[int, int]) -> None:
    pictures = torch.randn(2000, 1, size[0] + 8, size[1] + 8, generator=torch.Generator().manual_seed(7))
    blurred = torch.nn.functional.avg_pool2d(pictures, 3, 1, 1)[..., 4:-4, 4:-4] * 30 / 255 + 0.5
    squares = lattice_scores(blurred, period)[:, 0, lattice_frequencies(period)].square()
    assert float(squares.mean()) == pytest.approx(1.0, abs=0.2)  # with segments of one period it is 1.4 to 2.0
    assert float((lattice_pvalue(blurred, period) < 0.05).float().mean()) < 0.1


@pytest.mark.parametrize("period", [2, 3, 8, 16, 32])
def test_segments_are_as_large_while_sizes_are_tensors(period: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(side, side + 3) for side in range(2 * period, 200)]
    expected = [segment_side(*size, period) for size in sizes]
    monkeypatch.setattr(torch.jit, "is_tracing", lambda: True)
    assert [int(segment_side(*size, period)) for size in sizes] == expected
    if period >= 8:
        assert expected == [period * max(1, min(side // (4 * period), 32 // period)) for side, _ in sizes]


def planted(side: int, amplitude: float, seed: int = 0) -> Tensor:
    """White noise of deviation 8 grey levels with a chequered pattern on it, amplitude in grey levels."""
    picture = 0.5 + 0.4 * (noise(1, side, "white", seed) - 0.5)  # .08 * .4 * 255 = 8 grey levels
    place = torch.arange(side)
    checks = 1 - 2 * ((place.view(-1, 1) + place) % 2).float()
    return picture + amplitude / 255 * checks


def test_a_planted_lattice_gives_the_score_that_theory_says() -> None:
    """|mean A| is the amplitude in units of the scaled residual, and its deviation that of a mean of n^2 residuals."""
    side, amplitude = 256, 0.6
    residual = lattice_residual(planted(side, 0.0))[0, 0]
    # How much of a faint chequered pattern the median, scale and clip let through, measured on the tile itself.
    place = torch.arange(8)
    checks = 1 - 2 * ((place.view(-1, 1) + place) % 2).float()
    carried = ((lattice_tile(planted(side, amplitude)) - lattice_tile(planted(side, 0.0)))[0, 0] * checks).mean()
    # Power of the residual's noise at (1/2, 1/2): from the frequencies around it, not at it.
    spectrum = torch.fft.fft2(residual).abs().square()
    around = spectrum[side // 2 - 6 : side // 2 + 7, side // 2 - 6 : side // 2 + 7].clone()
    around[6, 6] = 0
    deviation = (around.sum() / 168).sqrt() / side**2
    expected = float(carried / deviation)
    # For a real frequency z^2 = -log of the two tails of Student's law beyond it, with 64 segments of 32 pixels.
    theory = float(np.sqrt(-(stats.t.logsf(expected, df=63) + np.log(2))))
    found = float(lattice_scores(planted(side, amplitude))[0, 0, 4, 4])
    assert found == pytest.approx(theory, rel=0.15)
    assert found > 4


def test_scores_grow_with_the_side() -> None:
    found = [
        float(torch.stack([lattice_scores(planted(side, 0.5, seed))[0, 0, 4, 4] for seed in range(4)]).mean())
        for side in (64, 128, 256, 512)
    ]
    assert found[1] > found[0]
    assert found[2] > 1.5 * found[1]
    assert found[3] == pytest.approx(2 * found[2], rel=0.25)  # beyond the noise z is in proportion to the side


def test_where_the_crop_begins_does_not_matter() -> None:
    whole = planted(264, 0.6)
    scores = [
        float(lattice_scores(whole[..., y : y + 256, x : x + 256])[0, 0, 4, 4]) for y, x in ((0, 0), (3, 5), (7, 1))
    ]
    assert max(scores) < 1.15 * min(scores)


def test_bytes_never_wrap_and_agree_with_floats() -> None:
    picture = (noise(2, 64, "1/f") * 255).round().clamp(0, 255).byte()
    torch.testing.assert_close(lattice_scores(picture), lattice_scores(picture.float() / 255), rtol=1e-3, atol=1e-3)


def photographs(count: int) -> list[np.ndarray]:
    """Photographs whose JPEG lattice was moved off multiples of 1/8 by a resize to 157 pixels."""
    folder = os.environ.get("FAKEFREQ_FACEBENCH")
    if not folder:
        pytest.skip("FAKEFREQ_FACEBENCH names no folder of real faces")
    files = sorted((Path(folder) / "stylegan" / "0_real").iterdir())[:count]
    images = [read_image(file) for file in files]
    return [np.asarray(cv2.resize(image, (157, 157), interpolation=cv2.INTER_LANCZOS4)) for image in images]


def pvalue(image: np.ndarray) -> float:
    planes = rgb_to_ycbcr(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0))
    return float(lattice_pvalue(planes))


PROCESSED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 0.8),
    "resized": lambda image: cv2.resize(image, None, fx=0.83, fy=0.83, interpolation=cv2.INTER_AREA),
    "sharpened": lambda image: cv2.addWeighted(image, 1.6, cv2.GaussianBlur(image, (0, 0), 1.0), -0.6, 0),
    "denoised": lambda image: cv2.fastNlMeansDenoisingColored(image, None, 4, 4, 5, 11),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSED)
def test_photographs_stay_within_the_null_whatever_was_done_to_them(name: str) -> None:
    p = np.array([pvalue(PROCESSED[name](image)) for image in photographs(60)])
    assert (p < 0.05).mean() <= 0.15  # of 60 at 5 %: six or fewer in 98 of 100 draws; nine are allowed
    assert (p < 0.001).mean() <= 0.04
    assert 0.3 < np.median(p) < 0.7


def test_jpeg_has_a_lattice_of_its_own_which_is_told_apart() -> None:
    """Of period 8, and of 16 in chroma that was halved (4:2:0), so that luma alone tells it apart."""

    def saved(image: np.ndarray) -> Tensor:
        return rgb_to_ycbcr(torch.from_numpy(jpeg(image, 60)).permute(2, 0, 1).unsqueeze(0))

    planes = [saved(image) for image in photographs(20)]
    assert np.mean([float(lattice_pvalue(image, 8)) < 0.05 for image in planes]) > 0.8
    assert np.mean([float(lattice_pvalue(image[:, :1], 16, without=8)) < 0.05 for image in planes]) <= 0.25


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (15, 40), (16, 16), (64, 64)])
def test_flat_and_tiny_images_say_nothing(value: int, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), value, np.uint8)
    assert read_lattice_of_image(image)[:FREQUENCIES].max() < 0.2
    if min(size) >= 16:
        assert pvalue(image) > 0.999


def smooth_with_noise_at_the_left(side: int) -> np.ndarray:
    """A grey ramp, as of even light, and noise on its left half."""
    ramp = np.add.outer(0.31 * np.arange(side), 0.17 * np.arange(side)) + 60
    ramp[:, : side // 2] += np.random.default_rng(0).normal(0, 6, (side, side // 2))
    return np.repeat(np.clip(np.round(ramp), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_quiet_areas_are_left_out_and_with_them_the_lattice_of_jpeg() -> None:
    image = torch.from_numpy(jpeg(smooth_with_noise_at_the_left(256), 75)).permute(2, 0, 1).unsqueeze(0)[:, :1]
    everything, loud = lattice_scores(image), lattice_scores(image, quiet=QUIET)
    chosen = lattice_frequencies(8)
    assert float(everything[0, 0][chosen].square().mean()) > 2 * float(loud[0, 0][chosen].square().mean())
    assert float(loud[0, 0][chosen].square().mean()) < 2
    # Where there is noise all over, nothing is left out.
    picture = planted(128, 0.5)
    torch.testing.assert_close(lattice_scores(picture, quiet=QUIET), lattice_scores(picture), rtol=0.02, atol=0.02)
    weights = lattice_residual(image, QUIET) / lattice_residual(image)
    assert float(weights[..., 150:].nan_to_num(0).abs().max()) < 0.5


@pytest.mark.parametrize(("arguments", "message"), [((33,), "2 to 32"), ((1,), "2 to 32"), ((32,), "two periods")])
def test_a_wrong_period_is_answered_with_what_is_allowed(arguments: tuple[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lattice_scores(torch.zeros(1, 1, 48, 48), *arguments)


def test_a_period_whose_frequencies_are_all_jpegs_is_refused() -> None:
    with pytest.raises(UserError, match="no frequency"):
        lattice_pvalue(torch.zeros(1, 1, 48, 48), 4, without=8)


def coloured(side: int, seed: int) -> tuple[Tensor, Tensor]:
    """A picture of smooth colours and noise, and its smooth luma less the mean, in deviations."""
    random = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(random.normal(size=(side, side, 3)).astype(np.float32), (0, 0), side / 10)
    smooth = np.asarray(smooth / smooth.std(axis=(0, 1)), dtype=np.float32)
    picture = 128 + 25 * smooth + random.normal(0, 4, (side, side, 3)).astype(np.float32)
    luma = torch.from_numpy(smooth @ np.array([0.299, 0.587, 0.114], np.float32))
    return torch.from_numpy(picture / 255).float().permute(2, 0, 1).unsqueeze(0), (luma - luma.mean()) / luma.std()


@pytest.mark.slow
def test_under_every_field_squares_are_exponential_where_there_is_no_lattice() -> None:
    chosen = lattice_frequencies(8)
    z = torch.cat([lattice_field_scores(coloured(160, seed)[0]) for seed in range(60)])[:, :, chosen]
    for field in range(len(FIELDS)):
        squares = z[:, field].square().flatten().double().numpy()
        assert stats.kstest(squares, "expon").statistic < 0.06
        assert squares.mean() == pytest.approx(1.0, abs=0.12)


def test_a_lattice_whose_sign_follows_brightness_is_seen_under_that_field_alone() -> None:
    picture, luma = coloured(256, 0)
    checks = 2.0 * ((torch.arange(256).view(-1, 1) + torch.arange(256)) % 2) - 1
    z = lattice_field_scores((picture + 3 / 255 * luma * checks).clamp(0, 1))[0, :, 4, 4]
    assert float(z[1]) > 4.5
    assert float(z[0]) < 3


def test_of_the_constant_field_the_scores_are_those_of_luma() -> None:
    picture = coloured(100, 1)[0]
    torch.testing.assert_close(
        lattice_field_scores(picture, 8, 0.5)[:, :1], lattice_scores(rgb_to_ycbcr(picture)[:, :1], 8, 0.5),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_fields_weigh_alike_on_the_whole_and_a_flat_image_has_none() -> None:
    picture = torch.randint(0, 256, (1, 3, 131, 97), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fields = lattice_fields(picture)[0]
    assert bool((fields[0] == 1).all())
    assert float(fields[1:].mean(dim=(1, 2)).abs().max()) < 0.4
    flat = lattice_fields(torch.full((1, 3, 32, 32), 0.3))[0]
    assert bool((flat[0] == 1).all()) and float(flat[1:].abs().max()) < 1e-3


@pytest.mark.parametrize("size", [(16, 16), (40, 71), (131, 97)])
def test_scores_by_field_are_those_of_the_residual_times_each_field(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fields = lattice_fields(images)
    residual = lattice_residual(rgb_to_gray(images), 0.5)[..., : fields.shape[-2], : fields.shape[-1]]
    side = segment_side(*size, 8)
    tiles = (residual * fields)[..., : size[0] // side * side, : size[1] // side * side]
    tiles = tiles.reshape(2, 5, size[0] // side, side // 8, 8, size[1] // side, side // 8, 8).mean(dim=(3, 6))
    expected = scores_of_segments(tiles.transpose(3, 4).flatten(2, 3), 8)
    torch.testing.assert_close(lattice_field_scores(images, 8, 0.5), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", [7, 9])  # which no other test has used, so that nothing is kept of them
def test_what_inference_and_fake_tensors_leave_behind_serves_training(period: int) -> None:
    images = torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if period == 7:
        with torch.inference_mode():
            lattice_scores(images, period)
    else:
        with FakeTensorMode() as mode:
            lattice_scores(mode.from_tensor(images), period)
    images.requires_grad_()
    (slopes,) = torch.autograd.grad(lattice_scores(images, period).sum(), images)
    assert bool(slopes.isfinite().all())


@pytest.mark.parametrize("quiet", [0.0, 0.5])
def test_without_gradients_the_residual_is_the_same(quiet: float) -> None:
    images = torch.rand(2, 3, 50, 61, generator=torch.Generator().manual_seed(0))
    expected = lattice_residual(images, quiet)
    with torch.no_grad():
        torch.testing.assert_close(lattice_residual(images, quiet), expected, rtol=1e-4, atol=1e-4)
        over_first = torch.func.vmap(lambda image: lattice_residual(image[None], quiet)[0])
        torch.testing.assert_close(over_first(images), expected, rtol=1e-4, atol=1e-4)
