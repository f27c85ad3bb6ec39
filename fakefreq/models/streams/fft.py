"""The streams that read Fourier spectra averaged over tiles."""

import torch
from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream, conv
from fakefreq.spectra import AngularProfile, PowerSpectrum, RadialProfile, median_residual, rgb_to_gray, rgb_to_ycbcr
from fakefreq.spectra.windows import Window


class FFTStream(SpectrumStream):
    """Welch-averaged, Hann-windowed log power spectrum of the grey image, read by a small convolutional network.

    Averaging over overlapping tiles gives one spectrum of one size for images of every size, so that each
    frequency can have its own normalisation, and lowers the variance of the estimate (Welch 1967).

    Args:
        window: of each tile.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 64
        - output: (B, 128)
    """

    tile = 64
    width = 128
    minimum_size = 64

    def __init__(self, window: Window = "hann") -> None:
        super().__init__()
        self.transform = PowerSpectrum(window=window, tile=self.tile, overlap=0.5, scale="log1p", half=True)
        rows, columns = self.tile, self.tile // 2 + 1
        self.normalise = nn.BatchNorm1d(rows * columns)
        self.network = nn.Sequential(conv(1, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 32, 3, 2))
        flat = 32 * (rows // 8) * -(-columns // 8)
        # Where a peak lies is what tells an upsampler, so positions are kept: no pooling.
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(flat, self.width), nn.GELU())

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return log power, (B, 1, 64, 33), float32: rows 0 to -1/64, columns 0 to 1/2 cycles/pixel."""
        return self.transform(self.picture(pixels) * 255.0)  # type: ignore[no-any-return]

    def picture(self, pixels: Tensor) -> Tensor:
        """Return what the spectrum is taken of, (B, 1, H, W): the luma."""
        return rgb_to_gray(pixels)

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        normalised = self.normalise(spectrum.flatten(1)).view_as(spectrum)
        return self.project(self.network(normalised))  # type: ignore[no-any-return]


class ResidualFFTStream(FFTStream):
    """As `FFTStream`, of what is left when the 3x3 median is taken away: the scene's own spectrum is mostly gone."""

    def picture(self, pixels: Tensor) -> Tensor:
        """Return what the spectrum is taken of, (B, 1, H, W): the luma's median residual."""
        return median_residual(rgb_to_gray(pixels))


class ProfileStream(SpectrumStream):
    """Radial and angular profiles of Y, Cb and Cr, and a perceptron: the smallest stream.

    The profiles are of log power averaged over tiles, so images of every size give the same numbers of values
    (Durall et al. 2020 read the radial one of the grey image; Corvi et al. 2023 both).

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 64
        - output: (B, 64)
    """

    tile, sectors = 64, 16
    width = 64
    minimum_size = 64

    def __init__(self) -> None:
        super().__init__()
        self.transform = PowerSpectrum(window="hann", tile=self.tile, overlap=0.5, scale="linear", half=True)
        self.radial = RadialProfile(width=self.tile)
        # Below 1/8 cycles/pixel a direction is the scene's; above it is more the processing's.
        self.angular = AngularProfile(bins=self.sectors, low=0.125, high=0.5, width=self.tile)
        values = 3 * (self.tile // 2 + 1 + self.sectors)
        self.network = nn.Sequential(
            nn.BatchNorm1d(values), nn.Linear(values, 128), nn.BatchNorm1d(128), nn.GELU(), nn.Linear(128, self.width)
        )

    @property
    def normalise(self) -> nn.Module:  # type: ignore[override]
        """The network's first layer."""
        return self.network[0]

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return log profiles, (B, 3, 49): 33 rings from 0 to 1/2 cycles/pixel, then 16 sectors."""
        power = self.transform(rgb_to_ycbcr(pixels) * 255.0)
        return torch.cat([self.radial(power), self.angular(power)], dim=2).log1p()

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 64)."""
        return self.network(spectrum.flatten(1))  # type: ignore[no-any-return]
