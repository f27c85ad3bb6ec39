"""Optimisers and schedules, from torch, with weight decay on matrices only and two learning rates."""

import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from fakefreq.config.optim import OptimConfig
from fakefreq.models import Detector
from fakefreq.train.stages import layer_rates


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
