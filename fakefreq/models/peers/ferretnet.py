"""FerretNet (Liang et al. 2025, "FerretNet: efficient synthetic image detection via local pixel dependencies",
NeurIPS): what the median of its neighbours does not say of a pixel, read by a small separable network."""

import torch
from timm.data import OPENAI_CLIP_STD
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector


def neighbour_median_residual(pixels: Tensor) -> Tensor:
    """Return the image minus the lower median of each pixel's eight neighbours, the pixel itself left out.

    `fakefreq.spectra.median_residual` counts the pixel in, and so is 0 wherever the pixel lies between the fourth and
    the fifth of its neighbours; the paper leaves it out. By comparisons of pairs (Smith 1996, Implementing median
    filters in XC4000E FPGAs), the centre counting as less than everything.

    Args:
        pixels: float32, in [0, 1]; the border is continued by its outermost pixel.

    Shape:
        - input and output: (B, C, H, W)

    >>> ramp = torch.arange(9.0).view(1, 1, 3, 3)
    >>> neighbour_median_residual(ramp)[0, 0, 1, 1].item()   # 4 minus 3, the fourth of 0 1 2 3 5 6 7 8
    1.0
    """
    padded = nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    top, centre, bottom = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    little, big = torch.minimum(top, bottom), torch.maximum(top, bottom)
    low, high = torch.minimum(little, centre), torch.maximum(big, centre)
    middle = torch.maximum(little, torch.minimum(big, centre))
    greatest_low = torch.maximum(low[..., :-2], low[..., 2:])
    least_high = torch.minimum(torch.minimum(high[..., :-2], high[..., 2:]), big[..., 1:-1])
    between = _median3(middle[..., :-2], little[..., 1:-1], middle[..., 2:])
    return pixels - _median3(greatest_low, between, least_high)


def _median3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


class FerretBlock(nn.Module):
    """Two depthwise 3x3 convolutions, one of them dilated, summed; then a separable one; with a short cut.

    Args:
        channels_in: of the input.
        channels_out: of the output, a multiple of `channels_in`.
        stride: 1 or 2.

    Shape:
        - input: (B, channels_in, H, W)
        - output: (B, channels_out, H', W') with H' = (H + stride - 1) // stride
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()

        def depthwise(channels: int, multiple: int, stride: int, dilation: int) -> nn.Conv2d:
            return nn.Conv2d(
                channels,
                channels * multiple,
                3,
                stride,
                padding=dilation,
                dilation=dilation,
                groups=channels,
                bias=False,
            )

        multiple = channels_out // channels_in
        self.near = depthwise(channels_in, multiple, stride, dilation=1)
        self.far = depthwise(channels_in, multiple, stride, dilation=2)
        self.mix = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
        )
        self.separable = nn.Sequential(
            depthwise(channels_out, 1, 1, dilation=1),
            nn.Conv2d(channels_out, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.short_cut: nn.Module = nn.Identity()
        if stride != 1 or multiple != 1:
            self.short_cut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's maps."""
        return torch.relu(self.separable(self.mix(self.near(maps) + self.far(maps))) + self.short_cut(maps))


class FerretNetStream(nn.Module):
    """All of FerretNet up to its pooled features: a stem and two stages of two blocks, 96 channels wide at first.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 384)
    """

    width = 384
    minimum_size = 16
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # The mean of CLIP's normalisation falls out of a difference; its division stays.
        self.register_buffer("std", torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1), persistent=False)

        def plain(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            )

        network = nn.Sequential(
            plain(3, 48, 1),
            plain(48, 96, 2),
            FerretBlock(96, 192, 2),
            FerretBlock(192, 192, 1),
            FerretBlock(192, 384, 2),
            FerretBlock(384, 384, 1),
            nn.Conv2d(384, 384, 1, bias=False),
        )
        # Depthwise convolutions run about three times faster on CPU with channels last.
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return pooled features, (B, 384)."""
        residual = neighbour_median_residual(pixels) / self.std
        return self.network(residual.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/ferretnet`; no pretrained weights belong to it."""
    del pretrained, name
    return PeerDetector(config, FerretNetStream())
