"""The report of a benchmark shows what its tables hold, without anything from outside."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.manifests import index_folder, rewrite_split

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    manifest = folder / "manifest.csv"
    index_folder(tiny_set, manifest)
    rewrite_split(manifest, manifest, (0.5, 0.2, 0.3), seed=0, keep=True)
    network = ["--backbone", "test_resnet", "--pretrained", "none", "--crop", "64", "--epochs", "1", "--workers", "0"]
    command = ["benchmark", str(manifest), "--protocol", "matrix", "--out", str(folder / "out"), "--draws", "100"]
    command += ["--allow-biased"]
    assert main([*command, *network]) == 0
    return folder / "out"


def test_page_markdown_and_tables_agree_with_the_benchmark(finished: Path) -> None:
    assert main(["report", str(finished)]) == 0
    page, text = (finished / "report.html").read_text(), (finished / "report.md").read_text()
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    differences = pd.read_csv(finished / "differences.csv", dtype={"seed": str})
    row = differences[(differences["metric"] == "auc") & (differences["seed"] == "all")].iloc[0]
    shown = f"{abs(row['value']):.3f}"
    assert shown in page and shown in text
    latex = list((finished / "tables").glob("*.tex"))
    assert latex and all("\\toprule" in path.read_text() for path in latex)
    assert {path.stem for path in latex} == {path.stem for path in (finished / "tables").glob("*.csv")}


def test_faces_are_left_out_on_request_and_missing_tables_do_no_harm(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("cells"))
    (copy / "calibration.csv").unlink()
    assert main(["report", str(copy), "--no-images"]) == 0
    assert "data:image/jpeg" not in (copy / "report.html").read_text()


def test_a_folder_that_is_no_benchmark_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
