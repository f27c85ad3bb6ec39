"""SAFE (Li et al. 2025, "Improving synthetic image detection towards generalization: an image transformation
perspective", KDD): NPR's network on a wavelet's highest band; crops, colour, rotation and masks in training."""

from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, TruncatedResNet50
from fakefreq.spectra import WaveletBands


class SAFEStream(nn.Module):
    """The HH band of the bior1.3 wavelet transform, brought back to the image's size, and a truncated ResNet-50.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 512)
    """

    width = TruncatedResNet50.width
    minimum_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.bands = WaveletBands("bior1.3")
        self.network = TruncatedResNet50()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, 512)."""
        highest = self.bands(pixels)[:, :, 3]
        resized = nn.functional.interpolate(highest, pixels.shape[-2:], mode="bilinear", align_corners=False)
        return self.network(resized)  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/safe`; no pretrained weights belong to it."""
    del pretrained, name
    return PeerDetector(config, SAFEStream())
