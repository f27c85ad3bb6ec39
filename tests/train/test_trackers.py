"""The log goes to a tracker too where that is asked for, through accelerate, without any network."""

import importlib.util
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.config.files import read_train_config
from fakefreq.config.run import TRACKERS, TrainConfig
from fakefreq.errors import UserError
from fakefreq.train.trackers import Tracker
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG

ROWS = [
    {"epoch": 1, "step": 1, "phase": "train", "loss": 0.7, "accuracy": 0.5, "learning_rate": 1e-3, "seconds": 1.0},
    {"epoch": 1, "step": 2, "phase": "train", "loss": 0.6, "accuracy": 0.6, "learning_rate": 1e-3, "seconds": 2.0},
    {"epoch": 1, "step": 2, "phase": "val", "loss": 0.5, "accuracy": 0.7, "auc": 0.8, "seconds": 3.0},
]


def log_rows(kind: str, folder: Path) -> None:
    folder.mkdir()
    tracker = Tracker(TrainConfig(log_with=kind), folder)  # type: ignore[arg-type]
    for row in ROWS:
        tracker.add(row)
    tracker.close()


def need(name: str, least: str | None = None) -> Any:
    pytest.importorskip("accelerate", reason="the package accelerate is not installed")
    return pytest.importorskip(name, minversion=least, reason=f"the package {name} is not installed, or too old")


@pytest.mark.slow
def test_tensorboard_gets_the_lines_of_the_log(manifest_path: Path, tmp_path: Path) -> None:
    accumulator = need("tensorboard.backend.event_processing.event_accumulator")
    train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=2, log_with="tensorboard"))
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    for phase, column in (("train", "loss"), ("val", "auc")):
        scalars = [(event.step, event.value) for event in events.Scalars(f"{phase}/{column}")]
        rows = log[log["phase"] == phase]
        assert [step for step, _ in scalars] == rows["step"].tolist()
        assert [value for _, value in scalars] == pytest.approx(rows[column].tolist(), rel=1e-5)


def test_trackio_gets_the_lines_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is first imported
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    need("trackio", "0.9")
    log_rows("trackio", tmp_path / "run")
    with sqlite3.connect(tmp_path / "trackio" / "fakefreq.db") as base:
        kept = pd.read_sql("select step, metrics from metrics order by id", base)
    assert kept["step"].tolist() == [1, 2, 2]
    assert "val/auc" in str(kept["metrics"].iloc[2]) and "0.8" in str(kept["metrics"].iloc[2])


def test_wandb_offline_gets_the_lines_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    log_rows("wandb", tmp_path / "run")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_mlflow_on_the_disk_gets_the_lines_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = need("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    log_rows("mlflow", tmp_path / "run")
    (found,) = mlflow.MlflowClient().search_runs([mlflow.get_experiment_by_name("fakefreq").experiment_id])
    assert found.data.metrics["val/auc"] == 0.8


@pytest.mark.parametrize("kind", TRACKERS[1:])
def test_a_package_that_is_missing_is_named_before_anything_is_written(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == kind else find(name))
    config = replace(CONFIG, log_with=kind)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"--log-with {kind} needs the package .*: pip install 'fakefreq\[{kind}\]'"):
        train(manifest_path, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_fails_is_given_up_and_the_training_goes_on(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    need("tensorboard")
    from accelerate.tracking import TensorBoardTracker

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(TensorBoardTracker, "log", full)
    assert train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=1, log_with="tensorboard"))["epochs"] == 1
    told = [record.message for record in logged.records if record.levelname == "WARNING"]
    assert told == [
        "--log-with tensorboard fails (No space left on device): from here on log.csv alone has the numbers"
    ]


def test_a_tracker_that_cannot_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("tensorboard")
    from accelerate.tracking import TensorBoardTracker

    monkeypatch.setattr(TensorBoardTracker, "start", lambda self: os.strerror(1) + 1)  # type: ignore[operator]
    with pytest.raises(UserError, match="--log-with tensorboard cannot start: .*; log in, use its offline mode"):
        Tracker(TrainConfig(log_with="tensorboard"), tmp_path)


def test_the_former_flag_names_its_successor_and_former_files_still_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--tensorboard", "--no-tensorboard"):
        assert main(["train", "m.csv", "--out", str(tmp_path / "run"), flag]) == 2
        assert capsys.readouterr().err == "error: --tensorboard is gone: give --log-with tensorboard, or leave it out\n"
    for text, expected in (("tensorboard: true\n", "tensorboard"), ("tensorboard: false\n", "none")):
        (tmp_path / "old.yaml").write_text(text)
        assert read_train_config([tmp_path / "old.yaml"]).log_with == expected
