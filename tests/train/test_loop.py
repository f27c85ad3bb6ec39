"""The same seed ends in the same weights, interrupted or not, and a finished run is left alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from fakefreq.errors import UserError
from fakefreq.train.loop import Run
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG, assert_same, last, weights

pytestmark = pytest.mark.slow


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
    with pytest.raises(
        UserError, match=r"other settings or images: .+; give those of the run, or choose another --out"
    ):
        train(manifest_path, finished, replace(CONFIG, epochs=4))


def test_how_a_run_is_carried_out_does_not_make_it_another(manifest_path: Path, finished: Path) -> None:
    assert train(manifest_path, finished, replace(CONFIG, workers=1, log_every=7))["epochs"] == 3


def test_a_folder_that_does_not_say_its_settings_is_refused(
    manifest_path: Path, finished: Path, tmp_path: Path
) -> None:
    for kept in ("last.pt", "summary.json"):
        old = tmp_path / kept
        old.mkdir()
        shutil.copy(finished / kept, old)
        for resume in (False, True):
            with pytest.raises(UserError, match=r"a run without its settings \(config.yaml\).*choose another --out"):
                train(manifest_path, old, CONFIG, resume=resume)
        assert [path.name for path in old.iterdir()] == [kept]
