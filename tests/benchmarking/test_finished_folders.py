"""The scores of a benchmark, of a comparison and of one run are opened alike."""

from pathlib import Path

import pandas as pd
import pytest

from fakefreq.config.files import RUN_SETTINGS, write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError
from fakefreq.evaluate.measure import measure_all, score_sets
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.scores import COLUMNS, load_scores
from tests.helpers.drawn_scores import draw_benchmark, draw_cell


def write_run(folder: Path, detector: str, seed: int = 0) -> Path:
    cell = draw_cell("alpha", detector, seed).drop(columns=["detector", "train_on", "seed", "track", "cell"])
    folder.mkdir(parents=True)
    write_train_config(TrainConfig(detector=detector, seed=seed), folder / RUN_SETTINGS)
    cell[cell["role"] == "val"].drop(columns="role").to_csv(folder / "val_scores.csv", index=False)
    cell.drop(columns="role").to_csv(folder / "scores.csv", index=False)  # as with --split all: validation too
    return folder


def test_a_benchmark_and_a_run_hold_the_same_scores(tmp_path: Path) -> None:
    draw_benchmark(tmp_path)
    whole = load_scores(tmp_path)
    assert list(whole) == COLUMNS and whole.groupby(["detector", "train_on", "seed"], observed=True).ngroups == 12
    run = load_scores(write_run(tmp_path / "pixel", "pixel"))
    assert set(run["detector"]) == {"pixel"}
    assert set(run["train_on"]) == {"alpha"}  # said by the validation fakes where the configuration says nothing
    of_whole = whole[(whole["detector"] == "pixel") & (whole["train_on"] == "alpha") & (whole["seed"] == 0)]
    for role in ("val", "test"):
        ours, theirs = (table[table["role"] == role].sort_values("path") for table in (run, of_whole))
        assert ours["path"].tolist() == theirs["path"].tolist()
        assert ours["logit"].tolist() == pytest.approx(theirs["logit"].tolist(), abs=1e-8)


def test_score_sets_are_measured_on_what_the_protocol_reports(tmp_path: Path) -> None:
    draw_benchmark(tmp_path)
    scores = load_scores(tmp_path)
    sets = list(score_sets(scores, draws=100))
    assert [one.train_on for one in sets] == ["alpha", "beta", "gamma"]
    assert sets[0].detectors == ["pixel", "two_stream"] and sets[0].seeds("pixel") == [0, 1]
    cell = draw_cell("alpha", "two_stream", 1)
    part = cell[(cell["role"] == "test") & (cell["subset"] == "beta")]
    found = measure_all(sets[0])["two_stream", 1]
    assert found["generator", "beta"].values["auc"] == pytest.approx(auc(part["label"], part["logit"]), abs=1e-8)
    both = (found["generator", "beta"].values["auc"] + found["generator", "gamma"].values["auc"]) / 2
    assert found["mean", "mean of unseen"].values["auc"] == pytest.approx(both)
    scores["split"] = scores["split"].astype(object).where(scores["path"].str[-5] != "3", "train")
    fewer = next(score_sets(scores, "matrix", test_split_only=True, draws=100, detectors=["two_stream"]))
    assert fewer.detectors == ["two_stream"] and len(fewer.keys) < len(sets[0].keys)


def test_folders_without_scores_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no scores"):
        load_scores(tmp_path)
    run = write_run(tmp_path / "run", "pixel")
    (run / "scores.csv").unlink()
    with pytest.raises(UserError, match="fakefreq score"):
        load_scores(run)
    pd.DataFrame({"path": ["a"], "logit": [1.0]}).to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(UserError, match="lacks the columns detector"):
        load_scores(tmp_path)
    cell = draw_cell("alpha", "pixel", 0)
    one_class = cell[(cell["role"] == "test") | (cell["label"] == 1)]
    with pytest.raises(UserError, match="no validation scores of both classes"):
        list(score_sets(one_class, draws=100))
