"""Paths in a manifest lead to the images, also where its folder lies behind a symbolic link."""

import os
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.images.decode import read_image
from fakefreq.data.manifest.places import PathsFrom, absolute
from fakefreq.data.manifests import index_folder, move_paths, read_manifest
from tests.helpers.photo_files import small_set


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which `runs` names a folder three levels down."""
    (tmp_path / "scratch" / "deep" / "x").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "scratch" / "deep" / "x", target_is_directory=True)
    small_set(tmp_path / "faces")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("linked")
def test_index_and_edits_write_paths_that_lead_out_of_a_linked_folder() -> None:
    assert main(["index", "faces", "--out", "runs/faces.csv"]) == 0
    assert main(["index", "faces", "--out", "plain.csv"]) == 0
    assert main(["split", "plain.csv", "--out", "runs/split.csv"]) == 0
    assert main(["manifest", "filter", "plain.csv", "--where", "label=0", "--out", "runs/reals.csv"]) == 0
    assert main(["manifest", "merge", "runs/reals.csv", "plain.csv", "--out", "runs/merged.csv"]) == 0
    assert main(["manifest", "merge", "runs/faces.csv", "plain.csv", "--out", "both.csv"]) == 0
    for name in ("faces", "split", "reals", "merged"):
        assert main(["manifest", "check", f"runs/{name}.csv", "--files"]) == 0
        paths = read_manifest(f"runs/{name}.csv")["path"]
        assert all(path.startswith("../../../faces/gan/") for path in paths)
    assert read_manifest("both.csv")["path"].tolist() == read_manifest("plain.csv")["path"].tolist()


def test_images_below_a_linked_folder_and_linked_images_keep_their_names(linked: Path) -> None:
    small_set(linked / "store")
    (linked / "runs" / "set").mkdir()
    (linked / "runs" / "set" / "gan").symlink_to(linked / "store" / "gan", target_is_directory=True)
    manifest, _ = index_folder("runs/set", "runs/m.csv", jobs=1)
    assert manifest["path"].iloc[0] == "set/gan/0_real/0_real0.jpg"
    outside, _ = index_folder("runs/set", "m.csv", jobs=1)
    assert outside["path"].iloc[0] == "runs/set/gan/0_real/0_real0.jpg"
    file = linked / "faces" / "gan" / "0_real" / "0_real0.jpg"
    file.rename(linked / "elsewhere.jpg")
    file.symlink_to(linked / "elsewhere.jpg")
    for out, prefix in (("runs/f.csv", "../../../faces"), ("f.csv", "faces")):
        manifest, _ = index_folder("faces", out, jobs=1)
        assert manifest["path"].iloc[0] == f"{prefix}/gan/0_real/0_real0.jpg"
        assert all(read_image(Path(out).parent / path).size for path in manifest["path"])


def test_a_linked_home_changes_nothing(linked: Path) -> None:
    home = linked / "home"
    home.symlink_to(linked / "scratch", target_is_directory=True)
    assert PathsFrom(home / "out")(str(home / "faces" / "a.png")) == "../faces/a.png"
    assert PathsFrom(home)(str(home / "faces" / "a.png")) == "faces/a.png"


@pytest.mark.parametrize("there", ["", "runs", "faces", "scratch/deep", "runs/new/folder"])
@pytest.mark.parametrize("here", ["", "runs", "runs/..", "scratch/../runs", "scratch/deep"])
def test_moved_paths_name_the_same_files(linked: Path, here: str, there: str) -> None:
    (linked / "runs" / "new" / "folder").mkdir(parents=True)
    (linked / "scratch" / "deep" / "faces").symlink_to(linked / "faces", target_is_directory=True)
    root = Path(here).resolve()
    for path in ("faces/gan/0_real/0_real0.jpg", "a.png", f"{os.path.relpath(linked / 'faces', root)}/a.png"):
        table = pd.DataFrame({"path": [path]})
        moved = move_paths(table, here, there)["path"].iloc[0]
        assert not moved.startswith("/")
        assert (linked / there / moved).resolve() == (linked / here / path).resolve()
        assert Path(absolute(f"{linked}/{there}/{moved}")).resolve() == (linked / here / path).resolve()
    assert move_paths(pd.DataFrame({"path": ["/a/b.png"]}), here, there)["path"].tolist() == ["/a/b.png"]


def test_a_way_up_from_a_link_is_the_system_s(linked: Path) -> None:
    (linked / "scratch" / "deep" / "faces").mkdir()
    assert absolute("runs/../faces/a.png") == f"{linked}/scratch/deep/faces/a.png"
    assert absolute("faces/../runs/a.png") == f"{linked}/runs/a.png"
    assert PathsFrom("runs")("runs/../faces/a.png") == "../faces/a.png"
    assert PathsFrom("runs/..")("faces/a.png") == "../../faces/a.png"
