"""What `import fakefreq` offers, as the notebooks use it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fakefreq
from fakefreq.evaluate.tables import write_csv
from tests.benchmarking.conftest import TINY
from tests.helpers.drawn_scores import draw_benchmark


@pytest.fixture(scope="module")
def manifest(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fakefreq.data.manifests import index_folder, rewrite_split

    path = tmp_path_factory.mktemp("api") / "manifest.csv"
    index_folder(tiny_set, path)
    rewrite_split(path, path, (0.6, 0.2, 0.2), seed=0, keep=True)
    return path


@pytest.mark.slow
def test_the_tables_of_any_scores_are_those_that_benchmark_derives(tmp_path: Path) -> None:
    draw_benchmark(tmp_path)
    scores = fakefreq.load_scores(tmp_path)
    found = fakefreq.tables(scores, "matrix", draws=100)
    assert {"metrics", "summary", "matrix", "differences", "curves", "calibration"} <= set(found)
    means = found["differences"].query("train_on == '(each)' and seed == 'all' and metric == 'auc'")
    assert means["detector"].tolist() == ["two_stream"] and means["baseline"].tolist() == ["pixel"]
    with pytest.raises(fakefreq.UserError, match="unknown protocol 'loo'"):
        fakefreq.tables(scores, "loo")
    with pytest.raises(fakefreq.UserError, match="baseline"):
        fakefreq.tables(scores, baseline="frequency")


@pytest.mark.slow
def test_a_benchmark_in_a_line_and_its_scores_give_the_same_numbers(manifest: Path, tmp_path: Path) -> None:
    found = fakefreq.benchmark(
        manifest, "chosen", tmp_path / "out", config=replace(TINY, train_on=("alpha",)), draws=100, allow_biased=True
    )
    again = fakefreq.tables(fakefreq.load_scores(tmp_path / "out"), "chosen", draws=100)
    assert {"metrics", "summary", "differences", "curves", "calibration"} <= set(again)
    for name, table in again.items():
        write_csv(table, tmp_path / "again.csv")
        write_csv(found[name].drop(columns="biased"), tmp_path / "found.csv")
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "found.csv").read_bytes(), name
    few = fakefreq.tables(fakefreq.load_scores(tmp_path / "out"), "chosen", draws=100, metrics=("auc", "precision"))
    assert set(few) == {"metrics", "summary", "matrix", "differences"}
    for name, table in few.items():
        whole = again[name]
        part = whole[whole["metric"].isin(["auc", "precision"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(table, part, check_dtype=False)
    with pytest.raises(fakefreq.UserError, match="unknown metric 'ROC'"):
        fakefreq.tables(fakefreq.load_scores(tmp_path / "out"), "chosen", metrics=("ROC",))
    folder = next((tmp_path / "out" / "cells").glob("pixel*")) / "run"
    detector = fakefreq.load_detector(folder)
    pictures = manifest.parent / pd.read_csv(manifest)["path"].iloc[0]
    several = fakefreq.predict(detector, [pictures.parent, pictures])
    assert len(several) == 41
    of_path = several.assign(name=[Path(path).name for path in several["path"]]).set_index("name")["logit"]
    assert np.ptp(of_path[pictures.name].to_numpy()) < 1e-5
    with pytest.raises(fakefreq.UserError, match="holds no image"):
        fakefreq.predict(detector, [tmp_path / "out" / "cells"])


@pytest.mark.slow
def test_the_audit_of_a_manifest(manifest: Path) -> None:
    assert fakefreq.audit(manifest, images=0).verdict in ("pass", "warn", "fail")
