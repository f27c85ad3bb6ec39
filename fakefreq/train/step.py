"""One training step: loss, gradient, weights."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.models import Detector
from fakefreq.spectra import to_float
from fakefreq.train.averaging import AveragedDetector
from fakefreq.train.distill import Distillation

Outputs = Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]]


class Stepper:
    """Takes the steps of one run.

    Args:
        detector: what learns.
        config: the run's configuration.
        optimizer: of the detector's parameters.
        class_weights: loss weight of reals and of fakes.
        average: what follows the weights, if anything does.
        distillation: what a teacher adds to the loss, if there is one.
    """

    def __init__(
        self,
        detector: Detector,
        config: TrainConfig,
        optimizer: torch.optim.Optimizer,
        class_weights: Tensor,
        average: AveragedDetector | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        self.distillation = distillation
        self.detector, self.config, self.optimizer, self.average = detector, config, optimizer, average
        self.weights = class_weights
        # Bound methods compile as functions do; the module itself stays as it was, so its state is saved as ever.
        self.outputs: Outputs = (
            torch.compile(detector.training_outputs) if config.compile else detector.training_outputs
        )

    def loss(self, batch: Batch, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch and its logits, (B,).

        Args:
            batch: images and labels.
            epoch: counted from 1.
            step: within the epoch, counted from 1; with the seed they decide what is mixed, so that a resumed run mixes
                alike.
        """
        device, config = self.detector.device, self.config
        images = batch.images.to(device, non_blocking=True)
        targets = batch.labels.to(device)
        if config.mixup > 0:
            images, targets = mix(images, targets, config.mixup, np.random.default_rng((config.seed, epoch, step)))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits, auxiliary = self.outputs(images)
        loss = self.classification_loss(logits, targets)
        if self.distillation is not None:
            loss = loss + self.distillation.loss(images, logits)
        if config.auxiliary > 0:
            for others in auxiliary.values():
                loss = loss + config.auxiliary * self.classification_loss(others, targets)
        return loss, logits.detach()

    def classification_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted binary cross entropy, targets in [0, 1]."""
        real, fake = self.weights.to(logits.device)
        weights = real + (fake - real) * targets
        smooth = targets + self.config.label_smoothing * (0.5 - targets)
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), smooth, weight=weights)

    def update(self, loss: Tensor) -> None:
        """Move the weights against the loss's gradient, and the average after them."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip_gradient > 0:
            nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.clip_gradient)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.detector)


def mix(images: Tensor, targets: Tensor, beta: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each image of a batch with another one of it, labels alike: mixup.

    Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".

    Args:
        images: (B, 3, H, W), uint8 or floats in [0, 1].
        targets: (B,).
        beta: both parameters of the beta law that the share is drawn from, once a batch.
        random: what is drawn from.

    Shape:
        - output: (B, 3, H, W) floats in [0, 1]; (B,)
    """
    share = float(random.beta(beta, beta))
    partners = torch.from_numpy(random.permutation(len(images))).to(images.device)
    pixels = to_float(images)
    return torch.lerp(pixels[partners], pixels, share), torch.lerp(targets[partners], targets, share)
