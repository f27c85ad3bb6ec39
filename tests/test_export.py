"""ONNX files: the logits of `predict`, for any batch and size where they say so, with the settings inside."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fakefreq
from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.exporting import export_detector
from fakefreq.models import save_detector
from tests.explaining.test_explanations_are_true import make
from tests.helpers.photo_files import photo, save

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def logit_of(path: Path, **pictures: np.ndarray) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {name: (picture.astype(np.float32) / 255).transpose(2, 0, 1)[None] for name, picture in pictures.items()}
    return float(session.run(None, feed)[0][0])


def header(path: Path) -> dict[str, Any]:
    properties = {item.key: item.value for item in onnx.load(str(path)).metadata_props}
    found: dict[str, Any] = json.loads(properties["fakefreq"])
    return found


@pytest.mark.parametrize("side", [40, 96, 200])
def test_crop_and_whole_image_give_the_logit_of_predict(side: int, tmp_path: Path) -> None:
    detector = make(crop=64)
    written = export_detector(detector, tmp_path / "a.onnx")
    assert written.inputs == {
        "images": ["batch", 3, "height", "width"],
        "whole": ["batch", 3, "whole_height", "whole_width"],
    }
    picture = photo(7, side)
    whole = picture if side >= 64 else np.pad(picture, ((12, 12), (12, 12), (0, 0)), mode="symmetric")
    top = (len(whole) - 64) // 2
    crop = whole[top : top + 64, top : top + 64]
    expected = fakefreq.predict(detector, save(tmp_path / "a.png", picture))["logit"].iloc[0]
    assert logit_of(written.path, images=crop, whole=picture) == pytest.approx(expected, abs=1e-3)


def test_the_lattice_alone_reads_whole_images(tmp_path: Path) -> None:
    detector = make("lattice")
    written = export_detector(detector, tmp_path / "a.onnx")
    assert list(written.inputs) == ["images"]
    picture = photo(8, 150)[:, :99]
    expected = fakefreq.predict(detector, save(tmp_path / "a.png", picture))["logit"].iloc[0]
    assert logit_of(written.path, images=picture) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "settings", "is_free"),
    [
        ("pixel", {"backbone": "test_resnet"}, True),
        ("two_stream", {"spectrum": "block_dct", "fusion": "logit_sum"}, True),
        ("pixel", {"backbone": "test_vit"}, True),  # it reads the middle
        ("frequency", {"spectrum": "fft", "fusion": "logit_sum"}, False),
        ("frequency", {"spectrum": "fad", "fusion": "logit_sum"}, False),
        ("frequency", {"spectrum": "lattice", "fusion": "logit_sum"}, True),
    ],
)
def test_the_size_is_free_where_the_network_allows_it(
    name: str, settings: dict[str, str], is_free: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    detector = make(name, 0, 160 if settings.get("backbone") == "test_vit" else 64, 1, **settings)
    written = export_detector(detector, tmp_path / "a.onnx")
    side = detector.input.crop
    assert written.inputs["images"] == ["batch", 3, *(["height", "width"] if is_free else [side, side])]
    picture = photo(9, side + 32)[: side + 32 if is_free else side, :side]
    with torch.no_grad():
        expected = float(detector(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]))
    assert logit_of(written.path, images=picture) == pytest.approx(expected, abs=1e-3)
    assert written.largest < 1e-3
    assert capfd.readouterr().out == ""


def test_the_command_writes_settings_and_compares_on_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = InputConfig(crop=64, history="size=64,codec=jpeg:75")
    detector = make("pixel", crop=64).replace(given, threshold=0.75)
    save_detector(detector, tmp_path / "best.safetensors")
    pictures = [str(save(tmp_path / f"{number}.png", photo(number, 80))) for number in range(2)]
    sizes = {}
    for precision, flags in (("float32", []), ("float16", ["--half"])):
        out = tmp_path / f"{precision}.onnx"
        assert main(["export", str(tmp_path), "--out", str(out), "--images", *pictures, *flags]) == 0
        printed = "".join(capsys.readouterr())
        assert "largest difference" in printed and "2 images and 4 batches" in printed
        found = header(out)
        assert (found["threshold"], found["input"]) == (0.75, asdict(given))
        assert (found["precision"], found["detector"]["name"]) == (precision, "pixel")
        assert found["inputs"] == {"images": ["batch", 3, "height", "width"]}
        sizes[precision] = out.stat().st_size
    assert sizes["float16"] < 0.7 * sizes["float32"]


@pytest.mark.parametrize(
    ("name", "settings", "words", "message"),
    [
        ("pixel", {}, ["--out", "{folder}/a.pt"], "does not end in .onnx"),
        ("pixel", {}, ["--out", "{folder}/a.onnx", "--images", "none.png"], "none.png"),
        ("frequency", {"spectrum": "median"}, ["--out", "{folder}/a.onnx", "--half"], "Leave out --half"),
        ("frequency", {"spectrum": "profiles"}, ["--out", "{folder}/a.onnx"], "does not export to ONNX"),
        ("frequency", {"spectrum": "fft+lattice"}, ["--out", "{folder}/a.onnx"], "one size"),
    ],
)
def test_bad_input_gives_one_line_and_no_file(
    name: str, settings: dict[str, str], words: list[str], message: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save_detector(make(name, 0, 64, 1, **settings), tmp_path / "best.safetensors")
    assert main(["export", str(tmp_path), *(word.format(folder=tmp_path) for word in words)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]
