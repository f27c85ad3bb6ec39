"""Scores with missing or double keys, NaN, one class, other labels, another manifest: one line, the rest is done."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.benchmarking.plan import Plan
from fakefreq.benchmarking.run import benchmark
from fakefreq.errors import UserError
from fakefreq.evaluate.scores import read_scores, table_path, write_scores
from fakefreq.files import read_json, write_json
from tests.benchmarking.conftest import tiny_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    plan = replace(tiny_plan(small_manifest, protocols=["one_to_all"]), train_on=("alpha",))
    out = tmp_path_factory.mktemp("finished") / "out"
    benchmark(plan, out)
    return plan, out


def first_test(table: Any) -> int:
    return int(table.index[table["role"] == "test"][0])


CASES: list[tuple[str, Callable[[Any], pd.DataFrame], str]] = [
    ("missing", lambda t: t.drop(index=first_test(t)), r"it scored \d+ test images, of which \d+ are there"),
    ("twice", lambda t: pd.concat([t, t.loc[[first_test(t)]]]), "its scores list alpha/.* twice"),
    ("nan", lambda t: t.assign(logit=t["logit"].where(t.index != 3)), "1 of its logits are not finite, the first of"),
    ("infinite", lambda t: t.assign(logit=t["logit"].where(t.index != 3, np.inf)), "1 of its logits are not finite"),
    ("label", lambda t: t.assign(label=1 - t["label"]), "not in the manifest with their label"),
    ("strangers", lambda t: t.assign(path="x/" + t["path"]), "not in the manifest with their label, the first x/alpha"),
    ("columns", lambda t: t.drop(columns="group"), "lack the columns group"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_damaged_cell_is_listed_and_the_others_are_in_the_tables(
    finished: tuple[Plan, Path], tmp_path: Path, change: Callable[[Any], pd.DataFrame], message: str
) -> None:
    plan, out = finished[0], tmp_path / "out"
    shutil.copytree(finished[1], out)
    path = table_path(next(iter((out / "cells").glob("two_stream*"))))
    write_scores(change(read_scores(path)), path)
    outcomes = benchmark(plan, out).outcomes
    assert [outcome.is_done for outcome in outcomes] == [True, False]
    failure = pd.read_csv(out / "failures.csv")
    assert failure["detector"].tolist() == ["two_stream"]
    assert failure["error"].str.contains(message).all(), failure["error"].iloc[0]
    assert failure["error"].str.contains("delete this folder to do the cell again").all()
    assert set(pd.read_csv(out / "metrics.csv")["detector"]) == {"pixel"}


def test_one_class_on_validation_and_another_manifest_are_named(finished: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, out = finished[0], tmp_path / "out"
    shutil.copytree(finished[1], out)
    folders = {name: next(iter((out / "cells").glob(f"{name}*"))) for name in ("pixel", "two_stream")}
    facts = {name: read_json(folder / "cell.json", "cell") for name, folder in folders.items()}
    table = read_scores(table_path(folders["pixel"]))
    fakes = table[(table["role"] == "test") | (table["label"] == 1)]
    write_scores(fakes, table_path(folders["pixel"]))
    write_json(folders["pixel"] / "cell.json", {**facts["pixel"], "n_val": int((fakes["role"] == "val").sum())})
    write_json(folders["two_stream"] / "cell.json", {**facts["two_stream"], "data": "0" * 16})
    with pytest.raises(UserError, match="all 2 cells failed, the first so: pixel.*validation scores are of one class"):
        benchmark(plan, out)
    errors = pd.read_csv(out / "failures.csv").set_index("detector")["error"]
    assert "another configuration, manifest or teacher" in errors["two_stream"]
    assert "one class only" in errors["pixel"]
