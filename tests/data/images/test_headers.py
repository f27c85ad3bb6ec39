"""Headers are read right and never crash; every kind of image becomes the same kind of pixels."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.headers.header import estimate_jpeg_quality, probe_header


def picture(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, list(options))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 85, 90, 95, 99, 100])
def test_jpeg_quality_is_read_from_the_tables(tmp_path: Path, quality: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(".jpg", picture(), cv2.IMWRITE_JPEG_QUALITY, quality))
    assert probe_header(path).jpeg_quality == quality


def test_a_table_between_two_qualities_is_nearest_to_one_of_them() -> None:
    from fakefreq.data.images.headers.formats import _TABLES

    assert estimate_jpeg_quality(_TABLES[74] + (np.arange(64) == 5)) == 75


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "4:2:0"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422, "4:2:2"),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "4:4:4"),
    ],
)
def test_subsampling_is_read(tmp_path: Path, factor: int, name: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(".jpg", picture(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor))
    assert probe_header(path).subsampling == name


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_size_and_format_are_read_by_content_not_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "misnamed.jpg"
    path.write_bytes(encoded(suffix, picture()))
    facts = probe_header(path)
    assert (facts.width, facts.height, facts.bytes) == (60, 40, path.stat().st_size)
    assert facts.format == {".jpg": "jpeg"}.get(suffix, suffix[1:])
    assert read_image(path).shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", [".webp"])
def test_lossless_webp_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a.webp"
    path.write_bytes(encoded(suffix, picture(), cv2.IMWRITE_WEBP_QUALITY, 101))
    assert (probe_header(path).width, probe_header(path).height) == (60, 40)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_a_mutated_header_is_an_image_error_or_facts_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    whole = np.frombuffer(encoded(suffix, picture()), np.uint8)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = whole[: random.integers(1, len(whole) + 1)].copy()
        places = random.integers(0, min(len(data), 700), random.integers(1, 8))
        data[places] = random.integers(0, 256, len(places))
        try:
            facts = probe_header(tmp_path / "m", data.tobytes())
            assert facts.width > 0 and facts.height > 0
        except ImageError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("content", [b"", b"just text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"GIF8"])
def test_what_is_no_image_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (probe_header, read_image):
        with pytest.raises(ImageError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_a_cut_file_is_refused_not_filled_with_grey(tmp_path: Path, suffix: str, share: float) -> None:
    whole = encoded(suffix, picture(200, 200))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match="cut"):
        read_image(path)
    path.write_bytes(whole)
    assert read_image(path).shape == (200, 200, 3)


def test_colours_come_out_as_rgb(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255  # cv2 writes BGR
    path = tmp_path / "red.png"
    path.write_bytes(encoded(".png", red))
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("suffix", "depth", "off"),
    [
        (".jpg", 8, 4),
        (".webp", 8, 4),
        (".png", 8, 0),
        (".png", 16, 0),
        (".tiff", 8, 0),
        (".tiff", 16, 0),
        (".bmp", 8, 0),
    ],
)
def test_every_format_comes_out_as_rgb(tmp_path: Path, suffix: str, depth: int, off: int) -> None:
    blue_first = np.full((32, 32, 3), (20, 120, 220), np.uint16) * (1 if depth == 8 else 257)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, blue_first.astype(np.uint8 if depth == 8 else np.uint16)))
    assert np.abs(read_image(path).astype(int) - [220, 120, 20]).max() <= off


def test_grey_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    path.write_bytes(encoded(".png", picture()[..., 0]))
    pixels = read_image(path)
    assert pixels.shape == (40, 60, 3)
    assert np.array_equal(pixels[..., 0], picture()[..., 0])
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_16_bits_become_8_by_rounding(tmp_path: Path) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / "deep.png"
    path.write_bytes(encoded(".png", np.repeat(deep[..., None], 3, 2)))
    assert probe_header(path).mode == "rgb16"
    assert np.array_equal(read_image(path)[..., 0], np.round(deep / 257).astype(np.uint8))


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    pixels[0, 1] = (10, 20, 30, 0)
    pixels[1, 0] = (0, 0, 0, 51)
    path = tmp_path / "alpha.png"
    path.write_bytes(encoded(".png", pixels))
    decoded = read_image(path)
    assert decoded[0, 0].tolist() == [30, 20, 10]
    assert decoded[0, 1].tolist() == [255, 255, 255]
    assert decoded[1, 0].tolist() == [204, 204, 204]


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    data = encoded(".jpg", picture(40, 60), cv2.IMWRITE_JPEG_QUALITY, 100)
    # One directory entry: tag 0x112 (orientation), SHORT, value 6: turn a quarter to the right.
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0) + struct.pack("<I", 0)
    body = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    turned, plain = read_image(path), tmp_path / "plain.jpg"
    plain.write_bytes(data)
    assert np.array_equal(turned, np.rot90(read_image(plain), -1))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "cmyk.jpg"
    image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=95)  # no cyan, full magenta and yellow: red
    assert probe_header(path).mode == "cmyk"
    red, green, blue = read_image(path)[8, 8].astype(int)
    assert red > 200 and green < 60 and blue < 60


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "palette.png"
    image.new("RGB", (8, 8), (200, 100, 50)).quantize(4).save(path)
    assert probe_header(path).mode == "palette"
    assert read_image(path)[0, 0].tolist() == [200, 100, 50]


def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    data = bytearray(encoded(".png", picture()))
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    path = tmp_path / "bomb.png"
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="30000x30000 pixels are above the limit"):
        read_image(path)


def test_unicode_and_newlines_in_names(tmp_path: Path) -> None:
    path = tmp_path / "Gesicht \u00e9\u4e2d\nb.png"
    path.write_bytes(encoded(".png", picture()))
    assert read_image(path).shape == (40, 60, 3)
