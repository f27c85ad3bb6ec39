"""What a teacher adds to the loss: zero where student and teacher agree, and a student that comes to agree."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fakefreq.config.input import InputConfig
from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.errors import UserError
from fakefreq.models import Detector, create_detector, save_detector
from fakefreq.train.distill import Distillation, logit_distance, make_distillation, similarity_distance
from fakefreq.train.optim import make_optimizer
from fakefreq.train.step import Stepper

CONFIG = TrainConfig(
    lattice_pairs=60, detector="pixel", backbone="test_resnet", pretrained="none", crop=64, dropout=0.0
)


def make(name: str, seed: int) -> Detector:
    torch.manual_seed(seed)
    return create_detector(name, backbone="test_resnet", pretrained="none", dropout=0.0)


def pictures(size: int = 8) -> Tensor:
    return torch.randint(0, 256, (size, 3, 64, 64), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def test_the_distance_is_the_divergence_of_the_softened_decisions() -> None:
    student, teacher, temperature = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.5]), 3.0
    p, q = torch.sigmoid(teacher / temperature), torch.sigmoid(student / temperature)
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean() * temperature**2
    assert logit_distance(student, teacher, temperature).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_high_temperature_matches_logits() -> None:
    student, teacher = torch.tensor([0.3, -1.0], dtype=torch.float64), torch.tensor([2.0, 0.5], dtype=torch.float64)
    assert logit_distance(student, teacher, 100.0).item() == pytest.approx(
        (student - teacher).square().mean().item() / 8, rel=0.02
    )


def test_similarity_knows_no_rotation_scale_or_width() -> None:
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))
    same = torch.cat([3 * features @ rotation, torch.zeros(6, 4)], dim=1)
    assert similarity_distance(features, same).item() == pytest.approx(0, abs=1e-10)
    assert similarity_distance(features, features.flip(0)).item() > 1e-3


@pytest.mark.parametrize("feature_weight", [0.0, 1.0])
def test_a_copy_of_the_teacher_has_nothing_to_learn_from_it(feature_weight: float) -> None:
    teacher, student = make("two_stream", 1), make("two_stream", 1).eval()
    distillation = Distillation(teacher, 1.0, feature_weight, 2.0)
    distillation.follow(student)
    images = pictures()
    assert distillation.loss(images, student(images)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_a_pixel_student_comes_to_agree_with_a_two_stream_teacher(tmp_path: Path) -> None:
    save_detector(make("two_stream", 5), tmp_path / "best.safetensors")
    config = replace(
        CONFIG, teacher=str(tmp_path), distill=20.0, distill_features=5.0, learning_rate=3e-3, weight_decay=0.0
    )
    student = make("pixel", 6)
    distillation = make_distillation(config, student)
    assert distillation is not None
    before = {name: value.clone() for name, value in distillation.teacher.state_dict().items()}
    images = pictures()
    batch = Batch(images, torch.full((8,), 0.5), torch.arange(8), torch.zeros(8, dtype=torch.bool))
    steps = Stepper(student, config, make_optimizer(student, config), torch.ones(2), distillation=distillation)
    losses = []
    for step in range(1, 21):
        losses.append(steps.gradients(batch, 1, step).loss)
        steps.update()
        if step == 10:
            student.eval()(images[:3])  # a validation in between, of another size
            student.train()
    assert losses[-1] - 0.693 < 0.3 * (losses[0] - 0.693)
    after = distillation.teacher.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_teacher_that_needs_larger_images_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_detector(create_detector("frequency", spectrum="fft", pretrained="none"), tmp_path / "best.safetensors")
    with pytest.raises(UserError, match="--teacher .* needs --crop 64 or more; it is 48"):
        make_distillation(replace(CONFIG, teacher=str(tmp_path)), make("pixel", 0).replace(InputConfig(crop=48)))


def test_no_teacher_no_distillation() -> None:
    assert make_distillation(CONFIG, make("pixel", 0)) is None
