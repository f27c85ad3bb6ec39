"""Reader of OpenVINO's intermediate representation: a graph in XML beside its arrays, both plain data.

Nothing of OpenVINO is needed, and nothing in the files is executed: the XML names nodes, edges and the place
of each array, and an array is so many bytes of a known type.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from fakefreq.errors import UserError

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
