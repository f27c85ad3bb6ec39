"""Generators and sources of one name, names with `+`, and score files whose thresholds are empty."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakefreq.api import tables
from fakefreq.config.files import RUN_SETTINGS, write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.evaluate.scores import COLUMNS, load_scores, split_names, write_scores


def draw(train_on: str = "alpha", sources: tuple[str, ...] = ("alpha", "beta")) -> pd.DataFrame:
    """Scores of three generators; photographs of the first two come from sources that may be called as they are."""
    rng, rows = np.random.default_rng(0), list[dict[str, object]]()
    for generator in (train_on, "beta", "gamma"):
        source = dict(zip((train_on, "beta"), sources, strict=True)).get(generator, "photos")
        for number in range(80):
            label, path = number % 2, f"{generator}/{number}.png"
            split = "val" if generator == train_on and number < 40 else "test"
            rows.append({"path": path, "sha256": path, "label": label, "generator": generator * label, "group": path})
            rows[-1] |= {"source": source * (1 - label), "subset": generator, "split": split}
            rows[-1] |= {"role": split, "logit": label + rng.normal()}
    table = pd.DataFrame(rows).assign(detector="pixel", train_on=train_on, seed=0, track="raw", threshold=np.nan)
    return table[COLUMNS]


def test_a_generator_called_as_a_source_keeps_its_row() -> None:
    auc, other = (
        found[found["metric"] == "auc"].set_index(["kind", "test"])["value"]
        for sources in (("alpha", "beta"), ("one", "two"))
        for found in (tables(draw(sources=sources), "one_to_all", draws=100)["summary"],)
    )
    for key in (("generator", "alpha"), ("generator", "beta"), ("mean", "mean of unseen")):
        assert auc[key] == other[key], key
    assert auc["source", "alpha"] == other["source", "one"]
    assert ("worst", "worst of unseen") in auc.index


def test_a_generator_with_a_plus_is_seen_by_its_own_training() -> None:
    assert split_names("a+b+c", {"a", "b", "c"}) == ["a", "b", "c"]
    assert split_names("a+b+c", {"a+b", "a"}) == ["a+b", "c"]
    found = tables(draw("sd15+lora"), "one_to_all", draws=100)
    metrics, errors = found["metrics"], found["errors"]
    assert set(metrics.loc[metrics["test"] == "sd15+lora", "seen"]) == {"true"}
    missed = errors[(errors["kind"] == "missed") & (errors["generator"] == "sd15+lora")]
    assert set(missed["seen"]) == {"true"}


@pytest.mark.parametrize("filled", [0, 1], ids=["none", "of one cell"])
def test_a_csv_with_empty_thresholds_has_those_of_its_validation_scores(filled: int, tmp_path: Path) -> None:
    other = draw().assign(detector="frequency", threshold=0.4 if filled else np.nan)
    write_scores(pd.concat([draw(), other]), tmp_path / "scores.csv")
    found = tables(load_scores(tmp_path / "scores.csv"), "one_to_all", draws=100)["metrics"]
    assert np.isfinite(found["threshold"]).all()


def test_a_run_is_not_tested_on_its_training_images(tmp_path: Path) -> None:
    rows = draw().drop(columns=["role", "detector", "train_on", "seed", "track", "threshold"])
    rows["split"] = np.where((rows["subset"] == "alpha") & (np.arange(len(rows)) < 20), "train", rows["split"])
    rows.loc[rows["split"] == "train", "logit"] = 10.0 * rows["label"]
    write_train_config(TrainConfig(detector="pixel", train_on=("alpha",)), tmp_path / RUN_SETTINGS)
    rows[rows["split"] == "val"].to_csv(tmp_path / "val_scores.csv", index=False)
    rows.to_csv(tmp_path / "scores.csv", index=False)
    found = load_scores(tmp_path)
    assert "train" not in set(found["split"])
    assert (found["role"] == "test").sum() == (rows["split"] == "test").sum()
