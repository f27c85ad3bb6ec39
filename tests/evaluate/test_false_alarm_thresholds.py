"""Shares above the thresholds that 1 and 5 % of the validation photographs exceed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import make_score_set, measure_all
from fakefreq.evaluate.metrics import choose_thresholds
from fakefreq.evaluate.tables import derive_tables


def draw(photographs: int, seed: int = 0) -> pd.DataFrame:
    """Validation and test scores of one generator and a control."""
    rng = np.random.default_rng(seed)
    rows = []
    for role, reals, fakes in (("val", photographs, 50), ("test", 300, 200)):
        rows += [(role, 0, "", "alpha")] * reals + [(role, 1, "alpha", "alpha")] * fakes
    rows += [("test", 0, "", "control")] * 80
    table = pd.DataFrame(rows, columns=["role", "label", "generator", "subset"])
    table["path"] = [f"{number}.png" for number in range(len(table))]
    table = table.assign(sha256="", source="", group="", split=table["role"])
    return table.assign(logit=rng.normal(size=len(table)) + 2.0 * table["label"])


@pytest.mark.parametrize("photographs", [100, 250, 999])
def test_a_threshold_lets_at_most_its_share_of_photographs_through(photographs: int) -> None:
    rng = np.random.default_rng(1)
    logits = np.round(rng.normal(size=photographs), 1)  # many are tied
    found = choose_thresholds(np.zeros(photographs), logits, balanced=0.0)
    for name, rate in (("1", 0.01), ("5", 0.05)):
        threshold = found.alarms[name]
        assert (logits > threshold).mean() <= rate
        assert (logits >= threshold).mean() > rate  # the next lower logit would let too many through


def test_the_shares_are_those_of_the_test_images() -> None:
    table = draw(400)
    scores = make_score_set("chosen", "raw", ["alpha"], {("pixel", 0): table}, Draws.of(table, 100))
    measured = measure_all(scores)["pixel", 0]
    val = table[table["role"] == "val"]
    thresholds = choose_thresholds(val["label"], val["logit"]).alarms
    test = table[(table["role"] == "test") & (table["subset"] == "alpha")]
    control = table[table["subset"] == "control"]
    alpha, control_values = measured["generator", "alpha"].values, measured["control", "control"].values
    for name, threshold in thresholds.items():
        above = test["logit"] > threshold
        assert alpha[f"found_at_{name}"] == pytest.approx(above[test["label"] == 1].mean())
        false = above[test["label"] == 0].mean()
        assert alpha[f"false_alarms_at_{name}"] == pytest.approx(false)
        on_control = (control["logit"] > threshold).mean()
        assert control_values[f"false_alarms_at_{name}"] == pytest.approx(on_control)
    assert "found_at_1" not in control_values
    rows: Any = derive_tables([scores], "pixel")["summary"].set_index(["test", "metric"])
    row = rows.loc[("alpha", "found_at_5")]
    assert row["low"] < row["value"] < row["high"] and row["n_fake"] == 200


def test_too_few_validation_photographs_say_so() -> None:
    table = draw(60)
    scores = make_score_set("chosen", "raw", ["alpha"], {("pixel", 0): table}, Draws.of(table, 100))
    measured = measure_all(scores)["pixel", 0]["generator", "alpha"]
    assert measured.notes["found_at_1"] == "needs 100 validation photographs, there are 60"
    assert "false_alarms_at_1" not in measured.values and "false_alarms_at_5" in measured.values
