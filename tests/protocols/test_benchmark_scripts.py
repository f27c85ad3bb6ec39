"""The scripts that measure finished benchmarks and candidates, on drawn images."""

from pathlib import Path

import pandas as pd
import pytest

from fakefreq.data.manifest import read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.protocols.benchmark import benchmark
from tests.protocols.conftest import tiny_plan
from tests.scripts import script

Controls, judge = script("controls").Controls, script("selection").judge


@pytest.fixture(scope="module")
def finished(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    plan = tiny_plan(small_manifest, detectors=["pixel"])
    benchmark(plan, folder)
    return folder


def test_controls_count_the_photographs_above_each_run_s_threshold(finished: Path, small_manifest: Path) -> None:
    rows = read_manifest(small_manifest)
    reals = small_manifest.with_name("reals.csv")
    write_manifest(rows[rows["label"] == 0].reset_index(drop=True), reals)
    out = finished / "controls.csv"
    Controls(finished, reals, out).run()
    table = pd.read_csv(out)
    assert set(table["control"]) == set(rows.loc[rows["label"] == 0, "subset"])
    assert table["n"].sum() == (rows["label"] == 0).sum() * len(pd.read_csv(finished / "cells.csv"))
    assert ((table["low"] <= table["fpr"]) & (table["fpr"] <= table["high"])).all()
    # The benchmark's own test rows of a control give the same rate where the images are the same.
    metrics = pd.read_csv(finished / "metrics.csv")
    own = metrics[(metrics["kind"] == "control") & (metrics["metric"] == "fpr")]
    for row in own.itertuples():
        mine = table[(table["control"] == row.test) & (table["train_on"] == row.train_on)]
        if int(mine["n"].iloc[0]) == row.n_real:
            assert mine["fpr"].iloc[0] == pytest.approx(row.value, abs=1e-4)


def test_controls_refuse_fakes(finished: Path, small_manifest: Path) -> None:
    with pytest.raises(UserError, match="label=0"):
        Controls(finished, small_manifest, finished / "none.csv").run()


def test_a_candidate_is_judged_at_every_history(finished: Path, small_manifest: Path) -> None:
    cell = pd.read_csv(finished / "cells.csv")["cell"].iloc[0]
    judged = judge(finished / "cells" / cell / "run", small_manifest, small_manifest)
    assert len(judged) == 2 * 4 + 4
    assert judged["auc"].between(0, 1).all()
    generators = judged[judged["kind"] == "generator"]
    assert set(generators["test"]) == {"own", "held out"}
    own = generators[generators["test"] == "own"].iloc[0]
    rows = read_manifest(small_manifest)
    assert own["n_fake"] == ((rows["split"] == "val") & (rows["label"] == 1)).sum()
