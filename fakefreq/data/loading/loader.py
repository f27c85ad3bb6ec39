"""From manifest rows to batches of uint8 pixels, the same for any number of worker processes."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from fakefreq.data.degrade.history import History
from fakefreq.data.images.resample import MOST_VIEWS
from fakefreq.data.loading.cache import PixelCache, ReadingCache, cache_key
from fakefreq.data.loading.samples import NO_SLOT, Augment, Pack, ReadWhole, Request, Samples, SharedSlots, Twins
from fakefreq.data.loading.sampling import BalanceBy, EpochOrder, Sampling, split_step
from fakefreq.errors import UserError
from fakefreq.ranks import Ranks


@dataclass(frozen=True)
class Batch:
    """One step's images.

    Args:
        images: (B, 3, crop, crop), uint8, RGB.
        labels: (B,), float32, 0 real and 1 fake.
        index: (B,), int64, row positions in the table that the batches were made from; a twin has its parent's.
        is_twin: (B,), bool, fakes made on the way; they come last.
        whole: (B, D), float32, what was read in the whole images, where that was asked for.
        place: (B,), int64, each image's place in its step, from 0; a twin has its parent's. Without it the images are
            those of a whole step in order.
        count: images of the whole step without its twins, of which other processes may hold some.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    is_twin: Tensor
    whole: Tensor | None = None
    place: Tensor | None = None
    count: int = 0


class _Order(Sampler[Request]):
    """Which rows make up which batch of which epoch, and where it goes.

    Several processes share each batch in training, and have a batch each in turn else: batches, and what chance
    does to an image, are the same for any number of processes.
    """

    def __init__(
        self, order: EpochOrder, batch_size: int, train: bool, ranks: Ranks, parts: int, keep_single: bool
    ) -> None:
        self.order, self.batch_size, self.train, self.ranks, self.parts = order, batch_size, train, ranks, parts
        self.keep_single = keep_single
        self.slots: SharedSlots | None = None
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.order), self.batch_size)
        # A training batch of one image has no variance for a batch norm to divide by.
        return full + (rest > (1 if self.train and full and not self.keep_single else 0))

    @property
    def numbers(self) -> range:
        """Of the batches that this process has to do with."""
        if self.train:
            return range(self.first, len(self))
        return range(self.first + self.ranks.rank, len(self), self.ranks.size)

    def count(self, number: int) -> int:
        """Images of a batch, in all processes."""
        return min(self.batch_size, len(self.order) - number * self.batch_size)

    def __iter__(self) -> Iterator[Request]:
        slots = self.slots
        rows = self.order.rows(self.epoch) if self.train else np.arange(len(self.order))
        for number in self.numbers:
            start = number * self.batch_size
            chunk = rows[start : start + self.batch_size]
            keys = [(self.epoch, start + offset, int(row)) for offset, row in enumerate(chunk)]
            if self.train and self.ranks.size > 1:
                reader = split_step(len(keys), self.parts, self.ranks.size)[1]
                keys = [key for key, rank in zip(keys, reader, strict=True) if rank == self.ranks.rank]
            yield Request(NO_SLOT if slots is None else slots.take(), keys)


def _as_it_is(pack: Any) -> Any:
    # torch's own would turn the arrays of a finished batch into tensors, and send them as such.
    return pack


class Batches:
    """Batches of one table; iterate once an epoch. Made by `make_batches`.

    Attributes:
        skipped: images that did not decode so far, as (path, reason), where `on_error` is `skip`.
    """

    def __init__(
        self, rows: pd.DataFrame, loader: "DataLoader[Pack]", samples: Samples, order: _Order, on_error: str
    ) -> None:
        self._rows, self._loader, self._samples, self._order, self._on_error = rows, loader, samples, order, on_error
        self._labels = rows["label"].to_numpy(dtype=np.float32)
        self.skipped: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._order)

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch whose order and augmentation the next iteration gives, and the batch that it begins with."""
        self._order.epoch, self._order.first = epoch, first

    def __iter__(self) -> Iterator[Batch]:
        # New ones for each iteration: the workers of one that was broken off may still write on theirs.
        slots = self._samples.slots = self._order.slots = self._make_slots()
        order = self._order
        for number, pack in zip(order.numbers, self._loader, strict=True):
            for row, reason in pack.bad:
                path = str(self._rows["path"].iloc[row])
                if self._on_error == "stop":
                    raise UserError(f"{path}: {reason}; mend it, or take it out of the manifest")
                if (path, reason) not in self.skipped:
                    self.skipped.append((path, reason))
            pixels = pack.pixels
            if slots is not None and pack.slot != NO_SLOT:
                pixels = torch.from_numpy(slots.hand_on(pack.slot, len(pack.rows)))
            # Of a short step a process may have no image; it has to know of the step all the same.
            if pixels is not None and (len(pixels) or (order.train and order.ranks.size > 1)):
                is_twin = np.arange(len(pixels)) >= len(pixels) - pack.twins
                labels = np.where(is_twin, np.float32(1), self._labels[pack.rows])
                # Pixels lie channels last in memory, as decoded and as the backbone wants them.
                whole = None if pack.whole is None else torch.from_numpy(pack.whole)
                place = pack.places - number * order.batch_size
                told, index, made, place = map(torch.from_numpy, (labels, pack.rows, is_twin, place))
                yield Batch(pixels.permute(0, 3, 1, 2), told, index, made, whole, place, order.count(number))

    def _make_slots(self) -> SharedSlots | None:
        loader = self._loader
        context = loader.multiprocessing_context
        method = None if context is None else context.get_start_method()
        # With pinned memory torch copies what arrives once more; it is then sent as torch sends it.
        if loader.num_workers == 0 or method != "fork" or loader.pin_memory:
            return None
        # As many as are under way, the one that is used, the one before that may still be, and one to spare.
        count = (loader.prefetch_factor or 2) * loader.num_workers + 3
        return SharedSlots(count, self._samples.most_images(self._order.batch_size), self._samples.crop)


def make_batches(
    rows: pd.DataFrame,
    root: str | Path,
    crop: int,
    batch_size: int,
    train: bool,
    *,
    seed: int = 0,
    sampling: Sampling = "none",
    augment: Augment | None = None,
    workers: int = -1,
    on_error: Literal["stop", "skip"] = "stop",
    balance_by: BalanceBy = "class",
    twins: Twins | None = None,
    history: History | None = None,
    cache: str | Path = "none",
    views: int = 1,
    whole: ReadWhole | None = None,
    ranks: Ranks | None = None,
    parts: int = 1,
    keep_single: bool = False,
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
        sampling: in training, against imbalance; see `fakefreq.data.loading.sampling.EpochOrder`.
        augment: for training.
        workers: processes that decode; 0 decodes in this one, -1 chooses by the number of cores.
        on_error: `stop` at an image that does not decode, or is too small for the history, or `skip` and list it.
        balance_by: what the sampling evens out.
        twins: in training, fakes to make beside reals; they share their parents' augmentation and crop.
        history: brings every image of either class through one crop, resize and codec, in training and in
            scoring, with the quality (and kernel) drawn by the image's sha256, as `fakefreq align` does; the pixels
            are those of its files.
        cache: keeps decoded images (after the history), and what was read in them, for the next epoch: `none`, in
            `memory`, or a folder for mapped files that later runs use too.
        views: where it is not for training, crops of each image, one after the other with one index; see `crop_views`.
        whole: where it is not for training, reads each whole image before it is cropped.
        ranks: the processes that share the work; this one gets its part of each training batch, and every so many
            batches else. None: it is alone.
        parts: that a training batch goes through the network in, one after the other.
        keep_single: in training, give a last batch of one image too. It is left out else, unless it is the only one:
            it has no variance for a batch norm to divide by.

    Raises:
        UserError: more views than there are; too little room for the cache; at the iteration that meets an image that
            does not decode.
    """
    if not 1 <= views <= MOST_VIEWS:
        raise UserError(f"--views is {views}; it takes 1 to {MOST_VIEWS}")
    root, ranks = Path(root), ranks or Ranks()
    paths = [str(root / path) for path in rows["path"]]
    if workers < 0:
        # One core is left to the network; few images are decoded before a process has started.
        workers = max(0, min(8, (os.cpu_count() or 2) // ranks.local_size - 1)) if len(rows) >= 200 else 0
    if workers:
        # A forked process inherits OpenCV's pool without its threads and would wait for them for ever; set here, before
        # the fork, because setting it in the child waits for them too. A worker has one core anyway.
        cv2.setNumThreads(0)
    epochs = EpochOrder(rows, sampling if train else "none", balance_by, seed)
    order = _Order(epochs, batch_size, train, ranks, parts, keep_single)
    keys = rows["sha256"].astype(str).tolist() if "sha256" in rows else [""] * len(rows)
    if history is not None and "" in keys:
        raise UserError("a history on the way in is drawn by each image's sha256, which the manifest lacks; index anew")
    kept = None if str(cache) == "none" else _make_cache(rows, keys, history, cache)
    readings = None
    if whole is not None and str(cache) not in ("none", "memory"):
        # What is read in one drawn picture says how many numbers there are, and changes with the code that reads.
        probe = whole(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        readings = ReadingCache(len(rows), probe.size, Path(cache), cache_key(keys, str(history), probe.tobytes()))
    labels = rows["label"].to_numpy().astype(np.int64)
    samples = Samples(
        paths,
        keys,
        labels,
        crop,
        (augment or Augment()) if train else None,
        twins=twins,
        seed=seed,
        history=history,
        cache=kept,
        views=views,
        whole=whole,
        readings=readings,
    )
    # Pixels in memory are shared by fork; else the platform's usual way of starting processes is taken. It is said,
    # because a process that was spawned, as one of --jobs, would spawn its own, which import all anew.
    start = "fork" if str(cache) == "memory" else multiprocessing.get_all_start_methods()[0]
    loader: DataLoader[Pack] = DataLoader(
        samples,
        # A sample is a whole batch, so that one process makes it in one place.
        batch_size=None,
        sampler=order,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # Its own, or every new epoch would draw from the generator that dropout draws from.
        generator=torch.Generator().manual_seed(seed),
        multiprocessing_context=start if workers else None,
    )
    return Batches(rows, loader, samples, order, on_error)


def _make_cache(rows: pd.DataFrame, keys: list[str], history: History | None, cache: str | Path) -> PixelCache:
    if "" in keys:
        raise UserError("a cache needs each image's sha256, which the manifest lacks; index anew, or use --cache none")
    pixels = (rows["width"] * rows["height"]).to_numpy(dtype=np.int64)
    if history is not None and history.size is not None:
        pixels = np.full(len(rows), history.size**2, dtype=np.int64)
    folder = None if str(cache) == "memory" else Path(cache)
    return PixelCache(pixels, folder, cache_key(keys, pixels.tolist(), str(history)))
