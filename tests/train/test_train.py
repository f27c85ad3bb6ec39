"""Training learns, and does what its options say."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.conformal import fit_conformal
from fakefreq.files import read_json
from fakefreq.models import create_detector, load_detector, save_detector
from fakefreq.train import loop as run_module
from fakefreq.train import step as step_module
from fakefreq.train.optim import make_optimizer, make_schedule
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG, assert_same, last, weights

pytestmark = pytest.mark.slow


def test_a_run_leaves_the_files_it_promises(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.yaml", "environment.json", "trained_images.txt", "log.csv", "best.safetensors", "last.pt",
        "val_scores.csv", "summary.json",
    }  # fmt: skip
    log = pd.read_csv(finished / "log.csv")
    assert log.columns.tolist() == ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate", "seconds"]
    assert log.loc[log["phase"] == "val", "epoch"].tolist() == [1, 2, 3]
    # 24 + 24 training images in batches of 16: three steps an epoch, a line for each.
    assert log.loc[log["phase"] == "train", "step"].tolist() == list(range(1, 10))


def test_a_run_says_where_its_pretrained_weights_came_from(finished: Path) -> None:
    assert read_json(finished / "environment.json", "environment")["pretrained_weights_from"] == "none"


def test_the_loss_falls_and_the_artefact_is_learnt(manifest_path: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, detector="frequency", spectrum="block_dct", epochs=12, head_learning_rate=5e-3)
    summary = train(manifest_path, tmp_path / "run", config)
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    losses = log.loc[log["phase"] == "train", "loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    assert summary["val_auc"] > 0.95


def test_the_best_epoch_is_the_one_of_the_highest_validation_auc(finished: Path) -> None:
    log = pd.read_csv(finished / "log.csv")
    validation = log[log["phase"] == "val"].set_index("epoch")["auc"]
    summary = read_json(finished / "summary.json", "summary")
    assert summary["best_epoch"] == validation.idxmax()
    assert summary["val_auc"] == pytest.approx(validation.max(), abs=1e-5)


def test_a_frozen_backbone_keeps_its_weights_and_statistics(manifest_path: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, freeze_epochs=1)
    train(manifest_path, tmp_path / "frozen", config)
    torch.manual_seed(config.seed)
    start = create_detector(
        "two_stream", backbone="test_efficientnet", spectrum="block_dct", pretrained="none"
    ).state_dict()
    end = last(tmp_path / "frozen")
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert not [name for name in moved if name.startswith("streams.pixel.")]
    assert "head.decide.pixel.weight" in moved
    assert any(name.startswith("streams.frequency.") for name in moved)


def test_early_stopping_stops_after_the_patience(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.7, 0.8, 0.6, 0.8, 0.9])
    monkeypatch.setattr(run_module, "auc", lambda *_: next(values))
    summary = train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=5, patience=2))
    assert (summary["epochs"], summary["best_epoch"], summary["val_auc"]) == (4, 2, 0.8)


def test_a_loss_that_is_not_finite_names_the_batch(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        step_module.Stepper, "classification_loss", lambda self, logits, targets: logits.sum() * torch.nan
    )
    with pytest.raises(UserError, match=r"loss is nan at epoch 1, step 1.*alpha_(real|fake)_\d+\.jpg"):
        train(manifest_path, tmp_path / "run", CONFIG)


@pytest.mark.parametrize("balance", ["weights", "oversample", "undersample"])
def test_imbalance_can_be_met(manifest_path: Path, tmp_path: Path, balance: str) -> None:
    manifest = read_manifest(manifest_path)
    few = manifest[(manifest["label"] == 1) & (manifest["split"] == "train")].index[:16]
    write_manifest(manifest.drop(few), manifest_path.parent / f"few_{balance}.csv")
    config = replace(CONFIG, epochs=1, balance=balance)  # type: ignore[arg-type]
    train(manifest_path.parent / f"few_{balance}.csv", tmp_path / "run", config)
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    # alpha: 24 reals and 8 to 24 fakes for training, in batches of 16
    steps = {"weights": 2, "oversample": 3, "undersample": 1}[balance]
    assert log.loc[log["phase"] == "train", "step"].max() == steps


def test_norms_and_biases_are_not_decayed_and_the_head_learns_faster() -> None:
    detector = create_detector("two_stream", backbone="test_efficientnet", pretrained="none")
    optimizer = make_optimizer(detector, CONFIG)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(detector.parameters()))
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    rates = {group["lr"] for group in optimizer.param_groups}
    assert rates == {CONFIG.learning_rate, CONFIG.head_learning_rate}


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_schedules_peak_at_the_given_rate_for_any_length(schedule: str, steps: int) -> None:
    config = replace(CONFIG, schedule=schedule)  # type: ignore[arg-type]
    optimizer = make_optimizer(create_detector("frequency", spectrum="block_dct"), config)
    plan = make_schedule(optimizer, config, steps)
    rates = []
    for _ in range(steps):
        rates.append(plan.get_last_lr()[0])
        optimizer.step()
        plan.step()
    assert max(rates) <= config.head_learning_rate * (1 + 1e-9)
    assert min(rates) > 0
    if steps == 100:
        assert max(rates) == pytest.approx(config.head_learning_rate, rel=1e-3)
        assert schedule == "constant" or rates[-1] < 0.01 * max(rates)


def test_the_averaged_weights_are_what_is_validated_and_kept(manifest_path: Path, tmp_path: Path) -> None:
    train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=1, ema=0.9))
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert_same(weights(tmp_path / "run"), state["average"]["detector"])
    kept = weights(tmp_path / "run")
    assert [name for name, value in state["detector"].items() if not torch.equal(value, kept[name])]


def test_max_steps_cuts_every_epoch(manifest_path: Path, tmp_path: Path) -> None:
    train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=2, max_steps=2))
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log.loc[log["phase"] == "train", "step"].tolist() == [1, 2, 3, 4]


def test_a_pixel_student_is_trained_from_a_run_by_flag(manifest_path: Path, finished: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, detector="pixel", epochs=1, teacher=str(finished), distill_features=1.0)
    train(manifest_path, tmp_path / "student", config)
    assert len(read_json(tmp_path / "student" / "environment.json", "environment")["teacher_sha256"]) == 64
    train(manifest_path, tmp_path / "alone", replace(config, teacher=""))
    student, alone = weights(tmp_path / "student"), weights(tmp_path / "alone")
    assert student.keys() == alone.keys()
    assert [name for name in alone if not torch.equal(student[name], alone[name])]


def test_a_run_is_not_resumed_with_another_teacher(manifest_path: Path, tmp_path: Path) -> None:
    teacher, out = tmp_path / "teacher.safetensors", tmp_path / "run"
    config = replace(CONFIG, detector="pixel", epochs=1, max_steps=1, teacher=str(teacher))
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_detector(create_detector("pixel", backbone="test_efficientnet", pretrained="none"), teacher)
        if seed == 0:
            train(manifest_path, out, config)
            (out / "summary.json").unlink()  # as a run that was stopped
            train(manifest_path, out, config, resume=True)
            (out / "summary.json").unlink()
    with pytest.raises(UserError, match="its teacher's weights are others .*choose another --out"):
        train(manifest_path, out, config, resume=True)


def test_a_run_keeps_what_its_validation_knew(finished: Path) -> None:
    known = load_detector(finished).known
    assert known is not None
    scores = pd.read_csv(finished / "val_scores.csv")
    assert known.trained_on == {"real": {"": 24}, "fake": {"alpha": 24}}
    assert known.validated == {"real": 8, "fake": 8}
    assert (known.formats, known.sides, known.qualities) == ({"jpeg": (8, 8)}, (64, 64), (95, 95))
    assert known.conformal == fit_conformal(scores["label"], scores["logit"], 0.9)
    assert known.audit == "skipped"
