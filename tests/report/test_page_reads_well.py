"""Choices of the benchmark's page that a reader would miss: the audit's verdict, robustness, narrow tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.report.figures import robustness_figure
from fakefreq.report.page import audit_lines, headline, robustness_rows, write_report
from fakefreq.report.tables import Shown, read_benchmark, without_constants
from tests.report.test_page import make_folder


def sweep() -> pd.DataFrame:
    where = {"protocol": "matrix", "track": "raw", "train_on": "a", "test": "mean of unseen", "metric": "auc"}
    rows = []
    for detector, start in (("pixel", 0.8), ("two", 0.7)):
        for side, slope in (("both", 0.001), ("fakes", 0.002), ("reals", -0.002)):
            for seed in ("0", "1", "all"):
                for family, levels in (("jpeg", (30, 60, 90)), ("noise", (4,))):
                    for level in levels:
                        value = start - slope * (100 - level)
                        row: dict[str, object] = {
                            **where,
                            "detector": detector,
                            "applied_to": side,
                            "seed": seed,
                            "family": family,
                        }
                        row |= {"level": level, "value": value, "low": value - 0.05, "high": value + 0.03}
                        rows.append(row | {"difference": value - start})
    return pd.DataFrame(rows)


def test_robustness_is_drawn_of_all_seeds_together_on_one_scale() -> None:
    chosen = robustness_rows(sweep())
    assert set(chosen["seed"]) == {"all"} and set(chosen["family"]) == {"jpeg"}  # one level alone is no curve
    figure = robustness_figure(chosen, "jpeg")
    assert [axes.get_title() for axes in figure.axes] == ["both classes", "fakes only", "reals only"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes, slope in zip(figure.axes, (0.001, 0.002, -0.002), strict=True):
        lines = [(np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)) for line in axes.lines]
        for start in (0.8, 0.7):
            assert any(len(x) == 3 and np.allclose(y, start - slope * (100 - x)) for x, y in lines)
            assert any(len(x) == 2 and np.allclose(y, start) for x, y in lines)  # dotted: the images as they are


def test_the_audit_beside_the_manifest_speaks_in_the_report(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    assert audit_lines(read_benchmark(folder)) == [
        "Track raw: there is no audit beside its manifest; `fakefreq audit` makes one."
    ]
    findings = [{"part": "header", "verdict": "fail", "reasons": ["file size tells <all>"]}]
    findings += [{"part": "balance", "verdict": "pass", "reasons": []}]
    (folder / "audit").mkdir()
    for digest, words in (("d1gest", "the audit says fail. header"), ("0ther", "of another state of the manifest")):
        audit = {"verdict": "fail", "findings": findings, "manifest": {"digest": digest}}
        (folder / "audit" / "audit.json").write_text(json.dumps(audit))
        page, text = (path.read_text() for path in write_report(folder))
        assert words in page and words in text
        assert "file size tells &lt;all&gt;" in page and "<all>" not in page + text
    (folder / "audit" / "audit.json").write_text("{}")
    assert "there is no audit" in audit_lines(read_benchmark(folder))[0]


def test_columns_of_one_value_move_into_the_title_of_what_is_read_not_of_what_is_exported(tmp_path: Path) -> None:
    item = Shown("t", "T", ["protocol", "track", "test"], [["matrix", "raw", "a"], ["matrix", "aligned", "a"]])
    narrow = without_constants(item)
    assert narrow.title == "T; protocol matrix"
    assert narrow.header == ["track", "test"] and narrow.rows == [["raw", "a"], ["aligned", "a"]]
    folder = make_folder(tmp_path)
    write_report(folder)
    assert list(pd.read_csv(folder / "tables" / "metrics.csv"))[:4] == ["protocol", "track", "train_on", "detector"]


def test_the_mean_over_training_sets_is_called_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    table = pd.read_csv(folder / "differences.csv").assign(train_on="(each)")
    table.to_csv(folder / "differences.csv", index=False)
    assert "raw, mean over the training sets: on unseen" in headline(read_benchmark(folder))[0]
