"""The manifest as a file: columns of the user's own, and files that other programs wrote."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from fakefreq.cli import main
from fakefreq.data.manifest.in_file import rows_in_file
from fakefreq.data.manifests import index_folder, manifest_digest, read_manifest, write_manifest
from fakefreq.errors import UserError
from tests.helpers.commands import error_of
from tests.helpers.photo_files import small_set


def with_own(tmp_path: Path, suffix: str) -> Path:
    """A manifest with two columns of the user's own."""
    path = tmp_path / f"m{suffix}"
    manifest, _ = index_folder(small_set(tmp_path / "set"), path, jobs=1)
    manifest["age, in years"] = pd.Series([*range(30, 41), None], dtype=object)
    manifest["camera"] = ["Nikon, D1"] * 6 + [""] * 6
    write_manifest(manifest, path)
    return path


def own(path: Path) -> list[list[str]]:
    table = read_manifest(path, with_own=True)
    assert list(table.columns[-2:]) == ["age, in years", "camera"]
    return [
        table[name].astype(object).where(table[name].notna(), "").astype(str).tolist() for name in table.columns[-2:]
    ]


AGES = [*map(str, range(30, 41)), ""]
CAMERAS = ["Nikon, D1"] * 6 + [""] * 6


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_one_s_own_outlive_every_edit(tmp_path: Path, suffix: str) -> None:
    path = with_own(tmp_path, suffix)
    other = tmp_path / ("o.parquet" if suffix == ".csv" else "o.csv")
    half = tmp_path / f"h{suffix}"
    assert own(path) == [AGES, CAMERAS]
    assert list(read_manifest(path).columns)[-1] == "phash"
    for words in (
        ["split", str(path)],
        ["manifest", "seal", str(path)],
        ["manifest", "filter", str(path), "--where", "label=0,1", "--out", str(other)],
        ["manifest", "sample", str(path), "--count", "9", "--out", str(path)],
        ["manifest", "filter", str(path), "--where", "camera!=", "--out", str(half)],
        ["manifest", "merge", str(half), str(other), "--out", str(other)],
    ):
        assert main(words) == 0
    assert own(path) == [AGES, CAMERAS] and own(other) == [AGES, CAMERAS]
    assert own(half) == [AGES[:6], CAMERAS[:6]]
    out = tmp_path / "aligned"
    assert main(["align", str(path), "--size", "32", "--codec", "png", "--out", str(out)]) == 0
    assert sorted(own(out / "manifest.csv")[0]) == sorted(AGES)


def test_merging_fills_the_columns_of_one_s_own_and_refuses_two_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, plain, out = with_own(tmp_path, ".csv"), tmp_path / "plain.csv", tmp_path / "out.csv"
    write_manifest(read_manifest(path), plain)
    assert main(["manifest", "merge", str(plain), str(path), "--out", str(out)]) == 0
    assert own(out) == [AGES, CAMERAS] and manifest_digest(read_manifest(out)) == manifest_digest(read_manifest(plain))
    table = read_manifest(path, with_own=True)
    write_manifest(table.assign(camera="Leica"), plain)
    line = error_of(capsys, "manifest", "merge", str(plain), str(path), "--out", str(out))
    assert "two values of camera: 'Leica' and 'Nikon, D1'" in line


def test_a_column_that_was_added_to_a_sealed_manifest_needs_no_new_seal(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    index_folder(small_set(tmp_path / "set"), path, jobs=1)
    pd.read_csv(path, dtype=str, keep_default_na=False).assign(age="7").to_csv(path, index=False)
    assert main(["split", str(path)]) == 0
    assert read_manifest(path, with_own=True)["age"].tolist() == ["7"] * 12
    assert path.read_text().splitlines()[0].split(",")[-1].startswith("seal:")


def foreign(tmp_path: Path, **changed: object) -> Path:
    """A Parquet manifest as another program writes it: null where nothing is known, numbers that are names."""
    manifest, _ = index_folder(small_set(tmp_path / "set"), tmp_path / "own.csv", jobs=1)
    empty = [None] * len(manifest)
    table: dict[Any, Any] = {
        name: manifest[name].astype(object).where(manifest[name] != "", None).tolist() for name in manifest
    }
    table |= {"split": empty, "sha256": empty, "width": empty, "height": empty, "group": [*range(11), None], **changed}
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def test_empty_cells_of_other_programs_are_empty_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], logged: pytest.LogCaptureFixture
) -> None:
    path = foreign(tmp_path)
    manifest = read_manifest(path)
    assert manifest["group"].tolist() == [*map(str, range(11)), ""]
    assert set(manifest["generator"]) == {"", "gan"} and set(manifest["sha256"]) == set(manifest["split"]) == {""}
    rows = rows_in_file(path)
    assert rows is not None and rows.digest == manifest_digest(manifest)
    pd.testing.assert_frame_equal(rows.read().drop(columns="manifest"), manifest, check_dtype=False)
    assert main(["manifest", "check", str(path), "--files"]) == 0
    assert any("12 of 12 images have no sha256 to compare with" in line for line in logged.messages)
    assert any("0 files are as they were indexed" in line for line in logged.messages)
    assert main(["split", str(path)]) == 0
    (tmp_path / "set" / "gan" / "0_real" / "0_real0.jpg").unlink()
    assert "0_real0.jpg" in error_of(capsys, "manifest", "check", str(path), "--files")


def test_a_row_that_ends_early_has_empty_cells_and_one_without_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,label,generator,subset,group\na.png,0,,,1\nb.png,1,gan,gan\n")
    assert read_manifest(path)["group"].tolist() == ["1", ""]
    path.write_text("path,label,generator,subset,group\na.png,0,,,1\n,1,gan,gan,2\n")
    with pytest.raises(UserError, match=r"m\.csv has no path in row 2 of 2; fill the cell"):
        read_manifest(path)
    path = foreign(tmp_path, path=[f"{i}.png" for i in range(11)] + [None])
    assert rows_in_file(path) is None
    with pytest.raises(UserError, match="no path in row 12 of 12"):
        read_manifest(path)


def test_sizes_that_are_not_told_are_those_of_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums = index_folder(small_set(tmp_path / "set"), tmp_path / "m.csv", jobs=1)[0]["sha256"].tolist()
    path = foreign(tmp_path, sha256=sums)
    assert main(["align", str(path), "--size", "32", "--codec", "png", "--out", str(tmp_path / "small")]) == 0
    assert set(read_manifest(tmp_path / "small" / "manifest.csv")["width"]) == {32}
    line = error_of(capsys, "align", str(path), "--size", "128", "--codec", "png", "--out", str(tmp_path / "large"))
    assert "96x96 is smaller than 128" in line and "--too-small skip" in line
