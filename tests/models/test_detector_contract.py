"""What every detector keeps, whatever it is made of."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.models import Detector, create_detector, load_detector, save_detector, streams

SPECTRA = (*streams.SPECTRA, "block_dct+fft")
CASES = [("pixel", "block_dct"), ("two_stream", "block_dct"), *(("frequency", spectrum) for spectrum in SPECTRA)]


def make(name: str, spectrum: str) -> Detector:
    torch.manual_seed(0)
    return create_detector(name, backbone="test_efficientnet", spectrum=spectrum, pretrained="none")


def images(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, height, width), generator=generator, dtype=torch.uint8)


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def detector(request: pytest.FixtureRequest) -> Detector:
    return make(*request.param)


@pytest.mark.parametrize("size", [(64, 64), (65, 67), (224, 224), (99, 301)])
def test_one_finite_logit_an_image_at_any_size(detector: Detector, size: tuple[int, int]) -> None:
    logits = detector.eval()(images(3, *size))
    assert logits.shape == (3,)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_uint8_and_float_pixels_give_the_same_logits(detector: Detector) -> None:
    batch = images(2, 80, 80)
    torch.testing.assert_close(detector.eval()(batch), detector(batch.float() / 255), rtol=1e-4, atol=1e-5)


def test_the_logit_of_an_image_does_not_depend_on_its_batch(detector: Detector) -> None:
    batch = images(5, 72, 88)
    together = detector.eval()(batch)
    alone = torch.cat([detector(batch[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_memory_format_of_the_batch_changes_nothing(detector: Detector) -> None:
    batch = images(2, 64, 96)
    last = batch.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(detector.eval()(last), detector(batch), rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_every_parameter_of_every_stream(detector: Detector) -> None:
    batch, labels = images(4, 64, 64), torch.tensor([0.0, 1.0, 0.0, 1.0])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(detector.train()(batch), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    without = [name for name, p in detector.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A convolution that a batch norm follows may have a bias whose gradient is zero by construction; none here has one.
    assert without == []


def test_every_parameter_is_either_pretrained_or_new(detector: Detector) -> None:
    split = [*detector.pretrained_parameters(), *detector.new_parameters()]
    assert sorted(map(id, split)) == sorted(map(id, detector.parameters()))


def test_a_saved_detector_comes_back_the_same(detector: Detector, tmp_path: Path) -> None:
    detector.threshold, detector.crop = 0.375, 96
    detector.train()(images(4, 64, 64))  # moves the batch norms' statistics away from their initial values
    save_detector(detector, tmp_path / "best.safetensors", {"epoch": 3})
    again = load_detector(tmp_path)
    assert (again.config, again.threshold, again.crop) == (detector.config, 0.375, 96)
    assert not again.training
    batch = images(2, 64, 64, seed=1)
    assert torch.equal(detector.eval()(batch), again(batch))


def test_autocast_does_not_reach_the_spectra(detector: Detector) -> None:
    if "frequency" not in detector.streams:
        pytest.skip("this detector has no spectra")
    frequency: Any = detector.streams["frequency"]
    pixels = images(2, 64, 64).float() / 255
    for branch in frequency.branches.values():
        plain = branch.spectrum(pixels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(branch.spectrum(pixels), plain)


def test_training_moves_all_streams(detector: Detector) -> None:
    before = {name: p.detach().clone() for name, p in detector.named_parameters()}
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.1)
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(detector.train()(images(4, 64, 64)), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for stream in (*detector.streams, "head"):
        moved = [n for n, p in detector.named_parameters() if stream in n and not torch.equal(p, before[n])]
        assert moved, stream


def test_a_batch_below_the_minimum_says_what_to_do(detector: Detector) -> None:
    side = detector.minimum_size - 1
    with pytest.raises(UserError, match=f"minimum of {side + 1} pixels.*--crop"):
        detector(images(1, side, 200))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 64, 64, 3)])
def test_a_batch_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"\(B, 3, H, W\)"):
        make("frequency", "block_dct")(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "three_stream"}, "unknown detector 'three_stream'.*two_stream"),
        ({"backbone": "resnet_18"}, "unknown backbone.*'resnet18'"),
        ({"spectrum": "cepstrum"}, "unknown spectrum 'cepstrum'.*block_dct"),
        ({"spectrum": "fft+fft"}, "at most once"),
        ({"pretrained": "imagenet"}, "unknown source of weights"),
        ({"dropout": 1.0}, "--dropout"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_is_allowed(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_detector(**{"backbone": "test_efficientnet", "pretrained": "none", **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "vgg16", "efficientnet_b0", "tf_efficientnet_lite0"])
def test_the_usual_backbones_build_train_a_step_and_score(backbone: str) -> None:
    detector = create_detector("two_stream", backbone=backbone, pretrained="none")
    batch, labels = images(2, 64, 64), torch.tensor([0.0, 1.0])
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-3)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(detector(batch), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    with torch.inference_mode():
        assert torch.isfinite(detector.eval()(batch)).all()
