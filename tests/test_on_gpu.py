"""A CUDA device computes what the CPU does: spectra, detectors, training, scoring. Skipped where there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakefreq.cli import main
from fakefreq.data.loading.loader import Batch
from fakefreq.data.manifests import read_manifest
from fakefreq.evaluate.predict import predict_images, score_rows
from fakefreq.models import load_detector
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.train.loop import Run
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG, last, tiny_config, weights
from tests.models import test_detector_contract as detectors
from tests.spectra import test_contract as transforms

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here"),
]


@pytest.mark.parametrize("size", [(21, 26), (224, 224)])
@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_a_transform_keeps_float32_s_digits(name: str, size: tuple[int, int]) -> None:
    """Tensor cores round to 10 bits by default; a spectrum must not."""
    transform = transforms.make(name)
    images = transforms.pictures(2, 3, *size, dtype=torch.float32)
    expected = transforms.make(name).double()(images.double())
    on_cpu, found = transform(images).detach(), transform.cuda()(images.cuda()).detach().cpu()
    scale = float(expected.detach().abs().max())
    error = float((found - expected.detach()).abs().max()) / scale
    assert error <= 4 * float((on_cpu - expected.detach()).abs().max()) / scale + 2e-6


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_a_transform_in_float64_and_its_gradient(name: str) -> None:
    images = transforms.pictures(2, 3, 21, 26)
    found = []
    for device in ("cpu", "cuda"):
        pixels = images.clone().to(device).requires_grad_()
        spectrum = transforms.make(name).double().to(device)(pixels)
        weights = transforms.pictures(*spectrum.shape, seed=1).to(device)
        (spectrum * weights).sum().backward()
        assert pixels.grad is not None
        found.append((spectrum.detach().cpu(), pixels.grad.cpu()))
    for on_cpu, on_gpu in zip(*found, strict=True):
        transforms.close(on_gpu, on_cpu, 1e-9)


@pytest.mark.parametrize("name", transforms.TRANSFORMS)
def test_bytes_and_autocast(name: str) -> None:
    transform = transforms.make(name).cuda()
    pixels = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    outside = transform(pixels.cuda())
    with torch.autocast("cuda", dtype=torch.bfloat16):
        inside = transform(pixels.cuda())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)
    transforms.close(outside.cpu(), transforms.make(name)(pixels), 1e-4)


@pytest.mark.parametrize(
    "name", ["power_spectrum", "block_dct", "dct2", "lattice_scores", "lattice_field_scores", "srm"]
)
def test_a_compiled_transform(name: str) -> None:
    torch._dynamo.reset()
    transform, images = transforms.make(name).cuda(), transforms.pictures(2, 3, 64, 72, dtype=torch.float32).cuda()
    with torch.no_grad():
        transforms.close(torch.compile(transform, fullgraph=True)(images), transform(images), 1e-5)


@pytest.mark.parametrize(("name", "spectrum"), detectors.CASES, ids=detectors.IDS)
def test_a_detector_s_logits(name: str, spectrum: str) -> None:
    """Up to the rounding of TF32, which the networks are left to use."""
    detector = detectors.make(name, spectrum).eval()
    side = detectors.side_of(detector)
    images = detectors.images(3, side, side + 8)
    with torch.no_grad():
        on_cpu, on_gpu = detector(images), detector.cuda()(images.cuda())
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("name", "spectrum"), detectors.CASES, ids=detectors.IDS)
def test_a_detector_s_gradients(name: str, spectrum: str) -> None:
    detector = detectors.make(name, spectrum).cuda()
    if isinstance(detector, FittedDetector):
        pytest.skip("no gradient trains this detector")
    detectors.skip_without_gradients(detector)
    side = detectors.side_of(detector)
    labels = (torch.arange(4) % 2).float().cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = detector.train()(detectors.images(4, side, side).cuda())
    torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)


WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "compiled": {"compile": True},
    "workers": {"workers": 2, "precision": "bf16"},
    "accumulated": {"accumulate": 2},
    "averaged": {"ema": 0.9},
    "two learnt streams": {"spectrum": "block_dct+fft", "crop": 64},
    "lattice beside pixels": {"spectrum": "lattice", "fusion": "evidence"},
    "simulated": {"simulate": 0.5},
    "frequency alone": {"detector": "frequency"},
    "mixed": {"mixup": 0.4},
    "kept features": {"detector": "pixel", "freeze": "all", "feature_passes": 1},
    "lattice alone": {"detector": "lattice", "spectrum": "lattice"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_training_and_its_scores(way: str, manifest_path: Path, tmp_path: Path) -> None:
    config = tiny_config(**{"detector": "two_stream", "device": "cuda", "epochs": 2, **WAYS[way]})
    train(manifest_path, tmp_path / "run", config)
    assert all(bool(value.isfinite().all()) for name, value in weights(tmp_path / "run").items() if "null" not in name)
    rows = read_manifest(manifest_path)
    rows = rows[rows["split"] == "test"]
    logits = [
        score_rows(load_detector(tmp_path / "run", device), rows, manifest_path.parent, workers=0)[0]["logit"]
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(logits[1], logits[0], rtol=0.02, atol=0.02)


def test_a_resumed_training_goes_on(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    config = replace(CONFIG, device="cuda", epochs=2)
    step = Run._take_step

    def stop_in_the_second_epoch(run: Run, batch: Batch, epoch: int) -> None:
        if epoch == 2:
            raise InterruptedError
        step(run, batch, epoch)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(Run, "_take_step", stop_in_the_second_epoch)
        train(manifest_path, tmp_path / "run", config)
    train(manifest_path, tmp_path / "run", config, resume=True)
    assert "resuming after epoch 1" in logged.text
    train(manifest_path, tmp_path / "whole", config)
    resumed, whole = last(tmp_path / "run"), last(tmp_path / "whole")
    for name, value in whole.items():  # a GPU adds in any order, so bits differ
        torch.testing.assert_close(resumed[name], value, rtol=0.1, atol=0.02, msg=name)


def test_commands_take_the_gpu(manifest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, manifest = tmp_path / "run", str(manifest_path)
    train(manifest_path, run, tiny_config(detector="two_stream", spectrum="lattice", device="cuda"))
    photo = str(manifest_path.parent / read_manifest(manifest_path)["path"].iloc[0])
    for words in (
        ["score", str(run), manifest, "--split", "test", "--device", "cuda", "--out", str(tmp_path / "scores.csv")],
        ["predict", photo, "--detector", str(run), "--device", "cuda"],
        ["explain", photo, "--detector", str(run), "--device", "cuda", "--out", str(tmp_path / "explained")],
    ):
        assert main(words) == 0, capsys.readouterr().err
    assert (tmp_path / "scores.csv").exists()
    table, _ = predict_images(load_detector(run, "auto"), [photo])
    again, _ = predict_images(load_detector(run, "cpu"), [photo])
    assert table["logit"].iloc[0] == pytest.approx(again["logit"].iloc[0], abs=0.02)


def test_an_onnx_file_is_run_on_the_cpu_all_the_same(manifest_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from fakefreq.exporting import export_detector

    train(manifest_path, tmp_path / "run", tiny_config(detector="pixel", device="cuda"))
    export_detector(load_detector(tmp_path / "run"), tmp_path / "a.onnx")
    assert load_detector(tmp_path / "a.onnx", "auto").device.type == "cpu"
