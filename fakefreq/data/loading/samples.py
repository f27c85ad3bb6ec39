"""Images on their way into a batch: decoded, given a history, augmented, cropped; twins; shared memory."""

import mmap
import weakref
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fakefreq.data.degrade.distortions import decode, rotate
from fakefreq.data.degrade.history import History, apply_history
from fakefreq.data.degrade.language import parse_augmentation
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.resample import crop_image, cut_views
from fakefreq.data.loading.cache import PixelCache, ReadingCache
from fakefreq.data.loading.sampling import ImageStreams
from fakefreq.errors import UserError

NO_SLOT = -1


class SharedSlots:
    """Pieces of memory that forked processes share, one for each batch under way.

    A tensor sent by a worker lies in new memory each time, whose pages are cleared, mapped and given back again: that
    takes a third as long as the decoding. These pages are mapped once. A slot is free again when the last array or
    tensor over it is gone, so a batch that is kept is never overwritten.

    Args:
        count: of slots; where more batches are kept, `take` finds none.
        images: that a slot holds.
        crop: side of an image in pixels.
    """

    def __init__(self, count: int, images: int, crop: int) -> None:
        self._shape = (images, crop, crop, 3)
        # Anonymous: no file to be left behind by a kill, and no limit of a small /dev/shm.
        self._map = mmap.mmap(-1, max(1, count * int(np.prod(self._shape))))
        self._free = list(range(count))

    def take(self) -> int:
        """Return a free slot, which a worker may now fill, or `NO_SLOT`."""
        # The one that was freed last: its pages are mapped already.
        return self._free.pop() if self._free else NO_SLOT

    def pixels(self, slot: int) -> NDArray[np.uint8]:
        """Return all of a slot to write on, (images, crop, crop, 3)."""
        size = int(np.prod(self._shape))
        return np.frombuffer(self._map, np.uint8, size, slot * size).reshape(self._shape)

    def hand_on(self, slot: int, images: int) -> NDArray[np.uint8]:
        """Return the first images of a slot that was taken and filled; it is free again when they are gone."""
        filled = self.pixels(slot)[:images]
        weakref.finalize(filled, self._free.append, slot).atexit = False
        return filled


@dataclass(frozen=True)
class Augment:
    """What is done at random to training images of both classes alike, after decoding and before the crop.

    Args:
        flip: mirror left and right with probability one half.
        rotate: turn by up to this many degrees either way, bilinear, borders reflected; 0 never resamples.
        degrade: distortions in the words of `fakefreq.data.degrade.language.parse_augmentation`, such as
            `0.5*jpeg:50..95 0.3*blur:0.5..2`, before all else; empty for none.
    """

    flip: bool = True
    rotate: float = 0.0
    degrade: str = ""


class MakeTwin(Protocol):
    """Makes a fake out of a decoded image, the same for the same state of `random`; worker processes pickle it."""

    def __call__(self, image: NDArray[np.uint8], row: int, random: np.random.Generator) -> NDArray[np.uint8] | None:
        """Return a fake of the given image's size, or none; `row` is the image's position in the table."""


class ReadWhole(Protocol):
    """Reads something in a whole decoded image, before it is cropped; worker processes pickle it."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (D,) numbers for an image (H, W, 3)."""


@dataclass(frozen=True)
class Twins:
    """Fakes made on the way: some reals of a training batch get one beside them.

    Args:
        make: makes the fake out of its parent.
        probability: that a real gets one.
    """

    make: MakeTwin
    probability: float


class Request(NamedTuple):
    """A batch to make.

    Args:
        slot: of the shared memory, where its pixels go; `NO_SLOT` for new memory.
        keys: (epoch, position, row) of each image.
    """

    slot: int
    keys: list[tuple[int, int, int]]


class Pack(NamedTuple):
    """A batch that was made.

    Args:
        slot: of the shared memory, where its pixels lie; else they are here.
        pixels: (B, crop, crop, 3), uint8; None where they lie in a slot.
        rows: (B,), int64, of the table; the views of an image one after the other, twins last.
        places: (B,), int64, the position of each in its epoch; a twin has its parent's.
        twins: how many of them are twins.
        bad: row and reason of each image that has no pixels.
        whole: what was read in each whole image, (B, D), where that was asked for.
    """

    slot: int
    pixels: Tensor | None
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    twins: int
    bad: list[tuple[int, str]]
    whole: NDArray[np.float32] | None = None


def bring(image: NDArray[np.uint8], history: History, sha256: str) -> NDArray[np.uint8]:
    """Bring a decoded image through a history, as `fakefreq align` does to its file.

    Raises:
        UserError: the image is smaller than the history's size.
    """
    return decode(apply_history(image, history, sha256))


# Seed, epoch, position and row: what decides about an image's chance.
Key = tuple[int, int, int, int]


def _place(image: NDArray[np.uint8], mirrored: bool, out: NDArray[np.uint8]) -> None:
    out[...] = image
    if mirrored:
        # In place and by cv2: a copy against the strides takes longer than the decoding.
        cv2.flip(out, 1, dst=out)


class Samples(Dataset[Pack]):
    """Decodes, augments and crops batches; a bad image comes back as its reason, so that a worker never dies of it."""

    def __init__(
        self,
        paths: list[str],
        keys: list[str],
        labels: NDArray[np.int64],
        crop: int,
        augment: Augment | None,
        *,
        twins: Twins | None,
        seed: int,
        history: History | None,
        cache: PixelCache | None,
        views: int,
        whole: ReadWhole | None = None,
        readings: ReadingCache | None = None,
    ) -> None:
        self.labels, self.streams = labels, ImageStreams()
        # Set anew for each iteration, before its workers are forked; None where they send their pixels.
        self.slots: SharedSlots | None = None
        self.twins = twins if twins is not None and twins.probability > 0 else None
        self.paths, self.keys, self.crop, self.augment, self.seed = paths, keys, crop, augment, seed
        self.history, self.cache, self.views, self.whole, self.readings = history, cache, views, whole, readings
        self.degrade = parse_augmentation(augment.degrade) if augment and augment.degrade else None

    def __len__(self) -> int:
        return len(self.paths)

    def most_images(self, count: int) -> int:
        """Return how many crops so many rows give at most."""
        return count * (self.views if self.augment is None else 1 if self.twins is None else 2)

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

    def __getitem__(self, request: Request) -> Pack:
        slot = NO_SLOT if self.slots is None else request.slot
        if self.slots is None or slot == NO_SLOT:
            pixels = np.empty((self.most_images(len(request.keys)), self.crop, self.crop, 3), np.uint8)
        else:
            pixels = self.slots.pixels(slot)
        rows: list[int] = []
        places: list[int] = []
        read: list[NDArray[np.float32]] = []
        twins: list[tuple[int, NDArray[np.uint8], Key]] = []
        bad: list[tuple[int, str]] = []
        for epoch, position, row in request.keys:
            try:
                image = self._decoded(row)
            except ImageError as error:
                bad.append((row, error.reason))
                continue
            except UserError as error:
                bad.append((row, str(error)))
                continue
            if self.augment is None:
                if self.whole is not None:
                    read += [self._read(self.whole, image, row)] * self.views
                for view, mirrored in cut_views(image, self.crop, self.views):
                    _place(view, mirrored, pixels[len(rows)])
                    rows.append(row)
                    places.append(position)
                continue
            # `position` tells apart the copies of an image that oversampling repeats within one epoch.
            key = (self.seed, epoch, position, row)
            made = self._twin(image, row, key)
            if made is not None:
                twins.append((row, made, key))
            self._place_training_crop(image, key, pixels[len(rows)])
            rows.append(row)
            places.append(position)
        for row, made, key in twins:
            self._place_training_crop(made, key, pixels[len(rows)])
            rows.append(row)
            places.append(key[2])
        own = torch.from_numpy(pixels[: len(rows)]) if slot == NO_SLOT else None
        index, where = np.array(rows, dtype=np.int64), np.array(places, dtype=np.int64)
        return Pack(slot, own, index, where, len(twins), bad, np.stack(read) if read else None)

    def _read(self, whole: ReadWhole, image: NDArray[np.uint8], row: int) -> NDArray[np.float32]:
        """What is read in a whole image, kept where that is wanted."""
        kept = None if self.readings is None else self.readings.get(row)
        if kept is not None:
            return kept
        found = whole(image)
        if self.readings is not None:
            self.readings.put(row, found)
        return found

    def _twin(self, image: NDArray[np.uint8], row: int, key: Key) -> NDArray[np.uint8] | None:
        if self.twins is None or self.labels[row] != 0:
            return None
        random = self.streams.at(*key, kind=1)
        return self.twins.make(image, row, random) if random.random() < self.twins.probability else None

    def _place_training_crop(self, image: NDArray[np.uint8], key: Key, out: NDArray[np.uint8]) -> None:
        assert self.augment is not None
        # A stream of its own for each image: a twin meets the same chance as its parent.
        random = self.streams.at(*key)
        # Always the same number of draws, and first, so that switching one augmentation off leaves the others as they
        # were.
        mirrored, angle, top, left = random.random(4)
        if self.degrade is not None:
            image = self.degrade.apply(image, random)
        if self.augment.rotate > 0:
            image = rotate(image, (2 * angle - 1) * self.augment.rotate)
        _place(crop_image(image, self.crop, top, left), self.augment.flip and mirrored < 0.5, out)
