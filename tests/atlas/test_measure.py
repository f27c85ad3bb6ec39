"""The atlas finds a known trace, calls nothing significant where there is none, and keeps its memory constant."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.atlas.accumulate import ImageSet, Running, Shuffles, Spectrograph, pooled_variance
from fakefreq.atlas.measure import find_peaks, measure_manifest, read_inputs
from fakefreq.cli import main
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError


@pytest.fixture(scope="module")
def indexed(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    manifest = tmp_path_factory.mktemp("atlas") / "manifest.csv"
    index_folder(tiny_set, manifest)
    return read_inputs([manifest], manifest.parent)


def test_running_moments_are_those_of_the_whole() -> None:
    values = torch.randn(50, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 5
    running = Running()
    for part in (values[:1], values[1:21], values[21:]):
        running.add(part)
    np.testing.assert_allclose(running.mean, values.mean(0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(running.variance, values.var(0).numpy(), rtol=1e-12)


def test_one_image_on_a_side_adds_no_variance_of_its_own() -> None:
    values = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for count in (1, 5):
        first, second = Running(), Running()
        first.add(values[:count])
        second.add(values[count:])
        np.testing.assert_allclose(pooled_variance(first, second), values.var(0).numpy(), rtol=1e-12)


def test_the_coins_of_an_image_do_not_depend_on_its_batch() -> None:
    values = torch.randn(64, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for size in (64, 16, 3):
        shuffles = Shuffles(0.5)
        for batch in values.split(size):  # type: ignore[no-untyped-call]
            shuffles.add(batch)
        found.append(shuffles.largest_z(values.var(0).numpy()))
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-9)


@pytest.mark.parametrize(
    ("place", "real", "is_near"),
    [
        ((16, 0), (16, 1), True),
        ((16, 0), (48, 1), True),  # the opposite of (16, -1)
        ((16, 32), (48, 31), True),  # of (16, -31), one from (16, 32) modulo 64
        ((32, 16), (31, 16), True),
        ((16, 16), (48, 16), False),
    ],
)
def test_a_peak_s_neighbour_is_found_across_frequency_0_and_a_half(
    place: tuple[int, int], real: tuple[int, int], is_near: bool
) -> None:
    sets = []
    for vertical, horizontal in (place, real):
        power = 1 + 0.01 * torch.rand(64, 33, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        power[vertical, horizontal] = 100
        if horizontal in (0, 32):
            power[-vertical, horizontal] = 100
        images = ImageSet()
        images.power.add(power[None])
        images.log_power.add(power[None].log1p())
        sets.append(images)
    fakes, reals = sets
    peaks = find_peaks(fakes, reals)
    assert peaks and all((peak.z_real > 0) == is_near for peak in peaks)


def test_shuffled_labels_exceed_the_limit_as_often_as_they_should() -> None:
    """Under no difference the family-wise rate at the 95 % limit is 5 %, within binomial error."""
    random, exceeded, trials = np.random.default_rng(0), 0, 200
    for trial in range(trials):
        values = torch.from_numpy(random.standard_normal((60, 12)))
        first, second, shuffles = Running(), Running(), Shuffles(0.5, seed=trial)
        first.add(values[:30])
        second.add(values[30:])
        shuffles.add(values)
        limit = np.quantile(shuffles.largest_z(pooled_variance(first, second)), 0.95)
        spread = np.sqrt(first.standard_error**2 + second.standard_error**2)
        exceeded += bool((np.abs(first.mean - second.mean) / spread).max() > limit)
    assert 3 <= exceeded <= 21  # 10 expected, 99.9 % of binomial draws lie in between


def test_the_lattice_of_a_generator_is_measured_and_its_photographs_have_none() -> None:
    generator = torch.Generator().manual_seed(0)
    photographs = torch.randint(80, 176, (12, 3, 96, 96), generator=generator, dtype=torch.uint8)
    fakes = photographs.clone()
    fakes[:, :, ::2, ::2] += 16
    found = [ImageSet(), ImageSet()]
    for images, kept in zip((photographs, fakes), found, strict=True):
        kept.add(Spectrograph(32).measure(images))
    assert found[0].evidence.mean.max() < 2.5  # z^2 is 1 on average, over 12 images
    heights = found[1].evidence.mean
    assert {(int(v), int(h)) for v, h in np.argwhere(heights > 8)} == {(0, 4), (4, 0), (4, 4)}  # multiples of 1/2
    tile = found[1].lattice.mean
    assert tile[::2, ::2].min() > np.delete(tile.ravel(), [8 * v + h for v in (0, 2, 4, 6) for h in (0, 2, 4, 6)]).max()


def test_the_checkerboard_of_a_transposed_convolution_is_the_first_difference(
    indexed: tuple[pd.DataFrame, Path],
) -> None:
    manifest, root = indexed
    alpha, beta, control = measure_manifest(manifest, root, tile=32, workers=0)
    assert [found.name for found in (alpha, beta, control)] == ["alpha", "beta", "control"]
    for found in (alpha, beta):
        assert found.z is not None and found.reals is not None
        vertical, horizontal = np.unravel_index(np.abs(found.z).argmax(), found.z.shape)
        # Power is added at half the sampling rate of an axis, where upsampling by two folds the spectrum.
        assert abs(found.z).max() > found.limit
        assert vertical == 16 or horizontal == 16
    assert control.reals is None and control.z is None


def test_reals_split_at_random_show_nothing(indexed: tuple[pd.DataFrame, Path]) -> None:
    manifest, root = indexed
    reals = manifest[(manifest["label"] == 0) & (manifest["subset"] != "control")].copy()
    chosen = np.random.default_rng(3).random(len(reals)) < 0.5
    reals["label"] = chosen.astype(int)
    reals["generator"] = np.where(chosen, "nobody", "")
    reals["subset"] = "all"
    (found,) = measure_manifest(reals, root, tile=16, workers=0)
    assert found.z is not None
    assert np.abs(found.z).max() < found.limit * 1.3


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    spectrograph, images, shuffles = Spectrograph(16), ImageSet(), Shuffles(0.5)
    held = []
    for _ in range(3):
        for _ in range(4):
            found = spectrograph.measure(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
            images.add(found)
            shuffles.add(found.power.log1p())
        held.append(
            sum(running.mean.nbytes for running in vars(images).values()) + sum(s.nbytes for s in shuffles._sums)
        )
    assert len(set(held)) == 1 and images.n == 96


@pytest.mark.slow
def test_the_command_writes_page_and_tables_for_manifest_folder_and_files(
    tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spectrum", str(tiny_set), "--out", str(tmp_path / "a"), "--tile", "32", "--workers", "0"]) == 0
    page = (tmp_path / "a" / "atlas.html").read_text()
    assert "alpha" in page and "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
    radial = pd.read_csv(tmp_path / "a" / "radial.csv")
    assert set(radial["generator"]) == {"alpha", "beta", "control"}
    assert (radial["low"] <= radial["log_power"]).all() and radial["cycles_per_pixel"].max() == 0.5
    files = sorted((tiny_set / "alpha" / "1_fake").glob("*"))[:3]
    out = tmp_path / "b"
    assert main(["spectrum", *map(str, files), "--out", str(out), "--history", "size=48,codec=jpeg:80"]) == 0
    assert (out / "peaks.csv").read_text().startswith("generator,vertical,horizontal,z")
    assert "aligned: crop=center,size=48" in (out / "atlas.html").read_text()
    capsys.readouterr()


def test_mistakes_are_named(indexed: tuple[pd.DataFrame, Path], tmp_path: Path) -> None:
    manifest, root = indexed
    with pytest.raises(UserError, match=r"gamma; there are alpha, beta, control"):
        measure_manifest(manifest, root, generators=["gamma"])
    with pytest.raises(UserError, match=r"--tile takes even numbers"):
        measure_manifest(manifest, root, tile=33, workers=0)
    broken = tmp_path / "broken.png"
    broken.write_bytes(cv2.imencode(".png", np.zeros((20, 20, 3), np.uint8))[1].tobytes()[:10])
    with pytest.raises(UserError, match=r"broken\.png"):
        read_inputs([broken, broken], tmp_path)


@pytest.mark.parametrize("flag", ["--tile", "--crop", "--limit", "--seed"])
def test_numbers_out_of_range_are_named_first(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", str(tmp_path / "images"), "--out", str(tmp_path / "out"), flag, "-4"]) == 2
    assert f"{flag} is -4; it takes 0 or more" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
