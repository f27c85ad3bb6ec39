"""NPR (Tan et al. 2024, "Rethinking the up-sampling operations in CNN-based generative network for generalizable
deepfake detection", CVPR): relations of neighbouring pixels, read by the first half of a ResNet-50."""

import torch
from timm.data import IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, TruncatedResNet50
from fakefreq.spectra import npr_residual

# The published network multiplies the residual by this.
SCALE = 2 / 3


class NPRStream(nn.Module):
    """The image minus itself sampled down and up by nearest neighbour, and a truncated ResNet-50.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 512)
    """

    width = TruncatedResNet50.width
    minimum_size = 16
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # The mean of the usual normalisation falls out of a difference; its division stays.
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)
        self.network = TruncatedResNet50()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, 512)."""
        return self.network(npr_residual(pixels) * (SCALE / self.std))  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/npr`; no pretrained weights belong to it."""
    del pretrained, name
    return PeerDetector(config, NPRStream())
