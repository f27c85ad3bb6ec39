"""From manifest rows to batches of uint8 pixels, the same for any number of worker processes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fakefreq.data.degrade import parse_augmentation
from fakefreq.data.header import ImageError
from fakefreq.data.images import read_image
from fakefreq.errors import UserError

Sampling = Literal["none", "oversample", "undersample"]


@dataclass(frozen=True)
class Augment:
    """What is done at random to training images of both classes alike, after decoding and before the crop.

    Args:
        flip: mirror left and right with probability one half.
        rotate: turn by up to this many degrees either way, bilinear, borders reflected; 0 never resamples.
        degrade: degradations of the whole image before all else, as `parse_augmentation` reads them; empty: none.
    """

    flip: bool = True
    rotate: float = 0.0
    degrade: str = ""


class MakeTwin(Protocol):
    """Makes a fake out of a decoded image, the same for the same state of `random`; worker processes pickle it."""

    def __call__(self, image: np.ndarray, row: int, random: np.random.Generator) -> np.ndarray:
        """Return a fake of the given image's size; `row` is the image's position in the table."""


@dataclass(frozen=True)
class Twins:
    """Fakes made on the way: some reals of a training batch get one beside them.

    Args:
        make: makes the fake out of its parent.
        probability: that a real gets one.
    """

    make: MakeTwin
    probability: float


@dataclass(frozen=True)
class Batch:
    """One step's images.

    Args:
        images: (B, 3, crop, crop), uint8, RGB.
        labels: (B,), float32, 0 real and 1 fake.
        index: (B,), int64, row positions in the table that the batches were made from; a twin has its parent's.
        is_twin: (B,), bool, fakes made on the way; they come last.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    is_twin: Tensor


def crop_image(image: np.ndarray, crop: int, top: float, left: float) -> np.ndarray:
    """Cut a square out of an image; where the image is smaller it is first continued by reflection, centred.

    Args:
        image: (H, W, 3).
        crop: side in pixels.
        top: where the square starts, as a share in [0, 1] of the room that there is; .5 is the centre.
        left: the same, sideways.

    Shape:
        - output: (crop, crop, 3)

    >>> crop_image(np.arange(3, dtype=np.uint8).reshape(1, 3, 1).repeat(3, 2), 2, 0.5, 1.0)[..., 0].tolist()
    [[1, 2], [1, 2]]
    """
    height, width = image.shape[:2]
    down, right = max(0, crop - height), max(0, crop - width)
    if down or right:
        # BORDER_REFLECT repeats the edge pixel, so it is defined for one pixel too and repeats as often as needed.
        image = cv2.copyMakeBorder(
            image, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_REFLECT
        )
        height, width = image.shape[:2]
    y, x = (min(int(share * (room + 1)), room) for share, room in ((top, height - crop), (left, width - crop)))
    return image[y : y + crop, x : x + crop]


def _augmented(image: np.ndarray, crop: int, augment: Augment, random: np.random.Generator) -> np.ndarray:
    # Always the same number of draws, so that switching one augmentation off leaves the others as they were.
    mirrored, angle, top, left = random.random(4)
    if augment.rotate > 0:
        height, width = image.shape[:2]
        degrees = (2 * angle - 1) * augment.rotate
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image = crop_image(image, crop, top, left)
    return image[:, ::-1] if augment.flip and mirrored < 0.5 else image


class _Images(Dataset["_Sample"]):
    """Decodes, augments and crops; a bad image comes back as its reason, so that a worker never dies of it."""

    def __init__(
        self,
        paths: list[str],
        labels: np.ndarray,
        crop: int,
        augment: Augment | None,
        twins: Twins | None,
        seed: int,
    ) -> None:
        self.paths, self.labels, self.crop, self.augment, self.seed = paths, labels, crop, augment, seed
        self.twins = twins if twins is not None and twins.probability > 0 else None
        self.degrade = parse_augmentation(augment.degrade if augment else "")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: tuple[int, int, int]) -> "_Sample":
        epoch, position, row = key
        try:
            image = read_image(self.paths[row])
        except ImageError as error:
            return row, error.reason, None
        if self.augment is None:
            return row, np.ascontiguousarray(crop_image(image, self.crop, 0.5, 0.5)), None
        # `position` tells apart the copies of an image that oversampling repeats within one epoch.
        state = (self.seed, epoch, position, row)
        twin = None
        if self.twins is not None and self.labels[row] == 0:
            random = np.random.default_rng((*state, 1))
            if random.random() < self.twins.probability:
                twin = self._training_crop(self.twins.make(image, row, random), state)
        return row, self._training_crop(image, state), twin

    def _training_crop(self, image: np.ndarray, state: tuple[int, ...]) -> np.ndarray:
        # A generator of its own for each image: a twin meets the same chance as its parent.
        assert self.augment is not None
        random = np.random.default_rng(state)
        image = self.degrade.apply(image, np.random.default_rng((*state, 2)))
        return np.ascontiguousarray(_augmented(image, self.crop, self.augment, random))


class _Order(Sampler[list[tuple[int, int, int]]]):
    """Which rows make up which batch of which epoch."""

    def __init__(
        self, parts: list[list[np.ndarray]], batch_size: int, train: bool, seed: int, sampling: Sampling
    ) -> None:
        self.parts, self.batch_size, self.train = parts, batch_size, train
        self.seed, self.sampling, self.epoch, self.first = seed, sampling, 0, 0

    def _sizes(self) -> list[list[int]]:
        """How often an epoch takes from each part: equal within a class, and the classes equal."""
        counts = [[len(part) for part in parts] for parts in self.parts]
        if not self.train or self.sampling == "none":
            return counts
        if self.sampling == "oversample":
            total = max(max(numbers) * len(numbers) for numbers in counts)
            shares = [-(-total // len(numbers)) for numbers in counts]
        else:
            total = min(min(numbers) * len(numbers) for numbers in counts)
            shares = [total // len(numbers) for numbers in counts]
        return [[share] * len(numbers) for share, numbers in zip(shares, counts, strict=True)]

    def rows(self) -> np.ndarray:
        """Row positions in this epoch's order."""
        if not self.train:
            return np.sort(np.concatenate([part for parts in self.parts for part in parts]))
        random = np.random.default_rng((self.seed, self.epoch))
        if self.sampling == "none":
            return random.permutation(np.sort(np.concatenate([part for parts in self.parts for part in parts])))
        # Whole permutations first: no image comes a second time before every image of its part has come once.
        rows = [
            np.concatenate([random.permutation(part) for _ in range(-(-size // len(part)))])[:size]
            for parts, sizes in zip(self.parts, self._sizes(), strict=True)
            for part, size in zip(parts, sizes, strict=True)
        ]
        return random.permutation(np.concatenate(rows))

    def __len__(self) -> int:
        full, rest = divmod(sum(map(sum, self._sizes())), self.batch_size)
        # A training batch of one image has no variance for a batch norm to divide by.
        return full + (rest > (1 if self.train and full else 0))

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        rows = self.rows()
        for number in range(self.first, len(self)):
            start = number * self.batch_size
            chunk = rows[start : start + self.batch_size]
            yield [(self.epoch, start + offset, int(row)) for offset, row in enumerate(chunk)]


# A row, its pixels or the reason that it has none, and its twin's pixels.
_Sample = tuple[int, "np.ndarray | str", "np.ndarray | None"]


def _collate(samples: list[_Sample]) -> tuple[Tensor, Tensor, int, list[tuple[int, str]]]:
    good = [(row, image) for row, image, _ in samples if not isinstance(image, str)]
    twins = [(row, twin) for row, _, twin in samples if twin is not None]
    bad = [(row, image) for row, image, _ in samples if isinstance(image, str)]
    pixels = [image for _, image in good + twins]
    stacked = torch.from_numpy(np.stack(pixels)) if pixels else torch.empty(0, 1, 1, 3).byte()
    index = torch.tensor([row for row, _ in good + twins], dtype=torch.int64)
    # Pixels lie channels last in memory, as decoded and as the backbone wants them.
    return stacked.permute(0, 3, 1, 2), index, len(twins), bad


class Batches:
    """Batches of one table; iterate once an epoch. Made by `make_batches`.

    Attributes:
        skipped: images that did not decode so far, as (path, reason), where `on_error` is `skip`.
    """

    def __init__(self, rows: pd.DataFrame, loader: "DataLoader[object]", order: _Order, on_error: str) -> None:
        self._rows, self._loader, self._order, self._on_error = rows, loader, order, on_error
        self._labels = torch.tensor(rows["label"].tolist(), dtype=torch.float32)
        self.skipped: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._order)

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch whose order and augmentation the next iteration gives, and the batch that it begins with."""
        self._order.epoch, self._order.first = epoch, first

    def __iter__(self) -> Iterator[Batch]:
        for images, index, twins, bad in self._loader:
            for row, reason in bad:
                path = str(self._rows["path"].iloc[row])
                if self._on_error == "stop":
                    raise UserError(f"{path}: {reason}; mend it, or take it out of the manifest")
                if (path, reason) not in self.skipped:
                    self.skipped.append((path, reason))
            if len(index):
                is_twin = torch.arange(len(index)) >= len(index) - twins
                yield Batch(images, torch.where(is_twin, 1.0, self._labels[index]), index, is_twin)


def make_batches(
    rows: pd.DataFrame,
    root: str | Path,
    crop: int,
    batch_size: int,
    train: bool,
    seed: int = 0,
    sampling: Sampling = "none",
    augment: Augment | None = None,
    balance_by: Literal["class", "generator"] = "class",
    twins: Twins | None = None,
    workers: int = -1,
    on_error: Literal["stop", "skip"] = "stop",
) -> Batches:
    """Make the batches of some manifest rows.

    Args:
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        crop: side in pixels of the crop: at random for training, from the centre else. Nothing is resized; what is
            smaller than the crop is continued by reflection, for both classes alike.
        batch_size: images a step; the last batch may be smaller.
        train: shuffle, and crop and augment at random; False keeps the table's order.
        seed: of order, crops and augmentation. They depend on seed, epoch and row only, not on `workers`.
        sampling: in training, repeat images of the smaller class (`oversample`) or leave out images of the larger
            one, others each epoch (`undersample`), until both are equal.
        augment: for training.
        balance_by: what sampling makes equal: the classes, or also the generators within the fakes.
        twins: in training, fakes to make beside reals; they share their parents' augmentation and crop.
        workers: processes that decode; 0 decodes in this one, -1 chooses by the number of cores.
        on_error: `stop` at an image that does not decode, or `skip` and list it.

    Raises:
        UserError: at the iteration that meets an image that does not decode.
    """
    root = Path(root)
    paths = [str(root / path) for path in rows["path"]]
    if workers < 0:
        # One core is left to the network; few images are decoded before a process has started.
        workers = min(8, (os.cpu_count() or 2) - 1) if len(rows) >= 200 else 0
    if workers:
        # A forked process inherits OpenCV's pool without its threads and would wait for them for ever; set here, before
        # the fork, because setting it in the child waits for them too. A worker has one core anyway.
        cv2.setNumThreads(0)
    labels = rows["label"].to_numpy().astype(np.int64)
    order = _Order(_parts(rows, balance_by), batch_size, train, seed, sampling)
    loader: DataLoader[object] = DataLoader(
        _Images(paths, labels, crop, (augment or Augment()) if train else None, twins, seed),
        batch_sampler=order,
        collate_fn=_collate,
        num_workers=workers,
        # Its own, or every new epoch would draw from the generator that dropout draws from.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
    )
    return Batches(rows, loader, order, on_error)


def _parts(rows: pd.DataFrame, balance_by: str) -> list[list[np.ndarray]]:
    """Row positions by class, and within the fakes by generator where that is what balances."""
    labels = rows["label"].to_numpy().astype(np.int64)
    parts = [[np.flatnonzero(labels == label)] for label in (0, 1)]
    if balance_by == "generator":
        names = rows["generator"].to_numpy()
        parts[1] = [np.flatnonzero((labels == 1) & (names == name)) for name in sorted(set(names[labels == 1]))]
    return parts


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Return the loss weight of each class, inverse to its share and of mean 1 over the images.

    >>> class_weights(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.667, 2.0]
    """
    counts = np.bincount(labels.astype(np.int64), minlength=2)
    if counts.min() == 0:
        raise UserError("class weights need images of both classes")
    return counts.sum() / (2.0 * counts)  # type: ignore[no-any-return]
