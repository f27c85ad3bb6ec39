"""Peers are trained by the command that trains all detectors, heads fitted in closed form among them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import read_manifest
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.predict import score_rows
from fakefreq.models import PEER_TRAINING, load_detector
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.train.train import train
from tests.helpers.small_runs import tiny_config


@pytest.mark.parametrize(
    ("batch_size", "max_steps", "images"),
    [(16, 0, 48), (47, 0, 48), (16, 2, 32)],  # 48 training images: a last batch of one too; two batches of 16
)
def test_a_fitted_peer_is_fitted_to_every_image_or_to_the_steps_that_are_given(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, max_steps: int, images: int
) -> None:
    found: list[dict[str, float]] = []
    fit = FittedDetector.fit

    def told(self: FittedDetector, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        found.append(fit(self, batches))
        return found[-1]

    monkeypatch.setattr(FittedDetector, "fit", told)
    config = tiny_config(detector="peer/durall_lr", crop=64, batch_size=batch_size, max_steps=max_steps)
    train(manifest_path, tmp_path / "run", config)
    assert [one["n"] for one in found] == [images]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["durall_svm", "durall_lr", "frank_dct_ridge", "synthbuster", "npr"])
def test_a_peer_learns_the_generator_that_it_was_trained_on(name: str, manifest_path: Path, tmp_path: Path) -> None:
    # 64-pixel images are continued by reflection where a peer wants more.
    overrides = {"epochs": 4, "crop": 128 if "frank" in name else 64, **PEER_TRAINING[name]}
    config = TrainConfig(
        lattice_pairs=60,
        detector=f"peer/{name}",
        pretrained="none",
        train_on=("alpha",),
        batch_size=16,
        workers=0,
        device="cpu",
        **overrides,
    )
    torch.manual_seed(0)
    summary = train(manifest_path, tmp_path / "run", config)
    detector = load_detector(tmp_path / "run")
    rows = read_manifest(manifest_path)
    rows = rows[(rows["split"] == "test") & (rows["path"].str.contains("alpha"))]
    scores, _ = score_rows(detector, rows, manifest_path.parent, workers=0)
    assert summary["val_auc"] >= 0.9
    assert auc(scores["label"].to_numpy(), scores["logit"].to_numpy()) >= 0.9
