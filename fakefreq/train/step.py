"""One training step: loss, gradient, weights."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.models import Detector
from fakefreq.models.fusion import Rows
from fakefreq.ranks import Ranks, current
from fakefreq.spectra import to_float
from fakefreq.train.data_parallel import Outputs, Part, SharedDetector, SyncedNorms, arrange
from fakefreq.train.distill import Distillation
from fakefreq.train.optim import AveragedDetector


@dataclass(frozen=True)
class Outcome:
    """What came of a step's images, those of all processes.

    Args:
        loss: their mean.
        right: how many logits are on their side of 0.
        seen: how many images there were, twins included.
    """

    loss: float
    right: int
    seen: int


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
        self.ranks: Ranks = current()
        self.shared = SharedDetector(detector, self.ranks) if self.ranks.size > 1 else None
        # Bound methods compile as functions do; the module itself stays as it was, so its state is saved as ever.
        self.outputs: Outputs = (
            torch.compile(detector.training_outputs) if config.compile else detector.training_outputs
        )
        if self.shared is not None:
            self.outputs = self.shared.outputs

    def prepare(self) -> None:
        """Take note of which parameters learn; to be called before the first step and where that has changed."""
        if self.shared is not None:
            self.shared.prepare()

    def gradients(self, batch: Batch, epoch: int, step: int) -> Outcome:
        """Put the gradient of a step's mean loss on the weights.

        Args:
            batch: images and labels; where several processes share the step, those of this one.
            epoch: counted from 1.
            step: within the epoch, counted from 1; with the seed they decide what is mixed, so that a resumed run mixes
                alike.
        """
        device = self.detector.device
        images, targets = batch.images.to(device, non_blocking=True), batch.labels.to(device)
        random = np.random.default_rng((self.config.seed, epoch, step))
        self.optimizer.zero_grad(set_to_none=True)
        if self.shared is None and self.config.accumulate == 1:
            images, targets = self._mixed(images, targets, random)
            loss, logits = self.loss(images, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            return Outcome(loss.item(), _right(logits, batch.labels), len(logits))
        arranged = arrange(batch, self.config.accumulate, self.ranks, has_twins=self.config.simulate > 0)
        images, targets = self._mixed(images, targets, random, arranged.rows)
        told = torch.zeros(2, dtype=torch.float64)
        for part in arranged.parts:
            exchange = self.shared.exchange(now=part is arranged.parts[-1]) if self.shared else nullcontext()
            with exchange:
                told += self._part(part, images, targets, batch.labels, arranged.rows.total)
        loss_sum, right = self.ranks.sum(told).tolist()
        return Outcome(loss_sum / arranged.rows.total, int(right), arranged.rows.total)

    def _part(self, part: Part, images: Tensor, targets: Tensor, labels: Tensor, total: int) -> Tensor:
        """Add the gradient of some rows of a step; return the sum of their losses, and how many are right."""
        here, counts = part.here.to(images.device), len(part.here) > 0
        some, wanted, rows = images[here], targets[here], part.rows.to(images.device)
        if not counts:
            # A picture that counts nowhere: the others wait for what this process has to exchange with them.
            some, wanted = images.new_zeros(1, *images.shape[1:]), targets.new_zeros(1)
            rows = rows._replace(own=here.new_zeros(1))
        if self.shared is None:
            loss, logits = self.loss(some, wanted)
            (loss * (len(here) / total)).backward()  # type: ignore[no-untyped-call]
        else:
            with SyncedNorms(self.ranks, counts):
                loss, logits = self.loss(some, wanted, rows)
            # The mean over the processes is taken of their gradients, and their sum is wanted.
            self.ranks.accelerator.backward(loss * (self.ranks.size * len(here) / total))
        right = _right(logits, labels[part.here]) if counts else 0
        return torch.tensor([loss.item() * len(here), right], dtype=torch.float64)

    def _mixed(
        self, images: Tensor, targets: Tensor, random: np.random.Generator, rows: Rows | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mix images and labels, where that is wanted: of all processes, of which these are some `rows`."""
        if self.config.mixup == 0:
            return images, targets
        if self.shared is None or rows is None:
            return mix(images, targets, self.config.mixup, random)
        own = rows.own.to(images.device)
        everyone = []
        for values in (images, targets):
            whole = values.new_zeros(rows.total, *values.shape[1:])
            whole[own] = values
            everyone.append(self.ranks.sum(whole))
        mixed, labels = mix(everyone[0], everyone[1], self.config.mixup, random)
        return mixed[own], labels[own]

    def loss(self, images: Tensor, targets: Tensor, rows: Rows | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean loss of some images and their logits, (B,).

        Args:
            images: (B, 3, H, W).
            targets: (B,), in [0, 1].
            rows: which they are of a batch that several processes share.
        """
        config = self.config
        # accelerate casts what it shares.
        is_cast = config.precision == "bf16" and self.shared is None
        with torch.autocast(self.detector.device.type, torch.bfloat16, enabled=is_cast):
            logits, auxiliary = self.outputs(images, rows)
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

    def update(self) -> None:
        """Move the weights against the gradients, and the average after them."""
        if self.config.clip_gradient > 0:
            nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.clip_gradient)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.detector)


def _right(logits: Tensor, labels: Tensor) -> int:
    return int(((logits.cpu() > 0) == (labels > 0.5)).sum())


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
