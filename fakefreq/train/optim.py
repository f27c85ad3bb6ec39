"""Optimisers, schedules, averaged weights (EMA), and which stages of a backbone learn how fast."""

import copy
from typing import Any

import torch
from timm.models._manipulate import group_with_matcher
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from fakefreq.config.optim import OptimConfig
from fakefreq.errors import UserError
from fakefreq.models import Detector


def make_optimizer(detector: Detector, config: OptimConfig) -> torch.optim.Optimizer:
    """Build the optimiser.

    Biases and norms are not decayed: pulling a batch norm's scale to zero regularises nothing
    (Zhang et al. 2019, "Three mechanisms of weight decay regularization").

    Args:
        detector: whose pretrained parameters get `learning_rate`, less in lower stages where `layer_decay` is below 1,
            and whose new ones get `head_learning_rate`.
        config: the run's configuration.
    """
    groups = []
    for parameters, rate in (
        *layer_rates(detector, config.learning_rate, config.layer_decay),
        (detector.new_parameters(), config.head_learning_rate),
    ):
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "weight_decay": config.weight_decay})
        groups.append({"params": others, "lr": rate, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    return torch.optim.Adam(groups) if config.optimizer == "adam" else torch.optim.AdamW(groups)


def make_schedule(optimizer: torch.optim.Optimizer, config: OptimConfig, steps: int) -> LRScheduler:
    """Build the learning-rate schedule, to be stepped once a training step.

    Args:
        optimizer: from `make_optimizer`.
        config: the run's configuration.
        steps: training steps of the whole run.
    """
    if config.schedule == "one_cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        # Momentum stays: cycling it is undefined for plain comparison across optimisers. torch divides by zero
        # where the rising phase has a single step.
        return OneCycleLR(optimizer, peaks, total_steps=max(steps, 4) + 1, cycle_momentum=False)
    if config.schedule == "constant":
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    warm_up = max(1, round(0.05 * steps))
    return SequentialLR(
        optimizer,
        [LinearLR(optimizer, 0.1, total_iters=warm_up), CosineAnnealingLR(optimizer, max(1, steps - warm_up))],
        [warm_up],
    )


class AveragedDetector:
    """An exponential moving average of a detector's weights and batch-norm statistics.

    After Polyak and Juditsky 1992 ("Acceleration of stochastic approximation by averaging"), exponential as is usual.
    In the first steps the decay is lower, (1 + n) / (10 + n), or short runs would average in their random start.

    Args:
        detector: whose weights to follow.
        decay: in (0, 1); the average looks back about 1 / (1 - decay) steps.

    Attributes:
        detector: the averaged detector, in evaluation mode.
        updates: how often it was updated.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.decay = decay
        # Infinite until something else fits it, as the lattice's null: the mean of two infinities would be no number.
        self._not_averaged = {name for name, value in detector.state_dict().items() if not value.isfinite().all()}
        self.updates = 0

    @torch.no_grad()
    def update(self, detector: Detector) -> None:
        """Move towards the detector's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = detector.state_dict()
        for name, average in self.detector.state_dict().items():
            if average.is_floating_point() and name not in self._not_averaged:
                average.lerp_(current[name], 1 - decay)
            else:
                average.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"detector": self.detector.state_dict(), "updates": self.updates}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.detector.load_state_dict(stored["detector"], strict=True)
        self.updates = int(stored["updates"])


def stages_of(detector: Detector) -> list[list[nn.Parameter]]:
    """Return the parameters of each stage of the pixel stream's backbone, the stem first, as timm groups them.

    A detector without such a backbone has no stage.

    Raises:
        UserError: timm says nothing about this backbone's stages.
    """
    if "pixel" not in detector.streams:
        return []
    network: Any = getattr(detector.streams["pixel"], "network", None)
    if not hasattr(network, "group_matcher"):
        raise UserError(
            f"timm names no stages of {detector.config.backbone}; use --layer-decay 1 and --freeze none or all"
        )
    parameters = dict(network.named_parameters())
    number_of = group_with_matcher(iter(parameters.items()), network.group_matcher(coarse=True), reverse=True)
    stages: list[list[nn.Parameter]] = [[] for _ in range(1 + max(number_of.values()))]
    for name, number in number_of.items():
        stages[number].append(parameters[name])
    return [stage for stage in stages if stage]


def frozen_parameters(detector: Detector, freeze: str) -> list[nn.Parameter]:
    """Return what never learns.

    Args:
        detector: whose backbone it is about.
        freeze: `none`, `all`, or how many of the lowest stages.

    Raises:
        UserError: more stages than the backbone has, or no backbone.
    """
    if freeze == "none":
        return []
    if "pixel" not in detector.streams:
        raise UserError(
            f"--freeze {freeze} is about the pixel stream, which {detector.config.name} has not; leave it at none, or "
            "use --detector pixel or two_stream"
        )
    if freeze == "all":
        return detector.pretrained_parameters()
    stages, wanted = stages_of(detector), int(freeze)
    if wanted > len(stages):
        raise UserError(f"--freeze is {wanted}; {detector.config.backbone} has {len(stages)} stages")
    return [parameter for stage in stages[:wanted] for parameter in stage]


def hold_still(detector: Detector, frozen: list[nn.Parameter]) -> None:
    """Let all parameters learn but the given ones, whose modules behave as in evaluation.

    To be called after `detector.train()`: a batch norm that is held still keeps its statistics too, and frozen layers
    drop nothing.
    """
    held = {id(parameter) for parameter in frozen}
    for parameter in detector.parameters():
        parameter.requires_grad_(id(parameter) not in held)
    for module in detector.modules():
        own = list(module.parameters())
        if own and all(id(parameter) in held for parameter in own):
            module.eval()


def layer_rates(detector: Detector, rate: float, decay: float) -> list[tuple[list[nn.Parameter], float]]:
    """Return (parameters, learning rate) for the pretrained part: `rate` at the top, `decay` times it a stage down.

    Args:
        detector: whose backbone it is about.
        rate: of the highest stage.
        decay: in (0, 1]; 1 gives one group, and needs no stages.
    """
    pretrained = detector.pretrained_parameters()
    if decay == 1:
        return [(pretrained, rate)]
    stages = stages_of(detector)
    groups = [(stage, rate * decay**height) for height, stage in enumerate(reversed(stages))]
    staged = {id(parameter) for stage in stages for parameter in stage}
    others = [parameter for parameter in pretrained if id(parameter) not in staged]
    return [*groups, (others, rate)]
