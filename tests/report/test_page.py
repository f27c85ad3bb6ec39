"""The report of a benchmark shows its tables' numbers, alone in one file, whatever is absent."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakefreq.errors import UserError
from fakefreq.report.page import write_report

NAME = "<b>gan_1&"


def make_folder(folder: Path) -> Path:
    """A benchmark of two detectors, with one wrong image that its manifest leads to."""
    facts = {"baseline": "pixel", "seeds": [0], "environment": {"command": "fakefreq benchmark m.csv"}}
    facts["tracks"] = {"raw": {"manifest": str(folder / "manifest.csv"), "digest": "d1gest"}}
    (folder / "benchmark.json").write_text(json.dumps(facts))
    where = {"protocol": "matrix", "track": "raw", "train_on": NAME, "n_seeds": 1, "n_real": 9, "n_fake": 9}
    unseen = {**where, "test": "mean of unseen", "kind": "mean", "metric": "auc"}
    one = {**where, "test": NAME, "kind": "generator", "metric": "auc"}
    rows = [
        {**part, "detector": detector, "value": value, "low": value - 0.011, "high": value + 0.013}
        for part in (unseen, one)
        for detector, value in (("pixel", 0.731), ("two", 0.842))
    ]
    for name in ("summary", "matrix"):
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    change = {**unseen, "seed": "all", "detector": "two", "baseline": "pixel", "value": 0.111, "low": 0.052}
    change |= {"high": 0.173, "p": 0.021, "p_holm": 0.042, "detectable": 0.083}
    pd.DataFrame([change]).to_csv(folder / "differences.csv", index=False)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(folder / "a.png")
    error = {"track": "raw", "detector": "two", "kind": "missed", "rank": 1, "path": "a.png", "logit": -3.0}
    pd.DataFrame([error]).to_csv(folder / "errors.csv", index=False)
    (folder / "curves.csv").write_text("")
    return folder


def test_page_needs_nothing_outside_and_escapes_names(tmp_path: Path) -> None:
    page, text = write_report(make_folder(tmp_path))
    content = page.read_text()
    assert not re.search(r'<script|<link|@import|(?:src|href)="(?!data:|#)', content)
    assert "<b>" not in content
    assert "<b>" not in text.read_text()
    assert "d1gest" in content
    assert "fakefreq benchmark m.csv" in content
    assert r"<b>gan\_1\&" in (tmp_path / "tables" / "metrics.tex").read_text()


def test_every_interval_shown_is_in_a_table(tmp_path: Path) -> None:
    page, text = write_report(make_folder(tmp_path))
    known = set()
    for name in ("summary", "differences"):
        for row in pd.read_csv(tmp_path / f"{name}.csv").itertuples():
            numbers = [float(str(getattr(row, column))) for column in ("value", "low", "high")]
            known |= {f"{number:{sign}.3f}" for number in numbers for sign in ("", "+")}
    for path in (page, text):
        shown = re.findall(r"([-+]?\d\.\d{3}) \[([-+]?\d\.\d{3}), ([-+]?\d\.\d{3})\]", path.read_text())
        assert shown
        assert {number for found in shown for number in found} <= known
        assert "+0.111 [+0.052, +0.173]" in path.read_text()


@pytest.mark.slow
def test_images_are_shown_only_when_asked_for(tmp_path: Path) -> None:
    with_images = write_report(make_folder(tmp_path), images=True)[0].read_text()
    assert "must not be redistributed" in with_images
    assert "a.png" in with_images
    assert "a.png" not in write_report(tmp_path)[0].read_text()
    (tmp_path / "a.png").unlink()
    assert "1 images were not found" in write_report(tmp_path, images=True)[0].read_text()


def test_absent_tables_are_left_out_and_no_benchmark_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no benchmark\.json"):
        write_report(tmp_path)
    (tmp_path / "benchmark.json").write_text("{}")
    content = write_report(tmp_path)[0].read_text()
    assert "No difference in AUC" in content
    assert "ROC" not in content


@pytest.mark.parametrize("name", ["null", "NA", "None"])
def test_a_generator_may_be_called_as_nothing_is_written(name: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for table in ("summary", "matrix", "differences"):
        path = folder / f"{table}.csv"
        path.write_text(path.read_text().replace(NAME, name).replace(",two,", ",None,"))
    page, text = write_report(folder)
    assert f"| {name} |" in text.read_text() and "| None |" in text.read_text()
    assert f">{name}<" in page.read_text()
