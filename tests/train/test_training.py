"""Training learns, repeats itself, resumes to the bit, and refuses what cannot work."""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fakefreq.data.manifest import index_folder, manifest_digest, read_manifest, write_manifest
from fakefreq.data.splits import split_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.models import create_detector
from fakefreq.train import run as run_module
from fakefreq.train import step as step_module
from fakefreq.train.experiment import TrainConfig
from fakefreq.train.loop import train
from fakefreq.train.optim import make_optimizer, make_schedule
from fakefreq.train.run import Run

CONFIG = TrainConfig(
    detector="two_stream",
    backbone="test_efficientnet",
    pretrained="none",
    train_on=("alpha",),
    crop=64,
    epochs=3,
    batch_size=16,
    workers=0,
    device="cpu",
    log_every=1,
)


@pytest.fixture(scope="module")
def manifest_path(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    write_manifest(split_manifest(manifest, (0.6, 0.2, 0.2), seed=0), path)
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best.safetensors")


def last(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "last.pt", weights_only=True)["detector"]
    return state


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def finished(manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(manifest_path, out, CONFIG)
    return out


def test_a_run_leaves_the_files_it_promises(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json", "environment.json", "log.csv", "best.safetensors", "last.pt", "val_scores.csv", "summary.json",
    }  # fmt: skip
    log = pd.read_csv(finished / "log.csv")
    assert log.columns.tolist() == ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate", "seconds"]
    assert log.loc[log["phase"] == "val", "epoch"].tolist() == [1, 2, 3]
    # 24 + 24 training images in batches of 16: three steps an epoch, a line for each.
    assert log.loc[log["phase"] == "train", "step"].tolist() == list(range(1, 10))


def test_a_run_says_where_its_pretrained_weights_came_from(finished: Path) -> None:
    assert read_json(finished / "environment.json", "environment")["pretrained_weights_from"] == "none"


def test_the_loss_falls_and_the_artefact_is_learnt(manifest_path: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, detector="frequency", epochs=12, head_learning_rate=5e-3)
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


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(
    manifest_path: Path, finished: Path, tmp_path: Path
) -> None:
    train(manifest_path, tmp_path / "again", replace(CONFIG, workers=2))
    assert_same(weights(tmp_path / "again"), weights(finished))
    assert_same(last(tmp_path / "again"), last(finished))


def test_another_seed_gives_other_weights(manifest_path: Path, finished: Path, tmp_path: Path) -> None:
    train(manifest_path, tmp_path / "other", replace(CONFIG, seed=1, epochs=1))
    assert not torch.equal(
        last(tmp_path / "other")["head.decide.pixel.weight"], last(finished)["head.decide.pixel.weight"]
    )


@pytest.mark.parametrize(("optimizer", "schedule"), [("adamw", "cosine"), ("sgd", "one_cycle")])
def test_an_interrupted_run_resumes_to_the_same_bits(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, schedule: str
) -> None:
    config = replace(CONFIG, optimizer=optimizer, schedule=schedule, flip=True, rotate=10.0)  # type: ignore[arg-type]
    train(manifest_path, tmp_path / "whole", config)
    original = Run._train_epoch

    def interrupted(self: Run, epoch: int) -> None:
        if epoch == 2:
            torch.manual_seed(99)  # whatever happened to the random state must not matter
            self.folder.log(epoch=2, step=4, phase="train", loss=9.0)
            raise KeyboardInterrupt
        original(self, epoch)

    monkeypatch.setattr(Run, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(manifest_path, tmp_path / "cut", config)
    monkeypatch.setattr(Run, "_train_epoch", original)
    with pytest.raises(UserError, match="interrupted run; go on with --resume"):
        train(manifest_path, tmp_path / "cut", config)
    train(manifest_path, tmp_path / "cut", config, resume=True)
    assert_same(last(tmp_path / "cut"), last(tmp_path / "whole"))
    assert_same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    columns = ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate"]
    logs = [pd.read_csv(tmp_path / name / "log.csv")[columns] for name in ("cut", "whole")]
    pd.testing.assert_frame_equal(logs[0], logs[1])


def test_a_finished_run_is_not_trained_again(manifest_path: Path, finished: Path) -> None:
    before = (finished / "last.pt").stat().st_mtime_ns
    assert train(manifest_path, finished, CONFIG)["epochs"] == 3
    assert (finished / "last.pt").stat().st_mtime_ns == before


def test_a_folder_of_another_experiment_is_refused(manifest_path: Path, finished: Path) -> None:
    with pytest.raises(UserError, match="other settings or images; choose another --out"):
        train(manifest_path, finished, replace(CONFIG, epochs=4))


def test_how_a_run_is_carried_out_does_not_make_it_another(manifest_path: Path, finished: Path) -> None:
    assert train(manifest_path, finished, replace(CONFIG, workers=1, log_every=7))["epochs"] == 3


def test_a_frozen_backbone_keeps_its_weights_and_statistics(manifest_path: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, freeze_epochs=1)
    train(manifest_path, tmp_path / "frozen", config)
    torch.manual_seed(config.seed)
    start = create_detector("two_stream", backbone="test_efficientnet", pretrained="none").state_dict()
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
    monkeypatch.setattr(step_module.Stepper, "classification_loss", lambda *_: torch.tensor(float("nan")))
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
    optimizer = make_optimizer(create_detector("frequency"), config)
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


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"epochs": 0}, "--epochs is 0; it takes 1 or more"),
        ({"batch_size": 1}, "--batch-size"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"weight_decay": -1.0}, "--weight-decay"),
        ({"rotate": 270.0}, "--rotate"),
        ({"degrade": "0.5*jpg:60"}, "--degrade: unknown degradation 'jpg'"),
        ({"simulate": 1.5}, "--simulate is 1.5; it is a probability"),
        ({"simulate": 0.5, "simulate_families": "cubic"}, "--simulate-families"),
        ({"ema": 1.0}, "--ema is 1.0"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
        ({"mixup": float("nan")}, "--mixup"),
        ({"clip_gradient": -1.0}, "--clip-gradient"),
        ({"layer_decay": 0.0}, "--layer-decay"),
        ({"freeze": "some"}, "--freeze is 'some'; it takes none, all, or a number of stages"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"balance_by": "generator"}, "--balance-by generator needs --balance"),
        ({"max_steps": -1}, "--max-steps"),
        ({"teacher": "no/such/run"}, "no trained detector at no/such/run"),
        ({"distill_temperature": 0.0}, "--distill-temperature"),
        ({"optimizer": "lamb"}, "unknown optimizer 'lamb'"),
        ({"device": "tpu7"}, "unknown device"),
        ({"device": "cuda:63"}, "CUDA devices; use --device cpu"),
    ],
)
def test_a_wrong_setting_names_its_flag(
    manifest_path: Path, tmp_path: Path, change: dict[str, object], flag: str
) -> None:
    with pytest.raises(UserError, match=flag):
        train(manifest_path, tmp_path / "run", replace(CONFIG, **change))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_configuration_survives_its_json() -> None:
    assert TrainConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(UserError, match="unknown to this version: momentum"):
        TrainConfig.from_dict({**CONFIG.to_dict(), "momentum": 0.9})


def test_a_failed_audit_wants_a_flag_and_leaves_nothing(manifest_path: Path, tmp_path: Path) -> None:
    # The drawn fakes are smoother than the drawn photos, so at one quality their files are smaller.
    lines: list[str] = []
    out, config = tmp_path / "run", replace(CONFIG, epochs=1, max_steps=1)
    with pytest.raises(UserError, match=r"fail the audit: header facts alone .*fakefreq align.*--allow-biased"):
        train(manifest_path, out, config, say=lines.append, audit="refuse")
    assert not out.exists()
    assert "audit of header facts: fail" in lines[-1]
    assert train(manifest_path, out, config, say=lines.append, audit="tell")["audit"] == "fail"
    assert read_json(out / "environment.json", "environment")["audit"] == "fail"


def test_images_that_headers_do_not_tell_apart_pass_the_audit(manifest_path: Path, tmp_path: Path) -> None:
    manifest = read_manifest(manifest_path)
    manifest["bytes"] = 5000
    write_manifest(manifest, manifest_path.parent / "fair.csv")
    config = replace(CONFIG, epochs=1, max_steps=1)
    summary = train(manifest_path.parent / "fair.csv", tmp_path / "run", config, audit="refuse")
    assert summary["audit"] == "pass"
    assert summary["manifest_digest"] == manifest_digest(manifest)


def test_tensorboard_gets_the_lines_of_the_log(manifest_path: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the package tensorboard is not installed"
    )
    train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=2, tensorboard=True))
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    for phase, column in (("train", "loss"), ("val", "auc")):
        scalars = [(event.step, event.value) for event in events.Scalars(f"{phase}/{column}")]
        rows = log[log["phase"] == phase]
        assert [step for step, _ in scalars] == rows["step"].tolist()
        assert [value for _, value in scalars] == pytest.approx(rows[column].tolist(), rel=1e-5)


def test_tensorboard_that_is_not_installed_is_said(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'fakefreq\[tensorboard\]'"):
        train(manifest_path, tmp_path / "run", replace(CONFIG, tensorboard=True))


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
