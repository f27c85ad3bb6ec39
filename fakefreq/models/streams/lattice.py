"""The stream that reads the lattice: z-scores by frequency, one curve for each, and their sum as a logit."""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.models.streams.base import SpectrumStream
from fakefreq.spectra import lattice_frequencies, lattice_scores, rgb_to_ycbcr, to_float
from fakefreq.spectra.lattice import scale_residual, scores_of_segments, segment_side

PERIOD = 8
SMALLEST = 2 * PERIOD
# Where the curves have their knots. Below 2 a score is noise; beyond 8 it is a lattice, however large.
KNOTS = (
    0.0, 0.75, 1.125, 1.375, 1.625, 1.875, 2.125, 2.375, 2.625, 2.875, 3.25, 3.75, 4.5, 5.5, 7.0, 9.5, 13.0,
)  # fmt: skip
# Values of the null kept with the weights: its quantiles at even steps.
NULL_QUANTILES = 401
# Beyond this quantile the null's tail is continued by an exponential law.
TAIL = 0.9

_CHOSEN: list[int] = lattice_frequencies(PERIOD).flatten().nonzero().squeeze(1).tolist()
_YCBCR = rgb_to_ycbcr(torch.eye(3).view(3, 3, 1, 1))[..., 0, 0].T.numpy()


def lattice_map(values: Tensor) -> Tensor:
    """Return 99 values of as many frequencies as three half-planes, as `fakefreq.spectra.lattice_scores` lays them out.

    A frequency whose negative one is in the plane stands there twice; at frequency 0 stands NaN.

    Shape:
        - input: (..., 99)
        - output: (..., 3, 8, 5)

    >>> lattice_map(torch.arange(99.0))[0, :, 0]
    tensor([nan, 4., 9., 14., 19., 14., 9., 4.])
    """
    planes = values.new_full((*values.shape[:-1], 3, PERIOD * (PERIOD // 2 + 1)), math.nan)
    planes[..., _CHOSEN] = values.reshape(*values.shape[:-1], 3, -1)
    planes = planes.reshape(*planes.shape[:-1], PERIOD, -1)
    opposite = planes.roll(-1, dims=-2).flip(-2)  # row -k
    return torch.where(planes.isnan(), opposite, planes)


def read_lattice(images: Tensor) -> Tensor:
    """Return the lattice scores z of Y, Cb and Cr at the independent multiples of 1/8 cycles/pixel.

    Args:
        images: RGB, uint8 or floats in [0, 1].

    Shape:
        - input: (B, 3, H, W), any size; below 16 pixels a side there is nothing to see, and z is 0
        - output: (B, 99), 0 or more; see `fakefreq.spectra.lattice_scores`
    """
    if images.shape[-2] < SMALLEST or images.shape[-1] < SMALLEST:
        return to_float(images).new_zeros(len(images), 3 * len(_CHOSEN))
    return _chosen(lattice_scores(rgb_to_ycbcr(images), PERIOD))


def _chosen(scores: Tensor) -> Tensor:
    """The independent frequencies of each plane: (B, 3, P, P // 2 + 1) -> (B, 99)."""
    return scores.flatten(2).index_select(2, torch.tensor(_CHOSEN, device=scores.device)).flatten(1)


def read_lattice_of_image(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `read_lattice` of one decoded image, for the loader's worker processes.

    The same steps by OpenCV, which is faster on a CPU; a test holds the two together.

    Shape: (H, W, 3) uint8 -> (99,).
    """
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST:
        return np.zeros(LatticeFeatures.width, np.float32)
    side = segment_side(height, width, PERIOD)
    down, across, blocks = height // side, width // side, side // PERIOD
    tiles = np.empty((3, down * across, PERIOD, PERIOD), np.float32)
    planes = cv2.split(cv2.transform(image.astype(np.float32), _YCBCR))
    for plane, tile in zip(planes, tiles, strict=True):
        residual = scale_residual(plane - cv2.medianBlur(plane, 3))
        strips = _sum_of(residual[: down * side, : across * side].reshape(down, blocks, PERIOD, -1).swapaxes(0, 1))
        parts = _sum_of(strips.reshape(down, PERIOD, across, blocks, PERIOD).transpose(3, 0, 1, 2, 4))
        tile[...] = parts.transpose(0, 2, 1, 3).reshape(tile.shape) / blocks**2
    with torch.inference_mode():
        scores = _chosen(scores_of_segments(torch.from_numpy(tiles).unsqueeze(0), PERIOD))[0]
    return np.asarray(scores.numpy(), dtype=np.float32)


def _sum_of(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over the first axis: a few large parts, for which numpy's reduction is slower."""
    total: NDArray[np.float32] = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


class LatticeFeatures(SpectrumStream):
    """log(z + 0.3), normalised by frequency: the lattice as features for a head that gradients train.

    For ablations: trained on one generator's images, such a head learns their history beside their lattice.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least 16
        - output: (B, 99)
    """

    width = 3 * 33
    minimum_size = SMALLEST

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(self.width)

    def spectrum(self, pixels: Tensor) -> Tensor:
        """Return log(z + 0.3), (B, 99)."""
        return (read_lattice(pixels) + 0.3).log()

    def read(self, spectrum: Tensor) -> Tensor:
        """Return features, (B, 99)."""
        return self.normalise(spectrum)  # type: ignore[no-any-return]


class LatticeStream(nn.Module):
    """The logarithm of how much likelier an image's lattice scores are with a lattice than without.

    l = b + sum_j f_j(z_j): an additive model (Hastie and Tibshirani 1986, "Generalized additive models") with one
    piecewise linear curve a frequency and colour plane. `fakefreq.train.fit_lattice.fit_lattice` fits it to photographs
    and to the same photographs with planted lattices: no gradient reaches it, and no generator's fakes. Before that
    the stream says 0.

    It reads the whole image where it can: z grows with the image's side, so a crop throws evidence away.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], any size
        - output: (B, 1)

    Attributes:
        knots: (K,), of all curves.
        curves: (99, K), their values at the knots.
        calibration: scale and offset that make the sum a log likelihood ratio.
        null: quantiles of l over photographs, at even steps; infinite before the fit.
    """

    width = 1
    minimum_size = 1
    knots: Tensor
    curves: Tensor
    calibration: Tensor
    null: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(KNOTS))
        self.register_buffer("curves", torch.zeros(LatticeFeatures.width, len(KNOTS)))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
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
        """Return l of lattice scores: (B, 99) -> (B, 1)."""
        total = self.curves[:, 0].sum() + self._passed(scores).sum(dim=(1, 2))
        return (self.calibration[0] * total + self.calibration[1]).unsqueeze(1)

    def contributions(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each frequency adds to l, and the constant b: (B, 99) -> (B, 99) and (); their sum is l."""
        values = self.curves[:, 0] + self._passed(scores).sum(dim=2)
        return self.calibration[0] * values, self.calibration[1]

    def _passed(self, scores: Tensor) -> Tensor:
        """The steps of each curve from its first knot to z: (B, 99) -> (B, 99, K - 1)."""
        scores = scores.to(self.curves.dtype)
        widths = self.knots[1:] - self.knots[:-1]
        # Share of each piece that lies below z: 1 for those passed, 0 for those ahead.
        shares = ((scores.unsqueeze(2) - self.knots[:-1]) / widths).clamp(0, 1)
        return shares * (self.curves[:, 1:] - self.curves[:, :-1])

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
