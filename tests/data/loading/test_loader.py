"""Splits part no group; batches depend on seed, epoch and row, on nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import crop_image
from fakefreq.data.loading.loader import Batches, make_batches
from fakefreq.data.loading.samples import Augment
from fakefreq.data.manifest.splits import check_splits, split_manifest
from fakefreq.errors import UserError


def table(count: int, groups: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(count)],
            "label": [i % 2 for i in range(count)],
            "generator": ["gan" if i % 2 else "" for i in range(count)],
            "subset": "gan",
            "group": groups or [str(i) for i in range(count)],
            "split": "",
            "sha256": "",
        }
    )


def test_counts_are_exact_where_groups_are_single_images() -> None:
    split = split_manifest(table(2000))
    counts = split.groupby("label")["split"].value_counts().unstack()
    assert counts[["train", "val", "test"]].to_numpy().tolist() == [[700, 100, 200]] * 2


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_never_parted_and_strata_stay_close(seed: int) -> None:
    random = np.random.default_rng(seed)
    manifest = table(600, [str(g) for g in random.integers(0, 250, 600)])
    split = split_manifest(manifest, (0.6, 0.2, 0.2), seed)
    assert (split.groupby("group")["split"].nunique() == 1).all()
    for _, part in split.groupby("label"):
        assert abs((part["split"] == "train").mean() - 0.6) < 0.03
        assert abs((part["split"] == "test").mean() - 0.2) < 0.03


def test_the_seed_decides_and_the_row_order_does_not() -> None:
    manifest = table(100)
    first = split_manifest(manifest, seed=1)
    assert split_manifest(manifest, seed=1).equals(first)
    assert not split_manifest(manifest, seed=2)["split"].equals(first["split"])
    shuffled = split_manifest(manifest.sample(frac=1, random_state=0), seed=1)
    assert shuffled.sort_index()["split"].equals(first["split"])


def test_given_splits_stay_and_pull_their_group_along() -> None:
    manifest = table(40, [str(i // 4) for i in range(40)])
    manifest.loc[0, "split"] = "test"
    split = split_manifest(manifest)
    assert split.loc[:3, "split"].tolist() == ["test"] * 4
    assert split_manifest(manifest, (1.0, 0.0, 0.0), keep=False)["split"].unique().tolist() == ["train"]


def test_a_parted_group_or_file_is_named() -> None:
    manifest = table(4, ["a", "a", "b", "c"]).assign(split=["train", "test", "val", "val"])
    with pytest.raises(UserError, match=r"0\.png \(train\) and 1\.png \(test\) are of the same group"):
        check_splits(manifest)
    manifest = table(4).assign(split=["train", "train", "val", "test"], sha256=["x", "y", "z", "z"])
    with pytest.raises(UserError, match=r"2\.png \(val\) and 3\.png \(test\) are of the same bytes"):
        check_splits(manifest)
    with pytest.raises(UserError, match="named 'holdout'"):
        check_splits(table(1).assign(split="holdout"))


@pytest.mark.parametrize("fractions", [(0.7, 0.1, 0.1), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match="--fractions"):
        split_manifest(table(10), fractions)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 noisy pictures of many sizes, one of them a single pixel."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(20):
        size = (1, 1) if number == 3 else tuple(random.integers(5, 90, 2))
        assert cv2.imwrite(str(root / f"{number}.png"), random.integers(0, 256, (*size, 3), dtype=np.uint8))
    return root


def collected(batches: Batches) -> tuple[torch.Tensor, list[int]]:
    parts = list(batches)
    return torch.cat([part.images for part in parts]), [int(i) for part in parts for i in part.index]


def test_training_batches_are_the_same_for_any_number_of_workers(folder: Path) -> None:
    augment = Augment(rotate=20)
    of_workers = []
    for workers in (0, 1, 3):
        batches = make_batches(table(20), folder, 32, 6, True, seed=5, augment=augment, workers=workers)
        batches.set_epoch(2)
        of_workers.append(collected(batches))
    for images, rows in of_workers[1:]:
        assert rows == of_workers[0][1]
        assert torch.equal(images, of_workers[0][0])


def test_epochs_and_seeds_differ_and_repeat(folder: Path) -> None:
    batches = make_batches(table(20), folder, 32, 6, True, seed=5, workers=0)
    batches.set_epoch(1)
    first = collected(batches)
    batches.set_epoch(2)
    second = collected(batches)
    batches.set_epoch(1)
    again = collected(batches)
    assert torch.equal(first[0], again[0]) and first[1] == again[1]
    assert sorted(first[1]) == list(range(20)) and first[1] != second[1]
    other = make_batches(table(20), folder, 32, 6, True, seed=6, workers=0)
    other.set_epoch(1)
    assert collected(other)[1] != first[1]


def test_scoring_batches_are_centre_crops_in_order(folder: Path) -> None:
    images, rows = collected(make_batches(table(20), folder, 32, 7, False, workers=0))
    assert rows == list(range(20))
    assert images.dtype == torch.uint8 and images.shape == (20, 3, 32, 32)
    for number in range(20):
        pixels = read_image(folder / f"{number}.png")
        if min(pixels.shape[:2]) >= 32:
            top, left = ((side - 32 + 1) // 2 for side in pixels.shape[:2])
            expected = pixels[top : top + 32, left : left + 32]
            assert np.array_equal(images[number].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 4), (31, 33), (32, 32), (200, 33)])
def test_small_images_are_continued_by_reflection(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for top, left in ((0.0, 0.0), (0.5, 0.5), (0.999, 0.999), (1.0, 1.0)):
        crop = crop_image(image, 32, top, left)
        assert crop.shape == (32, 32, 3)
        known = {tuple(pixel) for pixel in image.reshape(-1, 3)}
        assert {tuple(pixel) for pixel in crop.reshape(-1, 3)} <= known


def test_every_crop_position_is_as_likely() -> None:
    image = np.arange(10, dtype=np.uint8).reshape(1, 10, 1).repeat(8, 0).repeat(3, 2)
    shares = np.random.default_rng(0).random(8000)
    counts = np.bincount([crop_image(image, 8, 0, share)[0, 0, 0] for share in shares], minlength=3)
    assert len(counts) == 3
    assert abs(counts / 8000 - 1 / 3).max() < 0.02


def test_both_classes_are_augmented_by_one_law(folder: Path) -> None:
    """An image's pixels after augmentation do not depend on its label."""
    manifest = table(20)
    plain = make_batches(manifest, folder, 32, 20, True, seed=1, workers=0)
    turned = make_batches(manifest.assign(label=1 - manifest["label"]), folder, 32, 20, True, seed=1, workers=0)
    assert torch.equal(collected(plain)[0], collected(turned)[0])


def test_flips_are_exact_mirrors_and_can_be_switched_off(folder: Path) -> None:
    rows = table(20).assign(path="0.png")
    original = read_image(folder / "0.png")
    side = min(original.shape[:2])
    square = table(1).assign(path="square.png")
    cv2.imwrite(str(folder / "square.png"), original[:side, :side, ::-1])
    rows = pd.concat([square] * 20, ignore_index=True)
    still, _ = collected(make_batches(rows, folder, side, 20, True, augment=Augment(flip=False), workers=0))
    assert (still == still[:1]).all()
    flipped, _ = collected(make_batches(rows, folder, side, 20, True, augment=Augment(flip=True), workers=0))
    mirrored = [torch.equal(image, still[0].flip(-1)) for image in flipped]
    kept = [torch.equal(image, still[0]) for image in flipped]
    assert 0 < sum(mirrored) < 20 and sum(mirrored) + sum(kept) == 20


@pytest.mark.parametrize(("sampling", "real", "fake"), [("none", 16, 4), ("oversample", 16, 16), ("undersample", 4, 4)])
def test_sampling_equalises_the_classes(folder: Path, sampling: str, real: int, fake: int) -> None:
    manifest = table(20).assign(label=[0] * 16 + [1] * 4)
    batches = make_batches(manifest, folder, 16, 8, True, sampling=sampling, workers=0)  # type: ignore[arg-type]
    batches.set_epoch(1)
    _, rows = collected(batches)
    labels = manifest["label"].to_numpy()[rows]
    assert ((labels == 0).sum(), (labels == 1).sum()) == (real, fake)
    assert len(batches) == -(-(real + fake) // 8)
    if sampling == "oversample":
        assert np.bincount(rows)[16:].tolist() == [4, 4, 4, 4]


def test_a_training_batch_never_holds_a_single_image(folder: Path) -> None:
    batches = make_batches(table(17), folder, 16, 8, True, workers=0)
    assert [len(batch.index) for batch in batches] == [8, 8]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_stops_or_is_listed(tmp_path: Path, folder: Path, workers: int) -> None:
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes((folder / f"{number}.png").read_bytes())
    (tmp_path / "2.png").write_bytes(b"text")
    (tmp_path / "4.png").unlink()
    with pytest.raises(UserError, match=r"2\.png: not an image"):
        collected(make_batches(table(6), tmp_path, 16, 4, False, workers=workers))
    batches = make_batches(table(6), tmp_path, 16, 4, False, workers=workers, on_error="skip")
    assert collected(batches)[1] == [0, 1, 3, 5]
    assert [path for path, _ in batches.skipped] == ["2.png", "4.png"]
