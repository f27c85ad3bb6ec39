"""Frequencies that stand out: the peaks that upsampling leaves in a spectrum."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.fft import Width, check_width, full_plane, plane_of

# Median absolute deviation of a normal distribution of unit variance.
_MAD = 0.6744897501960817


class Peaks(NamedTuple):
    """The highest peaks of each spectrum, highest z-score first.

    Args:
        frequency: (B, C, K, 2): vertical and horizontal, cycles/pixel; vertical in (-1/2, 1/2], horizontal in
            [0, 1/2], vertical not below 0 where horizontal is 0 or 1/2: one of each pair of opposite frequencies.
        z: (B, C, K): how many robust standard deviations log power lies above its surroundings; -inf where a spectrum
            has fewer than K local maxima.
        ratio_db: (B, C, K): power over the median of its surroundings, decibels.
    """

    frequency: Tensor
    z: Tensor
    ratio_db: Tensor


class PeakScores(nn.Module):
    """z-score of each frequency's log power against a square neighbourhood around it.

    Median and median absolute deviation describe the neighbourhood, so a peak does not raise its own background.
    The plane wraps around: beyond 1/2 cycles/pixel lies -1/2.

    Args:
        neighbourhood: side of the square in frequencies, odd, 3 or more; at most the spectrum's shorter side is used.
        width: of the image, whose half or full plane the spectra are; "full" says that they are full planes. It must be
            given: shapes alone do not tell.

    Shape:
        - input: (B, C, H, W) or (B, C, H, W // 2 + 1): linear power, frequency 0 at [..., 0, 0]
        - output: (B, C, H, W): z-scores, of the full plane

    Raises:
        UserError: an even or too small neighbourhood.
    """

    def __init__(self, neighbourhood: int = 11, width: Width | None = None) -> None:
        super().__init__()
        if neighbourhood < 3 or neighbourhood % 2 == 0:
            raise UserError(f"neighbourhood is {neighbourhood}; it takes 3, 5, 7, ...")
        self.neighbourhood, self.width = neighbourhood, check_width(width)

    def forward(self, power: Tensor) -> Tensor:
        """Return z-scores."""
        return self.measure(power)[0]

    def measure(self, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z-scores, power over its background in decibels, and log power, each of the full plane."""
        check_images(power)
        with no_autocast(power):
            values = to_float(power)
            width, is_half = plane_of(values.shape[-1], self.width)
            plane = full_plane(values, width) if is_half else values
            # Bounded relative to the spectrum's own mean: an empty frequency is low, not minus infinity.
            floor = 1e-10 * plane.mean(dim=(-2, -1), keepdim=True) + torch.finfo(plane.dtype).tiny
            log_power = torch.log(plane + floor)
            around = _around(log_power, self.neighbourhood)
            background = around.median(dim=-1).values
            spread = (around - background.unsqueeze(-1)).abs().median(dim=-1).values / _MAD
            # 0.05 in natural logarithm: averages over many images are smooth, and a z-score there needs a scale.
            excess = log_power - background
            return excess / spread.clamp_min(0.05), excess * (10 / math.log(10)), log_power


def _around(plane: Tensor, side: int) -> Tensor:
    """Return the square around each frequency of a plane that wraps, (B, C, H, W, side * side)."""
    height, width = plane.shape[-2:]
    rows = _wrapped(height, side, plane.device)
    columns = _wrapped(width, side, plane.device)
    wrapped = plane.index_select(-2, rows).index_select(-1, columns)
    tall, wide = rows.numel() - height + 1, columns.numel() - width + 1
    return wrapped.unfold(2, tall, 1).unfold(3, wide, 1).flatten(-2)


def _wrapped(size: int, side: int, device: torch.device) -> Tensor:
    reach = (min(side, size - 1 + size % 2) - 1) // 2 if size > 1 else 0
    return torch.arange(-reach, size + reach, device=device) % size


class SpectralPeaks(nn.Module):
    """The local maxima of a spectrum that stand highest above their surroundings.

    Args:
        count: peaks of each spectrum, K.
        neighbourhood: see `PeakScores`.
        low: frequencies below this many cycles/pixel are left out: there a photo's power falls too steeply for its
            surroundings to be a background.
        width: of the image, whose half or full plane the spectra are; "full" says that they are full planes. It must be
            given: shapes alone do not tell.

    Shape:
        - input: (B, C, H, W) or (B, C, H, W // 2 + 1): linear power, best averaged over many images or tiles
        - output: `Peaks` of K entries a spectrum

    Raises:
        UserError: an argument out of range.
    """

    def __init__(self, count: int = 8, neighbourhood: int = 11, low: float = 0.08, width: Width | None = None) -> None:
        super().__init__()
        if count < 1 or not 0 <= low < 0.5:
            raise UserError(f"count is {count} and low {low}; count takes 1 or more, low [0, 0.5) cycles/pixel")
        self.count, self.low = count, low
        self.scores = PeakScores(neighbourhood, width)

    def forward(self, power: Tensor) -> Peaks:
        """Return the peaks."""
        z, ratio, log_power = self.scores.measure(power)
        height, width = z.shape[-2:]
        with no_autocast(z):
            # Highest in power, not in z: beside a peak the background differs, and so may the order of z.
            is_peak = log_power == _around(log_power, 3).amax(dim=-1)
            vertical = torch.fft.fftfreq(height, dtype=torch.float64, device=z.device).unsqueeze(1)
            # Column W / 2 of an even width is called -1/2; here it is +1/2, the same frequency.
            horizontal = torch.fft.fftfreq(width, dtype=torch.float64, device=z.device)
            horizontal = torch.where(horizontal == -0.5, 0.5, horizontal).unsqueeze(0)
            is_self_conjugate = (horizontal == 0) | (horizontal == 0.5)
            # The vertical -1/2 is its own opposite where the horizontal is, too.
            is_first = (horizontal > 0) & ~is_self_conjugate
            is_first = is_first | (is_self_conjugate & ((vertical >= 0) | (vertical == -0.5)))
            is_high = torch.sqrt(vertical.square() + horizontal.square()) >= max(self.low, 1e-12)
            candidates = torch.where(is_peak & is_first & is_high, z, -torch.inf).flatten(2)
            found = candidates.topk(min(self.count, height * width), dim=-1)
            # Reported as +1/2, like the horizontal one.
            vertical = torch.where(vertical == -0.5, 0.5, vertical)
            grid = torch.stack(
                [vertical.expand(height, width).flatten(), horizontal.expand(height, width).flatten()], dim=-1
            ).to(z.dtype)
            frequency = grid[found.indices]
            return Peaks(frequency, found.values, ratio.flatten(2).gather(2, found.indices))


def spectral_peaks(
    power: Tensor, count: int = 8, neighbourhood: int = 11, low: float = 0.08, width: Width | None = None
) -> Peaks:
    """Return the frequencies that stand highest above their surroundings; see `SpectralPeaks`.

    >>> power = torch.ones(1, 1, 32, 32)
    >>> power[0, 0, 8, 16] = 100.0
    >>> spectral_peaks(power, count=1, width=32).frequency.tolist()   # vertical, horizontal: cycles/pixel
    [[[[0.25, 0.5]]]]
    """
    return SpectralPeaks(count, neighbourhood, low, width)(power)  # type: ignore[no-any-return]


def peak_scores(power: Tensor, neighbourhood: int = 11, width: Width | None = None) -> Tensor:
    """Return each frequency's z-score against its surroundings; see `PeakScores`.

    >>> peak_scores(torch.ones(1, 1, 16, 16), width=16).abs().max().item()
    0.0
    """
    return PeakScores(neighbourhood, width)(power)  # type: ignore[no-any-return]
