"""ONNX files: the logits of `predict`, for any batch and size where they say so, with the settings inside; and read."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import fakefreq
from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.exporting import export_detector
from fakefreq.models import save_detector
from tests.explaining.test_explanation import make
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_lattice_alone_reads_whole_images(tmp_path: Path) -> None:
    detector = make("lattice")
    written = export_detector(detector, tmp_path / "a.onnx")
    assert list(written.inputs) == ["images"]
    picture = photo(8, 150)[:, :99]
    expected = fakefreq.predict(detector, save(tmp_path / "a.png", picture))["logit"].iloc[0]
    assert logit_of(written.path, images=picture) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


SIZES = [(40, 40), (64, 64), (99, 150), (200, 131)]


def pictures(folder: Path) -> list[Path]:
    return [
        save(folder / f"{height}x{width}.png", photo(number, max(height, width))[:height, :width])
        for number, (height, width) in enumerate(SIZES)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "views", "half"),
    [
        ("pixel", {}, 3, False),
        ("pixel", {}, 1, True),
        ("lattice", {}, 1, False),
        ("frequency", {"spectrum": "fft"}, 2, False),
        ("two_stream", {"spectrum": "lattice"}, 2, False),
        ("two_stream", {"spectrum": "block_dct+lattice"}, 1, True),
        ("two_stream", {"spectrum": "block_dct+lattice", "fusion": "gated"}, 1, False),
    ],
)
def test_a_file_scores_as_the_run_does(
    name: str, settings: dict[str, str], views: int, half: bool, tmp_path: Path
) -> None:
    detector = make(name, 0, 64, views, **settings).replace(threshold=0.25)
    written = export_detector(detector, tmp_path / "a.onnx", half=half)
    other = fakefreq.load_detector(written.path)
    assert (other.config, other.input, other.threshold) == (detector.config, detector.input, 0.25)
    files = pictures(tmp_path)
    expected = fakefreq.predict(detector, files)
    for batch_size in (1, 3, 32):
        found = fakefreq.predict(other, files, batch_size)
        assert list(found.columns) == list(expected.columns)
        assert np.abs(found["logit"] - expected["logit"]).max() < (0.05 if half else 1e-3)
        if detector.lattice is not None:
            assert found["lattice_pvalue"].tolist() == expected["lattice_pvalue"].tolist()
    assert other.device.type == "cpu" and other.to("cpu") is other
    with pytest.raises(fakefreq.UserError, match="CPU"):
        other.double()
    with torch.no_grad():  # uint8 and floats, and the lattice read in the batch itself
        batch = torch.from_numpy(photo(5, 64).copy()).permute(2, 0, 1)[None]
        assert float(other(batch)) == pytest.approx(float(detector(batch)), abs=0.05 if half else 1e-3)
        assert float(other(batch / 255)) == pytest.approx(float(other(batch)), abs=1e-4)
    if settings.get("spectrum") == "fft":
        with pytest.raises(fakefreq.UserError, match="64x64 only"):
            fakefreq.predict(other.replace(InputConfig(crop=96)), files)


@pytest.mark.slow
def test_the_commands_read_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detector = make("two_stream", crop=64, spectrum="lattice").replace(InputConfig(64, 1, "size=48,codec=jpeg:75"), 0.5)
    run = tmp_path / "run"
    save_detector(detector, run / "best.safetensors")
    for label in ("0_real", "1_fake"):
        for number in range(2):
            save(tmp_path / "images" / label / f"{number}.png", photo(number + 2 * (label == "1_fake"), 70))
    assert main(["export", str(run), "--out", str(run / "a.onnx")]) == 0
    tables = {}
    for given in (run, run / "a.onnx"):
        out = tmp_path / f"{given.name}.csv"
        assert main(["score", str(given), str(tmp_path / "images"), "--out", str(out)]) == 0
        assert main(["predict", str(tmp_path / "images"), "--detector", str(given), "--out", str(out) + ".p.csv"]) == 0
        tables[given.name] = [pd.read_csv(out), pd.read_csv(str(out) + ".p.csv")]
    for ours, theirs in zip(tables["run"], tables["a.onnx"], strict=True):
        assert len(ours) == 4 and len(set(ours["logit"])) == 4
        pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-3)
    capsys.readouterr()
    for words, message in (
        (["predict", str(tmp_path / "images"), "--detector", str(run), "--device", "openvino"], "is for an .onnx file"),
        (["explain", str(tmp_path / "images"), "--detector", str(run / "a.onnx"), "--out", str(tmp_path / "e")], "run"),
        (["export", str(run / "a.onnx"), "--out", str(tmp_path / "b.onnx")], "already"),
    ):
        assert main(words) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and message in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("spectrum", ["lattice", "block_dct"])
def test_openvino_gives_the_logits_of_onnxruntime(spectrum: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="an extra")
    save_detector(make("two_stream", crop=64, spectrum=spectrum), tmp_path / "best.safetensors")
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "a.onnx")]) == 0
    for number in range(5):
        save(tmp_path / "images" / f"{number}.png", photo(number, 90))
    tables = {}
    for device in ("cpu", "openvino"):
        out = tmp_path / f"{device}.csv"
        words = ["predict", str(tmp_path / "images"), "--detector", str(tmp_path / "a.onnx"), "--out", str(out)]
        assert main([*words, "--device", device]) == 0
        tables[device] = pd.read_csv(out)["logit"]
    assert len(set(tables["cpu"])) == 5
    np.testing.assert_allclose(tables["openvino"], tables["cpu"], rtol=0, atol=1e-3)
    batch = torch.from_numpy(photo(5, 64).copy()).permute(2, 0, 1)[None]
    detector = fakefreq.load_detector(tmp_path / "a.onnx", "openvino")
    assert float(detector(batch.contiguous() / 255)) == pytest.approx(float(detector(batch)), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "history", "message"),
    [
        ("lattice", "", r"small\.png: 20x15 pixels, and the lattice of an ONNX file takes images of 16 a side or more"),
        ("two_stream", "", r"small\.png: 20x15 pixels"),
        ("two_stream", "size=64,codec=png", r"small\.png: an image of 15x15 is too small for size 64"),
    ],
)
def test_an_image_that_is_too_small_to_compare_on_is_named(
    name: str, history: str, message: str, tmp_path: Path
) -> None:
    detector = make(name, crop=64).replace(InputConfig(crop=64, history=history))
    picture = save(tmp_path / "small.png", photo(1, 20)[:15])
    with pytest.raises(fakefreq.UserError, match=f"{message}.*change --images"):
        export_detector(detector, tmp_path / "a.onnx", [picture])
    assert not (tmp_path / "a.onnx").exists()


def _foreign(path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["a"], ["b"])], "g",
        [value("a", onnx.TensorProto.FLOAT, [1])], [value("b", onnx.TensorProto.FLOAT, [1])],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph), str(path))


def _of_another_version(path: Path) -> None:
    _foreign(path)
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"fakefreq": json.dumps({"detector": {"name": "pixel", "gone": 1}})})
    onnx.save(model, str(path))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (None, "no trained detector"),
        (lambda path: path.write_text("not onnx"), "no ONNX file"),
        (lambda path: path.write_bytes(b""), "not written by `fakefreq export`"),
        (_foreign, "not written by `fakefreq export`"),
        (_of_another_version, "export the run again"),
    ],
)
def test_an_onnx_file_of_something_else_is_refused(
    write: Callable[[Path], None] | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if write is not None:
        write(tmp_path / "a.onnx")
    picture = str(save(tmp_path / "a.png", photo(1, 64)))
    assert main(["predict", picture, "--detector", str(tmp_path / "a.onnx")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0] and "a.onnx" in lines[0]


def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "a.onnx").write_bytes(b"")
    picture = str(save(tmp_path / "a.png", photo(1, 64)))
    assert main(["predict", picture, "--detector", str(tmp_path / "a.onnx")]) == 2
    assert "fakefreq[onnx]" in capsys.readouterr().err


def test_a_missing_openvino_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_detector(make("pixel", crop=64), tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(fakefreq.UserError, match=r"pip install 'fakefreq\[openvino\]'"):
        fakefreq.load_detector(tmp_path / "a.onnx", "openvino")
