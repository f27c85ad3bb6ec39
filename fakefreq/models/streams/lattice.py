"""The stream that reads the lattice of luma: z-scores by frequency, one curve for each, and their sum as a logit."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream
from fakefreq.models.streams.lattice_of_image import scores_and_trace
from fakefreq.spectra import (
    lattice_field_scores,
    lattice_frequencies,
    lattice_scores,
    rgb_to_ycbcr,
    studio_range_trace,
    to_float,
)
from fakefreq.spectra.lattice_fields import FIELDS

PERIOD = 8
SMALLEST = 2 * PERIOD
# Where the curves have their knots. Below 2 a score is noise; beyond 8 it is a lattice, however large.
KNOTS = (
    0.0, 0.75, 1.125, 1.375, 1.625, 1.875, 2.125, 2.375, 2.625, 2.875, 3.25, 3.75, 4.5, 5.5, 7.0, 9.5, 13.0,
)  # fmt: skip
# Sides of images for which there are curves, in pixels; between them, curves are mixed. What belongs to a side is
# fitted to images of up to half an octave less or more.
SIDES = (64.0, 128.0, 256.0, 512.0)
# In 8-bit steps: areas whose residual is quieter are left out.
QUIET = 0.5
# From this trace on an image is taken for one of studio range: WebP leaves 0.39 to 0.60, others up to 0.35 but where
# they have few levels or are mostly one colour (up to 0.52).
STUDIO_RANGE = 0.4
# Of a flat image or a tiny one no z is as large.
_NOTHING = 1e-3
# Values of the null kept with the weights: its quantiles at even steps.
NULL_QUANTILES = 401
# Beyond this quantile the null's tail is continued by an exponential law.
TAIL = 0.9

_CHOSEN: list[int] = lattice_frequencies(PERIOD).flatten().nonzero().squeeze(1).tolist()
FREQUENCIES = len(_CHOSEN)
# What `read_lattice` gives of an image: z at the frequencies, field by field, then the trace of studio range and the
# side.
SCORES = len(FIELDS) * FREQUENCIES
TRACE, SIDE = SCORES, SCORES + 1
READ = SCORES + 2


def lattice_map(values: Tensor) -> Tensor:
    """Return 33 values a plane as half-planes, as `fakefreq.spectra.lattice_scores` lays them out.

    A frequency whose negative one is in the plane stands there twice; at frequency 0 stands NaN.

    Shape:
        - input: (..., 33 C)
        - output: (..., C, 8, 5)

    >>> lattice_map(torch.arange(99.0))[0, :, 0]
    tensor([nan, 4., 9., 14., 19., 14., 9., 4.])
    """
    by_plane = values.reshape(*values.shape[:-1], -1, FREQUENCIES)
    planes = values.new_full((*by_plane.shape[:-1], PERIOD * (PERIOD // 2 + 1)), math.nan)
    planes[..., _CHOSEN] = by_plane
    planes = planes.reshape(*planes.shape[:-1], PERIOD, -1)
    opposite = planes.roll(-1, dims=-2).flip(-2)  # row -k
    return torch.where(planes.isnan(), opposite, planes)


def read_lattice(images: Tensor) -> Tensor:
    """Return luma's lattice scores z at the independent multiples of 1/8 cycles/pixel by field, and which z to expect.

    The latter is told by the trace of studio range, and by the image's side, the root of its pixels: z of any lattice
    grows with it, of JPEG's too. Chroma is left out: JPEG and WebP keep it at half the size, and what decoders make of
    that has a lattice of its own. So are flat areas, where JPEG's lattice is all there is.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W), any size; below 16 pixels a side there is nothing to see, and all is 0
        - output: (B, 167), 0 or more; see `fakefreq.spectra.lattice_field_scores` and
          `fakefreq.spectra.studio_range_trace`
    """
    if images.shape[-2] < SMALLEST or images.shape[-1] < SMALLEST:
        return to_float(images).new_zeros(len(images), READ)
    scores = _independent(lattice_field_scores(images, PERIOD, QUIET))
    # As a sum, so that sizes stay free in what is exported.
    side = torch.ones_like(images[:, 0], dtype=scores.dtype).sum(dim=(1, 2)).sqrt()
    return torch.cat([scores, studio_range_trace(images).unsqueeze(1), side.unsqueeze(1)], dim=1)


def _independent(scores: Tensor) -> Tensor:
    """z at the independent frequencies of each plane: (B, C, 8, 5) -> (B, 33 C)."""
    return scores.flatten(2).index_select(2, torch.tensor(_CHOSEN, device=scores.device)).flatten(1)


def read_lattice_of_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `read_lattice` of one decoded image, for the loader's worker processes.

    The same as read without tensors, which is faster there; see `fakefreq.models.streams.lattice_of_image`.

    Shape: (H, W, 3) uint8 -> (167,).
    """
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        return np.zeros(READ, np.float32)
    scores, trace = scores_and_trace(image, PERIOD, QUIET)
    return np.concatenate([scores, [trace, math.sqrt(height * width)]], dtype=np.float32)


def has_nothing_to_see(scores: Tensor) -> Tensor:
    """Return whether there is nothing to see in what `read_lattice` gives: (B, 167) -> (B,), bool.

    >>> has_nothing_to_see(read_lattice(torch.zeros(1, 3, 8, 8))).tolist()
    [True]
    """
    return scores[:, :-2].amax(dim=1) < _NOTHING


def _shares(values: Tensor, knots: Tensor) -> Tensor:
    """Share of each piece between the knots that lies below a value: 1 for those passed, 0 for those ahead."""
    return ((values - knots[:-1]) / (knots[1:] - knots[:-1])).clamp(0, 1)


class LatticeFeatures(SpectrumStream):
    """log(z + 0.3) of Y, Cb and Cr, normalised by frequency: the lattice as features for a head that gradients train.

    For ablations: trained on one generator's images, such a head learns their history beside their lattice.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 99)
    """

    width = 3 * FREQUENCIES
    minimum_size = SMALLEST

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(self.width)

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return log(z + 0.3), (B, 99)."""
        return (_independent(lattice_scores(rgb_to_ycbcr(pixels), PERIOD)) + 0.3).log()

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 99)."""
        return self.normalise(spectrum)  # type: ignore[no-any-return]


class LatticeStream(nn.Module):
    """The logarithm of how much likelier an image's lattice scores are with a lattice than without.

    l = b + sum_j f_j(z_j): an additive model (Hastie and Tibshirani 1986, "Generalized additive models") with one
    piecewise linear curve a frequency and field, by the image's side. `fakefreq.train.fit_lattice.fit_lattice` fits it
    to photographs and to the same photographs with planted lattices: no gradient reaches it, and no generator's fakes.
    Before that the stream says 0.

    WebP leaves a lattice of its own, and its decoder another trace, that of studio range. So there are two sets of
    curves, and an image's trace chooses between them. Neither has to be careful on the other's account.

    It reads the whole image where it can: z grows with the image's side, so a crop throws evidence away.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], any size
        - output: (B, 1)

    Attributes:
        knots: (K,), of all curves.
        sides: (S,), log2 of the sides for which there are curves; between them they are mixed.
        curves: (2, S, 165, K), their values at the knots; the second set is for images of studio range.
        calibration: (2, S, 2), scale and offset of each set and side. They make the sum a log likelihood ratio, shifted
            until the same share of photographs exceeds the same value in every set and at every side.
        null: quantiles of l over photographs, at even steps; infinite before the fit.
    """

    width = 1
    minimum_size = 1
    knots: Tensor
    sides: Tensor
    curves: Tensor
    calibration: Tensor
    null: Tensor

    def __init__(self, scores: int = SCORES) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(KNOTS))
        self.register_buffer("sides", torch.tensor(SIDES).log2())
        self.register_buffer("curves", torch.zeros(2, len(SIDES), scores, len(KNOTS)))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]).repeat(2, len(SIDES), 1))
        self.register_buffer("null", torch.full((NULL_QUANTILES,), math.inf))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit_lattice` has been here."""
        return bool(self.null.isfinite().all())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return l of whole images, (B, 1)."""
        with torch.autocast(pixels.device.type, enabled=False):
            return self.judge(read_lattice(pixels))

    def judge(self, scores: Tensor) -> Tensor:
        """Return l of what `read_lattice` gives: (B, 167) -> (B, 1)."""
        values, offset = self.contributions(scores)
        return (values.sum(dim=1) + offset).unsqueeze(1)

    def contributions(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each z adds to l, and the constant b: (B, 167) -> (B, 165) and (B,); their sum is l."""
        scores = scores.to(self.curves.dtype)
        trace, side = scores[:, -2], scores[:, -1]
        which = (trace > STUDIO_RANGE).long()
        passed = _shares(side.clamp_min(1.0).log2().unsqueeze(1), self.sides)
        # Of each side: what is passed before it, less what is passed behind it.
        ends = torch.ones_like(passed[:, :1])  # by shape: `len` would fix the batch of what is exported
        weights = torch.cat([ends, passed], dim=1) - torch.cat([passed, torch.zeros_like(ends)], dim=1)
        curves = (weights[:, :, None, None] * self.curves[which]).sum(dim=1)
        calibration = (weights[:, :, None] * self.calibration[which]).sum(dim=1)
        shares = _shares(scores[:, :-2].unsqueeze(2), self.knots)
        values = curves[..., 0] + (shares * (curves[..., 1:] - curves[..., :-1])).sum(dim=2)
        values, constant = calibration[:, :1] * values, calibration[:, 1]
        # Where there is nothing to see, of any side, l is the lowest of the null, and the p-value 1.
        is_lowest = self.null[0].isfinite() & has_nothing_to_see(scores)
        return values, torch.where(is_lowest, self.null[0] - values.sum(dim=1), constant)

    def pvalue(self, logits: Tensor) -> Tensor:
        """Return how often a photograph's l is at least as large: the share of the null, and beyond it a tail.

        Above the null's 90 % the share falls exponentially, p = 0.1 exp(-(l - q) / mean excess over q): photographs
        are too few to count what happens once in a thousand times.

        Args:
            logits: l, as `forward` or `judge` gives it.

        Shape: any -> the same, in (0, 1]; 1 before the fit.
        """
        if not self.is_fitted:
            return torch.ones_like(logits)
        null = self.null.to(logits.dtype)
        last = len(null) - 1
        rank = torch.searchsorted(null, logits.detach().contiguous()).clamp(1, last)
        below, above = null[rank - 1], null[rank]
        part = ((logits - below) / (above - below).clamp_min(1e-6)).clamp(0, 1)
        counted = 1 - (rank - 1 + part) / last
        first = round(TAIL * last)
        excess = (null[first:] - null[first]).mean().clamp_min(1e-3)
        tail = (1 - TAIL) * torch.exp(-(logits - null[first]) / excess)
        return torch.where(logits > null[first], tail, counted).clamp_min(1e-30)
