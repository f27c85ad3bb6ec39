"""The audit guards benchmark, compare, ablate and demo as it guards train; what is let through says so everywhere."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.benchmarking import presets as demo_module
from fakefreq.benchmarking.presets import ablate, compare, demo
from fakefreq.benchmarking.run import benchmark
from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.report.page import write_report
from tests.benchmarking.conftest import TINY, tiny_plan

CONFIG = replace(TINY, train_on=("alpha",))


@pytest.fixture(scope="module")
def biased(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fakes of alpha are smaller files than its photographs."""
    path = tmp_path_factory.mktemp("biased") / "manifest.csv"
    index_folder(tiny_set, path)
    rewrite_split(path, path, (0.6, 0.2, 0.2), seed=0, keep=True)
    return path


@pytest.mark.slow
def test_each_command_refuses_and_trains_nothing(biased: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "training images of alpha.*fail the audit.*--allow-biased"
    with pytest.raises(UserError, match=message):
        benchmark(tiny_plan(biased, allow_biased=False), tmp_path)
    with pytest.raises(UserError, match=message):
        compare(biased, tmp_path, CONFIG, draws=100)
    for experiment in ("fusion", "distillation"):  # the second trains a teacher first
        with pytest.raises(UserError, match=message):
            ablate(biased, tmp_path, CONFIG, [experiment], draws=100)
    monkeypatch.setattr(demo_module, "fetch_wheels", lambda *_: None)
    monkeypatch.setattr(demo_module, "build_demo_set", lambda *_, **__: biased)
    monkeypatch.setattr(demo_module, "split_manifest", lambda manifest, *_, **__: manifest)
    monkeypatch.setattr(demo_module, "DEMO_TRAIN_ON", ("alpha",))
    monkeypatch.setattr(demo_module, "write_manifest", lambda *_: None)
    (tmp_path / "demo" / "images").mkdir(parents=True)
    (tmp_path / "demo" / "images" / "split.csv").write_bytes(biased.read_bytes())
    with pytest.raises(UserError, match=message):
        demo(tmp_path / "demo", 1, 0)
    assert not list(tmp_path.rglob("run")) and not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_what_is_allowed_is_named_in_every_table_and_on_the_page(
    biased: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    result = benchmark(tiny_plan(biased, detectors=["pixel"]), tmp_path)
    assert any("audit of header facts of alpha (raw): fail" in line for line in logged.messages)
    for path in tmp_path.glob("*.csv"):
        table = pd.read_csv(path, keep_default_na=False)
        if path.stem == "scores":
            continue
        assert "biased" in table, path
        of_alpha = table[table["train_on"].isin(["alpha", "(each)"])]
        assert of_alpha["biased"].str.contains("images of alpha fail the audit: .+").all(), path
    assert "biased" in result.tables["summary"]
    assert read_json(tmp_path / "benchmark.json", "benchmark")["biased"][0]["train_on"] == "alpha"
    for path in write_report(tmp_path):
        assert "images of alpha fail the audit" in path.read_text(encoding="utf-8")
