"""OpenVINO's intermediate representation, read as data, and its operators as torch modules."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fakefreq.errors import UserError, choose

# Types of arrays by the names that the XML has for them; the files are little-endian.
_TYPES = {"f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4"}


@dataclass(frozen=True)
class Node:
    """One operation of the graph.

    Attributes:
        kind: the operation's name in OpenVINO's operation sets, such as `Convolution`.
        name: its own name, for messages.
        options: the attributes, as text.
        inputs: the values that it reads, in order of its ports.
        outputs: the values that it makes, with the shape of each as exported.
    """

    kind: str
    name: str
    options: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Graph:
    """A network: nodes in an order in which each finds its inputs made, and constant arrays by value."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[np.generic]]


def read_graph(xml: bytes, arrays: bytes) -> Graph:
    """Read a network.

    Args:
        xml: the graph, version 10 of the format.
        arrays: the constants, at the offsets that the XML tells.

    Raises:
        UserError: it is not such a graph, or an array lies outside of `arrays`.
    """
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise UserError("refused a network whose XML defines entities; fetch the wheel again")
    try:
        root = ElementTree.fromstring(xml)
        layers = {layer.attrib["id"]: layer for layer in root.iterfind("./layers/layer")}
        sources: dict[str, dict[int, str]] = {key: {} for key in layers}
        for edge in root.iterfind("./edges/edge"):
            value = f"{edge.attrib['from-layer']}:{edge.attrib['from-port']}"
            sources[edge.attrib["to-layer"]][int(edge.attrib["to-port"])] = value
        constants: dict[str, NDArray[np.generic]] = {}
        nodes: list[Node] = []
        for key in _sort(layers, sources):
            node = _read_node(key, layers[key], sources[key])
            if node.kind == "Const":
                (value,) = node.outputs
                constants[value] = _read_array(node, arrays)
            else:
                nodes.append(node)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise UserError(f"not a network in OpenVINO's format: {error!r}; fetch the wheel again") from error
    return Graph(tuple(nodes), constants)


def _read_node(key: str, layer: ElementTree.Element, sources: Mapping[int, str]) -> Node:
    data = layer.find("data")
    outputs = {
        f"{key}:{port.attrib['id']}": tuple(int(dim.text or "") for dim in port.iterfind("dim"))
        for port in layer.iterfind("./output/port")
    }
    return Node(
        layer.attrib["type"],
        layer.attrib["name"],
        {} if data is None else data.attrib,
        tuple(sources[port] for port in sorted(sources)),
        outputs,
    )


def _read_array(node: Node, arrays: bytes) -> NDArray[np.generic]:
    shape = tuple(int(side) for side in node.options["shape"].split(",") if side.strip())
    kind = np.dtype(_TYPES[node.options["element_type"]])
    start, size = int(node.options["offset"]), int(node.options["size"])
    if size != math.prod(shape) * kind.itemsize or start < 0 or start + size > len(arrays):
        raise UserError(f"array {node.name} of {size} bytes at {start} does not fit; fetch the wheel again")
    return np.frombuffer(arrays, kind, math.prod(shape), start).reshape(shape)


def _sort(layers: Mapping[str, ElementTree.Element], sources: Mapping[str, Mapping[int, str]]) -> list[str]:
    """Order layers so that each comes after what it reads, whatever order the file has them in."""
    done: dict[str, None] = {}
    waiting = list(layers)
    while waiting:
        ready = [key for key in waiting if all(value.split(":")[0] in done for value in sources[key].values())]
        if not ready:
            raise ValueError("the graph has a cycle, or reads what no layer makes")
        done |= dict.fromkeys(ready)
        waiting = [key for key in waiting if key not in done]
    return list(done)


Operation = Callable[[Node, list[Tensor]], tuple[Tensor, ...]]


class GraphModule(nn.Module):
    """A network of one input and one output.

    Values of integers (shapes, axes) stay on the CPU; arrays of floats are buffers and follow the module to
    its device.

    Args:
        graph: the network.

    Shape: as the graph says; the batch may be larger where the graph reads it from its input.

    Raises:
        UserError: it has an operation that is not known here, or not one input and one output.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        kinds = [node.kind for node in graph.nodes]
        for kind in sorted({*kinds} - {"Parameter", "Result"}):
            choose(kind, list(OPERATIONS), "operation of a network", "the pinned wheel")
        if kinds.count("Parameter") != 1 or kinds.count("Result") != 1:
            raise UserError("a network with one input and one output is wanted; fetch the wheel again")
        self.nodes = graph.nodes
        self.integers: dict[str, Tensor] = {}
        for value, array in graph.constants.items():
            # A copy: torch warns of arrays that it may not write to.
            tensor = torch.from_numpy(np.array(array))
            if tensor.is_floating_point():
                self.register_buffer(_buffer(value), tensor.float())
            else:
                self.integers[value] = tensor.long()
        self._last_use = {value: index for index, node in enumerate(graph.nodes) for value in node.inputs}

    def forward(self, batch: Tensor) -> Tensor:
        """Run the network on a batch."""
        values: dict[str, Tensor] = {}
        for index, node in enumerate(self.nodes):
            if node.kind == "Parameter":
                values |= dict.fromkeys(node.outputs, batch)
                continue
            inputs = [self._find(value, values) for value in node.inputs]
            if node.kind == "Result":
                return inputs[0]
            values |= zip(node.outputs, OPERATIONS[node.kind](node, inputs), strict=True)
            for value in node.inputs:
                if self._last_use[value] == index:
                    values.pop(value, None)  # features of a megapixel are large: keep none that is done with
        raise AssertionError("a graph has one result")

    def _find(self, value: str, values: Mapping[str, Tensor]) -> Tensor:
        if value in values:
            return values[value]
        return self.integers[value] if value in self.integers else self.get_buffer(_buffer(value))


def _buffer(value: str) -> str:
    return "value_" + value.replace(":", "_")


def _numbers(node: Node, option: str) -> list[int]:
    return [int(part) for part in node.options.get(option, "").split(",") if part.strip()]


def _padded(node: Node, features: Tensor) -> Tensor:
    before, after = _numbers(node, "pads_begin"), _numbers(node, "pads_end")
    if node.options.get("auto_pad", "explicit") != "explicit":
        raise UserError(f"{node.name} pads by {node.options['auto_pad']}, only explicit is known here")
    # torch names the last axis first.
    pads = [pad for pair in reversed(list(zip(before, after, strict=True))) for pad in pair]
    return functional.pad(features, pads) if any(pads) else features


def _convolution(node: Node, inputs: list[Tensor]) -> Tensor:
    features, kernel = inputs
    groups = 1
    if node.kind == "GroupConvolution":  # kernel: groups, outputs of a group, inputs of a group, rows, columns
        groups, kernel = kernel.shape[0], kernel.flatten(0, 1)
    strides, dilations = _numbers(node, "strides"), _numbers(node, "dilations")
    return functional.conv2d(_padded(node, features), kernel, None, strides, 0, dilations, groups)


def _transposed_convolution(node: Node, inputs: list[Tensor]) -> Tensor:
    features, kernel = inputs  # kernel: groups, inputs of a group, outputs of a group, rows, columns
    if any(_numbers(node, "pads_begin") + _numbers(node, "pads_end") + _numbers(node, "output_padding")):
        raise UserError(f"{node.name} crops its output, which is not known here")
    strides, dilations = _numbers(node, "strides"), _numbers(node, "dilations")
    groups = kernel.shape[0]
    if kernel.shape[1:3] == (1, 1) and list(kernel.shape[3:]) == strides and {*dilations} == {1}:
        # Taps that do not overlap are a product: several times as fast as torch's own on a CPU.
        (batch, channels, height, width), (rows, columns) = features.shape, strides
        taps = kernel.reshape(channels, 1, rows, 1, columns)
        return (features[:, :, :, None, :, None] * taps).reshape(batch, channels, height * rows, width * columns)
    return functional.conv_transpose2d(features, kernel.flatten(0, 1), None, strides, 0, 0, groups, dilations)


def _matmul(node: Node, inputs: list[Tensor]) -> Tensor:
    left, right = (
        value.mT if node.options.get(option) == "true" else value
        for value, option in zip(inputs, ("transpose_a", "transpose_b"), strict=True)
    )
    return left @ right


def _gather(node: Node, inputs: list[Tensor]) -> Tensor:
    values, indices, axis = inputs
    if int(node.options.get("batch_dims", "0")):
        raise UserError(f"{node.name} gathers by batch, which is not known here")
    shape = values.shape
    dim = int(axis) % values.ndim
    chosen = values.index_select(dim, (indices.flatten() % shape[dim]).to(values.device))
    return chosen.reshape((*shape[:dim], *indices.shape, *shape[dim + 1 :]))


def _reshape(node: Node, inputs: list[Tensor]) -> Tensor:
    values, target = inputs
    sides = [int(side) for side in target]
    if node.options.get("special_zero") == "true":  # a zero keeps the input's side
        sides = [values.shape[axis] if side == 0 else side for axis, side in enumerate(sides)]
    return values.reshape(sides)


def _unsqueeze(_: Node, inputs: list[Tensor]) -> Tensor:
    values, axes = inputs
    rank = values.ndim + axes.numel()
    for axis in sorted(int(axis) % rank for axis in axes.flatten()):
        values = values.unsqueeze(axis)
    return values


def _squeeze(_: Node, inputs: list[Tensor]) -> Tensor:
    values, axes = inputs
    return values.squeeze(tuple(int(axis) % values.ndim for axis in axes.flatten()))


def _broadcast(node: Node, inputs: list[Tensor]) -> Tensor:
    values, target = inputs[:2]
    sides = [int(side) for side in target]
    if node.options["mode"] == "bidirectional":  # either may be the one that is repeated
        pairs = zip_longest(reversed(values.shape), reversed(sides), fillvalue=1)
        sides = [max(pair) for pair in pairs][::-1]
    return values.expand(sides)


def _split(_: Node, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    values, axis, lengths = inputs
    dim = int(axis)
    sizes = [int(length) for length in lengths]
    if -1 in sizes:  # one length may be left to be found
        sizes[sizes.index(-1)] = values.shape[dim] - sum(sizes) - 1
    return torch.split_with_sizes(values, sizes, dim)


def _prelu(_: Node, inputs: list[Tensor]) -> Tensor:
    values, slope = inputs
    return torch.where(values > 0, values, values * slope) if slope.ndim > 1 else functional.prelu(values, slope)


def _one(operation: Callable[[Node, list[Tensor]], Tensor]) -> Operation:
    return lambda node, inputs: (operation(node, inputs),)


OPERATIONS: dict[str, Operation] = {
    "Add": _one(lambda _, inputs: inputs[0] + inputs[1]),
    "Broadcast": _one(_broadcast),
    "Concat": _one(lambda node, inputs: torch.cat(inputs, int(node.options["axis"]))),
    "Convolution": _one(_convolution),
    "Gather": _one(_gather),
    "GroupConvolution": _one(_convolution),
    "GroupConvolutionBackpropData": _one(_transposed_convolution),
    "MatMul": _one(_matmul),
    "Multiply": _one(lambda _, inputs: inputs[0] * inputs[1]),
    "PReLU": _one(_prelu),
    "Power": _one(lambda _, inputs: inputs[0] ** inputs[1]),
    "ReduceMean": _one(
        lambda node, inputs: inputs[0].mean(
            [int(axis) for axis in inputs[1].flatten()], keepdim=node.options["keep_dims"] == "true"
        )
    ),
    "Reshape": _one(_reshape),
    "ShapeOf": _one(lambda _, inputs: torch.tensor(inputs[0].shape)),
    "Squeeze": _one(_squeeze),
    "Tile": _one(lambda _, inputs: inputs[0].tile([int(times) for times in inputs[1]])),
    "Unsqueeze": _one(_unsqueeze),
    "VariadicSplit": _split,
}
"""What is known, by OpenVINO's names; each follows the specification of its operation set."""
