"""`fakefreq evaluate`: the tables of `benchmark` for one detector, by the same measuring."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.benchmarking.run import benchmark
from fakefreq.cli import main
from fakefreq.evaluate.scores import has_parquet
from tests.benchmarking.conftest import TINY, tiny_plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cell(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark of one cell."""
    out = tmp_path_factory.mktemp("evaluate") / "benchmark"
    config = replace(TINY, train_on=("alpha",))
    benchmark(tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel"], config=config), out)
    return out


def values(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    return table.set_index(["test", "metric"])[["value", "low", "high", "n_real", "n_fake", "threshold"]]


def run_of(cell: Path) -> Path:
    return next((cell / "cells").glob("pixel-*")) / "run"


def test_a_run_gets_the_numbers_that_benchmark_gives_it(cell: Path, small_manifest: Path, tmp_path: Path) -> None:
    words = ["evaluate", str(run_of(cell)), str(small_manifest), "--out", str(tmp_path), "--draws", "100"]
    assert main([*words, "--workers", "0"]) == 0
    found, expected = values(tmp_path / "metrics.csv"), values(cell / "metrics.csv")
    pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), atol=1e-4, rtol=1e-4)
    for name in ("summary", "curves", "errors", "calibration", "reliability", "abstention"):
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(pd.read_csv(cell / f"{name}.csv")), name
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert set(table["threshold_from"]) == {"validation"} and set(table["scale"]) == {"logit"}


def test_its_onnx_file_gives_the_same_numbers(
    cell: Path, small_manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx runs the file")
    run = run_of(cell)
    assert main(["export", str(run), "--out", str(run / "model.onnx")]) == 0
    words = ["evaluate", str(run / "model.onnx"), str(small_manifest), "--draws", "100", "--workers", "0"]
    assert main(words) == 0
    found, expected = values(run / "model_evaluation" / "metrics.csv"), values(cell / "metrics.csv")
    pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index(), atol=1e-3, rtol=1e-3)
    summary = json.loads((run / "summary.json").read_text())
    other = run.with_name("other")
    shutil.copytree(run, other)
    (other / "summary.json").write_text(json.dumps({**summary, "threshold": summary["threshold"] + 1}))
    assert main(["evaluate", str(other / "model.onnx"), str(small_manifest)]) == 2
    assert "is not of the run" in capsys.readouterr().err


def test_its_scores_alone_give_the_same_numbers(cell: Path, small_manifest: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    assert main(["score", str(run_of(cell)), str(small_manifest), "--out", str(scores), "--workers", "0"]) == 0
    table = pd.read_csv(scores)
    if has_parquet():  # pandas leaves missing texts in it
        table.to_parquet(tmp_path / "again.parquet")
        words = ["evaluate", str(tmp_path / "again.parquet"), "--train-on", "alpha", "--draws", "100"]
        assert main(words) == 0
        assert (tmp_path / "again_evaluation" / "metrics.csv").is_file()
    assert set(table["scale"]) == {"logit"} and set(table["threshold_from"]) == {"validation"}
    for given in ([], [str(small_manifest)]):  # the table tells label, generator and split itself
        out = tmp_path / f"with_{len(given)}"
        words = ["evaluate", str(scores), *given, "--train-on", "alpha", "--out", str(out), "--draws", "100"]
        assert main(words) == 0
        auc = values(out / "metrics.csv")["value"]
        # Validation chose nothing here, so it is tested on: only the unseen generator has the same images.
        assert auc["beta", "auc"] == pytest.approx(values(cell / "metrics.csv")["value"]["beta", "auc"], abs=1e-4)


def test_a_folder_is_indexed_and_what_trained_is_left_out(
    cell: Path, small_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(cell)
    words = ["evaluate", str(run), str(small_manifest.parent), "--out", str(tmp_path), "--draws", "100"]
    assert main([*words, "--workers", "0"]) == 0
    manifest = pd.read_csv(small_manifest)
    used = manifest[(manifest["subset"] == "alpha") & manifest["split"].isin(["train", "val"])]
    scored = pd.read_csv(tmp_path / "scores.csv")
    assert not set(scored["sha256"]) & set(used["sha256"])
    assert len(scored) == len(manifest) - len(used)
    assert f"{len(used)} of {len(manifest)} images are left out" in capsys.readouterr().out
    assert (run / "indexed").is_dir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "say what to test on"),
        (["RUN", "MANIFEST", "--scale", "logit"], "--scale means nothing for a run"),
        (["RUN", "MANIFEST", "--train-on", "alpha"], "--train-on means nothing for a run"),
        (["MANIFEST", "MANIFEST", "--device", "cpu"], "--device means nothing for a table of scores"),
        (["MANIFEST"], "it takes path or sha256, and score or logit"),
        (["absent.csv", "MANIFEST"], "there is no file absent.csv"),
        (["absent", "MANIFEST"], "no trained detector at absent"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    cell: Path, small_manifest: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RUN": str(run_of(cell)), "MANIFEST": str(small_manifest)}
    assert main(["evaluate", *(names.get(word, word) for word in words)]) == 2
    assert message in capsys.readouterr().err
