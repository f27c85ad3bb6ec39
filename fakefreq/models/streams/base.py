"""What the streams are built of: spectrum and reader, a convolution with its norm, and how maps become features."""

import torch
from torch import Tensor, nn


class SpectrumStream(nn.Module):
    """Base of the streams that take a spectrum and read it with a network; a subclass gives both.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1]
        - output: (B, width)

    Attributes:
        width: number of features.
        minimum_size: of an image's sides, in pixels.
        normalise: a batch norm over the spectrum's values, in their order or by channel; its means are those of the
            training images.
    """

    width: int
    minimum_size: int
    normalise: nn.Module

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return what the network reads, before its normalisation."""
        raise TypeError(f"{type(self).__name__} has to say which spectrum it takes of {tuple(pixels.shape)}")

    def read(self, spectrum: Tensor) -> Tensor:
        """Return the features of what `spectrum` gave, (B, width)."""
        raise TypeError(f"{type(self).__name__} has to say how it reads {tuple(spectrum.shape)}")

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, (B, width)."""
        return self.read(self.spectrum(pixels))


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, GELU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.GELU(),
    )


def moments(maps: Tensor) -> Tensor:
    """Return mean and standard deviation of each map: where something lies is forgotten, how strong it is is kept.

    Shape:
        - input: (B, C, H, W)
        - output: (B, 2 C)
    """
    mean = maps.mean(dim=(2, 3))
    # Not Tensor.std: its gradient is infinite where a map is constant, and it takes eight times as long.
    variance = (maps.square().mean(dim=(2, 3)) - mean.square()).clamp_min(0)
    return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)


def signed_log(values: Tensor, scale: float = 1.0) -> Tensor:
    """Return sign(x) log(1 + scale |x|): a rectified coefficient has lost half of its signal.

    Args:
        values: any tensor.
        scale: above 0; values of this inverse are where the curve bends.

    >>> signed_log(torch.tensor([-1.0, 0.0, 1.0]), scale=torch.e - 1)
    tensor([-1.,  0.,  1.])
    """
    # Not log1p, which takes up to eight times as long on a CPU: what it saves of values far below 1 / scale, 1e-7,
    # is less than the rounding of the pixels. One pass multiplies and adds.
    magnitude = torch.add(torch.ones((), dtype=values.dtype, device=values.device), values.abs(), alpha=scale).log()
    if torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():
        return values.sign() * magnitude  # ONNX lacks copysign
    return torch.copysign(magnitude, values)
