"""A second index reads only what changed, and a killed worker stops it in one line."""

import json
import os
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.data.images.headers import header
from fakefreq.data.index import probe
from fakefreq.data.manifest import table as manifest_table
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from tests.helpers.photo_files import photo, save, small_set


def test_a_second_index_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_set(tmp_path / "set")
    read: list[str] = []
    original = header.read_file_and_stamp

    def counting(path: str | Path) -> tuple[bytes, tuple[int, int, int]]:
        read.append(Path(path).name)
        return original(path)

    monkeypatch.setattr(probe, "read_file_and_stamp", counting)
    bad = root / "gan" / "1_fake" / "zz.jpg"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        index_folder(root, tmp_path / "m.csv", jobs=1)
    assert len(read) == 13
    bad.unlink()
    read.clear()
    first, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    assert read == []  # what the stopped run had read is known
    save(root / "gan" / "0_real" / "0_real1.jpg", photo(77))
    save(root / "gan" / "0_real" / "new.jpg", photo(78))
    second, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    assert sorted(read) == ["0_real1.jpg", "new.jpg"]
    fresh, _ = index_folder(root, tmp_path / "m.csv", jobs=1, fresh=True)
    pd.testing.assert_frame_equal(second, fresh)
    assert len(first) == 12
    (next(tmp_path.glob(".m.csv.cache-v*.sqlite"))).write_bytes(b"rubbish" * 1000)
    pd.testing.assert_frame_equal(index_folder(root, tmp_path / "m.csv", jobs=1)[0], fresh)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_known_is_found_also_when_files_come_and_go_and_an_index_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    root, path = small_set(tmp_path / "set", 12), tmp_path / "m.csv"
    monkeypatch.setattr(probe, "CHUNK", 5)
    monkeypatch.setattr(probe, "WORTH_A_POOL", 0)
    index_folder(root, path, jobs=jobs)
    # All chunks shift by a new file at the front; one more is gone, and the last one stops the index.
    save(root / "gan" / "0_real" / "0_new.jpg", photo(300))
    (root / "gan" / "0_real" / "0_real3.jpg").unlink()
    bad = root / "gan" / "1_fake" / "zz.jpg"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        index_folder(root, path, jobs=jobs)
    bad.unlink()
    read: list[str] = []
    original = header.read_file_and_stamp

    def counting(path: str | Path) -> tuple[bytes, tuple[int, int, int]]:
        read.append(Path(path).name)
        return original(path)

    monkeypatch.setattr(probe, "read_file_and_stamp", counting)
    again, _ = index_folder(root, path, jobs=1)
    assert read == []
    fresh, _ = index_folder(root, path, jobs=1, fresh=True)
    pd.testing.assert_frame_equal(again, fresh)
    with sqlite3.connect(next(tmp_path.glob(".m.csv.cache-v*.sqlite"))) as database:
        kept = [name for (stamps,) in database.execute("SELECT stamps FROM chunks") for name in json.loads(stamps)[0]]
        assert len(kept) == len(set(kept)) == 24  # what is gone is forgotten, nothing is kept twice
        database.execute("UPDATE chunks SET columns = '{\"format\": [1]}'")
    database.close()
    read.clear()
    pd.testing.assert_frame_equal(index_folder(root, path, jobs=1)[0], fresh)
    assert len(read) == 24  # damaged entries are read anew


def test_ascending_is_found_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_table, "_PIECE", 3)
    for texts, ascends, strictly in (
        (["a", "b", "c", "d", "e"], True, True),
        (["a", "b", "c", "c", "e"], True, False),
        (["a", "b", "c", "b", "e"], False, False),
        (["a", "a"], True, False),
        (["b", "a"], False, False),
        ([], True, True),
    ):
        column = pd.Series(texts, dtype="str")
        assert manifest_table.is_ascending(column) is ascends
        assert manifest_table.is_ascending(column, strictly=True) is strictly


def die(*_: object) -> None:
    os._exit(9)


def test_a_killed_worker_is_one_line_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_set(tmp_path / "set")
    monkeypatch.setattr(probe, "WORTH_A_POOL", 0)
    monkeypatch.setattr(probe, "CHUNK", 4)
    monkeypatch.setattr(probe, "probe_chunk", die)
    with pytest.raises(UserError, match="a reading process was killed"):
        index_folder(root, tmp_path / "m.csv", jobs=2)
    assert not (tmp_path / "m.csv").exists()
