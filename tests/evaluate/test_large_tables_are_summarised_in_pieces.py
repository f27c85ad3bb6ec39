"""A table of scores of any size is read once and in pieces; what comes out is what the metrics say of each cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.evaluate import summarise
from fakefreq.evaluate.metrics import auc, best_threshold, false_positive_rate
from fakefreq.evaluate.statistics import delong_interval
from fakefreq.evaluate.store import append_tables, has_parquet, read_table, table_path, write_table
from fakefreq.evaluate.summarise import cells_of, summarise_scores
from tests.helpers.drawn_scores import draw_benchmark, draw_cell

SUFFIXES = [".csv", pytest.param(".parquet", marks=pytest.mark.skipif(not has_parquet(), reason="no pyarrow"))]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("batch", [7, 100_000])
def test_each_cell_is_measured_wherever_the_pieces_end(
    suffix: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summarise, "BATCH", batch)
    path = draw_benchmark(tmp_path, seeds=(0,), suffix=suffix)
    assert [name for name, _ in cells_of(path)] == [
        f"{detector}-{name}-0" for name in ("alpha", "beta", "gamma") for detector in ("pixel", "two_stream")
    ]
    table: Any = summarise_scores(path).set_index(["cell", "test", "metric"])
    assert len(table) == 6 * (3 * 15 + 1)
    cell: Any = draw_cell("beta", "two_stream", 0)
    test, val = (cell[cell["role"] == role] for role in ("test", "val"))
    part = test[test["subset"] == "gamma"]
    row: Any = table.loc[("two_stream-beta-0", "gamma", "auc")]
    assert row["value"] == pytest.approx(auc(part["label"], part["logit"]), abs=1e-8)
    assert (row["low"], row["high"]) == pytest.approx(delong_interval(part["label"], part["logit"], part["group"]))
    assert (row["n_real"], row["n_fake"]) == (40, 40)
    threshold = best_threshold(val["label"], val["logit"])
    control = test[test["subset"] == "control"]
    expected = false_positive_rate(control["label"], control["logit"], threshold)
    assert table.loc[("two_stream-beta-0", "control", "fpr"), "value"] == pytest.approx(expected)
    few: Any = table.loc[("two_stream-beta-0", "gamma", "tpr_at_fpr_01")]
    assert np.isnan(few["value"]) and few["note"] == "needs 1000 reals, there are 40"


def test_without_validation_rows_there_is_no_threshold(tmp_path: Path) -> None:
    cell = draw_cell("alpha", "pixel", 0)
    write_table(cell[cell["role"] == "test"], tmp_path / "scores.csv")
    table: Any = summarise_scores(tmp_path / "scores.csv").set_index(["test", "metric"])
    assert np.isnan(table.loc[("beta", "accuracy"), "value"])
    assert "no validation rows" in table.loc[("beta", "accuracy"), "note"]
    assert 0.5 < table.loc[("beta", "auc"), "value"] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pd.concat([table, draw_cell("beta", "pixel", 0), table]), "do not lie below each other"),
        (lambda table: table.assign(logit=table["logit"].where(table.index != 60)), "not finite"),
        (lambda table: table.drop(columns="role"), "role"),
        (lambda table: table.iloc[:0], "holds no score"),
        (lambda table: table.assign(label=table["label"].where(table["subset"] != "beta", 2)), "labels are 0"),
    ],
)
def test_tables_that_cannot_be_summarised_are_named(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, tmp_path: Path
) -> None:
    write_table(change(draw_cell("alpha", "pixel", 0)), tmp_path / "scores.csv")
    with pytest.raises(UserError, match=message):
        summarise_scores(tmp_path / "scores.csv")
    with pytest.raises(UserError, match="missing"):
        summarise_scores(tmp_path / "none.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_the_same_after_its_file(suffix: str, tmp_path: Path) -> None:
    table = draw_cell("alpha", "pixel", 0).reset_index(drop=True)
    write_table(table, tmp_path / f"whole{suffix}")
    append_tables(iter([table.iloc[:30], table.iloc[30:31], table.iloc[31:]]), tmp_path / f"parts{suffix}")
    for name in ("whole", "parts"):
        stored = read_table(tmp_path / f"{name}{suffix}")
        np.testing.assert_allclose(stored["logit"], table["logit"], rtol=1e-8)
        for column in ("cell", "role", "path", "sha256", "generator", "group"):
            assert stored[column].astype(str).tolist() == table[column].tolist(), column
        assert isinstance(stored["detector"].dtype, pd.CategoricalDtype)
        assert stored["label"].tolist() == table["label"].tolist()
    assert list(read_table(tmp_path / f"whole{suffix}", ["path", "logit"])) == ["path", "logit"]
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writing_that_fails_leaves_the_old_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scores{suffix}"
    write_table(draw_cell("alpha", "pixel", 0), path)
    before = path.read_bytes()

    def broken() -> "object":
        yield draw_cell("beta", "pixel", 0)
        raise RuntimeError("a cell is gone")

    with pytest.raises(RuntimeError, match="a cell is gone"):
        append_tables(broken(), path)  # type: ignore[arg-type]
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_file_that_is_there_is_taken_and_damage_is_named(tmp_path: Path) -> None:
    expected = "scores.parquet" if has_parquet() else "scores.csv"
    assert table_path(tmp_path).name == expected
    write_table(draw_cell("alpha", "pixel", 0), tmp_path / "scores.csv")
    assert table_path(tmp_path).name == "scores.csv"
    with pytest.raises(UserError, match="are missing"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UserError, match="cannot read the scores"):
        read_table(tmp_path / "scores.csv", ["path", "colour"])
    if has_parquet():
        (tmp_path / "bad.parquet").write_bytes(b"PAR1 cut off")
        with pytest.raises(UserError, match="cannot read the scores"):
            read_table(tmp_path / "bad.parquet")
