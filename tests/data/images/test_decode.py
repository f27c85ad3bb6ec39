"""Alpha, orientation, depth and damage are treated alike in all formats; Pillow says what is right."""

import io
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakefreq.data.images.decode import check_image, decode_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from tests.helpers.image_corpus import corpus, deep_corpus, oracle, png_chunk, saved, with_chunk

CORPUS = corpus()
DEEP = deep_corpus()


@pytest.mark.parametrize("name", CORPUS)
def test_every_mode_format_and_orientation_comes_out_as_pillow_has_it(name: str) -> None:
    content = CORPUS[name]
    found, expected = decode_image(name, content), oracle(content)
    assert found.dtype == np.uint8 and found.flags.c_contiguous and found.flags.writeable
    assert found.shape == expected.shape
    assert int(np.abs(found.astype(int) - expected.astype(int)).max()) <= 1
    facts = check_image(name, content)
    assert facts.format == name.split()[0]
    assert sorted((facts.width, facts.height)) == sorted(expected.shape[1::-1])


@pytest.mark.parametrize("name", DEEP)
def test_16_bits_of_all_kinds_are_rounded(name: str) -> None:
    content, expected = DEEP[name]
    found = decode_image(name, content)
    assert found.shape == expected.shape
    assert int(np.abs(found.astype(int) - expected.astype(int)).max()) <= (1 if "rgba" in name else 0)


def refused(name: str, content: bytes) -> str:
    """Index and decoder must both refuse: return the decoder's one line."""
    with pytest.raises(ImageError):
        check_image(name, content)
    with pytest.raises(ImageError) as caught:
        decode_image(name, content)
    line = str(caught.value)
    assert line.startswith(f"{name}: ") and "\n" not in line
    return line


CUT = {name: content for name, content in CORPUS.items() if "turned" not in name and "another maximum" not in name}


@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
@pytest.mark.parametrize("name", CUT)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_cut_file_is_refused_in_every_format(name: str, share: float) -> None:
    """Of a TIFF or an animation the picture may be whole: a table behind it, or a later frame is missing."""
    content = CUT[name][: int(len(CUT[name]) * share)]
    if name.startswith("tiff") or "animated" in name:
        try:
            assert np.abs(decode_image(name, content).astype(int) - oracle(CUT[name])).max() <= 1
            return
        except ImageError:
            pass
    refused(name, content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"])
def test_one_flipped_bit_anywhere_in_a_png_is_refused(mode: str) -> None:
    content = saved(mode, "PNG")
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[random.integers(8, len(content) - 12)] ^= 1 << int(random.integers(8))
        refused("a.png", bytes(damaged))


def test_a_png_may_be_followed_by_other_bytes_but_must_hold_all_its_rows() -> None:
    content = saved("RGB", "PNG")
    assert np.array_equal(decode_image("a", content + b"more"), decode_image("a", content))
    start = content.index(b"IDAT") - 4
    short = content[:start] + png_chunk(b"IDAT", b"x\x9cc\0\0\0\1\0\1") + png_chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode_image("a", short)


def face(seed: int, side: int = 96) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side + 16, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1 + seed % 3)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def by_cv2(content: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert pixels is not None
    return pixels


CODINGS: dict[str, dict[str, object]] = {
    "4:2:0": {"quality": 85},
    "4:4:4": {"quality": 95, "subsampling": 0},
    "4:2:2": {"quality": 60, "subsampling": 1},
    "tables made for it": {"quality": 85, "optimize": True},
    "restarts": {"quality": 85, "restart_marker_blocks": 5},
}


def damaged_jpeg(kind: str, content: bytes) -> bytes:
    start = content.index(b"\xff\xda") + 14
    end = content.rindex(b"\xff\xd9")
    third = (end - start) // 3
    first, last = content[: start + third], content[start + 2 * third :]
    return {
        "zeroed": first + bytes(third) + last,
        "gone": first + last,
        "ends early": first + content[end:],
        "an end within": first + b"\xff\xd9" + last,
    }[kind]


@pytest.mark.parametrize("kind", ["zeroed", "gone", "ends early", "an end within"])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_jpeg_whose_data_are_damaged_is_refused_with_its_name(coding: str, kind: str) -> None:
    for seed in range(10):
        content = damaged_jpeg(kind, jpeg(face(seed), **CODINGS[coding]))
        with pytest.raises(ImageError, match=r"^a\.jpg: the JPEG data are damaged"):
            decode_image("a.jpg", content)
        if kind == "zeroed":
            refused("a.jpg", content)


@pytest.mark.parametrize("kind", ["zeroed", "ends early", "an end within"])
def test_a_progressive_jpeg_with_a_hole_or_without_its_last_scans_is_refused(kind: str) -> None:
    for seed in range(10):
        with pytest.raises(ImageError, match=r"^a\.jpg: the JPEG data are damaged"):
            decode_image("a.jpg", damaged_jpeg(kind, jpeg(face(seed, side=300), quality=90, progressive=True)))


def test_a_progressive_jpeg_whose_last_bits_are_all_zero_is_good() -> None:
    """Each step of quality 75 is half of quality 50's: compressed at 50 before, all coefficients are even."""
    for seed in range(10):
        before = decode_image("a", jpeg(face(seed, side=400), quality=50, subsampling=0))
        content = jpeg(before, quality=75, subsampling=0, progressive=True)
        assert decode_image("a", content).shape == before.shape


def test_a_progressive_jpeg_with_a_damaged_length_between_its_scans_is_refused() -> None:
    content = jpeg(face(0), quality=90, progressive=True)
    scan = [found.start() for found in re.finditer(rb"\xff\xda", content)][3]
    table = content.index(b"\xff\xc4", content.index(b"\xff\xda"))
    # The last leads from a table to a marker that ends the file within itself.
    for place, length in ((scan, 0), (scan, 2), (scan, 3), (scan, 7), (scan, 9), (table, len(content) - table - 2)):
        damaged = bytearray(content + b"\xff")
        damaged[place + 2 : place + 4] = length.to_bytes(2)
        with pytest.raises(ImageError, match=r"^a\.jpg: the JPEG data are damaged"):
            decode_image("a.jpg", bytes(damaged))


@pytest.mark.parametrize("name", ["png rgb16", "png rgba16", "png I;16"])
@pytest.mark.parametrize(("kind", "chunk", "reason"), [
    (b"eXIf", b"garbage!!", "cut or damaged"), (b"tRNS", b"\0\1\2", r"\(tRNS\) has 3 bytes"),
])  # fmt: skip
def test_a_png_of_16_bits_with_a_damaged_chunk_is_refused(name: str, kind: bytes, chunk: bytes, reason: str) -> None:
    content = CORPUS[name] if name in CORPUS else DEEP[name][0]
    with pytest.raises(ImageError, match=rf"^a\.png: the PNG data cannot be decoded: .*{reason}"):
        decode_image("a.png", with_chunk(content, kind, chunk))


def test_whatever_a_decoder_raises_is_of_that_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> np.ndarray:
        raise RuntimeError("no such opcode")

    monkeypatch.setattr("fakefreq.data.images.decode.decode_by_pillow", broken)
    assert "cannot be decoded (RuntimeError: no such opcode)" in refused("a.gif", saved("P", "GIF"))


@pytest.mark.parametrize("coding", [*CODINGS, "progressive"])
def test_no_good_jpeg_is_refused_and_none_is_changed(coding: str) -> None:
    """Photographs, noise, flat and tiny pictures: to the bit what cv2 makes of the whole file."""
    options = CODINGS.get(coding, {"quality": 85, "progressive": True})
    flat = [np.full((*size, 3), value, np.uint8) for size in ((1, 1), (7, 9), (600, 500)) for value in (0, 127, 255)]
    half = np.concatenate([face(0), np.zeros((700, 112, 3), np.uint8)])
    for pixels in (*[face(seed, side) for seed in range(20) for side in (16, 65, 96)], *flat, half, half[::-1].copy()):
        content = jpeg(pixels, **options)
        appended = [content + more for more in (b"trailer" + content, bytes(2 * len(content)), b"movie" * len(content))]
        for whole in (content, content[:-2] + bytes(200) + content[-2:], *appended):
            check_image("a", whole)
            assert np.array_equal(decode_image("a", whole), by_cv2(whole))


def test_zeros_in_metadata_are_no_hole() -> None:
    exif = Image.Exif()
    exif[0x10E] = "\0" * 500 + "x"
    content = jpeg(face(0), quality=90, exif=exif, icc_profile=bytes(3000))
    assert check_image("a", content).format == "jpeg"
    assert decode_image("a", content).shape == (96, 112, 3)


@pytest.mark.slow
def test_all_faces_of_facebench_are_read_to_the_bit() -> None:
    folder = os.environ.get("FAKEFREQ_FACEBENCH")
    if not folder:
        pytest.skip("FAKEFREQ_FACEBENCH names no folder of real faces")
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".jpg", ".png"))
    assert len(files) > 1000
    for path in files[::5]:
        content = path.read_bytes()
        check_image(path, content)
        assert np.array_equal(decode_image(path, content), by_cv2(content))


def test_index_refuses_what_training_could_not_decode(tmp_path: Path) -> None:
    for kind in ("real", "fake"):
        for number in range(3):
            path = tmp_path / "set" / kind / f"{kind}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", face(number + 10 * (kind == "fake")))[1].tobytes())
    png, photo = bytearray(saved("RGB", "PNG")), damaged_jpeg("zeroed", jpeg(face(5), quality=85))
    png[len(png) // 2] ^= 1
    bad = {"flipped.png": bytes(png), "hole.jpg": photo, "cut.gif": saved("P", "GIF")[:-100]}
    bad |= {"cut.bmp": saved("RGB", "BMP")[:-100], "cut.tif": saved("RGB", "TIFF")[:-100]}
    for name, content in bad.items():
        (tmp_path / "set" / "real" / name).write_bytes(content)
    with pytest.raises(UserError, match=r"cut\.bmp"):
        index_folder(tmp_path / "set", tmp_path / "m.csv")
    manifest, _ = index_folder(tmp_path / "set", tmp_path / "m.csv", on_error="skip")
    assert len(manifest) == 6
    assert {Path(path).name for path in pd.read_csv(tmp_path / "skipped.csv")["path"]} == set(bad)
