"""Room for whole batches that worker processes fill and the parent hands on without a copy."""

import mmap
import weakref

import numpy as np
from numpy.typing import NDArray

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
