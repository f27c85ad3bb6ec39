"""The log goes to TensorBoard too where that is asked for."""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG


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
