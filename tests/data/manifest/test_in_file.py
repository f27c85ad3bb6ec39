"""Rows that stay in their Parquet file: the same table, digest and refusals as where they are read whole."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakefreq.config.input import InputConfig
from fakefreq.data.loading.cache import reflected_line
from fakefreq.data.manifest import in_file
from fakefreq.data.manifest.in_file import rows_in_file
from fakefreq.data.manifests import COLUMNS, manifest_digest, read_manifest, write_manifest
from fakefreq.errors import UserError

pyarrow = pytest.importorskip("pyarrow", reason="needs Parquet: pip install 'fakefreq[large]'")


def made(count: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"path": [f"images/{number:07d}.jpg" for number in range(count)]})
    table["label"] = random.integers(0, 2, count)
    table["generator"] = np.where(table["label"] == 1, "größe", "")
    table["subset"], table["group"] = "a", random.integers(0, 99, count).astype(str)
    table["width"], table["height"] = random.choice([64, 300], count), 300
    table["sha256"] = [f"{number:064x}" for number in random.integers(0, 2**40, count)]
    return table


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of some groups of rows, which are read in pieces."""
    from fakefreq.data.manifest import table

    monkeypatch.setattr(table, "GROUP_ROWS", 200)
    monkeypatch.setattr(in_file, "GROUP_ROWS", 70)
    write_manifest(made(1000), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_the_rows_are_those_of_the_table(path: Path) -> None:
    whole, rows = read_manifest(path), rows_in_file(path)
    assert rows is not None and len(rows) == len(whole) == 1000
    assert rows.digest == manifest_digest(whole)
    pd.testing.assert_frame_equal(rows.read()[COLUMNS], whole, check_dtype=False)
    for start, stop in ((0, 1), (69, 71), (130, 730), (995, 2000), (1000, 1001)):
        part = rows[start:stop]
        assert len(part) == len(whole.iloc[start:stop])
        found = part.read()
        assert found["path"].tolist() == whole["path"].iloc[start:stop].tolist()
        assert (found["manifest"] == rows.digest).all()
        assert rows[100:800][start:stop].read()["path"].tolist() == whole["path"].iloc[100:800][start:stop].tolist()
    expected = int(pd.util.hash_pandas_object(whole["path"], index=False).sum())
    assert rows.hash_of_paths() == expected
    config = InputConfig(crop=224)
    assert reflected_line(rows.sizes(), config, "x") == reflected_line(whole, config, "x") != ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "train"}, ""),
        ({"label": "x"}, "the label of"),
        ({"path": "images/same.jpg"}, "lists images/same.jpg"),
        ({"generator": "another"}, "was changed since fakefreq wrote it"),
    ],
)
def test_what_only_the_whole_table_tells_is_left_to_it(path: Path, change: dict[str, str], message: str) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    frame = table.to_pandas().assign(**change)
    if "split" in change:
        write_manifest(frame, path)
    else:
        metadata = {b"fakefreq_seal": table.schema.metadata[b"fakefreq_seal"]}
        pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame).replace_schema_metadata(metadata), path)
    assert rows_in_file(path) is None
    if message:
        with pytest.raises(UserError, match=message):
            read_manifest(path)
    else:
        assert len(read_manifest(path)) == 1000


def test_rows_in_another_order_are_read_whole(path: Path) -> None:
    frame = read_manifest(path)
    write_manifest(frame.iloc[::-1], path)
    assert rows_in_file(path) is None
    assert manifest_digest(read_manifest(path)) == manifest_digest(frame)


def test_csv_and_what_is_not_there_are_left_to_read_manifest(path: Path) -> None:
    write_manifest(read_manifest(path), path.with_suffix(".csv"))
    assert rows_in_file(path.with_suffix(".csv")) is None
    assert rows_in_file(path.with_name("none.parquet")) is None
    content = bytearray(path.read_bytes())
    content[100:900] = bytes(800)  # the end, which says what is where, stays whole
    for damaged in (content, b"no Parquet"):
        path.write_bytes(damaged)
        assert rows_in_file(path) is None
        with pytest.raises(UserError):
            read_manifest(path)
