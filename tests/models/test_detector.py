"""What is no batch of pixels is refused at the border, by type and range, before it becomes a logit."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fakefreq.config.input import InputConfig
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import predict_files
from fakefreq.models import Detector, create_detector

pytestmark = pytest.mark.slow

NAMES = ["pixel", "frequency", "lattice", "two_stream", "peer/npr", "peer/safe"]


def pixels(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def made(name: str) -> Detector:
    torch.manual_seed(0)
    spectrum = "lattice" if name == "lattice" else "block_dct"
    return create_detector(name, backbone="test_efficientnet", spectrum=spectrum, pretrained="none").eval()


@pytest.fixture(params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return made(request.param)


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.bool, torch.complex64]
)
def test_types_whose_range_nobody_knows_are_refused(detector: Detector, dtype: torch.dtype) -> None:
    with pytest.raises(UserError, match=rf"got {dtype}.*uint8"):
        detector(pixels().to(dtype))


MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
OUT_OF_RANGE = {
    "0 to 255": (pixels().float(), "divide 0 to 255 by 255"),
    "0 to 255 in float64": (pixels().double(), "divide 0 to 255 by 255"),
    "0 to 255 in float16": (pixels().half(), "divide 0 to 255 by 255"),
    "ImageNet-normalised": ((pixels() / 255 - MEAN) / STD, "normalises them itself"),
    "-1 to 1": (pixels() / 127.5 - 1, "normalises them itself"),
    "one image of three": (torch.stack([pixels()[0] / 255, pixels()[1] / 255, pixels()[2].float()]), "divide"),
    "one pixel": ((pixels() / 255).index_put((torch.tensor(1),) * 4, torch.tensor(1.4)), "clamp"),
    "not a number": ((pixels() / 255).index_put((torch.tensor(1),) * 4, torch.tensor(torch.nan)), "NaN"),
}


@pytest.mark.parametrize("what", OUT_OF_RANGE)
@pytest.mark.parametrize("training", [False, True])
def test_floats_outside_0_to_1_are_refused(detector: Detector, what: str, training: bool) -> None:
    images, advice = OUT_OF_RANGE[what]
    detector.train(training)
    for call in (detector, detector.features, detector.training_outputs):
        with pytest.raises(UserError, match=rf"floats in \[0, 1\]; got .*{advice}"):
            call(images)
        detector(pixels() / 255)  # and not at the first call only


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_floats_of_any_precision_give_the_logits_of_uint8(detector: Detector, dtype: torch.dtype) -> None:
    found = detector(pixels().to(dtype) / 255)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, detector(pixels()), rtol=1e-4, atol=1e-5)
    exact = detector.double()
    assert exact(pixels().to(dtype) / 255).dtype == exact(pixels()).dtype == torch.float64


def test_what_rounding_adds_is_no_mistake() -> None:
    detector = made("frequency")
    images = pixels() / 255
    assert torch.isfinite(detector(images * (1 + 1e-6) - 1e-7)).all()
    assert detector(images[:0]).shape == (0,)


def test_on_another_device_values_are_looked_at_once_a_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device has no values: each look at them would fail, so the looks are counted instead."""
    looks: list[tuple[int, ...]] = []
    monkeypatch.setattr("fakefreq.models.detector._check_range", lambda images: looks.append(tuple(images.shape)))
    detector = made("pixel").to("meta")
    floats = torch.zeros(2, 3, 64, 64, device="meta")
    for mode in (True, False):
        detector.train(mode)
        for _ in range(3):
            detector(floats.to(torch.uint8))
            detector(floats)
    assert len(looks) == 2


def test_one_path_is_one_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    detector = made("pixel").replace(InputConfig(crop=64))
    expected = predict_files(detector, [path])
    for given in (path, str(path), (str(path),)):
        found = predict_files(detector, given)
        assert found["path"].tolist() == [str(path)]
        assert found["logit"].tolist() == expected["logit"].tolist()
