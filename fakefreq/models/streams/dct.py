"""The stream that reads the DCT of the whole frame."""

from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream, conv
from fakefreq.spectra import dct2, rgb_to_gray


class DCTStream(SpectrumStream):
    """Log DCT of the whole grey frame (Frank et al. 2020), averaged over 48 x 48 cells of equal frequency.

    The cells span 0 to 1/2 cycles/pixel along each axis whatever the image's size, so that each has a normalisation of
    its own; the paper's per-coefficient one fits a single size.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 48
        - output: (B, 128)
    """

    cells = 48
    width = 128
    minimum_size = 48

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(self.cells**2)
        self.network = nn.Sequential(conv(1, 16, 3, 2), conv(16, 32, 3, 2), conv(32, 32, 3, 2))
        # Where a peak lies is what tells an upsampler, so positions are kept: no pooling.
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(32 * (self.cells // 8) ** 2, self.width), nn.GELU())

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return mean log magnitude, (B, 1, 48, 48), lowest frequencies first."""
        magnitude = (dct2(rgb_to_gray(pixels)) * 255.0).abs().log1p()
        return nn.functional.interpolate(magnitude, (self.cells, self.cells), mode="area")

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 128)."""
        normalised = self.normalise(spectrum.flatten(1)).view_as(spectrum)
        return self.project(self.network(normalised))  # type: ignore[no-any-return]
