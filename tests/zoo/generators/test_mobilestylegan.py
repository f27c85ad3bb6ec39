"""MobileStyleGAN in torch makes OpenVINO's pictures; what its reader does not know is refused."""

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.zoo.formats.openvino import GraphModule, read_graph
from fakefreq.zoo.generators.dcgan import draw_latent
from fakefreq.zoo.generators.mobilestylegan import LATENT, load_mobilestylegan

Fetch = Callable[[str], Path]

Array = NDArray[np.generic]


def floats(values: Sequence[float | Sequence[float]]) -> Array:
    """An array of float32."""
    return np.array(values, np.float32)


def write_graph(operation: str, *constants: Array, options: str = "", shape: str = "1,2") -> tuple[bytes, bytes]:
    """A network of one operation on its input and on constants, as OpenVINO writes it."""
    payload, layers, edges = b"", [], []
    output = '<output><port id="{}"/></output>'
    layers.append(f'<layer id="0" name="x" type="Parameter"><data shape="{shape}"/>{output.format(0)}</layer>')
    names = {"float32": "f32", "int64": "i64"}
    for key, value in enumerate(constants, start=2):
        facts = f'element_type="{names[str(value.dtype)]}" shape="{", ".join(map(str, value.shape))}"'
        facts += f' offset="{len(payload)}" size="{value.nbytes}"'
        layers.append(f'<layer id="{key}" name="c{key}" type="Const"><data {facts}/>{output.format(0)}</layer>')
        edges.append(f'<edge from-layer="{key}" from-port="0" to-layer="1" to-port="{key - 1}"/>')
        payload += value.tobytes()
    layers.append(f'<layer id="1" name="y" type="{operation}"><data {options}/>{output.format(9)}</layer>')
    layers.append('<layer id="99" name="z" type="Result"/>')
    edges += ['<edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>']
    edges += ['<edge from-layer="1" from-port="9" to-layer="99" to-port="0"/>']
    text = f'<net version="10"><layers>{"".join(layers)}</layers><edges>{"".join(edges)}</edges></net>'
    return text.encode(), payload


@pytest.mark.slow
@pytest.mark.network
def test_mobilestylegan_agrees_with_openvino(fetched: Fetch, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="the original runtime is in the extra zoo")
    network = load_mobilestylegan()
    with zipfile.ZipFile(fetched("random-face")) as wheel:
        for name in ("MappingNetwork", "SynthesisNetwork"):
            for suffix in ("xml", "bin"):
                (tmp_path / f"{name}.{suffix}").write_bytes(wheel.read(f"random_face/data/{name}.{suffix}"))
    core = openvino.Core()
    # Without the hint a CPU with bfloat16 computes in it, and differs from itself by more than a tenth.
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    mapping, synthesis = (
        core.compile_model(str(tmp_path / f"{name}Network.xml"), "CPU", hint) for name in ("Mapping", "Synthesis")
    )
    latent = draw_latent(0, 0, LATENT)[None]
    style = mapping(latent)[0]
    mean = network.mean_style.numpy()
    expected = synthesis(mean + network.truncation * (style - mean))[0]
    with torch.inference_mode():
        np.testing.assert_allclose(network.mapping(torch.from_numpy(latent)).numpy(), style, rtol=0, atol=1e-4)
        image = network(torch.from_numpy(latent)).numpy()
    assert expected.shape == (1, 3, 1024, 1024)
    assert expected.std() > 0.1
    np.testing.assert_allclose(image, expected, rtol=0, atol=1 / 255)


@pytest.mark.slow
@pytest.mark.network
def test_mobilestylegan_repeats_an_image_whatever_is_made_beside_it(fetched: Fetch) -> None:
    fetched("random-face")
    network = load_mobilestylegan()
    both = network.sample_at([0, 1], seed=3)
    assert both.shape == (2, 1024, 1024, 3)
    assert both[0].std() > 10
    assert np.abs(both[0].astype(int) - both[1]).mean() > 5
    np.testing.assert_array_equal(network.sample_at([1], seed=3)[0], both[1])


def test_operations_follow_their_specification() -> None:
    batch = torch.arange(6.0).reshape(1, 2, 3) - 2
    integers = np.array
    cases: list[tuple[str, tuple[Array, ...], str, torch.Tensor]] = [
        ("Add", (floats([10]),), "", batch + 10),
        ("Power", (floats([2]),), "", batch**2),
        ("PReLU", (floats([0.5]),), "", torch.where(batch < 0, batch / 2, batch)),
        ("Reshape", (integers([0, -1]),), 'special_zero="true"', batch.reshape(1, 6)),
        ("Unsqueeze", (integers([0, 2]),), "", batch.reshape(1, 1, 1, 2, 3)),
        ("Squeeze", (integers([0]),), "", batch.reshape(2, 3)),
        ("Tile", (integers([2, 1, 1]),), "", torch.cat([batch, batch])),
        ("Broadcast", (integers([2, 1, 3]),), 'mode="bidirectional"', batch.expand(2, 2, 3)),
        ("Gather", (integers([-1, 0]), integers(2)), 'batch_dims="0"', batch[:, :, [2, 0]]),
        ("ReduceMean", (integers([1, 2]),), 'keep_dims="false"', batch.mean((1, 2))),
        ("ShapeOf", (), "", torch.tensor([1, 2, 3])),
        ("MatMul", (floats([[1, 2, 3]]),), 'transpose_b="true"', batch @ torch.tensor([[1.0], [2], [3]])),
    ]
    for operation, constants, options, expected in cases:
        network = GraphModule(read_graph(*write_graph(operation, *constants, options=options)))
        found = network(batch)
        assert found.shape == expected.shape, operation
        torch.testing.assert_close(found, expected, msg=operation)


@pytest.mark.parametrize("side", [2, 3])
def test_a_transposed_convolution_is_torchs(side: int) -> None:
    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((4, 1, 1, side, 1), dtype=np.float32)
    batch = torch.from_numpy(generator.standard_normal((2, 4, 5, 6), dtype=np.float32))
    options = 'strides="2, 1" pads_begin="0, 0" pads_end="0, 0" dilations="1, 1" auto_pad="explicit"'
    network = GraphModule(read_graph(*write_graph("GroupConvolutionBackpropData", kernel, options=options)))
    expected = torch.nn.functional.conv_transpose2d(batch, torch.from_numpy(kernel[:, 0]), stride=(2, 1), groups=4)
    torch.testing.assert_close(network(batch), expected)


def test_a_split_may_leave_one_length_to_be_found() -> None:
    # The graph's writer knows one output; a split that gives more than the graph names is an error.
    xml, payload = write_graph("VariadicSplit", np.array(1), np.array([-1]))
    batch = torch.arange(6.0).reshape(1, 2, 3)
    torch.testing.assert_close(GraphModule(read_graph(xml, payload))(batch), batch)


def test_what_is_not_known_is_refused() -> None:
    xml, payload = write_graph("Sofmax")
    with pytest.raises(UserError, match="Sofmax"):
        GraphModule(read_graph(xml, payload))
    xml, payload = write_graph("Add", floats([1]))
    with pytest.raises(UserError, match="does not fit"):
        read_graph(xml, payload[:-1])
    with pytest.raises(UserError, match="entities"):
        read_graph(b'<!DOCTYPE net [<!ENTITY a "b">]>' + xml, payload)
    with pytest.raises(UserError, match="not a network"):
        read_graph(xml[:-9], payload)
    with pytest.raises(UserError, match="cycle"):
        read_graph(re.sub(rb'from-layer="0"', b'from-layer="1"', xml), payload)
