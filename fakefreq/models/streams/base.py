"""What the streams are built of: spectrum and reader, a convolution with its norm, and how maps become features."""

import torch
from torch import Tensor, nn

from fakefreq.spectra.jpeg import QUALITIES, QualityPosterior


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


CONDITIONS = ("none", "quality")


class QualityCondition(nn.Module):
    """Scales and shifts features by the quality of JPEG that the pixels show (Perez et al. 2018, "FiLM").

    A coefficient that means nothing at quality 60 may mean much at 95. Scale and shift start at one and zero, so that
    training begins as without it. It also lets a detector see the quality itself: where that tells the classes apart,
    it will be used, so it is for data of one history, or of histories drawn alike for both classes.

    Args:
        width: number of features.

    Shape:
        - input: features (B, width); RGB floats in [0, 1], (B, 3, H, W), H and W at least 24
        - output: (B, width)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.posterior = QualityPosterior()
        self.minimum_size = self.posterior.minimum_size
        self.modulate = nn.Linear(len(QUALITIES), 2 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Return the features, modulated."""
        scale, shift = self.modulate(self.posterior(pixels).to(features.dtype)).chunk(2, dim=1)
        return features * (1 + scale) + shift  # type: ignore[no-any-return]
