"""SPSL (Liu et al. 2021, "Spatial-phase shallow learning: rethinking face forgery detection in frequency domain",
CVPR): an image rebuilt from its phase alone as the fourth channel of a shallow Xception."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, layers_in_order, load_backbone, widen_stem
from fakefreq.spectra import rgb_to_gray

# Layers before this one are kept of Xception (its entry flow) and of a ResNet.
CUTS = ("block4", "layer3")


def phase_image(gray: Tensor) -> Tensor:
    """Return the image whose spectrum has the given one's phase and unit amplitude.

    Each image by itself: a transform over all dimensions, as in a published port, mixes the images of a batch.

    Args:
        gray: float32.

    Shape:
        - input and output: (B, 1, H, W)

    >>> gray = torch.rand(2, 1, 8, 9)
    >>> amplitude = torch.fft.fft2(phase_image(gray)).abs()
    >>> torch.allclose(amplitude, torch.ones(2, 1, 8, 9), atol=1e-4)
    True
    """
    with torch.autocast(gray.device.type, enabled=False):
        spectrum = torch.fft.rfft2(gray.float())
        amplitude = (spectrum.real.square() + spectrum.imag.square()).sqrt()
        # Where there is no amplitude there is no phase: a flat image has its mean alone.
        gain = torch.where(amplitude > 1e-7, 1 / amplitude.clamp_min(1e-7), 0.0)
        unit = torch.complex(spectrum.real * gain, spectrum.imag * gain)
        image: Tensor = torch.fft.irfft2(unit, s=gray.shape[-2:])
        return image


class SPSLStream(nn.Module):
    """Pixels and the phase image in four channels, and the first layers of a timm network.

    Args:
        network: a timm network, its weights in.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 32
        - output: (B, width)
    """

    minimum_size = 32
    mean: Tensor
    std: Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(network.pretrained_cfg[name], dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        widen_stem(network, 4)
        layers = layers_in_order(network)
        cut = next((name for name in CUTS if name in layers), list(layers)[-1])
        names = list(layers)[: list(layers).index(cut)]
        self.layers = nn.ModuleDict({name: layers[name] for name in names}).to(memory_format=torch.channels_last)
        with torch.no_grad():
            self.width = int(self._features(torch.zeros(1, 4, 32, 32)).shape[1])

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """All: the stem's are its RGB weights, repeated."""
        return list(self.layers.parameters())

    def _features(self, channels: Tensor) -> Tensor:
        maps = channels.contiguous(memory_format=torch.channels_last)
        for layer in self.layers.values():
            maps = layer(maps)
        return maps

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, width)."""
        phase = phase_image(rgb_to_gray(pixels))
        # Unit amplitude everywhere makes white noise of variance 1 / (H * W); the network's channels have 1.
        scaled = phase * (pixels.shape[-1] * pixels.shape[-2]) ** 0.5
        return self._features(torch.cat([(pixels - self.mean) / self.std, scaled], dim=1)).mean(dim=(2, 3))


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/spsl`."""
    del name
    network: Any = timm.create_model(config.backbone, pretrained=False)
    load_backbone(network, config, pretrained)
    return PeerDetector(config, SPSLStream(network))
