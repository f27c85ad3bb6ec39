"""Frank et al. 2020, "Leveraging frequency analysis for deep fake image recognition", ICML: the logarithm of the whole
image's DCT, each coefficient standardised by itself, read by ridge regression or by a small convolutional network."""

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector
from fakefreq.models.peers.classical import FittedDetector, Standardise
from fakefreq.spectra import dct2

# A mean and a deviation of each coefficient hold for one size; the paper's for CelebA and LSUN is this one.
SIDE = 128


class LogDCTStream(nn.Module):
    """Logarithm of the magnitude of the DCT of the centre crop, in RGB, each coefficient standardised.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 128; the rest around the centre is not read
        - output: (B, 3 * 128 * 128)
    """

    minimum_size = SIDE
    width = 3 * SIDE * SIDE

    def __init__(self) -> None:
        super().__init__()
        self.standardise = Standardise(self.width)

    def raw(self, pixels: Tensor) -> Tensor:
        """Return the features before they are standardised."""
        top, left = (pixels.shape[-2] - SIDE) // 2, (pixels.shape[-1] - SIDE) // 2
        # In 8-bit steps, and log1p: the paper's log(x + 1e-12) makes -27 of a coefficient that happens to be 0.
        crop = pixels[..., top : top + SIDE, left : left + SIDE] * 255.0
        return dct2(crop).abs().log1p().flatten(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        with torch.autocast(pixels.device.type, enabled=False):
            return self.standardise(self.raw(pixels))  # type: ignore[no-any-return]


class LogDCTNetStream(LogDCTStream):
    """The same spectrum as an image of three channels, and the paper's small network up to its last layer.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 128
        - output: (B, 32 * 32 * 32): positions are kept, because a place in the spectrum is a frequency
    """

    def __init__(self) -> None:
        super().__init__()

        def step(channels_in: int, channels_out: int) -> list[nn.Module]:
            return [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU(inplace=True)]

        self.network = nn.Sequential(
            *step(3, 3), *step(3, 8), nn.AvgPool2d(2), *step(8, 16), nn.AvgPool2d(2), *step(16, 32), nn.Flatten()
        )
        self.width = 32 * (SIDE // 4) ** 2

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        return self.network(super().forward(pixels).view(-1, 3, SIDE, SIDE))  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/frank_dct_ridge` or `peer/frank_dct_cnn`; no pretrained weights belong to them."""
    del pretrained
    if name == "frank_dct_ridge":
        return FittedDetector(config, LogDCTStream(), "ridge")
    return PeerDetector(config, LogDCTNetStream())
