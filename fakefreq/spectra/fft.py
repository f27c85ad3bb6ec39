"""Power spectra of images by the fast Fourier transform, windowed and, where wished, averaged over tiles."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra._tensor import by_pieces, check_images, is_looked_on, kept_on_gpu, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.windows import KAISER_BETA, WINDOWS, Window, taper_2d, window_1d

Scale = Literal["log1p", "linear", "db"]
Detrend = Literal["mean", "plane", "none"]
# A photo's own power spans some 80 dB in 8 bits; what lies 120 dB below its peak is rounding.
FLOOR_DB = -120.0


def fourier(
    frames: Tensor,
    window: Window = "hann",
    half: bool = True,
    detrend: Detrend = "mean",
    beta: float = KAISER_BETA,
) -> tuple[Tensor, Tensor]:
    """Return the Fourier transform of frames that were detrended and windowed, and the window's energy.

    Args:
        frames: float; the last two dimensions are transformed.
        window: `hann`, `hamming`, `kaiser` or `none`.
        half: the half plane of a real image only.
        detrend: what is taken away first: the frame's `mean`, its least-squares `plane`, or `none`.
        beta: of the Kaiser window.

    Shape:
        - input: (..., H, W)
        - output: complex (..., H, W) or (..., H, W // 2 + 1), and a scalar
    """
    taper = taper_2d(window, frames.shape[-2], frames.shape[-1], frames, beta)
    transform = torch.fft.rfft2 if half else torch.fft.fft2
    amplitude: Tensor = transform(_windowed(frames, taper, detrend))
    return amplitude, taper.square().sum()


def _windowed(frames: Tensor, taper: Tensor, detrend: Detrend) -> Tensor:
    """Return frames without their trend, times the window."""
    if detrend == "none":
        return frames * taper
    centred = _detrended(frames, detrend)
    # The mean that was taken away was rounded: over a million pixels half a unit in its last place adds up to 2e-5 of
    # a noise image's largest power, all of it at frequency 0. What is left of it goes after the product, whose digits
    # are less regular: from pixels on a grid a tiny difference rounds the same way everywhere, or not at all.
    rest = centred.mean(dim=(-2, -1), keepdim=True)
    # In place: `centred` is this function's own.
    return centred.mul_(taper).addcmul_(rest, taper, value=-1)


def _detrended(frames: Tensor, detrend: Detrend) -> Tensor:
    if detrend == "none":
        return frames
    centred = frames - frames.mean(dim=(-2, -1), keepdim=True)
    if detrend == "mean":
        return centred
    for dim in (-2, -1):
        size = frames.shape[dim]
        place = torch.arange(size, dtype=frames.dtype, device=frames.device) - (size - 1) / 2
        place = place.unsqueeze(-1) if dim == -2 else place
        # Rows and columns of a grid are orthogonal, so each slope is fitted by itself.
        slope = (centred * place).mean(dim=(-2, -1), keepdim=True) / place.square().mean().clamp_min(0.25)
        centred = centred - slope * place
    return centred


def tiles_of(pixels: Tensor, tile: int, overlap: float) -> Tensor:
    """Return overlapping tiles, (B, C, rows, columns, tile, tile).

    Raises:
        UserError: the image is smaller than a tile.
    """
    height, width = pixels.shape[-2:]
    if height < tile or width < tile:
        raise UserError(f"an image of {height}x{width} is smaller than one {tile}x{tile} tile; pad it")
    step = max(1, round(tile * (1 - overlap)))
    return pixels.unfold(2, tile, step).unfold(3, tile, step)


def check_frames(
    window: str, tile: int | None = None, overlap: float = 0.5, detrend: str = "mean", beta: float = KAISER_BETA
) -> None:
    """Raise UserError where an argument that spectra share is out of range."""
    choose(window, WINDOWS, "window", "window")
    choose(detrend, ["mean", "plane", "none"], "detrend", "detrend")
    if tile is not None and tile < 2:
        raise UserError(f"tile is {tile}; it takes 2 pixels or more")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap}; it takes 0 or more and less than 1")
    if beta < 0:
        raise UserError(f"beta is {beta}; it takes 0 or more")


# What says which plane a spectrum shows: the width of its image, or that it is a full plane.
Width = int | Literal["full"]


def check_width(width: object) -> Width:
    """Return `width` if it says which plane a spectrum shows; a half and a full plane cannot be told apart by shape.

    Raises:
        UserError: it is missing, or neither a number of pixels nor "full".
    """
    if width == "full":
        return "full"
    if isinstance(width, int | np.integer) and not isinstance(width, bool) and width >= 1:
        return int(width)
    raise UserError(
        f"width is {width!r}; it takes the width of the image in pixels, whose spectrum may be a half plane (as "
        'power_spectrum makes by default) or a full one, or "full" for a full plane of any width'
    )


def plane_of(columns: int, width: Width) -> tuple[int, bool]:
    """Return the image's width, and whether a spectrum of so many columns is the half plane of such an image.

    Raises:
        UserError: the columns are neither those of the full nor those of the half plane.
    """
    if width == "full" or width == columns:
        return columns, False
    if columns != width // 2 + 1:
        raise UserError(
            f"the spectrum has {columns} columns and width is {width}; width is that of the image: "
            f"a full plane then has {width} columns, a half plane {width // 2 + 1}"
        )
    return width, True


def full_plane(half: Tensor, width: int) -> Tensor:
    """Return the full plane of a real image's power from its half plane: power(-f) = power(f).

    Args:
        half: power at 0 to 1/2 cycles/pixel along x.
        width: of the image.

    Shape:
        - input: (..., H, width // 2 + 1)
        - output: (..., H, width)

    Raises:
        UserError: the columns are not those of such a half plane.
    """
    if half.shape[-1] != width // 2 + 1:
        raise UserError(f"a half plane of width {width} has {width // 2 + 1} columns, got {half.shape[-1]}")
    rows = (-torch.arange(half.shape[-2], device=half.device)) % half.shape[-2]
    columns = width - torch.arange(half.shape[-1], width, device=half.device)
    return torch.cat([half, half.index_select(-2, rows).index_select(-1, columns)], dim=-1)


class PowerSpectrum(nn.Module):
    """Windowed power spectrum, of the whole frame or averaged over overlapping tiles (Welch 1967).

    A photo is not periodic: without a window its opposite edges make a step, whose spectrum is a bright cross on the
    axes, just where upsampling leaves its peaks. The mean is removed first, else the window would spread it.

    Args:
        window: `hann`, `hamming`, `kaiser` (each periodic) or `none`.
        tile: side of the tiles in pixels; None takes the whole frame.
        overlap: share of a tile that its neighbour covers, in [0, 1); without effect where `tile` is None.
        scale: `log1p` (natural logarithm of 1 + power), `linear`, or `db` (10 log10 of power, bounded from below).
        half: True gives the non-redundant half-plane of a real image, W // 2 + 1 columns from 0 to 1/2 cycles/pixel.
        detrend: what is taken away first: `mean`, the least-squares `plane`, or `none`.
        beta: of the Kaiser window.
        floor_db: `db` goes no lower than this many decibels below each plane's own maximum, so that an empty frequency
            does not rule the normalisation; a plane without any power is at -200 dB.

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
        *,
        detrend: Detrend = "mean",
        beta: float = KAISER_BETA,
        floor_db: float = FLOOR_DB,
    ) -> None:
        super().__init__()
        check_frames(window, tile, overlap, detrend, beta)
        choose(scale, ["log1p", "linear", "db"], "scale", "scale")
        if floor_db >= 0:
            raise UserError(f"floor_db is {floor_db}; it takes less than 0 decibels")
        self.window, self.tile, self.overlap, self.scale = window, tile, overlap, scale
        self.half_plane = half  # not `half`: that is the module's method that casts it
        self.detrend, self.beta, self.floor_db = detrend, beta, floor_db

    def forward(self, images: Tensor) -> Tensor:
        """Return power, by frequency."""
        check_images(images)
        with no_autocast(images):
            planes = images.flatten(0, 1)
            height, width = planes.shape[-2:] if self.tile is None else (self.tile, self.tile)
            kind = torch.float64 if planes.dtype == torch.float64 else torch.float32
            taper = _taper(self.window, height, width, self.beta, kind, planes.device)
            power = by_pieces(lambda piece, place: self._of_planes(piece, taper, place), planes)
            return power.reshape(*images.shape[:2], *power.shape[-2:])

    def _of_planes(self, planes: Tensor, taper: Tensor, place: Tensor | None) -> Tensor:
        """Scaled power of (N, H, W) planes, written to `place` where that saves a copy."""
        pixels = to_float(planes)
        if self.tile is None:
            power = self._power(pixels, taper, place if self.scale == "linear" else None)
        else:
            power = self._power(tiles_of(pixels.unsqueeze(1), self.tile, self.overlap), taper).mean(dim=(1, 2, 3))
        if self.scale == "db":
            peak = power.detach().amax(dim=(-2, -1), keepdim=True)
            lowest = (peak * 10 ** (self.floor_db / 10)).clamp_min(1e-20)
            return 10 * torch.maximum(power, lowest).log10()
        return _log1p(power, place) if self.scale == "log1p" else power

    def _power(self, frames: Tensor, taper: Tensor, place: Tensor | None = None) -> Tensor:
        """Power of each (H, W) frame."""
        transform = torch.fft.rfft2 if self.half_plane else torch.fft.fft2
        parts = torch.view_as_real(transform(_windowed(frames, taper, self.detrend)))
        squares = parts.square() if parts.requires_grad else parts.square_()
        return torch.add(squares[..., 0], squares[..., 1], out=place)


@kept_on_gpu
def _taper(window: Window, height: int, width: int, beta: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Window of energy 1, which saves a pass over the result."""
    exact = torch.empty(0, dtype=torch.float64, device=device)
    down, across = (window_1d(window, size, exact, beta) for size in (height, width))
    return torch.outer(down / down.square().sum().sqrt(), across / across.square().sum().sqrt()).to(dtype)


def _log1p(power: Tensor, place: Tensor | None = None) -> Tensor:
    """Return log(1 + power), also of power far below 1.

    The logarithm of the rounded sum, and first order of what its rounding lost. torch.log1p says the same, but took
    between 2 and 20 ms for one batch on one AVX-512 processor, where the four passes of this took 4 to 6.
    """
    if power.device.type != "cpu" or is_looked_on():
        return power.log1p()
    whole = power + 1
    return torch.addcdiv(whole.log(), (whole - 1).sub_(power), whole, value=-1, out=place)


def power_spectrum(
    images: Tensor,
    window: Window = "hann",
    tile: int | None = None,
    overlap: float = 0.5,
    scale: Scale = "log1p",
    *,
    half: bool = True,
    detrend: Detrend = "mean",
    beta: float = KAISER_BETA,
    floor_db: float = FLOOR_DB,
) -> Tensor:
    """Return the windowed power spectrum of images; see `PowerSpectrum`.

    >>> power_spectrum(torch.zeros(2, 1, 64, 48)).shape
    torch.Size([2, 1, 64, 25])
    >>> power_spectrum(torch.zeros(2, 1, 300, 200), tile=64, half=False).shape
    torch.Size([2, 1, 64, 64])
    """
    module = PowerSpectrum(window, tile, overlap, scale, half, detrend=detrend, beta=beta, floor_db=floor_db)
    return module(images)  # type: ignore[no-any-return]
