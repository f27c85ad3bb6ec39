"""Self-made fakes: each beside its parent, alike in all but the upsampler's trace, for any number of workers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.data.images.decode import read_image
from fakefreq.data.loading.loader import Batch, make_batches
from fakefreq.data.loading.samples import Augment, Twins
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from fakefreq.simulated.fakes import UpsampledTwin, make_twins, read_families


def invert(image: NDArray[np.uint8], row: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A twin that can be recognised: its parent's negative."""
    del row, random
    return 255 - image


@pytest.fixture(scope="module")
def rows(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    manifest, _ = index_folder(tiny_set, tmp_path_factory.mktemp("twins") / "manifest.csv")
    manifest["path"] = [str(tiny_set / Path(path).relative_to(Path(path).parents[2])) for path in manifest["path"]]
    return manifest[manifest["subset"] == "alpha"].reset_index(drop=True)


def batches(
    rows: pd.DataFrame, twins: Twins | None, workers: int = 0, epoch: int = 1, degrade: str = ""
) -> list[Batch]:
    made = make_batches(
        rows, "/", 48, 16, train=True, seed=3, augment=Augment(degrade=degrade), twins=twins, workers=workers
    )
    made.set_epoch(epoch)
    return list(made)


def test_a_twin_has_its_parents_crop_and_flip(rows: pd.DataFrame) -> None:
    found = 0
    for batch in batches(rows, Twins(invert, 1.0)):
        parents = dict(zip(batch.index[~batch.is_twin].tolist(), batch.images[~batch.is_twin], strict=True))
        for image, index in zip(batch.images[batch.is_twin], batch.index[batch.is_twin].tolist(), strict=True):
            assert torch.equal(image, 255 - parents[index])
            found += 1
    assert found == (rows["label"] == 0).sum()


def test_twins_are_fakes_of_reals_and_change_nothing_else(rows: pd.DataFrame) -> None:
    labels = torch.tensor(rows["label"].tolist(), dtype=torch.float32)
    for with_twins, plain in zip(batches(rows, Twins(invert, 0.5)), batches(rows, None), strict=True):
        twin = with_twins.is_twin
        assert (with_twins.labels[twin] == 1).all()
        assert (labels[with_twins.index[twin]] == 0).all()
        assert torch.equal(with_twins.images[~twin], plain.images)
        assert torch.equal(with_twins.labels[~twin], plain.labels)
        assert not plain.is_twin.any()


def test_about_the_wanted_share_of_reals_gets_one_and_others_each_epoch(rows: pd.DataFrame) -> None:
    seen = [
        {
            index
            for batch in batches(rows, Twins(invert, 0.5), epoch=epoch)
            for index in batch.index[batch.is_twin].tolist()
        }
        for epoch in (1, 2)
    ]
    assert all(0.25 < len(chosen) / 40 < 0.75 for chosen in seen)
    assert seen[0] != seen[1]


@pytest.mark.slow
def test_simulated_twins_are_the_same_for_any_number_of_workers(rows: pd.DataFrame) -> None:
    twins = make_twins(rows, 0.5, "nearest,transposed4")
    one, two = (batches(rows, twins, workers, degrade="0.5*jpeg:60..90") for workers in (0, 2))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_a_simulated_twin_looks_like_its_parent_and_ends_in_its_codec(rows: pd.DataFrame) -> None:
    row = int(np.flatnonzero(rows["label"] == 0)[0])
    photo = np.asarray(read_image(rows["path"][row]))
    maker = UpsampledTwin(read_families("transposed4"), tuple(rows["jpeg_quality"]), tuple(rows["subsampling"]))
    twin = maker(photo, row, np.random.default_rng(0))
    assert twin is not None and twin.shape == photo.shape
    difference = np.abs(twin.astype(int) - photo.astype(int))
    assert 0.1 < difference.mean() < 12
    # Encoded again with the same tables, a picture that just left that codec hardly changes; one that did not, does.
    bare = UpsampledTwin(maker.families, (0,) * len(rows), maker.subsampling)(photo, row, np.random.default_rng(0))
    assert bare is not None
    quality = int(rows["jpeg_quality"][row])
    assert recoding_error(twin, quality) < 0.5 * recoding_error(bare, quality)


def recoding_error(image: NDArray[np.uint8], quality: int) -> float:
    from fakefreq.data.degrade.distortions import jpeg

    return float(np.abs(jpeg(image, quality).astype(int) - image.astype(int)).mean())


def test_a_picture_too_small_for_the_simulator_gets_no_twin() -> None:
    maker = UpsampledTwin(read_families("nearest"), (0,), ("",))
    assert maker(np.zeros((15, 40, 3), np.uint8), 0, np.random.default_rng(0)) is None


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(UserError, match="unknown upsampler 'cubic'"):
        read_families("nearest,cubic")
