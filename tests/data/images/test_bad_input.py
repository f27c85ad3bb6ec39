"""Whatever lies in a folder is used, or counted and listed with its reason; nothing crashes, nothing is lost."""

import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fakefreq.data.images.decode import read_bytes, read_image
from fakefreq.data.images.headers.header import probe_header
from fakefreq.data.index.folders import read_layout
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError

WHOLE = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))[1].tobytes()


def with_size(width: int, height: int) -> bytes:
    return WHOLE[:16] + struct.pack(">II", width, height) + WHOLE[24:]


# What a file holds -> what is said of it.
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "text": (b"<html>404</html>", "not an image that is known here"),
    "truncated_png": (WHOLE[:-20], "the PNG file is cut"),
    "truncated_jpeg": (JPEG[:-200], "the JPEG file is cut"),
    "cut_header": (JPEG[:30], "its header is cut or damaged"),
    "zero_pixels": (with_size(0, 40), "its header says 0x40 pixels"),
    "bomb": (with_size(30_000, 30_000), "30000x30000 pixels are above the limit"),
    "heic": (struct.pack(">I4s4s", 24, b"ftyp", b"heic") + b"\0" * 12, "HEIC is not read here"),
    "avif": (struct.pack(">I4s4s", 24, b"ftyp", b"avif") + b"\0" * 12, "its header is cut or damaged"),
}


def good_set(root: Path, count: int = 3) -> Path:
    for kind in ("real", "fake"):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            seed = number + 100 * (kind == "fake")
            pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
            assert cv2.imwrite(str(root / kind / f"{kind}{number}.png"), pixels)
    return root


def stopped(root: Path, out: Path) -> str:
    """Index must stop: return its one line."""
    with pytest.raises(UserError) as caught:
        index_folder(root, out)
    assert not out.exists()
    return str(caught.value)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_bad_file_stops_with_its_name_or_is_skipped_and_listed(kind: str, tmp_path: Path) -> None:
    root, out = good_set(tmp_path / "set"), tmp_path / "m.csv"
    content, reason = REFUSED[kind]
    (root / "real" / f"{kind}.jpg").write_bytes(content)
    line = stopped(root, out)
    assert f"{kind}.jpg: {reason}" in line and "--on-error skip" in line
    manifest, skipped = index_folder(root, out, on_error="skip")
    assert len(manifest) == 6 and len(skipped) == 1
    listed = pd.read_csv(tmp_path / "skipped.csv")
    assert listed["path"].tolist() == [str(root / "real" / f"{kind}.jpg")]
    assert reason in listed["reason"][0]


def test_all_of_them_at_once_are_each_listed_and_nothing_is_lost(tmp_path: Path) -> None:
    root = good_set(tmp_path / "set")
    for kind, (content, _) in REFUSED.items():
        (root / "fake" / f"{kind}.png").write_bytes(content)
    manifest, skipped = index_folder(root, tmp_path / "m.csv", on_error="skip")
    assert len(manifest) + len(skipped) == len(read_layout(root).entries) == 6 + len(REFUSED)


def odd(kind: str) -> bytes:
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    rgb = image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    if kind == "animated_gif":
        rgb.quantize(16).save(file, "GIF", save_all=True, append_images=[rgb.rotate(90).quantize(16)])
    elif kind == "cmyk":
        rgb.convert("CMYK").save(file, "JPEG")
    elif kind == "palette":
        rgb.quantize(16).save(file, "PNG")
    elif kind == "alpha":
        rgb.convert("RGBA").save(file, "PNG")
    elif kind == "progressive":
        rgb.save(file, "JPEG", progressive=True)
    else:
        image.fromarray(np.random.default_rng(1).integers(0, 65536, (24, 24), dtype=np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["animated_gif", "cmyk", "palette", "alpha", "deep", "progressive"])
def test_odd_but_good_images_are_used_under_a_wrong_name_too(kind: str, tmp_path: Path) -> None:
    root = good_set(tmp_path / "set")
    (root / "real" / "odd.bmp").write_bytes(odd(kind))
    manifest, skipped = index_folder(root, tmp_path / "m.csv")
    assert not skipped
    row = manifest[manifest["path"] == "set/real/odd.bmp"].iloc[0]
    assert (row["format"], row["mode"]) == {
        "animated_gif": ("gif", "palette"),
        "cmyk": ("jpeg", "cmyk"),
        "palette": ("png", "palette"),
        "alpha": ("png", "rgba"),
        "deep": ("png", "gray16"),
        "progressive": ("jpeg", "rgb"),
    }[kind]
    assert row["progressive"] == int(kind == "progressive")
    pixels = read_image(root / "real" / "odd.bmp")
    assert pixels.shape == (24, 24, 3) and pixels.dtype == np.uint8


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.gif"
    frames = [image.new("P", (8, 8), 0), image.new("P", (8, 8), 1)]
    for frame in frames:
        frame.putpalette([255, 0, 0, 0, 0, 255])
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path)[4, 4].tolist() == [255, 0, 0]


def test_names_with_newlines_commas_quotes_and_any_script_survive_the_table(tmp_path: Path) -> None:
    root = good_set(tmp_path / "set")
    names = [
        "line\nbreak.png",
        'a,"b".png',
        "été 中文 🙂.png",
        " spaces .png",
        "carriage\rreturn.png",
        "#x.png",
        "=1+1.png",
    ]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(500 + number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        (root / "real" / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    manifest, _ = index_folder(root, tmp_path / "m.csv")
    back = read_manifest(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(back, manifest)
    assert {Path(path).name for path in back["path"]} >= set(names)
    assert all(read_bytes(tmp_path / path) for path in back["path"])


def no_utf8(folder: Path) -> str:
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.png")).write_bytes(WHOLE)
    return "its name is not UTF-8"


def broken_link(folder: Path) -> str:
    (folder / "broken.png").symlink_to(folder / "absent.png")
    return "is a link that leads to no file"


def looping_link(folder: Path) -> str:
    (folder / "loop.png").symlink_to(folder / "loop.png")
    return "cannot be read (Too many levels of symbolic links)"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.png")
    return "is no regular file but a pipe or a device"


def forbidden(folder: Path) -> str:
    path = folder / "forbidden.png"
    if os.geteuid():
        path.write_bytes(WHOLE)
        path.chmod(0)
        return "cannot be read (Permission denied)"
    path.symlink_to("/proc/self/mem")  # root may read every file but this
    return "cannot be read (Input/output error)"


@pytest.mark.parametrize("plant", [no_utf8, broken_link, looping_link, pipe, forbidden])
def test_what_the_file_system_spoils_is_listed(plant: Callable[[Path], str], tmp_path: Path) -> None:
    root = good_set(tmp_path / "set")
    reason = plant(root / "real")
    assert reason in stopped(root, tmp_path / "m.csv")
    manifest, skipped = index_folder(root, tmp_path / "m.csv", on_error="skip")
    assert len(manifest) == 6
    assert len(skipped) == 1 and reason in skipped[0][1]
    assert reason in (tmp_path / "skipped.csv").read_text(encoding="utf-8")


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    elsewhere = good_set(tmp_path / "elsewhere")
    root = tmp_path / "set"
    root.mkdir()
    for kind in ("real", "fake"):
        (root / kind).symlink_to(elsewhere / kind, target_is_directory=True)
    (elsewhere / "real" / "up").symlink_to(root, target_is_directory=True)
    (root / "again").symlink_to(elsewhere / "real", target_is_directory=True)
    with pytest.raises(UserError, match="again/real0.png lies in no folder named real or fake"):
        read_layout(root)
    (root / "again").unlink()
    assert len(read_layout(root).entries) == 6
    (root / "fake" / "real_too").symlink_to(elsewhere / "real", target_is_directory=True)
    assert len(read_layout(root).entries) == 6


def test_the_same_bytes_with_both_labels_name_both_files(tmp_path: Path) -> None:
    root = good_set(tmp_path / "set")
    (root / "fake" / "copy.png").write_bytes((root / "real" / "real0.png").read_bytes())
    line = stopped(root, tmp_path / "m.csv")
    assert "fake/copy.png" in line and "real/real0.png" in line
    manifest, skipped = index_folder(root, tmp_path / "m.csv", on_error="skip")
    assert {Path(path).name for path, _ in skipped} == {"copy.png", "real0.png"}
    assert len(manifest) == 5


def test_a_tar_with_unsafe_members_says_so_and_a_packed_or_cut_one_too(tmp_path: Path) -> None:
    shard = tmp_path / "set" / "a.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as archive:
        for name in ("real/a.png", "/etc/x.png", "../../y.png", "fake/b.png", "fake/../../z.png"):
            info = tarfile.TarInfo(name)
            info.size = len(WHOLE) + (name == "fake/b.png")
            archive.addfile(info, io.BytesIO(WHOLE + b"\0"))
    assert "an absolute name or '..' in a tar is refused" in stopped(shard.parent, tmp_path / "m.csv")
    manifest, skipped = index_folder(shard.parent, tmp_path / "m.csv", on_error="skip")
    assert manifest["path"].tolist() == ["set/a.tar::fake/b.png", "set/a.tar::real/a.png"]
    assert [path.split("::")[1] for path, _ in skipped] == ["/etc/x.png", "../../y.png", "fake/../../z.png"]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:1200])
    with pytest.raises(UserError):
        index_folder(shard.parent, tmp_path / "m.csv", on_error="skip", allow_one_class=True)
    import gzip

    shard.write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match="not an uncompressed tar"):
        index_folder(shard.parent, tmp_path / "m.csv")


def test_metadata_is_read_where_it_is_there(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    cms = pytest.importorskip("PIL.ImageCms")
    png = pytest.importorskip("PIL.PngImagePlugin")
    picture = image.new("RGB", (8, 8))
    exif = image.Exif()
    exif[0x131] = "GIMP 2.10.30"
    profile = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    text = png.PngInfo()
    text.add_text("Software", "Adobe ImageReady")
    picture.save(tmp_path / "a.jpg", exif=exif, icc_profile=profile)
    picture.save(tmp_path / "a.webp", exif=exif, icc_profile=profile)
    picture.save(tmp_path / "a.tiff", icc_profile=profile, software="scanner")
    picture.save(tmp_path / "a.png", pnginfo=text)
    assert probe_header(tmp_path / "a.jpg").software == "GIMP 2.10.30"
    assert probe_header(tmp_path / "a.webp").software == "GIMP 2.10.30"
    assert probe_header(tmp_path / "a.png").software == "Adobe ImageReady"
    assert probe_header(tmp_path / "a.tiff").software == "scanner"
    for name in ("a.jpg", "a.webp", "a.tiff"):
        assert "sRGB" in probe_header(tmp_path / name).icc
    assert probe_header(tmp_path / "a.png").icc == ""
