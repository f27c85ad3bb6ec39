"""Features of a frozen backbone: what the detector sees, found again whatever the order, and enough for a head."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.config.run import TrainConfig
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import crop_image
from fakefreq.data.loading.samples import Augment
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.predict import score_rows
from fakefreq.evaluate.scores import read_scores
from fakefreq.files import read_json
from fakefreq.models import Detector, create_detector, load_detector
from fakefreq.train import features as module
from fakefreq.train.features import frozen_features, kept_features, train_head
from fakefreq.train.train import train


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


def test_every_image_has_features_in_every_pass(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    rows, root = table
    # A last batch of one image: a training by steps leaves it out.
    found = frozen_features(detector, rows.iloc[:9], root, 48, passes=3, folder=tmp_path, batch_size=4, workers=0)
    assert (np.abs(found).sum(axis=2) > 0).all()


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


def test_a_further_pass_leaves_the_kept_ones_alone(
    detector: Detector, table: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    rows, root = table

    def found(passes: int, degrade: str = "", seed: int = 0) -> np.ndarray:
        augment = Augment(degrade=degrade)
        return frozen_features(
            detector, rows.iloc[:8], root, 48, passes, augment=augment, seed=seed, folder=tmp_path, workers=0
        )

    two, three = found(2), found(3)
    assert np.array_equal(three[:, :2], two)
    assert len(list(tmp_path.glob("*.npy"))) == 3
    # The centre crop knows no chance; the others have other crops, and other pixels where they are degraded.
    for other in (found(2, seed=1), found(2, degrade="jpeg:30")):
        assert np.array_equal(other[:, 0], two[:, 0])
        assert not np.allclose(other[:, 1], two[:, 1])
    assert len(list(tmp_path.glob("*.npy"))) == 5


CONFIG = TrainConfig(
    detector="pixel",
    backbone="test_vit",
    features="pooled+blocks:1,2",
    pretrained="none",
    train_on=("alpha",),
    crop=160,
    freeze="all",
    feature_passes=2,
    degrade="0.5*jpeg:80..95",
    batch_size=16,
    workers=0,
    device="cpu",
    lattice_pairs=60,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAKEFREQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.mark.slow
def test_a_head_on_a_frozen_vit_is_trained_by_the_command_of_all(
    manifest_path: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = train(manifest_path, tmp_path / "pixel", CONFIG)
    detector = load_detector(tmp_path / "pixel")
    assert (detector.config.features, detector.input.crop, summary["epochs"]) == ("pooled+blocks:1,2", 160, 1)
    # The backbone is as it was; validation's scores are those of the head on the kept features.
    torch.manual_seed(CONFIG.seed)
    start = create_detector("pixel", "test_vit", pretrained="none", features=CONFIG.features).state_dict()
    moved = [name for name, value in detector.state_dict().items() if not torch.equal(value, start[name])]
    assert moved == ["head.decide.weight", "head.decide.bias"]
    val = read_scores(tmp_path / "pixel" / "val_scores.csv")
    assert auc(val["label"].to_numpy(), val["logit"].to_numpy()) == pytest.approx(summary["val_auc"], abs=1e-3)
    assert summary["val_auc"] > 0.85
    rows = read_manifest(manifest_path)
    rows = rows[(rows["split"] == "test") & rows["path"].str.contains("alpha")]
    root = manifest_path.parent
    scores, _ = score_rows(detector, rows, root, workers=0)
    assert auc(scores["label"].to_numpy(), scores["logit"].to_numpy()) > 0.85
    quick, _ = score_rows(detector, rows, root, workers=0, kept=kept_features(detector, rows, root, CONFIG))
    np.testing.assert_allclose(quick["logit"], scores["logit"], atol=1e-3)
    assert kept_features(detector, rows, root, replace(CONFIG, feature_passes=0)) is None
    # With the lattice beside it nothing is computed anew, and the pixel stream is the same.
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("computed again"))
    train(manifest_path, tmp_path / "both", replace(CONFIG, detector="two_stream"))
    both = load_detector(tmp_path / "both").state_dict()
    for name in ("weight", "bias"):
        assert torch.equal(both[f"head.decide.pixel.{name}"], detector.state_dict()[f"head.decide.{name}"])
    # Two passes over the training images, one over those of validation and of the test.
    assert len(list(cache.glob("*.npy"))) == 4
    detector = load_detector(tmp_path / "both")
    slow, _ = score_rows(detector, rows, root, workers=0)
    quick, _ = score_rows(detector, rows, root, workers=0, kept=kept_features(detector, rows, root, CONFIG))
    np.testing.assert_allclose(quick["logit"], slow["logit"], atol=1e-3)
    np.testing.assert_allclose(quick["lattice_pvalue"], slow["lattice_pvalue"])


def test_univfd_is_fitted_so_too(manifest_path: Path, tmp_path: Path, cache: Path) -> None:
    del cache
    config = replace(CONFIG, detector="peer/univfd", features="pooled", feature_passes=1)
    assert train(manifest_path, tmp_path / "run", config)["val_auc"] > 0.6
    assert read_json(tmp_path / "run" / "environment.json", "environment")["pretrained_weights_from"] == "none"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeze": "none"}, "--feature-passes 2 keeps what a frozen backbone finds; give --freeze all"),
        ({"feature_passes": -1}, "--feature-passes is -1"),
        ({"simulate": 0.5}, "--simulate is 0.5; with --feature-passes it has no effect"),
        ({"balance": "oversample"}, "--balance is 'oversample'; with --feature-passes"),
        ({"detector": "two_stream", "spectrum": "block_dct"}, "other parts of two_stream learn too"),
        ({"detector": "peer/npr", "features": "pooled"}, "other parts of peer/npr learn too"),
        ({"detector": "peer/durall_lr", "features": "pooled"}, "other parts of peer/durall_lr learn too"),
        ({"detector": "peer/univfd"}, "is about the pixel stream, which peer/univfd has not"),
        ({"features": "blocks:0"}, "different numbers from 1"),
        ({"features": "blocks:4,4"}, "different numbers from 1"),
        ({"features": "tokens"}, "--features takes pooled, blocks:N,... or cls"),
        ({"features": "cls+cls"}, "it takes cls at most once"),
        ({"features": "blocks:7"}, "test_vit has 6 blocks; it takes 1 to 6"),
        ({"backbone": "test_resnet"}, "reads the tokens of a ViT, and test_resnet is none"),
        ({"backbone": "test_vit3", "features": "cls"}, "test_vit3 has no class token"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    change: dict[str, Any], message: str, manifest_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        train(manifest_path, tmp_path / "run", replace(CONFIG, **change))
    assert not (tmp_path / "run").exists()
