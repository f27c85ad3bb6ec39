"""FreqNet (Tan et al. 2024, "Frequency-aware deepfake detection: improving generalizability through frequency space
domain learning", AAAI): high-pass filters and convolutions in the Fourier domain, between the stages of a ResNet."""

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, first_stages


def high_pass(maps: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the positive part of maps without the lower half of their frequencies along some dimensions.

    The paper's filter: a box of half the spectrum's sides around frequency 0 is set to 0.

    Args:
        maps: float32.
        dims: the dimensions that are transformed: the two of space, or the one of the channels.

    Shape:
        - input and output: (B, C, H, W)
    """
    spectrum = torch.fft.fftn(maps, dim=dims, norm="ortho")
    keep = torch.zeros(1, dtype=torch.bool, device=maps.device)
    for dim in dims:
        size = maps.shape[dim]
        # Integer frequencies in [-size // 4, size // 4) are low; that holds for odd sizes as well.
        frequency = torch.arange(size, device=maps.device)
        frequency = torch.where(frequency < (size + 1) // 2, frequency, frequency - size)
        is_high = (frequency < -(size // 4)) | (frequency >= size // 4)
        shape = [1] * maps.ndim
        shape[dim] = size
        keep = keep | is_high.view(shape)
    passed: Tensor = torch.fft.ifftn(spectrum * keep, dim=dims, norm="ortho").real
    return passed.relu()


class FrequencyConvolution(nn.Module):
    """The paper's frequency convolutional layer: FFT, 1x1 convolutions of the parts, inverse FFT, ReLU.

    Args:
        channels: of input and output.

    Shape:
        - input and output: (B, channels, H, W)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.real = nn.Conv2d(channels, channels, 1, bias=False)
        self.imaginary = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps, their spectra mixed over channels."""
        spectrum = torch.fft.fft2(maps, norm="ortho")
        mixed = torch.complex(self.real(spectrum.real), self.imaginary(spectrum.imag))
        mapped: Tensor = torch.fft.ifft2(mixed, norm="ortho").real
        return mapped.relu()


class FreqNetStream(nn.Module):
    """All of FreqNet up to its pooled features.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 32
        - output: (B, 512)
    """

    width = 512
    minimum_size = 32

    def __init__(self) -> None:
        super().__init__()
        self.project1, self.project2 = nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 1, stride=2)
        self.project3, self.project4 = nn.Conv2d(256, 256, 1), nn.Conv2d(256, 256, 1, stride=2)
        self.frequency1, self.frequency2 = FrequencyConvolution(64), FrequencyConvolution(64)
        self.frequency3, self.frequency4 = FrequencyConvolution(256), FrequencyConvolution(256)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage1, self.stage2 = first_stages()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, 512)."""
        # The whole network leaves autocast: every second step is an FFT, which half precision cannot hold.
        with torch.autocast(pixels.device.type, enabled=False):
            space, channels = (2, 3), (1,)
            maps = self.project1(high_pass(pixels.float(), space)).relu()
            maps = self.frequency1(high_pass(maps, channels))
            maps = self.project2(high_pass(maps, space)).relu()
            maps = self.frequency2(high_pass(maps, channels))
            maps = self.stage1(self.pool(maps))
            maps = self.frequency3(self.project3(high_pass(maps, space)).relu())
            maps = self.frequency4(self.project4(high_pass(maps, space)).relu())
            features: Tensor = self.stage2(maps).mean(dim=(2, 3))
            return features


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/freqnet`; no pretrained weights belong to it."""
    del pretrained, name
    return PeerDetector(config, FreqNetStream())
