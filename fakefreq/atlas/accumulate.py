"""Spectra of an image set, streamed: what is kept does not grow with the number of images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.spectra import (
    AngularProfile,
    BlockDCT,
    PowerSpectrum,
    RadialProfile,
    lattice_scores,
    lattice_tile,
    rgb_to_gray,
    to_float,
)

Array = NDArray[np.float64]
PERMUTATIONS = 200
SECTORS = 24


@dataclass(frozen=True)
class Measurement:
    """The spectra of a batch, one row an image.

    Attributes:
        power: linear power of the luma in 8-bit steps, averaged over tiles, (B, tile, tile // 2 + 1).
        radial: log(1 + ring means of power), (B, tile // 2 + 1).
        angular: log(1 + sector means of power between 1/8 and 1/2 cycles/pixel), (B, 24).
        blocks: log(1 + mean magnitude of the 8x8 block DCT's coefficients), (B, 8, 8).
        lattice: the luma's tile, its mean residual by position modulo 8, (B, 8, 8).
        evidence: z^2 of that tile by frequency, 1 where there is no lattice, (B, 8, 5).
    """

    power: Tensor
    radial: Tensor
    angular: Tensor
    blocks: Tensor
    lattice: Tensor
    evidence: Tensor


class Spectrograph:
    """Measures batches.

    Args:
        tile: side of the Hann-windowed tiles in pixels, even, 16 or more; half of it overlaps.
    """

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self._power = PowerSpectrum(window="hann", tile=tile, overlap=0.5, scale="linear", half=True)
        self._radial = RadialProfile(width=tile)
        self._angular = AngularProfile(bins=SECTORS, low=0.125, high=0.5, width=tile)
        self._blocks = BlockDCT(block=8)

    def measure(self, images: Tensor) -> Measurement:
        """Measure images, (B, 3, H, W) RGB bytes of at least `tile` pixels a side."""
        luma = rgb_to_gray(to_float(images)) * 255.0
        power = self._power(luma)
        coefficients = self._blocks(luma)
        return Measurement(
            power[:, 0],
            self._radial(power)[:, 0].log1p(),
            self._angular(power)[:, 0].log1p(),
            coefficients.abs().mean(dim=(-2, -1)).reshape(len(images), 8, 8).log1p(),
            lattice_tile(luma / 255.0)[:, 0],
            lattice_scores(luma / 255.0)[:, 0].square(),
        )


class Running:
    """Mean and variance of arrays that come one batch at a time (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Array = np.zeros(())
        self.squares: Array = np.zeros(())  # of the deviations, their sum

    def add(self, values: Tensor) -> None:
        """Add a batch, (B, ...)."""
        batch = values.double().numpy()
        count, mean = len(batch), batch.mean(axis=0)
        shift = mean - self.mean
        total = self.n + count
        self.squares = self.squares + ((batch - mean) ** 2).sum(axis=0) + shift**2 * (self.n * count / total)
        self.mean = self.mean + shift * (count / total)
        self.n = total

    @property
    def variance(self) -> Array:
        """Of single images, unbiased; infinite for fewer than two."""
        return self.squares / (self.n - 1) if self.n > 1 else np.full_like(self.mean, np.inf)

    @property
    def standard_error(self) -> Array:
        """Of the mean."""
        return np.sqrt(self.variance / max(self.n, 1))


class ImageSet:
    """All that is kept of one set of images."""

    def __init__(self) -> None:
        self.log_power, self.power = Running(), Running()
        self.radial, self.angular, self.blocks = Running(), Running(), Running()
        self.lattice, self.evidence = Running(), Running()

    def add(self, found: Measurement) -> None:
        """Add a batch."""
        self.log_power.add(found.power.log1p())
        self.power.add(found.power)
        self.radial.add(found.radial)
        self.angular.add(found.angular)
        self.blocks.add(found.blocks)
        self.lattice.add(found.lattice)
        self.evidence.add(found.evidence)

    @property
    def n(self) -> int:
        """Images so far."""
        return self.power.n


class Shuffles:
    """Differences of means under labels drawn at random, for all permutations at once and one batch at a time.

    Each image falls on either side of each shuffle by a coin that is loaded by the share of fakes; the coin depends on
    the seed and the image's number only. What is kept is one sum a shuffle.

    Args:
        share: of fakes among the images, in (0, 1).
        count: shuffles.
        seed: of the coins.
    """

    def __init__(self, share: float, count: int = PERMUTATIONS, seed: int = 0) -> None:
        self.share, self.count = share, count
        self._random = np.random.default_rng(seed)
        self._sums = [np.zeros(()), np.zeros(())]
        self._sizes = [np.zeros(count), np.zeros(count)]

    def add(self, values: Tensor) -> None:
        """Add a batch, (B, ...)."""
        batch = values.double().numpy()
        flat = batch.reshape(len(batch), -1)
        # Image by image, so that batches of any size draw the same.
        coins = self._random.random((len(batch), self.count)).T
        heads = coins < self.share
        for side, chosen in enumerate((heads, ~heads)):
            self._sums[side] = self._sums[side] + chosen.astype(np.float64) @ flat
            self._sizes[side] += chosen.sum(axis=1)

    def largest_z(self, variance: Array) -> Array:
        """Return the largest |z| over all frequencies, one value a shuffle.

        Args:
            variance: of single images, pooled over both sides.
        """
        sizes = [np.maximum(size, 1)[:, None] for size in self._sizes]
        difference = self._sums[0] / sizes[0] - self._sums[1] / sizes[1]
        spread = np.sqrt(np.maximum(variance.reshape(1, -1), 1e-12) * (1 / sizes[0] + 1 / sizes[1]))
        largest: Array = np.abs(difference / spread).max(axis=1)
        return largest


def pooled_variance(first: Running, second: Running) -> Array:
    """Variance of single images of two sets around their common mean: what shuffled labels see."""
    n = first.n + second.n
    between = (first.mean - second.mean) ** 2 * (first.n * second.n / n)
    return (first.squares + second.squares + between) / (n - 1)


def as_tensor(values: Array) -> Tensor:
    """Float64 tensor of an array."""
    return torch.from_numpy(np.ascontiguousarray(values))
