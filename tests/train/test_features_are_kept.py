"""Features of a frozen backbone: what the detector sees, found again whatever the order, and enough for a head."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.data.images.crops import crop_image
from fakefreq.data.images.decode import read_image
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from fakefreq.models import Detector, create_detector
from fakefreq.train import features as module
from fakefreq.train.features import frozen_features, train_head


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(0)
    return create_detector("pixel", backbone="test_efficientnet", pretrained="none")


@pytest.fixture(scope="module")
def table(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    path = tmp_path_factory.mktemp("features") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    return manifest[manifest["subset"] == "alpha"].reset_index(drop=True), path.parent


def test_the_first_are_those_of_the_centre_crop(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    rows, root = table
    found = frozen_features(detector, rows, root, crop=48, passes=3, folder=tmp_path, workers=0)
    assert found.shape[:2] == (len(rows), 3)
    for row in (0, 7, 41):
        crop = crop_image(np.asarray(read_image(root / rows["path"][row])), 48, 0.5, 0.5)
        with torch.inference_mode():
            seen = detector.eval().features(torch.from_numpy(crop.copy()).permute(2, 0, 1)[None])["pixel"]
        np.testing.assert_allclose(found[row, 0], seen[0].numpy(), rtol=1e-4, atol=1e-5)
    # Random crops differ from the centre and from one another.
    assert not np.allclose(found[:, 1], found[:, 2])


def test_they_are_found_again_in_any_order_without_computing(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, root = table
    first = np.array(frozen_features(detector, rows, root, crop=48, passes=2, folder=tmp_path, workers=0))
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("computed again"))
    order = np.random.default_rng(0).permutation(len(rows))
    again = frozen_features(
        detector, rows.iloc[order].assign(path="moved"), "/nowhere", crop=48, passes=2, folder=tmp_path
    )
    assert np.array_equal(again, first[order])


def test_other_weights_crops_or_images_are_other_features(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    rows, root = table
    few = rows.iloc[:6]
    frozen_features(detector, few, root, crop=48, folder=tmp_path, workers=0)
    frozen_features(detector, few, root, crop=56, folder=tmp_path, workers=0)
    frozen_features(detector, few.iloc[:5], root, crop=48, folder=tmp_path, workers=0)
    torch.manual_seed(1)
    other = create_detector("pixel", backbone="test_efficientnet", pretrained="none")
    frozen_features(other, few, root, crop=48, folder=tmp_path, workers=0)
    assert len(list(tmp_path.glob("*.npy"))) == 4


def test_nothing_is_left_of_an_interrupted_computation(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, root = table
    calls = 0
    seen = detector.features

    def interrupted(images: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return seen(images)

    monkeypatch.setattr(detector, "features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        frozen_features(detector, rows, root, crop=48, folder=tmp_path, batch_size=16, workers=0)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_without_hashes_is_refused(detector: Detector, table: tuple[pd.DataFrame, Path]) -> None:
    rows, root = table
    with pytest.raises(UserError, match="sha256"):
        frozen_features(detector, rows.assign(sha256=""), root)


def test_a_head_finds_the_direction_that_tells_the_classes_apart() -> None:
    random = np.random.default_rng(0)
    direction = random.normal(size=24)
    labels = np.arange(400) % 2
    # A large common offset and unequal scales, as pooled features have them.
    scale = np.geomspace(0.01, 100, 24)
    shift = 2.5 * (labels - 0.5)[:, None, None] * direction / np.linalg.norm(direction)
    values = ((random.normal(size=(400, 3, 24)) + shift) * scale + 50).astype(np.float32)
    head = train_head(values[:200], labels[:200], values[200:300], labels[200:300])
    logits = head.logits(values[300:])
    assert head.val_auc > 0.9
    assert ((logits > 0) == (labels[300:] == 1)).mean() > 0.82  # Bayes: .894
