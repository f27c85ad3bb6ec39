"""Distillation: a trained teacher, such as a two-stream detector, into a student that costs less to run."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fakefreq.config.optim import OptimConfig
from fakefreq.errors import UserError
from fakefreq.files import sha256_file
from fakefreq.models import Detector, load_detector
from fakefreq.models.weights import weights_path


def logit_distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean Kullback-Leibler divergence of the student's softened decision from the teacher's, times T**2.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network"; for two classes.

    Args:
        student: logits, (B,).
        teacher: logits, (B,).
        temperature: T, above 0; far above the logits it is half the squared difference over four: matching logits.

    >>> logit_distance(torch.tensor([1.0, -2.0]), torch.tensor([1.0, -2.0]), 2.0).item()
    0.0
    """
    target = torch.sigmoid(teacher.float() / temperature)
    mean = nn.functional.binary_cross_entropy_with_logits(student.float() / temperature, target)
    entropy = nn.functional.binary_cross_entropy_with_logits(teacher.float() / temperature, target)
    return (mean - entropy) * temperature**2


def similarity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return how unlike two networks find which images of a batch resemble each other.

    The squared difference of the row-normalised similarity matrices (Tung and Mori 2019, "Similarity-Preserving
    Knowledge Distillation"): it needs no layer that fits one width to the other.

    Shape:
        - input: (B, D) and (B, E)
        - output: scalar
    """
    pair = [nn.functional.normalize(features.float() @ features.float().T, dim=1) for features in (student, teacher)]
    return (pair[0] - pair[1]).square().mean()


@dataclass
class Distillation:
    """What a teacher adds to a student's loss.

    Args:
        teacher: in evaluation mode; it learns nothing.
        weight: of the distance between logits.
        feature_weight: of the distance between what their streams see; 0 leaves it out.
        temperature: that softens both decisions.
    """

    teacher: Detector
    weight: float
    feature_weight: float
    temperature: float
    _seen: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.teacher.eval().requires_grad_(False)
        self._watch("teacher", self.teacher)

    def follow(self, student: Detector) -> None:
        """Watch what the student's streams give, where that is compared."""
        if self.feature_weight > 0 and not len(student.streams):
            raise UserError(f"{student.config.name} has no streams to compare; use --distill-features 0")
        self._watch("student", student)

    def loss(self, images: Tensor, logits: Tensor) -> Tensor:
        """Return what is added for a batch that has just gone through the student.

        Args:
            images: as the student saw them, (B, 3, H, W).
            logits: the student's, (B,).
        """
        student = self._taken("student")
        with torch.no_grad():
            wanted = self.teacher(images)
        teacher = self._taken("teacher")
        loss = self.weight * logit_distance(logits, wanted, self.temperature)
        if student is not None and teacher is not None:
            loss = loss + self.feature_weight * similarity_distance(student, teacher)
        return loss

    def _watch(self, name: str, detector: Detector) -> None:
        self._seen[name] = {}
        if self.feature_weight > 0:
            for stream, module in detector.streams.items():
                module.register_forward_hook(self._keeper(name, stream))

    def _keeper(self, name: str, stream: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            del module, inputs
            self._seen[name][stream] = output  # the latest only: validation goes through the student as well

        return keep

    def _taken(self, name: str) -> Tensor | None:
        seen = self._seen.get(name, {})
        features = torch.cat([value.flatten(1).float() for value in seen.values()], dim=1) if seen else None
        seen.clear()
        return features


def make_distillation(config: OptimConfig, student: Detector) -> Distillation | None:
    """Return the distillation that a configuration asks for; None without a teacher.

    Raises:
        UserError: no trained detector there, one that needs larger images than the student is trained on, or one of
            another history.
    """
    if not config.teacher:
        return None
    teacher = load_detector(config.teacher).to(student.device)
    theirs, ours = teacher.input, student.input
    if teacher.minimum_size > ours.crop:
        raise UserError(f"--teacher {config.teacher} needs --crop {teacher.minimum_size} or more; it is {ours.crop}")
    if theirs.history != ours.history:
        raise UserError(
            f"--teacher {config.teacher} learnt from images brought through {theirs.history or 'no history'}, "
            f"this run through {ours.history or 'none'}; a teacher is asked what it knows: give both one --history"
        )
    distillation = Distillation(teacher, config.distill, config.distill_features, config.distill_temperature)
    distillation.follow(student)
    return distillation


def teacher_digest(teacher: str) -> str:
    """Return the sha256 of a teacher's weights file; empty without a teacher.

    Args:
        teacher: `OptimConfig.teacher`.

    Raises:
        UserError: there is none.
    """
    if not teacher:
        return ""
    try:
        return sha256_file(weights_path(teacher))
    except UserError as error:
        raise UserError(f"--teacher {teacher}: {error}") from error
