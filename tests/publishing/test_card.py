"""The card says what the run's own files say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fakefreq.models import load_detector
from fakefreq.train.train import train
from tests.benchmarking.conftest import TINY
from tests.helpers.publishing import publish, refused

pytestmark = pytest.mark.slow


def test_the_card_is_made_from_the_run(run: Path, tmp_path: Path) -> None:
    assert publish(run, "--out", str(tmp_path / "folder")) == 0
    text = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    about = yaml.safe_load(head)
    assert about["license"] == "apache-2.0" and about["library_name"] == "fakefreq"
    assert about["pipeline_tag"] == "image-classification"
    metrics = pd.read_csv(run / "evaluation" / "metrics.csv")
    row = metrics[(metrics["test"] == "beta") & (metrics["metric"] == "auc")].iloc[0]
    results = {one["dataset"]["type"]: one["metrics"][0]["value"] for one in about["model-index"][0]["results"]}
    assert results["beta"] == round(row["value"], 4)
    line = next(line for line in body.splitlines() if line.startswith("| beta | no |"))
    assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in line
    assert f"| {int(row['n_real'])} | {int(row['n_fake'])} |" in line
    fpr = metrics[(metrics["kind"] == "control") & (metrics["metric"] == "fpr")].iloc[0]
    controls = body.split("## Controls")[1].split("## ")[0]
    assert f"| {fpr['test']} | {int(fpr['n_real'])} | {fpr['value']:.3f} [{fpr['low']:.3f}, " in controls
    summary = json.loads((run / "summary.json").read_text())
    for needle in (
        "generators: alpha",
        summary["manifest_digest"],
        "## Limits",
        "## Misuse",
        "seed 0",
        "None was made",
    ):
        assert needle.lower() in body.lower(), needle
    for name in ("metrics.csv", "trained_images.txt", "config.yaml"):
        assert name in body and (tmp_path / "folder" / name).is_file()


@pytest.mark.parametrize(("verdict", "told"), [("pass", "Passed"), ("warn", "**Warns**"), ("fail", "**Failed**")])
def test_the_card_tells_the_verdict_of_the_audit(run: Path, tmp_path: Path, verdict: str, told: str) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "audit": verdict}))
    assert publish(run, "--out", str(tmp_path / "folder")) == 0
    assert told in (tmp_path / "folder" / "README.md").read_text().split("## Audit")[1].split("##")[0]


def test_a_run_that_nothing_has_tested_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder"
    assert "--untested contradicts" in refused(capsys, publish(run, "--out", str(out), "--untested"))
    shutil.rmtree(run / "evaluation")
    line = refused(capsys, publish(run, "--out", str(out)))
    assert "fakefreq evaluate" in line and "--untested" in line and not out.exists()
    assert publish(run, "--out", str(out), "--untested") == 0
    card = (out / "README.md").read_text()
    assert "**Not tested on any image**: its validation AUC is" in card and "model-index" not in card
    assert not (out / "metrics.csv").exists()


def test_the_card_of_a_lattice_claims_no_fakes_and_no_epochs(small_manifest: Path, tmp_path: Path) -> None:
    config = replace(TINY, detector="lattice", train_on=("alpha",), lattice_pairs=60)
    train(small_manifest, tmp_path / "run", config)
    detector = load_detector(tmp_path / "run")
    assert detector.known is not None and detector.known.describe().split(";")[0].endswith(" and no fakes")
    photographs = sum(detector.known.trained_on["real"].values())
    assert publish(tmp_path / "run", "--out", str(tmp_path / "folder"), "--untested") == 0
    card = (tmp_path / "folder" / "README.md").read_text()
    assert f"- Training: {photographs} photographs, and no fakes; sources of photographs:" in card
    assert "fitted without epochs" in card and "its validation AUC is" in card
    assert "epoch was chosen" not in card and "trained on" not in card.split("## Results")[1].split("##")[0]


def test_a_benchmark_s_table_serves_as_well_with_its_audit(run: Path, benchmarked: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "evaluation")
    table = pd.read_csv(benchmarked / "metrics.csv")
    table.assign(biased="codec tells the class").to_csv(tmp_path / "metrics.csv", index=False)
    for number, (folder, told) in enumerate([(benchmarked, "Not failed"), (tmp_path, "codec tells the class")]):
        out = tmp_path / f"folder{number}"
        assert publish(run, "--evaluation", str(folder), "--out", str(out)) == 0
        card = (out / "README.md").read_text()
        assert "| beta | no |" in card and told in card
        assert ("**Failed**" in card) == bool(number)


def test_tests_of_other_weights_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = pd.read_csv(run / "evaluation" / "metrics.csv")
    metrics.assign(threshold=metrics["threshold"] + 1).to_csv(run / "evaluation" / "metrics.csv", index=False)
    assert "has no row of seed 0 and threshold" in refused(capsys, publish(run, "--out", str(tmp_path / "folder")))
    (run / "evaluation" / "metrics.csv").write_text("a,b\n1,2\n")
    assert "is no table of `fakefreq evaluate`" in refused(capsys, publish(run, "--out", str(tmp_path / "folder")))
    assert not (tmp_path / "folder").exists()
