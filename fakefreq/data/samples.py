"""One image on its way into a batch: decoded, brought through a history, augmented, cropped; and its twin."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fakefreq.data.cache import PixelCache
from fakefreq.data.crops import crop_image, crop_views
from fakefreq.data.degrade import Augmentation, parse_augmentation
from fakefreq.data.distortions import decode, rotate
from fakefreq.data.header import ImageError
from fakefreq.data.history import History, apply_history
from fakefreq.data.images import read_image
from fakefreq.errors import UserError


@dataclass(frozen=True)
class Augment:
    """What is done at random to training images of both classes alike, after decoding and before the crop.

    Args:
        flip: mirror left and right with probability one half.
        rotate: turn by up to this many degrees either way, bilinear, borders reflected; 0 never resamples.
        degrade: distortions in the words of `fakefreq.data.degrade.parse_augmentation`, such as
            `0.5*jpeg:50..95 0.3*blur:0.5..2`, before all else; empty for none.
    """

    flip: bool = True
    rotate: float = 0.0
    degrade: str = ""


class MakeTwin(Protocol):
    """Makes a fake out of a decoded image, the same for the same state of `random`; worker processes pickle it."""

    def __call__(self, image: NDArray[np.uint8], row: int, random: np.random.Generator) -> NDArray[np.uint8] | None:
        """Return a fake of the given image's size, or none; `row` is the image's position in the table."""


@dataclass(frozen=True)
class Twins:
    """Fakes made on the way: some reals of a training batch get one beside them.

    Args:
        make: makes the fake out of its parent.
        probability: that a real gets one.
    """

    make: MakeTwin
    probability: float


# A row, its pixels (where they are not for training, one view after the other) or the reason that it has none, and its
# twin's pixels.
Sample = tuple[int, "np.ndarray | str", "np.ndarray | None"]


def bring(image: NDArray[np.uint8], history: History, sha256: str) -> NDArray[np.uint8]:
    """Bring a decoded image through a history, as `fakefreq align` does to its file.

    Raises:
        UserError: the image is smaller than the history's size.
    """
    return decode(apply_history(image, history, sha256))


def _augmented(
    image: np.ndarray, crop: int, augment: Augment, degrade: Augmentation | None, random: np.random.Generator
) -> np.ndarray:
    # Always the same number of draws, and first, so that switching one augmentation off leaves the others as they were.
    mirrored, angle, top, left = random.random(4)
    if degrade is not None:
        image = degrade.apply(image, random)
    if augment.rotate > 0:
        image = rotate(image, (2 * angle - 1) * augment.rotate)
    image = crop_image(image, crop, top, left)
    # cv2, because a copy against the strides takes as long as a fifth of the decoding.
    return cv2.flip(image, 1) if augment.flip and mirrored < 0.5 else image


class Samples(Dataset[Sample]):
    """Decodes, augments and crops; a bad image comes back as its reason, so that a worker never dies of it."""

    def __init__(
        self,
        paths: list[str],
        keys: list[str],
        labels: NDArray[np.int64],
        crop: int,
        augment: Augment | None,
        twins: Twins | None,
        seed: int,
        history: History | None,
        cache: PixelCache | None,
        views: int,
    ) -> None:
        self.labels = labels
        self.twins = twins if twins is not None and twins.probability > 0 else None
        self.paths, self.keys, self.crop, self.augment, self.seed = paths, keys, crop, augment, seed
        self.history, self.cache, self.views = history, cache, views
        self.degrade = parse_augmentation(augment.degrade) if augment and augment.degrade else None

    def __len__(self) -> int:
        return len(self.paths)

    def _decoded(self, row: int) -> NDArray[np.uint8]:
        kept = None if self.cache is None else self.cache.get(row)
        if kept is not None:
            return kept
        image = read_image(self.paths[row])
        if self.history is not None:
            image = bring(image, self.history, self.keys[row])
        if self.cache is not None:
            self.cache.put(row, image)
        return image

    def __getitem__(self, key: tuple[int, int, int]) -> Sample:
        epoch, position, row = key
        try:
            image = self._decoded(row)
        except ImageError as error:
            return row, error.reason, None
        except UserError as error:
            return row, str(error), None
        if self.augment is None:
            return row, crop_views(image, self.crop, self.views), None
        # `position` tells apart the copies of an image that oversampling repeats within one epoch.
        state = (self.seed, epoch, position, row)
        twin = None
        if self.twins is not None and self.labels[row] == 0:
            random = np.random.default_rng((*state, 1))
            if random.random() < self.twins.probability:
                made = self.twins.make(image, row, random)
                twin = None if made is None else self._training_crop(made, state)
        return row, self._training_crop(image, state), twin

    def _training_crop(self, image: NDArray[np.uint8], state: tuple[int, ...]) -> NDArray[np.uint8]:
        # A generator of its own for each image: a twin meets the same chance as its parent.
        assert self.augment is not None
        random = np.random.default_rng(state)
        return np.ascontiguousarray(_augmented(image, self.crop, self.augment, self.degrade, random))
