"""What power leaves out: phase, relations between channels, and repetition in space."""

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.fft import Detrend, check_frames, fourier, tiles_of
from fakefreq.spectra.windows import KAISER_BETA, Window


def _inverse_root(power: Tensor) -> Tensor:
    """1 / sqrt(power), and 0 with gradient 0 where power is so small, for lack of any, that the slope overflows."""
    is_there = power > torch.finfo(power.dtype).tiny ** (2 / 3)
    root = torch.rsqrt(torch.where(is_there, power, torch.ones_like(power)))
    return torch.where(is_there, root, torch.zeros_like(root))


class Phase(nn.Module):
    """Phase of the Fourier transform as cosine and sine: the angle itself jumps at +-pi.

    Where a frequency has no power its phase is undefined: both numbers fade to 0 as its amplitude sinks below 1e-6 of
    the image's root mean square amplitude.

    Args:
        window: `hann`, `hamming`, `kaiser` or `none`.
        half: the half plane of a real image only.
        detrend: what is taken away first: `mean`, `plane` or `none`.
        beta: of the Kaiser window.

    Shape:
        - input: (B, C, H, W), uint8 or float, any size
        - output: (B, C, 2, H, W // 2 + 1) or (B, C, 2, H, W): cosine and sine, in [-1, 1]

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self, window: Window = "hann", half: bool = True, detrend: Detrend = "mean", beta: float = KAISER_BETA
    ) -> None:
        super().__init__()
        check_frames(window, detrend=detrend, beta=beta)
        self.window, self.half_plane, self.detrend, self.beta = window, half, detrend, beta

    def forward(self, images: Tensor) -> Tensor:
        """Return cosine and sine of the phase."""
        check_images(images)
        with no_autocast(images):
            amplitude, _ = fourier(to_float(images), self.window, self.half_plane, self.detrend, self.beta)
            parts = torch.stack([amplitude.real, amplitude.imag], dim=2)
            power = parts.square().sum(dim=2, keepdim=True)
            floor = 1e-12 * power.mean(dim=(-2, -1), keepdim=True) + torch.finfo(power.dtype).tiny
            return parts * _inverse_root(power + floor)


class CrossSpectrum(nn.Module):
    """Cross spectrum between the channels of an image: how their waves agree in strength and phase.

    A camera's colours are interpolated from one mosaic and so share their high frequencies; a generator mixes its
    colours in its last layer, in a way of its own.

    Args:
        window: `hann`, `hamming`, `kaiser` or `none`.
        tile: side of tiles that are averaged in pixels; None takes the whole frame.
        overlap: share of a tile that its neighbour covers, in [0, 1).
        half: the half plane of a real image only.
        coherency: divide by the root of both channels' power: the modulus then lies in [0, 1], and it is 1 everywhere
            without tiles, because one frame always agrees with itself. It is 0 where a channel has no power.
        detrend: what is taken away first: `mean`, `plane` or `none`.
        beta: of the Kaiser window.

    Shape:
        - input: (B, C, H, W), uint8 or float, C at least 2
        - output: (B, P, 2, H', W'): real and imaginary part of F_i conj(F_j) for the P = C (C - 1) / 2 pairs i < j in
          the order (0, 1), (0, 2), ..., (1, 2), ...; H' x W' as of `PowerSpectrum`, in its units

    Raises:
        UserError: an argument out of range, one channel, or an image smaller than a tile.
    """

    def __init__(
        self,
        window: Window = "hann",
        tile: int | None = None,
        overlap: float = 0.5,
        half: bool = True,
        coherency: bool = False,
        *,
        detrend: Detrend = "mean",
        beta: float = KAISER_BETA,
    ) -> None:
        super().__init__()
        check_frames(window, tile, overlap, detrend, beta)
        self.window, self.tile, self.overlap, self.half_plane = window, tile, overlap, half
        self.coherency, self.detrend, self.beta = coherency, detrend, beta

    def forward(self, images: Tensor) -> Tensor:
        """Return real and imaginary part, by pair and frequency."""
        check_images(images)
        channels = images.shape[1]
        if channels < 2:
            raise UserError("a cross spectrum takes 2 channels or more, got 1; give it RGB or YCbCr")
        with no_autocast(images):
            pixels = to_float(images)
            frames = pixels if self.tile is None else tiles_of(pixels, self.tile, self.overlap)
            amplitude, energy = fourier(frames, self.window, self.half_plane, self.detrend, self.beta)
            # Real arithmetic throughout: complex products do not leave every exporter and compiler alive.
            real, imaginary = amplitude.real, amplitude.imag
            first, second = torch.triu_indices(channels, channels, offset=1, device=images.device)
            a, b = real.index_select(1, first), imaginary.index_select(1, first)
            c, d = real.index_select(1, second), imaginary.index_select(1, second)
            cross = torch.stack([a * c + b * d, b * c - a * d], dim=2)
            power = real.square() + imaginary.square()
            if self.tile is not None:
                cross, power = cross.mean(dim=(3, 4)), power.mean(dim=(2, 3))
            if not self.coherency:
                return cross / energy
            product = power.index_select(1, first) * power.index_select(1, second)
            return cross * _inverse_root(product + torch.finfo(product.dtype).tiny).unsqueeze(2)


class Autocorrelation(nn.Module):
    """Correlation of an image with itself, shifted; by FFT, and padded so that nothing wraps (Wiener and Khinchin).

    Each lag is divided by the number of pixels that overlap and by the variance, so that lag 0 is 1. An upsampling by n
    leaves a ripple of period n.

    Args:
        max_lag: shifts go from -max_lag to max_lag pixels along both axes.

    Shape:
        - input: (B, C, H, W), uint8 or float, H and W above `max_lag`
        - output: (B, C, 2 * max_lag + 1, 2 * max_lag + 1), lag 0 in the centre; 0 for a flat image

    Raises:
        UserError: a negative lag, or one that leaves no overlap.
    """

    def __init__(self, max_lag: int = 16) -> None:
        super().__init__()
        if max_lag < 0:
            raise UserError(f"max_lag is {max_lag}; it takes 0 or more pixels")
        self.max_lag = max_lag

    def forward(self, images: Tensor) -> Tensor:
        """Return correlation, by lag."""
        check_images(images)
        height, width = images.shape[-2:]
        if self.max_lag >= min(height, width):
            raise UserError(
                f"max_lag is {self.max_lag}; a {height}x{width} image takes {min(height, width) - 1} at most"
            )
        with no_autocast(images):
            pixels = to_float(images)
            centred = pixels - pixels.mean(dim=(-2, -1), keepdim=True)
            size = (height + self.max_lag, width + self.max_lag)
            amplitude = torch.fft.rfft2(centred, s=size)
            power = amplitude.real.square() + amplitude.imag.square()
            # A complex argument for irfft2, made without complex arithmetic.
            products: Tensor = torch.fft.irfft2(torch.complex(power, torch.zeros_like(power)), s=size)
            lags = torch.arange(-self.max_lag, self.max_lag + 1, device=images.device)
            products = products.index_select(-2, lags % size[0]).index_select(-1, lags % size[1])
            overlap = torch.outer(height - lags.abs(), width - lags.abs()).to(pixels.dtype)
            variance = centred.square().mean(dim=(-2, -1), keepdim=True)
            # What rounding of the mean leaves of a flat image would correlate with itself perfectly.
            largest = pixels.abs().amax(dim=(-2, -1), keepdim=True)
            is_flat = variance <= (8 * torch.finfo(pixels.dtype).eps * largest).square()
            correlation = products / overlap / variance.masked_fill(is_flat, 1.0)
            return correlation.masked_fill(is_flat, 0.0)


def phase(
    images: Tensor, window: Window = "hann", half: bool = True, detrend: Detrend = "mean", beta: float = KAISER_BETA
) -> Tensor:
    """Return cosine and sine of the phase of images; see `Phase`.

    >>> phase(torch.rand(2, 3, 8, 9)).shape
    torch.Size([2, 3, 2, 8, 5])
    """
    return Phase(window, half, detrend, beta)(images)  # type: ignore[no-any-return]


def cross_spectrum(
    images: Tensor,
    window: Window = "hann",
    tile: int | None = None,
    overlap: float = 0.5,
    half: bool = True,
    *,
    coherency: bool = False,
    detrend: Detrend = "mean",
    beta: float = KAISER_BETA,
) -> Tensor:
    """Return the cross spectra between channels; see `CrossSpectrum`.

    >>> cross_spectrum(torch.rand(2, 3, 64, 64), tile=32).shape
    torch.Size([2, 3, 2, 32, 17])
    """
    module = CrossSpectrum(window, tile, overlap, half, coherency, detrend=detrend, beta=beta)
    return module(images)  # type: ignore[no-any-return]


def autocorrelation(images: Tensor, max_lag: int = 16) -> Tensor:
    """Return the correlation of images with themselves, shifted; see `Autocorrelation`.

    >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 1, 16, 16)
    >>> autocorrelation(stripes, max_lag=2)[0, 0, 2].round().int().tolist()
    [1, -1, 1, -1, 1]
    """
    return Autocorrelation(max_lag)(images)  # type: ignore[no-any-return]
