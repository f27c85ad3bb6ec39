"""Power by frequency and by direction, from integer frequencies: the bin of frequency 0 holds frequency 0 alone."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, kept_on_gpu, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.fft import Width, check_width, plane_of


class Bins(NamedTuple):
    """Which bin each frequency of a spectrum falls into.

    Args:
        centre: of each bin: cycles/pixel (radial) or degrees (angular).
        counts: frequencies of the full plane in each bin; 0 is possible.
        places: the bin of each frequency of the given plane, flattened; `len(centre)` for those that fall outside.
        weight: how often each of them stands in the full plane: 1, or 2 where a half plane leaves out its conjugate.
        mirrored: None, or the bins of the conjugates of row -1/2, columns 1 and up, where these are other ones; they
            are not in `weight` then.
    """

    centre: Tensor
    counts: Tensor
    places: Tensor
    weight: Tensor
    mirrored: Tensor | None = None


def frequencies(height: int, width: int, half: bool = False, device: torch.device | None = None) -> tuple[Tensor, ...]:
    """Return vertical and horizontal frequency of each bin of an FFT, cycles/pixel, float64.

    Args:
        height: of the image.
        width: of the image.
        half: for the half plane of `rfft2`.
        device: of the result.

    Shape:
        - output: (height, 1) in [-1/2, 1/2), and (1, width) in [-1/2, 1/2), or (1, width // 2 + 1) in [0, 1/2]
    """
    vertical = torch.fft.fftfreq(height, dtype=torch.float64, device=device).unsqueeze(1)
    function = torch.fft.rfftfreq if half else torch.fft.fftfreq
    return vertical, function(width, dtype=torch.float64, device=device).unsqueeze(0)


@kept_on_gpu
def radial_bins(height: int, width: int, half: bool = False, device: torch.device | None = None) -> Bins:
    """Return the rings of a spectrum, as wide as one frequency of the image's shorter side.

    Ring k holds the frequencies nearest to k / min(height, width) cycles/pixel, up to 1/2; the corners beyond are left
    out, and ring 0 holds frequency 0 alone. A ring of a non-square image is a circle in cycles/pixel, not in bins.

    Args:
        height: of the image.
        width: of the image, of the full plane also where `half` is True.
        half: for the half plane of `rfft2`.
        device: of the result.
    """
    vertical, horizontal = frequencies(height, width, half, device)
    side = min(height, width)
    rings = side // 2 + 1
    # A distance of just a half ring goes outwards, whatever the square root's rounding.
    radius = torch.sqrt(vertical.square() + horizontal.square())
    ring = torch.floor(radius * side + (0.5 + 1e-9)).long()
    # Along its longer side an image has frequencies below half a ring: ring 0 is for frequency 0.
    ring = torch.where(radius > 0, ring.clamp_min(1), ring)
    centre = torch.arange(rings, dtype=torch.float64, device=device) / side
    return _bins(centre, ring.clamp_max(rings), width, half)


@kept_on_gpu
def angular_bins(
    height: int,
    width: int,
    bins: int = 16,
    low: float = 0.0,
    high: float = 0.5,
    half: bool = False,
    device: torch.device | None = None,
) -> Bins:
    """Return the sectors of a spectrum: sector k is centred at the angle k * 180 / bins degrees.

    0 degrees is a wave that varies along x (vertical stripes), 90 degrees one that varies along y.

    Args:
        height: of the image.
        width: of the image, of the full plane also where `half` is True.
        bins: sectors on the half circle.
        low: frequencies of at most this many cycles/pixel are left out; frequency 0 always is.
        high: so are those above this one.
        half: for the half plane of `rfft2`.
        device: of the result.

    Raises:
        UserError: no sector, or an empty range of frequencies.
    """
    if bins < 1 or not 0 <= low < high:
        raise UserError(
            f"bins is {bins}, low {low}, high {high}; they take 1 or more, and 0 <= low < high cycles/pixel"
        )
    vertical, horizontal = frequencies(height, width, half, device)
    # In the full plane the column at 1/2 is the one at -1/2.
    horizontal = torch.where(horizontal == 0.5, -horizontal, horizontal)

    def sectors(vertical: Tensor, horizontal: Tensor) -> Tensor:
        radius = torch.sqrt(vertical.square() + horizontal.square())
        # A real image has the same power at a frequency and its opposite: angles modulo 180 degrees.
        angle = torch.atan2(vertical.expand_as(radius), horizontal.expand_as(radius)) * (bins / math.pi)
        sector = torch.floor(angle + (0.5 + 1e-9)).long() % bins
        return sector.masked_fill((radius <= low) | (radius > high + 1e-12), bins)

    centre = torch.arange(bins, dtype=torch.float64, device=device) * (180 / bins)
    found = _bins(centre, sectors(vertical, horizontal), width, half)
    if not (half and high > 0.5 and height % 2 == 0):
        return found
    # The conjugate of (-1/2, h) is (-1/2, -h), whose sector is another one.
    last, doubled = height // 2, slice(1, (width + 1) // 2)
    mirrored = sectors(vertical[last:][:1], -horizontal[:, doubled]).flatten()
    weight = found.weight.view(height, -1).clone()
    weight[last, doubled] = 1
    counts = torch.zeros(bins + 1, dtype=torch.long, device=found.places.device)
    counts = counts.index_add(0, found.places, weight.flatten()).index_add(0, mirrored, torch.ones_like(mirrored))
    return Bins(centre, counts[:bins], found.places, weight.flatten(), mirrored)


def _bins(centre: Tensor, index: Tensor, width: int, half: bool) -> Bins:
    weight = torch.ones_like(index)
    if half:
        weight[:, 1 : (width + 1) // 2] = 2
    flat, size = index.flatten(), centre.numel()
    count = torch.zeros(size + 1, dtype=torch.long, device=index.device).index_add(0, flat, weight.flatten())
    return Bins(centre, count[:size], flat, weight.flatten())


def _mean_over(power: Tensor, bins: Bins) -> Tensor:
    """Return the mean in each bin, (B, C, bins): 0 where a bin is empty."""
    size = bins.centre.numel()
    weighted = (power * bins.weight.view(power.shape[-2:]).to(power.dtype)).flatten(2)
    # Planes are added up in float64: ten thousand float32 in one sum would lose the last digits.
    total = torch.zeros(*power.shape[:2], size + 1, dtype=torch.float64, device=power.device)
    total = total.index_add(2, bins.places, weighted.double())
    if bins.mirrored is not None:
        row = power[..., power.shape[-2] // 2, 1 : len(bins.mirrored) + 1]
        total = total.index_add(2, bins.mirrored, row.double())
    total = total[..., :size]
    return (total / bins.counts.clamp_min(1)).to(power.dtype)


class RadialProfile(nn.Module):
    """Mean of a spectrum over rings of equal frequency; see `radial_bins`.

    Args:
        width: of the image, whose half or full plane the spectra are; "full" says that they are full planes. It must be
            given: shapes alone do not tell.

    Shape:
        - input: (B, C, H, W) or (B, C, H, W // 2 + 1): power, or its logarithm; frequency 0 at [..., 0, 0]
        - output: (B, C, min(H, W) // 2 + 1): ring k at k / min(H, W) cycles/pixel
    """

    def __init__(self, width: Width | None = None) -> None:
        super().__init__()
        self.width = check_width(width)

    def forward(self, power: Tensor) -> Tensor:
        """Return the profile."""
        check_images(power)
        with no_autocast(power):
            values = to_float(power)
            width, half = plane_of(values.shape[-1], self.width)
            return _mean_over(values, radial_bins(values.shape[-2], width, half, values.device))


class AngularProfile(nn.Module):
    """Mean of a spectrum over sectors of equal direction; see `angular_bins`.

    Args:
        bins: sectors on the half circle.
        low: frequencies of at most this many cycles/pixel are left out.
        high: so are those above this one.
        width: of the image, whose half or full plane the spectra are; "full" says that they are full planes. It must be
            given: shapes alone do not tell.

    Shape:
        - input: (B, C, H, W) or (B, C, H, W // 2 + 1): power, or its logarithm; frequency 0 at [..., 0, 0]
        - output: (B, C, bins): sector k at k * 180 / bins degrees; 0 where a sector holds no frequency
    """

    def __init__(self, bins: int = 16, low: float = 0.0, high: float = 0.5, width: Width | None = None) -> None:
        super().__init__()
        self.bins, self.low, self.high, self.width = bins, low, high, check_width(width)

    def forward(self, power: Tensor) -> Tensor:
        """Return the profile."""
        check_images(power)
        with no_autocast(power):
            values = to_float(power)
            width, half = plane_of(values.shape[-1], self.width)
            bins = angular_bins(values.shape[-2], width, self.bins, self.low, self.high, half, values.device)
            return _mean_over(values, bins)


class SpectralSlope(nn.Module):
    """Exponent of the power law that a radial profile follows: the slope of log power over log frequency.

    A photograph's is near -2 (Field 1987, Relations between the statistics of natural images and the response
    properties of cortical cells); white noise's is 0. Least squares over the rings, each of one weight.

    Args:
        low: the lowest frequency of the fit in cycles/pixel; None leaves out rings 0 to 2, which a Hann window blurs.
        high: the highest.
        width: of the image, whose half or full plane the spectra are; "full" says that they are full planes. It must be
            given: shapes alone do not tell.

    Shape:
        - input: (B, C, H, W) or (B, C, H, W // 2 + 1): linear power; frequency 0 at [..., 0, 0]
        - output: (B, C)

    Raises:
        UserError: fewer than 2 rings between low and high.
    """

    def __init__(self, low: float | None = None, high: float = 0.5, width: Width | None = None) -> None:
        super().__init__()
        self.low, self.high, self.width = low, high, check_width(width)

    def forward(self, power: Tensor) -> Tensor:
        """Return the exponent of frequency."""
        profile = radial_profile(power, self.width)
        width, _ = plane_of(power.shape[-1], self.width)
        side = min(power.shape[-2], width)
        first = 3 if self.low is None else max(1, math.ceil(self.low * side - 1e-9))
        last = min(side // 2, math.floor(self.high * side + 1e-9))
        if last - first < 1:
            raise UserError(
                f"a {power.shape[-2]}x{width} spectrum has {max(0, last - first + 1)} rings between low and high; "
                "a slope takes 2 or more"
            )
        with no_autocast(power):
            rings = profile[..., first : last + 1].double()
            floor = torch.finfo(torch.float64).tiny
            log_power = rings.clamp_min(floor).log()
            log_frequency = torch.arange(first, last + 1, dtype=torch.float64, device=power.device).log()
            centred = log_frequency - log_frequency.mean()
            return ((log_power * centred).sum(-1) / centred.square().sum()).to(profile.dtype)


def radial_profile(power: Tensor, width: Width | None = None) -> Tensor:
    """Return the mean of a spectrum over rings of equal frequency; see `RadialProfile`.

    >>> radial_profile(torch.ones(1, 1, 6, 9), width=9).tolist()
    [[[1.0, 1.0, 1.0, 1.0]]]
    """
    return RadialProfile(width)(power)  # type: ignore[no-any-return]


def angular_profile(
    power: Tensor, bins: int = 16, low: float = 0.0, high: float = 0.5, width: Width | None = None
) -> Tensor:
    """Return the mean of a spectrum over sectors of equal direction; see `AngularProfile`.

    >>> angular_profile(torch.ones(1, 1, 8, 8), bins=4, width=8).tolist()
    [[[1.0, 1.0, 1.0, 1.0]]]
    """
    return AngularProfile(bins, low, high, width)(power)  # type: ignore[no-any-return]


def spectral_slope(power: Tensor, low: float | None = None, high: float = 0.5, width: Width | None = None) -> Tensor:
    """Return the exponent of the power law that a spectrum follows; see `SpectralSlope`.

    >>> spectral_slope(torch.ones(1, 1, 32, 32), width=32).tolist()   # white
    [[0.0]]
    """
    return SpectralSlope(low, high, width)(power)  # type: ignore[no-any-return]
