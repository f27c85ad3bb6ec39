"""The scripts that measure finished benchmarks and candidates, on drawn images."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
import tyro

from fakefreq.benchmarking.run import benchmark
from fakefreq.commands.base import with_config_files
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.errors import UserError
from tests.benchmarking.conftest import tiny_plan
from tests.helpers.scripts import BENCHMARKS, script

pytestmark = pytest.mark.slow

Controls, judge = script("controls").Controls, script("selection").judge


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_script_has_help_with_an_example(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "__main__" not in path.read_text():
        pytest.skip("a module that scripts share")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(path), run_name="__main__")
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert "Example" in told or "example" in told


@pytest.mark.parametrize("name", ["ablations", "cross_generator", "selection"])
def test_a_script_that_trains_takes_files_of_settings_and_flags_win(name: str, tmp_path: Path) -> None:
    kind, file = script(name).Config, tmp_path / "mine.yaml"
    file.write_text("crop: 96\nepochs: 2\n", encoding="utf-8")
    words = ["--config", str(file), "--epochs", "4"]
    config = with_config_files(tyro.cli(kind, args=words), words).config
    assert (config.crop, config.epochs) == (96, 4)
    # What neither says stays the script's own default.
    assert config.train_on == kind().config.train_on


@pytest.fixture(scope="module")
def finished(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    plan = tiny_plan(small_manifest, detectors=["pixel"])
    benchmark(plan, folder)
    return folder


def test_controls_count_the_photographs_above_each_run_s_threshold(finished: Path, small_manifest: Path) -> None:
    rows = read_manifest(small_manifest)
    # The photographs that the benchmark itself tested, so that its own rates must come out again.
    rows = rows[(rows["label"] == 0) & (rows["split"] == "test")].reset_index(drop=True)
    reals = small_manifest.with_name("reals.csv")
    write_manifest(rows, reals)
    out = finished / "controls.csv"
    Controls(finished, reals, out).run()
    table = pd.read_csv(out)
    assert set(table["control"]) == set(rows["subset"])
    assert table["n"].sum() == len(rows) * len(pd.read_csv(finished / "cells.csv"))
    assert ((table["low"] <= table["fpr"]) & (table["fpr"] <= table["high"])).all()
    metrics = pd.read_csv(finished / "metrics.csv")
    own = metrics[(metrics["kind"] == "control") & (metrics["metric"] == "fpr")]
    assert len(own) == len(pd.read_csv(finished / "cells.csv"))
    for row in own.itertuples():
        mine = table[(table["control"] == row.test) & (table["train_on"] == row.train_on)]
        assert mine["n"].item() == row.n_real
        assert mine["fpr"].item() == pytest.approx(row.value, abs=1e-4)


def test_controls_refuse_fakes(finished: Path, small_manifest: Path) -> None:
    with pytest.raises(UserError, match="label=0"):
        Controls(finished, small_manifest, finished / "none.csv").run()


def test_a_candidate_is_judged_at_every_history(finished: Path, small_manifest: Path) -> None:
    cell = pd.read_csv(finished / "cells.csv")["cell"].iloc[0]
    judged = judge(finished / "cells" / cell / "run", small_manifest, small_manifest, {})
    assert len(judged) == 2 * 4 + 4
    assert judged["auc"].between(0, 1).all()
    generators = judged[judged["kind"] == "generator"]
    assert set(generators["test"]) == {"own", "held out"}
    own = generators[generators["test"] == "own"].iloc[0]
    rows = read_manifest(small_manifest)
    assert own["n_fake"] == ((rows["split"] == "val") & (rows["label"] == 1)).sum()


def test_further_sets_are_judged_as_made_and_after_drawn_histories(finished: Path, small_manifest: Path) -> None:
    cell = pd.read_csv(finished / "cells.csv")["cell"].iloc[0]
    rows = read_manifest(small_manifest)
    more = small_manifest.with_name("more.csv")
    write_manifest(rows[rows["subset"] != "control"].reset_index(drop=True), more)
    judged = judge(finished / "cells" / cell / "run", small_manifest, small_manifest, {"again": more})
    further = judged[judged["test"].str.startswith("again ")]
    assert set(zip(further["test"], further["history"], strict=True)) == {
        (f"again {subset}", history) for subset in ("alpha", "beta") for history in ("as made", "drawn")
    }
    assert (further["n_fake"] == 20).all()
    assert (further["n_real"] == 20).all()


def test_every_engine_of_throughput_scores_all_images(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="an engine of its own")
    throughput = script("throughput")
    command = throughput.Throughput(backbone="test_resnet", batch_size=2, size=64, images=3)
    command._prepare(tmp_path)
    for name in sorted(throughput.ENGINES, key=lambda name: "openvino" in name):
        if "openvino" in name:
            pytest.importorskip("openvino", reason="an engine that is optional")
        throughput.make_turn(name, tmp_path, "test_resnet", 3, 2, 64)()
    row = command._row_of_engine("infer", {"timm": [3.0, 2.0, 2.0], "infer": [1.5, 2.0, 1.0]})
    assert (row["images_per_second"], row["bare"], row["speed_over_bare"]) == (2.0, "timm", 2.0)
    with pytest.raises(UserError, match="--engines"):
        throughput.Throughput(engines=("tensorrt",))._of_engines()
