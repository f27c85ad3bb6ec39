"""The lattice of an upsampler: the mean of the residual by position modulo a period, its z-scores and a p-value.

An upsampler of stride 2 treats its two phases (then 4, 8, 16) differently, always in the same way. The mean of a
high-pass residual over all pixels of one position modulo P then differs from position to position: a first-order
cyclostationary trace. Blur, resizing, sharpening, denoising and demosaicing of a photograph change variances and
correlations, and add no such mean. JPEG adds one of period 8.
"""

import math
from functools import cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, kept_on_gpu, no_autocast
from fakefreq.spectra.lattice_residual import lattice_residual

JPEG_PERIOD = 8
SMALLEST_PERIOD, LARGEST_PERIOD = 2, 32

# Side in pixels that a segment has where the image is large. Segments of 16 to 64 pixels keep the null alike.
_SEGMENT = 32
# In an image that is small it has these, where there is room: what shorter ones say is not independent under blur.
_LEAST_SEGMENT = 8
# Added to the spread of the segments, whose usual size is above 1: rounding of a flat plane is no lattice.
NO_NOISE = 1e-3
# Of t^0, t^1, ... in the logarithm of erfc; see `_normal_tail`.
_ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
)  # fmt: skip


def lattice_tile(images: Tensor, period: int = 8, quiet: float = 0.0) -> Tensor:
    """Return the tile: the mean of the scaled residual by position modulo a period.

    Args:
        images: uint8, or floats in [0, 1].
        period: P in pixels, 2 to 32.
        quiet: areas quieter than so many 8-bit steps are left out, see `lattice_residual`.

    Shape:
        - input: (B, C, H, W), H and W at least 2P; what is left over of whole periods at the right and the bottom is
          not read
        - output: (B, C, P, P)

    Raises:
        UserError: a period out of range, or an image below two periods.

    >>> lattice_tile(torch.zeros(1, 3, 20, 17), period=4).shape
    torch.Size([1, 3, 4, 4])
    """
    check_period(images, period)
    with no_autocast(images):
        return _means(lattice_residual(images, quiet), period, period).mean(dim=2)


def lattice_scores(images: Tensor, period: int = 8, quiet: float = 0.0) -> Tensor:
    """Return z by frequency k / P: how far the image's periodic mean stands out of its own noise.

    The image is cut into M segments of up to 32 pixels a side. Each segment's tile is transformed, A_s(k). Where
    there is no lattice, the A_s have mean 0 and a common variance, whatever the noise's colour, so that
    F = M abs(mean A)^2 / (sum |A_s - mean A|^2 / (M - 1)) has Fisher's law with 2 and 2 (M - 1) degrees of freedom. z^2
    is minus the logarithm of F's tail, z^2 = (M - 1) log(1 + F / (M - 1)): exponential with mean 1 for every size. At
    the frequencies 0 and 1/2 along both axes A is real, Student's law takes Fisher's place, and Wallace's normal
    approximation its tail (Wallace 1959, "Bounds on normal approximations to Student's and the chi-square
    distributions"). A lattice of amplitude a in noise of deviation s has abs(mean A)^2 proportional to (a / s)^2, so z
    grows with the image's side for small z. Where the crop begins turns all A_s alike and does not matter.

    Args:
        images: uint8, or floats in [0, 1].
        period: P in pixels, 2 to 32.
        quiet: areas quieter than so many 8-bit steps are left out, see `lattice_residual`.

    Shape:
        - input: (B, C, H, W), H and W at least 2P
        - output: (B, C, P, P // 2 + 1), 0 or more: rows 0, 1/P, ... as `torch.fft.fftfreq`, columns 0 to 1/2
          cycles/pixel; [..., 0, 0] is 0

    Raises:
        UserError: a period out of range, or an image below two periods.

    >>> checks = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2
    >>> noise = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    >>> z = lattice_scores((0.2 * checks + 0.6 * noise)[None, None], period=4)[0, 0]
    >>> divmod(int(z.argmax()), z.shape[1])  # 1/2 and 1/2 cycles/pixel
    (2, 2)
    """
    check_period(images, period)
    with no_autocast(images):
        return _scores(lattice_residual(images, quiet), period)


def lattice_frequencies(period: int, without: int | None = None) -> Tensor:
    """Return which entries of `lattice_scores` are independent: (P, P // 2 + 1), bool.

    Frequency 0 is none, and of a frequency and its negative one counts.

    Args:
        period: P, 2 to 32.
        without: leaves out the frequencies that are multiples of 1 / `without` too: 8 leaves JPEG's out.

    >>> int(lattice_frequencies(8).sum()), int(lattice_frequencies(16).sum()), int(lattice_frequencies(16, 8).sum())
    (33, 129, 96)
    """
    chosen = torch.zeros(period * (period // 2 + 1), dtype=torch.bool)
    chosen[_independent(period, without)] = True
    return chosen.view(period, -1)


def _independent(period: int, without: int | None) -> list[int]:
    """Flat positions of the independent frequencies."""

    def counts(row: int, column: int) -> bool:
        is_second = column in (0, period / 2) and row > period / 2
        is_left_out = without is not None and row * without % period == 0 and column * without % period == 0
        return (row, column) != (0, 0) and not is_second and not is_left_out

    columns = period // 2 + 1
    return [k for k in range(period * columns) if counts(*divmod(k, columns))]


def lattice_pvalue(images: Tensor, period: int = 8, without: int | None = None, quiet: float = 0.0) -> Tensor:
    """Return the p-value of each image: how often an image without a lattice stands out as much.

    The p-values exp(-z^2) of all planes and independent frequencies are combined by Cauchy's law, T = mean of
    cot(pi p), p = arctan2(1, T) / pi: exact where they are independent, and valid for small p where planes of one
    image are not (Liu and Xie 2020, "Cauchy combination test"). An image that was saved as JPEG has a lattice of period
    8: leave its frequencies out, with a period that has others, or compare with photographs, as the detector `lattice`
    does.

    Args:
        images: uint8, or floats in [0, 1].
        period: P in pixels, 2 to 32.
        without: leaves out multiples of 1 / `without` cycles/pixel: 8 leaves JPEG's out.
        quiet: areas quieter than so many 8-bit steps are left out, see `lattice_residual`.

    Shape:
        - input: (B, C, H, W), H and W at least 2P
        - output: (B,), in (0, 1]; 1 for a constant image

    Raises:
        UserError: a period out of range, an image below two periods, or no frequency left.

    >>> lattice_pvalue(torch.full((1, 3, 32, 32), 0.5)).item() > 0.99
    True
    """
    check_period(images, period)
    chosen = _independent(period, without)
    if not chosen:
        raise UserError(f"a period of {period} has no frequency that is no multiple of 1/{without}; give without=None")
    with no_autocast(images):
        squares = lattice_scores(images, period, quiet).square().flatten(2)
        squares = squares.index_select(2, torch.tensor(chosen, device=images.device))
        p = torch.exp(-squares.clamp_max(70.0)).clamp_max(1 - 1e-6)
        statistic = (1.0 / torch.tan(math.pi * p)).mean(dim=(1, 2))
        return torch.atan2(torch.ones_like(statistic), statistic) / math.pi


def check_period(images: Tensor, period: int) -> None:
    """Raise UserError for a period that is out of range, or images that are below two of it."""
    check_images(images)
    if not SMALLEST_PERIOD <= period <= LARGEST_PERIOD:
        raise UserError(f"period is {period}; it takes {SMALLEST_PERIOD} to {LARGEST_PERIOD} pixels")
    height, width = images.shape[-2:]
    if height < 2 * period or width < 2 * period:
        raise UserError(
            f"an image of {height}x{width} is smaller than two periods of {period} pixels; lower period, or pad it"
        )


def _means(residual: Tensor, period: int, side: int) -> Tensor:
    """Tiles of the segments of `side` pixels: (B, C, M, P, P)."""
    height, width = (size // side for size in residual.shape[-2:])
    blocks = side // period
    cut = residual[..., : height * side, : width * side]
    # Rows first: the columns, whose neighbours in memory are other phases, then have fewer values left to read.
    strips = cut.reshape(*residual.shape[:2], height, blocks, period, width * side).mean(dim=3)
    parts = strips.reshape(*residual.shape[:2], height, period, width, blocks, period).mean(dim=5)
    return parts.transpose(3, 4).flatten(2, 3)


def _scores(residual: Tensor, period: int) -> Tensor:
    side = segment_side(residual.shape[-2], residual.shape[-1], period)
    return scores_of_segments(_means(residual, period, side), period)


def segment_side(height: int, width: int, period: int) -> int:
    """Return the side of the segments that an image is cut into, whole periods, in pixels.

    A quarter of the shorter side, but 8 to 32 pixels, and half of the shorter side at most: the variance needs at least
    two segments either way, and those that lie side by side should know little of each other.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        # Sizes are tensors then, and stay free in what is exported.
        free = torch.minimum(torch.as_tensor(height), torch.as_tensor(width))
        room = torch.minimum((free // 4).clamp(_LEAST_SEGMENT, _SEGMENT), free // 2)
        return cast(int, period * (room // period).clamp_min(1))
    shorter = min(height, width)
    return period * max(1, min(max(shorter // 4, _LEAST_SEGMENT), _SEGMENT, shorter // 2) // period)


def scores_of_segments(tiles: Tensor, period: int) -> Tensor:
    """Return z of the tiles of an image's segments; see `lattice_scores`.

    Args:
        tiles: means of the scaled residual by position.
        period: P in pixels; given, since a tensor's size is no number while ONNX is traced.

    Shape:
        - input: (B, C, M, P, P), M at least 2
        - output: (B, C, P, P // 2 + 1)
    """
    # One matrix product for all segments: P * P values to the real and the imaginary parts of P x (P // 2 + 1).
    parts = tiles.flatten(3) @ _fourier_matrix(period, tiles.dtype, tiles.device)
    segments = parts.shape[2]
    columns = period // 2 + 1
    mean = parts.mean(dim=2)
    spread, power = (
        squares.reshape(*parts.shape[:2], 2, period, columns).sum(dim=2)
        for squares in ((parts - mean.unsqueeze(2)).square().sum(dim=2), mean.square())
    )
    # In units of its own variance; the small number keeps an image without any noise finite.
    ratio = segments * power / (spread + NO_NOISE)
    freedom = segments - 1
    squares = freedom * torch.log1p(ratio)
    # At the frequencies 0 and 1/2 A is real.
    place = torch.arange(period, device=parts.device)
    real = torch.outer(2 * place % period == 0, 2 * place[:columns] % period == 0)
    squares = torch.where(real, _normal_tail(((8 * freedom + 1) / (8 * freedom + 3)) ** 2 * squares), squares)
    first = torch.outer(place == 0, place[:columns] == 0)
    return (squares + 1e-12).sqrt().masked_fill(first, 0.0)


@kept_on_gpu
def _fourier_matrix(period: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The transform of a flattened tile: (P * P, 2 * P * (P // 2 + 1)), cosines before sines."""
    # A tensor of each use's own: one that was made while an exporter or inference mode looks on serves nothing else.
    return torch.from_numpy(_waves(period)).to(device=device, dtype=dtype)


@cache
def _waves(period: int) -> NDArray[np.float64]:
    place = np.arange(period)
    rows, columns = np.outer(place, place), np.outer(place, place[: period // 2 + 1])
    # (y, x, k, l): how far pixel (y, x) turns at frequency (k, l), in steps of 1 / P.
    steps = (rows[:, None, :, None] + columns[None, :, None, :]) % period
    angle = (2 * math.pi / period * steps).reshape(period * period, -1)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def _normal_tail(square: Tensor) -> Tensor:
    """Minus the logarithm of the two-sided tail of a normal variable beyond the root of `square`.

    erfc(x) = t exp(-x^2 + polynomial(t)), t = 1 / (1 + x / 2), to 1.2e-7 of its value (Press et al. 1992, "Numerical
    Recipes", erfcc): the tail itself would underflow.
    """
    half = square / 2
    t = 1.0 / (1.0 + 0.5 * (half + 1e-20).sqrt())
    polynomial = torch.full_like(t, _ERFC[-1])
    for coefficient in _ERFC[-2::-1]:
        polynomial = polynomial * t + coefficient
    return (half - polynomial - t.log()).clamp_min(0.0)


class LatticeTile(nn.Module):
    """`lattice_tile` as a module, with the same arguments."""

    def __init__(self, period: int = 8, quiet: float = 0.0) -> None:
        super().__init__()
        self.period, self.quiet = period, quiet

    def forward(self, images: Tensor) -> Tensor:
        """Return the tile, (B, C, P, P)."""
        return lattice_tile(images, self.period, self.quiet)


class LatticeScores(nn.Module):
    """`lattice_scores` as a module, with the same arguments."""

    def __init__(self, period: int = 8, quiet: float = 0.0) -> None:
        super().__init__()
        self.period, self.quiet = period, quiet

    def forward(self, images: Tensor) -> Tensor:
        """Return z, (B, C, P, P // 2 + 1)."""
        return lattice_scores(images, self.period, self.quiet)


class LatticePValue(nn.Module):
    """`lattice_pvalue` as a module, with the same arguments."""

    def __init__(self, period: int = 8, without: int | None = None, quiet: float = 0.0) -> None:
        super().__init__()
        self.period, self.without, self.quiet = period, without, quiet

    def forward(self, images: Tensor) -> Tensor:
        """Return the p-values, (B,)."""
        return lattice_pvalue(images, self.period, self.without, self.quiet)
