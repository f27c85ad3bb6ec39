"""Planted lattices: the cheapest simulated fakes, a photograph with a pattern that repeats every few pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.errors import UserError

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class PlantedLattice:
    """What patterns are drawn from; each photograph gets a pattern of its own.

    A generator whose image was doubled again and again leaves a period of 2, 4, 8, ... pixels, one octave a doubling.
    So a pattern is a sum of octaves, each switched on by chance, with random weights. Its phase is random too.

    Args:
        periods: of the octaves in pixels, each 2 to 32; each must divide the largest.
        amplitude: standard deviation of the pattern in grey levels of 255, lowest and highest; drawn evenly in its
            logarithm.
        follow: whether patterns follow the picture, as a generator's own do: two thirds are stronger where it is
            busier (in proportion to its local activity, or to the activity's root), and `varying` of them change with
            brightness and colour.
        varying: share of the patterns whose strength and sign change with what is drawn, in [0, 1]. Each is the sum of
            one to three, weighted with sin(s v + t): v is brightness and colour in one direction, smoothed; direction,
            s and t are random. Such patterns are twice as strong, as opposite signs cancel in the mean.

    Raises:
        UserError: a value out of range.
    """

    periods: tuple[int, ...] = (2, 4, 8, 16)
    amplitude: tuple[float, float] = (0.4, 6.0)
    follow: bool = True
    varying: float = 0.5

    def __post_init__(self) -> None:
        if not self.periods or any(not 2 <= period <= 32 or max(self.periods) % period for period in self.periods):
            raise UserError(f"periods are {self.periods}; each takes 2 to 32 pixels and divides the largest")
        low, high = self.amplitude
        if not 0 < low <= high <= 128:
            raise UserError(f"amplitude is {self.amplitude}; it takes two values above 0 and at most 128, in order")
        if not 0 <= self.varying <= 1:
            raise UserError(f"varying is {self.varying}; it takes a share, 0 to 1")

    def plant(self, image: Image, random: np.random.Generator) -> Image:
        """Return the photograph with a lattice on it.

        Args:
            image: RGB.
            random: what is drawn from; the same state gives the same picture.

        Shape: (H, W, 3) uint8 -> the same.

        >>> grey = np.full((20, 30, 3), 128, np.uint8)
        >>> fake = PlantedLattice(periods=(4,), amplitude=(5, 5), follow=False).plant(grey, np.random.default_rng(0))
        >>> bool((fake[4:] == fake[:-4]).all()), bool((fake[2:] == fake[:-2]).all())
        (True, False)
        """
        low, high = np.log(self.amplitude)
        strength = np.exp(random.uniform(low, high))
        if self.follow and random.random() < self.varying:
            count = int(random.integers(1, 4))
            lattice = sum(self._laid(image, random) * _field(image, random)[..., None] for _ in range(count))
            lattice = lattice * (2 * strength / max(float(np.sqrt(np.square(lattice).mean())), 1e-6))
        else:
            lattice = strength * self._laid(image, random)
        kind = random.integers(3) if self.follow else 0
        if kind:
            activity = _activity(image)
            lattice = lattice * _relative(activity if kind == 1 else np.sqrt(activity))[..., None]
        return np.asarray(np.clip(np.round(image + lattice), 0, 255), dtype=np.uint8)

    def _laid(self, image: Image, random: np.random.Generator) -> NDArray[np.float64]:
        """A pattern of deviation 1 all over the image, at a random phase."""
        pattern = self._pattern(random)
        height, width = image.shape[:2]
        side = len(pattern)
        down, right = random.integers(side, size=2)
        repeats = (height // side + 2, width // side + 2, 1)
        return np.tile(pattern, repeats)[down : down + height, right : right + width]

    def _pattern(self, random: np.random.Generator) -> NDArray[np.float64]:
        """One period, (P, P, 3), of mean 0 in each colour and deviation 1."""
        side = max(self.periods)
        weights = random.exponential(size=len(self.periods)) * (random.random(len(self.periods)) < 0.6)
        if not weights.any():
            weights[random.integers(len(weights))] = 1.0
        pattern = np.zeros((side, side, 3))
        for period, weight in zip(self.periods, weights, strict=True):
            rows, columns = random.normal(size=(2, period))
            shapes = (random.normal(size=(period, period)), np.add.outer(rows, columns), np.outer(rows, columns))
            shape = shapes[random.integers(3)]
            shape = shape - shape.mean()
            # Half of the patterns are grey, as where one upsampler makes all colours from the same features.
            colour = np.ones(3) if random.random() < 0.5 else 1 + 0.7 * random.normal(size=3)
            repeated = np.tile(shape / (shape.std() + 1e-9), (side // period, side // period))
            pattern += weight * repeated[..., None] * colour
        pattern -= pattern.mean(axis=(0, 1))
        return np.asarray(pattern / (pattern.std() + 1e-9))


def _field(image: Image, random: np.random.Generator) -> NDArray[np.float32]:
    """sin(s v + t), v the smoothed picture's brightness and colour in a random direction, in deviations."""
    width = float(np.exp(random.uniform(np.log(3), np.log(12))))
    smooth = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32), (0, 0), width)
    planes = (smooth - smooth.mean(axis=(0, 1))) / np.maximum(smooth.std(axis=(0, 1)), (2, 1, 1))
    direction = random.normal(size=3)
    direction = direction / np.linalg.norm(direction)
    turns = np.exp(random.uniform(np.log(0.3), np.log(2.0)))
    angle = turns * (planes * direction).sum(axis=2) + random.uniform(0, 2 * np.pi)
    return np.asarray(np.sin(angle), dtype=np.float32)


def _activity(image: Image) -> NDArray[np.float32]:
    """Local mean of what a blur of two pixels takes away, in grey levels."""
    grey = image.astype(np.float32).mean(axis=2)
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0))
    return np.asarray(cv2.GaussianBlur(detail, (0, 0), 3.0) + 0.3, dtype=np.float32)


def _relative(activity: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of mean about 1, and no more than forty times as strong in one place as in another."""
    return np.asarray(np.clip(activity / activity.mean(), 0.1, 4.0), dtype=np.float32)
