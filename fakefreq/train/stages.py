"""A backbone's stages: which keep their weights, and how fast each of the others learns."""

from typing import Any

from timm.models._manipulate import group_with_matcher
from torch import nn

from fakefreq.errors import UserError
from fakefreq.models import Detector


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
        UserError: more stages than the backbone has.
    """
    if freeze == "none":
        return []
    if freeze == "all":
        return detector.pretrained_parameters()
    stages, wanted = stages_of(detector), int(freeze)
    if stages and wanted > len(stages):
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
