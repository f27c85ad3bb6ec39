"""A build resumes without repeating or losing an image, and the same seed gives the same bytes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.data.degrade.history import RAW, History
from fakefreq.errors import UserError
from fakefreq.zoo import registry
from fakefreq.zoo.build import Subset, build_subsets
from fakefreq.zoo.demo_set import build_demo_set
from fakefreq.zoo.photos import Photo

Draw = Callable[..., list[Photo]]
SMALL = History(size=48)
COUNTS = {"noise": 6, "negative": 5, "control_bicubic": 4}

pytestmark = pytest.mark.usefixtures("toy_generators")


def read(path: Path) -> NDArray[np.int64]:
    image = cv2.imread(str(path))
    assert image is not None
    return image.astype(np.int64)


def read_images(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


@pytest.mark.slow
def test_a_build_resumes_with_the_same_bytes_and_touches_nothing_that_is_there(tmp_path: Path, photos: Draw) -> None:
    build_demo_set(tmp_path / "a", photos=photos(15), counts=COUNTS)
    first = read_images(tmp_path / "a")
    assert len(first) == 6 + 6 + 5 + 5 + 4
    times = {name: (tmp_path / "a" / name).stat().st_mtime_ns for name in first}
    lost = list(first)[::3]
    for name in lost:
        (tmp_path / "a" / name).unlink()
    manifest = build_demo_set(tmp_path / "a", photos=photos(15), counts=COUNTS)
    assert read_images(tmp_path / "a") == first
    kept = set(first) - set(lost)
    assert all((tmp_path / "a" / name).stat().st_mtime_ns == times[name] for name in kept)
    assert sorted(pd.read_csv(manifest)["path"]) == sorted(first)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, photos: Draw) -> None:
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        build_demo_set(tmp_path / name, photos=photos(15), counts=COUNTS, seed=seed)
    assert read_images(tmp_path / "a") == read_images(tmp_path / "b")
    assert (tmp_path / "a" / "manifest.csv").read_bytes() == (tmp_path / "b" / "manifest.csv").read_bytes()
    assert set(read_images(tmp_path / "a").values()).isdisjoint(
        payload for name, payload in read_images(tmp_path / "c").items() if "noise" in name and "fake" in name
    )


def test_a_paired_fake_shares_its_photo_s_group_and_subsets_share_no_photo(tmp_path: Path, photos: Draw) -> None:
    manifest = build_demo_set(tmp_path / "a", photos=photos(15), counts=COUNTS)
    table = pd.read_csv(manifest, keep_default_na=False)
    reals = table[table["label"] == 0]
    assert reals["group"].is_unique
    assert set(reals["generator"]) == {""}
    assert set(reals["source"]) == {"drawn"}
    paired = table[table["generator"] == "negative"].set_index("group")
    parents = reals[reals["subset"] == "negative"].set_index("group")
    assert set(paired.index) == set(parents.index)
    for group in paired.index:
        real = read(tmp_path / "a" / parents["path"][group])
        fake = read(tmp_path / "a" / paired["path"][group])
        assert np.abs(real + fake - 255).mean() < 6  # JPEG
    sampled = table[table["generator"] == "noise"]
    assert set(sampled["group"]).isdisjoint(reals["group"])
    assert set(table[table["subset"] == "control_bicubic"]["label"]) == {0}


def test_more_images_of_a_seed_begin_with_the_same_images(tmp_path: Path, photos: Draw) -> None:
    build_subsets(tmp_path / "few", [Subset("noise", photos(2), 5)], SMALL)
    build_subsets(tmp_path / "many", [Subset("noise", photos(2), 9)], SMALL)
    few, many = read_images(tmp_path / "few"), read_images(tmp_path / "many")
    assert all(many[name] == payload for name, payload in few.items())


def test_another_history_or_seed_never_mixes_with_a_build(tmp_path: Path, photos: Draw) -> None:
    subsets = [Subset("noise", photos(2), 3)]
    build_subsets(tmp_path / "a", subsets, SMALL)
    before = read_images(tmp_path / "a")
    with pytest.raises(UserError, match="other history"):
        build_subsets(tmp_path / "a", subsets, History(size=32))
    with pytest.raises(UserError, match="other seed"):
        build_subsets(tmp_path / "a", subsets, SMALL, seed=1)
    assert read_images(tmp_path / "a") == before
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        build_subsets(tmp_path / "b", subsets, SMALL)


def test_raw_keeps_the_output_as_it_is_and_pairs_at_one_size(tmp_path: Path, photos: Draw) -> None:
    build_subsets(tmp_path / "a", [Subset("negative", photos(1, 50, 71))], RAW)
    real = read(tmp_path / "a/negative/0_real/photo_000.png")
    fake = read(tmp_path / "a/negative/1_fake/photo_000.png")
    assert real.shape == (48, 68, 3)
    np.testing.assert_array_equal(real, 255 - fake)


def test_before_the_resize_real_and_fake_are_reduced_alike(tmp_path: Path, photos: Draw) -> None:
    subset = Subset("negative", photos(2, 75, 75), before_resize=True)
    build_subsets(tmp_path / "a", [subset], History(size=48, kernel="lanczos", codec="png"))
    real, fake = (read(tmp_path / "a" / "negative" / label / "photo_000.png") for label in ("0_real", "1_fake"))
    assert real.shape == (48, 48, 3)
    # The resize is linear, but clips; the negative commutes with it up to rounding.
    assert np.abs(real + fake - 255).max() <= 1
    with pytest.raises(UserError, match="too small for size 74"):
        build_subsets(tmp_path / "b", [subset], History(size=74, codec="png"))
    table = pd.read_csv(tmp_path / "a" / "zoo.csv")
    assert table["before_resize"].all()


def test_generators_run_on_one_thread_and_give_the_others_back(tmp_path: Path, photos: Draw) -> None:
    network = registry.GENERATORS["negative"].load()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        network.threads.clear()
        build_subsets(tmp_path / "a", [Subset("negative", photos(2))], SMALL)
        assert network.threads == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_wrong_builds_are_told_before_anything_is_written(tmp_path: Path, photos: Draw) -> None:
    with pytest.raises(UserError, match="--generators takes: noise, negative"):
        build_subsets(tmp_path / "a", [Subset("nois3", photos(1), 1)], SMALL)
    with pytest.raises(UserError, match="lower --size to 64"):
        build_subsets(tmp_path / "a", [Subset("noise", photos(1), 1)], History(size=65))
    with pytest.raises(UserError, match="twice"):
        build_subsets(tmp_path / "a", [Subset("noise", photos(1), 1)] * 2, SMALL)
    with pytest.raises(UserError, match="16 are there"):
        build_demo_set(tmp_path / "a", photos=photos(16), counts={"noise": 17})
    assert not (tmp_path / "a").exists()


def test_a_photo_that_is_too_small_or_broken_is_named(tmp_path: Path, photos: Draw) -> None:
    with pytest.raises(UserError, match=r"photo_000.*too small for size 48"):
        build_subsets(tmp_path / "a", [Subset("negative", photos(1, 40, 40))], SMALL)
    broken = Photo("photo_broken", "drawn", lambda: b"no image")
    with pytest.raises(UserError, match="photo_broken"):
        build_subsets(tmp_path / "b", [Subset("negative", [broken])], SMALL)
    assert not list(tmp_path.iterdir())
