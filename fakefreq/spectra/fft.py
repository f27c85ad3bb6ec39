"""Power spectra of images by the fast Fourier transform, windowed and, where wished, averaged over tiles."""

from typing import Literal

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra.color import to_float

Window = Literal["hann", "none"]
Scale = Literal["log1p", "linear"]


class PowerSpectrum(nn.Module):
    """Windowed power spectrum, of the whole frame or averaged over overlapping tiles (Welch 1967).

    A photo is not periodic: without a window its opposite edges make a step, whose spectrum is a bright cross on the
    axes, just where upsampling leaves its peaks. The mean is removed first, else the window would spread it.

    Args:
        window: `hann` (periodic) or `none`.
        tile: side of the tiles in pixels; None takes the whole frame.
        overlap: share of a tile that its neighbour covers, in [0, 1); without effect where `tile` is None.
        scale: `log1p` (natural logarithm of 1 + power: no floor whose outliers would rule the normalisation)
            or `linear`.
        half: True gives the non-redundant half-plane of a real image, W // 2 + 1 columns from 0 to 1/2 cycles/pixel.

    Shape:
        - input: (B, C, H, W), uint8 or float, any H and W, of at least `tile`
        - output: (B, C, H', W') or (B, C, H', W' // 2 + 1) with H' = W' = tile, or the frame's size; frequency 0
          at [..., 0, 0]; white noise of unit variance has power 1 everywhere

    Raises:
        UserError: an argument out of range, or an image smaller than a tile.
    """

    def __init__(
        self,
        window: Window = "hann",
        tile: int | None = None,
        overlap: float = 0.5,
        scale: Scale = "log1p",
        half: bool = True,
    ) -> None:
        super().__init__()
        choose(window, ["hann", "none"], "window", "window")
        choose(scale, ["log1p", "linear"], "scale", "scale")
        if tile is not None and tile < 2:
            raise UserError(f"tile is {tile}; it takes 2 pixels or more")
        if not 0 <= overlap < 1:
            raise UserError(f"overlap is {overlap}; it takes 0 or more and less than 1")
        self.window, self.tile, self.overlap, self.scale = window, tile, overlap, scale
        self.half_plane = half  # not `half`: that is the module's method that casts it

    def forward(self, images: Tensor) -> Tensor:
        """Return power, by frequency."""
        with torch.autocast(images.device.type, enabled=False):
            pixels = to_float(images)
            if self.tile is None:
                power = self._power(pixels)
            else:
                height, width = pixels.shape[-2:]
                if height < self.tile or width < self.tile:
                    raise UserError(
                        f"an image of {height}x{width} is smaller than one {self.tile}x{self.tile} tile; pad it"
                    )
                step = max(1, round(self.tile * (1 - self.overlap)))
                tiles = pixels.unfold(2, self.tile, step).unfold(3, self.tile, step)
                power = self._power(tiles).mean(dim=(2, 3))
            return power.log1p() if self.scale == "log1p" else power

    def _power(self, frames: Tensor) -> Tensor:
        """Power of each (H, W) frame, divided by the window's energy."""
        height, width = frames.shape[-2:]
        centred = frames - frames.mean(dim=(-2, -1), keepdim=True)
        if self.window == "hann":
            taper = torch.outer(_hann(height, frames), _hann(width, frames))
        else:
            taper = torch.ones(height, width, dtype=frames.dtype, device=frames.device)
        transform = torch.fft.rfft2 if self.half_plane else torch.fft.fft2
        amplitude: Tensor = transform(centred * taper)
        power = amplitude.real.square() + amplitude.imag.square()
        return power / taper.square().sum()


def _hann(size: int, like: Tensor) -> Tensor:
    """Periodic Hann window, of 1 for a single sample, computed in float64 and then cast."""
    if size == 1:
        return torch.ones(1, dtype=like.dtype, device=like.device)
    return torch.hann_window(size, periodic=True, dtype=torch.float64, device=like.device).to(like.dtype)


def power_spectrum(
    images: Tensor,
    window: Window = "hann",
    tile: int | None = None,
    overlap: float = 0.5,
    scale: Scale = "log1p",
    half: bool = True,
) -> Tensor:
    """Return the windowed power spectrum of images; see `PowerSpectrum`.

    >>> power_spectrum(torch.zeros(2, 1, 64, 48)).shape
    torch.Size([2, 1, 64, 25])
    >>> power_spectrum(torch.zeros(2, 1, 300, 200), tile=64, half=False).shape
    torch.Size([2, 1, 64, 64])
    """
    return PowerSpectrum(window, tile, overlap, scale, half)(images)  # type: ignore[no-any-return]
