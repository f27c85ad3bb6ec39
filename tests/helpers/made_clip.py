"""CLIP's image tower as an ONNX file: a small one in the form of the pinned package's, and either as floats."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from timm.models.vision_transformer import VisionTransformer
from torch import nn

WIDTH, DEPTH, HEADS, SIDE, PATCH, OUT = 16, 2, 2, 16, 8, 6
TOKENS = (SIDE // PATCH) ** 2 + 1


def small_network() -> Any:
    """The timm network that the small file is of, from random weights."""
    return VisionTransformer(
        img_size=SIDE,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        num_classes=OUT,
        pre_norm=True,
        act_layer="quick_gelu",
        norm_layer=nn.LayerNorm,
    )


class _Graph:
    """Nodes and arrays, in order."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []

    def array(self, name: str, values: NDArray[Any]) -> str:
        self.arrays.append(numpy_helper.from_array(values, name))
        return name

    def drawn(self, name: str, *shape: int, around: float = 0.0) -> str:
        return self.array(name, (around + 0.3 * self.random.standard_normal(shape)).astype(np.float32))

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def norm(self, x: str, name: str) -> str:
        scale, bias = self.drawn(f"{name}.weight", WIDTH, around=1.0), self.drawn(f"{name}.bias", WIDTH)
        return self.node("LayerNormalization", [x, scale, bias], f"/{name}/out", axis=-1, epsilon=1e-5)

    def product(self, x: str, name: str, inputs: int, outputs: int, bias: bool = True, output: str = "") -> str:
        number = f"onnx::MatMul_{len(self.nodes)}"  # as exporters name matrices: it says nothing
        steps = self.random.integers(-127, 128, (inputs, outputs)).astype(np.int8)
        integers = self.array(f"{number}_quantized", steps)
        zero = self.array(f"{number}_zero_point", np.zeros(outputs, np.int8))
        size = self.random.uniform(0.5, 2, outputs) / (127 * inputs**0.5)
        scale = self.array(f"{number}_scale", size.astype(np.float32))
        parts = [f"/{name}/quantized", f"/{name}/scale", f"/{name}/zero"]
        self.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], parts))
        scales = self.node("Mul", [parts[1], scale], f"/{name}/scales")
        whole = self.node("MatMulInteger", [parts[0], integers, parts[2], zero], f"/{name}/integers")
        floats = self.node("Cast", [whole], f"/{name}/cast", to=TensorProto.FLOAT)
        made = self.node("Mul", [floats, scales], output or f"/{name}/product")
        return self.node("Add", [self.drawn(f"{name}.bias", outputs), made], f"/{name}/sum") if bias else made


def small_file(seed: int = 0) -> bytes:
    """A file of the form of the pinned package's, with weights that are drawn."""
    graph = _Graph(seed)
    kernel = graph.drawn("vision_model.embeddings.patch_embedding.weight", WIDTH, 3, PATCH, PATCH)
    maps = graph.node("Conv", ["pixel_values", kernel], "/patches", strides=[PATCH, PATCH])
    flat = graph.node("Reshape", [maps, graph.array("to_flat", np.array([1, WIDTH, -1]))], "/flat")
    rows = graph.node("Transpose", [flat], "/rows", perm=[0, 2, 1])
    first = graph.drawn("vision_model.embeddings.class_embedding", WIDTH)
    one = graph.node("Reshape", [first, graph.array("to_token", np.array([1, 1, WIDTH]))], "/class")
    all_tokens = graph.node("Concat", [one, rows], "/tokens", axis=1)
    places = graph.drawn("vision_model.embeddings.position_embedding.weight", TOKENS, WIDTH)
    x = graph.norm(graph.node("Add", [all_tokens, places], "/placed"), "vision_model.pre_layrnorm")
    apart = graph.array("apart", np.array([1, TOKENS, HEADS, WIDTH // HEADS]))
    together = graph.array("together", np.array([1, TOKENS, WIDTH]))
    root = graph.array("root", np.array((WIDTH // HEADS) ** -0.5, np.float32))
    slope = graph.array("slope", np.array(1.702, np.float32))
    for number in range(DEPTH):
        name = f"vision_model.encoder.layers.{number}"
        seen = graph.norm(x, f"{name}.layer_norm1")
        heads = {}
        for kind, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            part = graph.product(seen, f"{name}.self_attn.{kind}_proj", WIDTH, WIDTH)
            part = graph.node("Mul", [part, root], f"{part}/scaled") if kind == "q" else part
            split = graph.node("Reshape", [part, apart], f"{part}/apart")
            heads[kind] = graph.node("Transpose", [split], f"{part}/heads", perm=order)
        likeness = graph.node("MatMul", [heads["q"], heads["k"]], f"{name}/likeness")
        weights = graph.node("Softmax", [likeness], f"{name}/weights", axis=-1)
        mixed = graph.node("MatMul", [weights, heads["v"]], f"{name}/mixed")
        back = graph.node("Transpose", [mixed], f"{name}/back", perm=[0, 2, 1, 3])
        joined = graph.node("Reshape", [back, together], f"{name}/joined")
        given = graph.product(joined, f"{name}.self_attn.out_proj", WIDTH, WIDTH)
        x = graph.node("Add", [x, given], f"{name}/attended")
        wide = graph.product(graph.norm(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1", WIDTH, 4 * WIDTH)
        gate = graph.node("Sigmoid", [graph.node("Mul", [wide, slope], f"{name}/steep")], f"{name}/gate")
        bent = graph.node("Mul", [wide, gate], f"{name}/bent")
        x = graph.node("Add", [x, graph.product(bent, f"{name}.mlp.fc2", 4 * WIDTH, WIDTH)], f"{name}/out")
    place = graph.array("place", np.array(0))
    pooled = graph.norm(graph.node("Gather", [x, place], "/pooled", axis=1), "vision_model.post_layernorm")
    graph.product(pooled, "visual_projection", WIDTH, OUT, bias=False, output="image_embeds")
    made = helper.make_graph(
        graph.nodes,
        "clip",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, [1, OUT])],
        graph.arrays,
    )
    return bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def as_floats(payload: bytes) -> bytes:
    """The same graph with its integer products replaced by those of floats, the steps times their scales."""
    model = onnx.load_from_string(payload)
    graph = model.graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    kept = []
    for node in graph.node:
        if node.op_type == "Mul" and any(makers[n].op_type == "Cast" for n in node.input if n in makers):
            cast, scales = (makers[name] for name in node.input)
            whole = makers[cast.input[0]]
            scale = next(arrays[name] for name in scales.input if name in arrays)
            name = f"{node.output[0]}/matrix"
            graph.initializer.append(numpy_helper.from_array(arrays[whole.input[1]].astype(np.float32) * scale, name))
            kept.append(helper.make_node("MatMul", [makers[whole.input[0]].input[0], name], list(node.output)))
        else:
            kept.append(node)
    # What only the integer products used is left in; a runtime does not compute it.
    del graph.node[:]
    graph.node.extend(kept)
    return bytes(model.SerializeToString())
