"""Which pixels decided: a map over the crop that the network read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.explaining.terms import learnt_logit
from fakefreq.models import Detector, FrequencyStream, PixelStream
from fakefreq.models.streams.lattice import LatticeStream

# Steps of the path that gradients are integrated along, and how many go through the network at once.
STEPS, AT_ONCE = 32, 8
# Cells along each side in which gradients of single pixels are added up: by pixel they are noise to the eye.
CELLS = 28


@dataclass(frozen=True)
class HeatMap:
    """What each part of the crop adds to the learnt logit.

    Args:
        method: `Grad-CAM` or `integrated gradients`.
        layer: whose maps Grad-CAM weighs; empty for the other.
        values: (h, w), positive towards fake.
        box: top, left, height and width of the part of the crop that they cover, in pixels.
    """

    method: str
    layer: str
    values: NDArray[np.float64]
    box: tuple[int, int, int, int]


def map_pixels(detector: Detector, pixels: Tensor, lattice: Tensor | None) -> HeatMap | None:
    """Return the heat map of the stream that reads pixels; None where the detector has no such stream, or none with a
    gradient.

    Grad-CAM over the last maps of a convolutional network (Selvaraju et al. 2017, "Grad-CAM: visual explanations from
    deep networks"), with its sign. Integrated gradients (Sundararajan, Taly, Yan 2017, "Axiomatic attribution for deep
    networks"), from a picture of the crop's mean colour, where a network has no such maps: a ViT, and the peers.

    Args:
        detector: in evaluation mode.
        pixels: one crop, floats in [0, 1].
        lattice: what the lattice stream read in the whole image.

    Shape: (1, 3, H, W), (1, 34)
    """
    name = next(
        (key for key, stream in detector.streams.items() if not isinstance(stream, FrequencyStream | LatticeStream)), ""
    )
    if not name or not getattr(detector.streams[name], "has_gradient", True):
        return None
    stream = detector.streams[name]
    with torch.no_grad():
        features = detector.features(pixels, lattice)

    def learnt(images: Tensor) -> Tensor:
        seen = {key: value.expand(len(images), -1) for key, value in features.items()}
        return learnt_logit(detector, {**seen, name: stream(images)})

    height, width = pixels.shape[-2:]
    layer = last_maps(stream, pixels) if isinstance(stream, PixelStream) else ""
    if not layer:
        gradients = IntegratedGradients(learnt)
        colour = pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
        found = gradients.attribute(pixels, colour, n_steps=STEPS, internal_batch_size=AT_ONCE)
        return HeatMap("integrated gradients", "", add_in_cells(found[0].sum(dim=0)), (0, 0, height, width))
    cam = LayerGradCam(learnt, stream.get_submodule(layer)).attribute(pixels)
    assert isinstance(stream, PixelStream)
    side = (stream.minimum_size, stream.minimum_size) if stream.fixed_size else (height, width)
    box = ((height - side[0]) // 2, (width - side[1]) // 2, *side)
    return HeatMap("Grad-CAM", layer, _array(cam[0, 0]), box)


def last_maps(stream: PixelStream, pixels: Tensor) -> str:
    """Return the name of the layer that gives the network's last maps, (B, C, h, w); empty where it has none.

    A ViT's last values are tokens; those of some others have channels last, or no extent in a crop this small.
    """
    network: Any = stream.network
    found = [""]

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.shape == maps.shape:
                found[0] = name

        return hook

    with torch.no_grad():
        maps = network.forward_features(stream.normalised(pixels))
    if maps.ndim != 4 or str(getattr(network, "output_fmt", "NCHW")) != "NCHW" or min(maps.shape[2:]) < 2:
        return ""
    modules = [(name, module) for name, module in network.named_modules() if name]
    handles = [module.register_forward_hook(note(f"network.{name}")) for name, module in modules]
    try:
        with torch.no_grad():
            stream(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return found[0]


def add_in_cells(values: Tensor) -> NDArray[np.float64]:
    """Add up a picture's values in cells: (H, W) -> (28, 28), or as it is where it is smaller; the sum is kept."""
    height, width = values.shape
    rows, columns = min(height, CELLS), min(width, CELLS)
    down = torch.arange(height, device=values.device) * rows // height
    across = torch.arange(width, device=values.device) * columns // width
    added = values.new_zeros(rows, width).index_add_(0, down, values)
    return _array(added.new_zeros(rows, columns).index_add_(1, across, added))


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().double().cpu().numpy(), dtype=np.float64)
