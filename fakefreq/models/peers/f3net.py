"""F3-Net (Qian et al. 2020, "Thinking in frequency: face forgery detection by mining frequency-aware clues", ECCV):
two Xceptions, one on the image's frequency bands (FAD), one on local frequency statistics (LFS), that attend to
each other (MixBlock)."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, layers_in_order, load_backbone, widen_stem
from fakefreq.spectra import BandFilters, BlockDCT, rgb_to_gray

# After these layers the two streams attend to each other: the paper's of Xception, and a ResNet's last stages.
MIX_AFTER = (("block7", "block12"), ("layer3", "layer4"))


class LocalFrequencyStatistics(nn.Module):
    """Log of the energy in bands of a sliding DCT: a map of statistics, at half the image's resolution.

    Args:
        bands: bands along the block's diagonal, of equal width; each has its base and learnt gains.
        block: side of the window in pixels.
        stride: pixels between two windows.

    Shape:
        - input: (B, 1, H, W) grey floats in [0, 1], H and W at least `block`
        - output: (B, bands, (H - 2) // 2 + 1, (W - 2) // 2 + 1) for the default block and stride
    """

    base: Tensor

    def __init__(self, bands: int = 6, block: int = 10, stride: int = 2) -> None:
        super().__init__()
        self.transform = BlockDCT(block, stride)
        self.padding = (block - stride) // 2
        frequency = torch.arange(block).unsqueeze(1) + torch.arange(block)
        band = frequency * bands // (2 * block - 1)
        base = (band.flatten().unsqueeze(0) == torch.arange(bands).unsqueeze(1)).float()
        self.register_buffer("base", base, persistent=False)
        # Not 0: outside its band a gain's magnitude has no slope there, and would never be learnt.
        self.weight = nn.Parameter(torch.randn(bands, block * block) * 0.1)

    def forward(self, gray: Tensor) -> Tensor:
        """Return the statistics."""
        with torch.autocast(gray.device.type, enabled=False):
            padded = nn.functional.pad(gray.float(), (self.padding,) * 4, mode="reflect")
            magnitude = self.transform(padded)[:, 0].abs()
            gains = (self.base + torch.tanh(self.weight / 2)).abs()
            energy = torch.einsum("kf,bfhw->bkhw", gains, magnitude)
            return (255.0 * energy).log1p()


class MixBlock(nn.Module):
    """Cross-attention of two streams: one affinity of positions, read both ways.

    Args:
        channels: of both streams.
        reduced: channels of queries and keys.

    Shape:
        - input: two maps (B, channels, H, W); the second's size may differ and is brought to the first's
        - output: two maps (B, channels, H, W)
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, reduced, 1), nn.Conv2d(channels, reduced, 1)
        self.to_first = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.to_second = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps, each with what the other says of its positions."""
        if second.shape[-2:] != first.shape[-2:]:
            second = nn.functional.interpolate(second, first.shape[-2:], mode="bilinear", align_corners=False)
        query, key = self.query(first).flatten(2), self.key(second).flatten(2)
        affinity = query.transpose(1, 2) @ key / query.shape[1] ** 0.5
        from_second = (second.flatten(2) @ affinity.softmax(dim=2).transpose(1, 2)).view_as(first)
        from_first = (first.flatten(2) @ affinity.softmax(dim=1)).view_as(second)
        return first + self.to_first(from_second), second + self.to_second(from_first)


class F3NetStream(nn.Module):
    """All of F3-Net up to its pooled features.

    Args:
        networks: two timm networks of one kind, their weights in.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 64
        - output: (B, width)
    """

    minimum_size = 64

    def __init__(self, networks: tuple[Any, Any]) -> None:
        super().__init__()
        self.bands = BandFilters(geometry="diagonal", learnable=True)
        self.statistics = LocalFrequencyStatistics()
        widen_stem(networks[0], 9)
        # The statistics have half the image's resolution already.
        widen_stem(networks[1], 6).stride = (1, 1)
        layers = [layers_in_order(network) for network in networks]
        self.first, self.second = (nn.ModuleDict(of) for of in layers)
        names = list(layers[0])
        self.mix_after = next((pair for pair in MIX_AFTER if pair[0] in names), (names[-2], names[-1]))
        with torch.no_grad():
            maps, mixes = torch.zeros(2, 9, 64, 64), {}
            for name, layer in layers[0].items():
                maps = layer(maps)
                if name in self.mix_after:
                    mixes[name] = MixBlock(maps.shape[1], max(8, maps.shape[1] // 8))
        self.mixes = nn.ModuleDict(mixes)
        self.width = 2 * int(maps.shape[1])

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those of both networks."""
        return [*self.first.parameters(), *self.second.parameters()]

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, width)."""
        first = self.bands(pixels * 2 - 1).transpose(1, 2).flatten(1, 2)
        second = self.statistics(rgb_to_gray(pixels))
        for name in self.first:
            first, second = self.first[name](first), self.second[name](second)
            if name in self.mixes:
                first, second = self.mixes[name](first, second)
        return torch.cat([first.mean(dim=(2, 3)), second.mean(dim=(2, 3))], dim=1)


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/f3net`."""
    del name
    networks = tuple(timm.create_model(config.backbone, pretrained=False) for _ in range(2))
    for network in networks:
        load_backbone(network, config, pretrained)
    return PeerDetector(config, F3NetStream((networks[0], networks[1])))
