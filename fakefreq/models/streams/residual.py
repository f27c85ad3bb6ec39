"""The streams that read residuals, with their sign, by a small convolutional network."""

import torch
from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream, conv, moments
from fakefreq.spectra import (
    BandFilters,
    BayarConv2d,
    MedianResidual,
    NPRResidual,
    SRMResidual,
    WaveletBands,
    rgb_to_gray,
    rgb_to_ycbcr,
)


class ResidualStream(SpectrumStream):
    """A residual of the image, batch norm a channel, and four convolutions, three of them with a stride.

    Args:
        transform: maps (B, 3, H, W) RGB floats in [0, 1] to (B, channels, h, w).
        channels: that the transform gives.
        strides: of the four convolutions; a transform that halves the image needs one stride less.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 32
        - output: (B, 128): mean and standard deviation of 64 learnt maps
    """

    width = 128
    minimum_size = 32

    def __init__(self, transform: nn.Module, channels: int, strides: tuple[int, ...] = (2, 2, 2, 1)) -> None:
        super().__init__()
        self.transform = transform
        # Residuals are a few grey levels of 255: without a norm the first weights would have to grow a hundredfold.
        self.normalise = nn.BatchNorm2d(channels)
        widths = (channels, 24, 48, 64, 64)
        layers = [conv(widths[place], widths[place + 1], 3, stride) for place, stride in enumerate(strides)]
        self.network = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return the residual, (B, channels, h, w), float32, signed."""
        return self.transform(pixels)  # type: ignore[no-any-return]

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        return moments(self.network(self.normalise(spectrum).contiguous(memory_format=torch.channels_last)))


class _WaveletDetails(nn.Module):
    """The three high bands of Y, Cb and Cr at two levels, the coarser brought to the finer's size, (B, 18, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = WaveletBands("bior1.3", 1), WaveletBands("bior1.3", 2)

    def forward(self, pixels: Tensor) -> Tensor:
        picture = rgb_to_ycbcr(pixels)
        fine, coarse = (bands(picture)[:, :, 1:].flatten(1, 2) for bands in (self.fine, self.coarse))
        return torch.cat([fine, nn.functional.interpolate(coarse, fine.shape[-2:], mode="nearest")], dim=1)


class _LumaSRM(nn.Module):
    """The 30 SRM residuals of the luma, (B, 30, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = SRMResidual()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.bank(rgb_to_gray(pixels))[:, 0]  # type: ignore[no-any-return]


class _Bands(nn.Module):
    """Learnable bands of DCT frequencies, brought back to pixels, (B, 9, H, W): F3-Net's first branch."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = BandFilters(geometry="diagonal", learnable=True)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.bands(pixels).flatten(1, 2)  # type: ignore[no-any-return]


def npr_stream() -> ResidualStream:
    """Neighbouring-pixel relations (Tan et al. 2024)."""
    return ResidualStream(NPRResidual(), 3)


def median_stream() -> ResidualStream:
    """The image minus its 3x3 median."""
    return ResidualStream(MedianResidual(), 3)


def srm_stream() -> ResidualStream:
    """The 30 filters of the spatial rich model (Fridrich and Kodovsky 2012) on the luma."""
    return ResidualStream(_LumaSRM(), 30)


def wavelet_stream() -> ResidualStream:
    """High bands of a biorthogonal wavelet at two levels, of YCbCr."""
    return ResidualStream(_WaveletDetails(), 18, strides=(2, 2, 1, 1))


def bayar_stream() -> ResidualStream:
    """Learnt residuals: Bayar and Stamm's constrained convolution (2018)."""
    return ResidualStream(BayarConv2d(3, 6, 5), 6)


def fad_stream() -> ResidualStream:
    """Frequency-aware decomposition with learnt bands (Qian et al. 2020, F3-Net)."""
    return ResidualStream(_Bands(), 9)
