"""Decoded images, and what was read in them, kept for the next epoch or detector, in memory or in a mapped file."""

import hashlib
import mmap
import os
import shutil
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.config.input import InputConfig
from fakefreq.data.degrade.history import history_of
from fakefreq.errors import UserError

_HEAD = np.dtype([("height", "<i4"), ("width", "<i4"), ("check", "<u4"), ("ready", "<u4")])


class PixelCache:
    """A slot for each image; whoever decodes an image first fills its slot.

    Args:
        pixels: the number of pixels of each image, as its header says; an image of more is not kept.
        folder: where the mapped file lies, for this and for later runs; None keeps the pixels in memory, which only
            forked processes share.
        key: names the file: a digest of all that decides about the pixels.

    Raises:
        UserError: too little memory or disk space for all images.
    """

    def __init__(self, pixels: NDArray[np.int64], folder: Path | None, key: str = "") -> None:
        self._room = 3 * pixels
        self._heads = len(pixels) * _HEAD.itemsize
        self._starts = self._heads + np.concatenate([[0], np.cumsum(self._room)])
        self._path = None if folder is None else folder / f"pixels-{key}.bin"
        size = max(1, int(self._starts[-1]))
        self._size = size
        if self._path is None:
            free = _available_memory()
            if size > 0.8 * free:
                raise UserError(
                    f"decoded images would take {size / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB of free memory; "
                    "use --cache FOLDER for a mapped file, or --cache none"
                )
        else:
            _reserve(self._path, size)
        self._map: mmap.mmap | None = mmap.mmap(-1, size) if self._path is None else None

    def __getstate__(self) -> dict[str, object]:
        # A mapped file is opened anew in a spawned process; memory cannot be passed on but by fork.
        if self._path is None:
            raise TypeError("pixels in memory are shared with forked processes only")
        return {**self.__dict__, "_map": None}

    def _opened(self) -> mmap.mmap:
        if self._map is None:
            assert self._path is not None
            with self._path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), self._size)
        return self._map

    def get(self, row: int) -> NDArray[np.uint8] | None:
        """Return an image that is kept whole, or None. It is a copy: writing on it does no harm.

        Shape: (H, W, 3) uint8.
        """
        memory = self._opened()
        head = np.frombuffer(memory, _HEAD, 1, row * _HEAD.itemsize)[0]
        if not head["ready"]:
            return None
        height, width = int(head["height"]), int(head["width"])
        if height * width * 3 > self._room[row]:
            return None
        image = np.frombuffer(memory, np.uint8, height * width * 3, int(self._starts[row])).copy()
        # After a crash of the machine a file may hold a head without its pixels.
        if zlib.crc32(image.data) != head["check"]:
            return None
        return image.reshape(height, width, 3)

    def put(self, row: int, image: NDArray[np.uint8]) -> None:
        """Keep an image; one that is larger than its header said is not kept."""
        if image.size > self._room[row] or not image.size:
            return
        memory = self._opened()
        flat = np.ascontiguousarray(image).reshape(-1)
        start = int(self._starts[row])
        memory[start : start + flat.size] = flat.data
        head = np.array([(*image.shape[:2], zlib.crc32(flat.data), 1)], _HEAD)
        memory[row * _HEAD.itemsize : (row + 1) * _HEAD.itemsize] = head.tobytes()


class ReadingCache:
    """What was read in each whole image, in a file that all processes and later runs share.

    Args:
        count: of images.
        width: numbers of a reading.
        folder: where the file lies.
        key: names the file: a digest of all that decides about the readings.

    Raises:
        UserError: too little disk space.
    """

    def __init__(self, count: int, width: int, folder: Path, key: str) -> None:
        self._entry = np.dtype([("check", "<u4"), ("ready", "<u4"), ("values", "<f4", (width,))])
        self._path = folder / f"readings-{key}.bin"
        _reserve(self._path, max(1, count * self._entry.itemsize))

    def get(self, row: int) -> NDArray[np.float32] | None:
        """Return a reading, or None where there is none, or a damaged one.

        Shape: (width,) float32.
        """
        with self._path.open("rb") as file:
            file.seek(row * self._entry.itemsize)
            entry = np.frombuffer(file.read(self._entry.itemsize), self._entry)[0]
        values = np.array(entry["values"], np.float32)
        return values if entry["ready"] and zlib.crc32(values.data) == entry["check"] else None

    def put(self, row: int, values: NDArray[np.float32]) -> None:
        """Keep a reading.

        Shape: (width,) float32.
        """
        values = np.ascontiguousarray(values, np.float32)
        entry = np.array([(zlib.crc32(values.data), 1, values)], self._entry)
        with self._path.open("r+b") as file:
            file.seek(row * self._entry.itemsize)
            file.write(entry.tobytes())


def cache_key(*parts: object) -> str:
    """Return 16 hexadecimal digits that change with any of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()[:16]


def _available_memory() -> int:
    """Bytes that can be had without swapping; where the system does not tell, all that there is."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _reserve(path: Path, size: int) -> None:
    """Make the file with all its blocks: a full disk must be an error here, not a signal at a later write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            missing = size - os.fstat(file.fileno()).st_size
            if missing > 0:
                free = shutil.disk_usage(path.parent).free
                if missing > free:
                    raise UserError(
                        f"decoded images take {size / 2**30:.1f} GiB, {path.parent} has {free / 2**30:.1f} GiB free; "
                        "choose another --cache folder, or --cache none"
                    )
                _allocate(file, size)
    except OSError as error:
        raise UserError(f"cannot make the cache {path}: {error.strerror}; choose another --cache folder") from error


def _allocate(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def reflected_line(rows: pd.DataFrame, config: InputConfig, advice: str) -> str:
    """Return a line on images that are continued by reflection to fill the crop; empty where there are none.

    Args:
        rows: with `width` and `height` in pixels, 0 where they are not known; where there is a column `images`, it says
            how many images a row stands for.
        config: the crop, and what they go through first.
        advice: what to change.

    >>> rows = pd.DataFrame({"width": [64, 64, 300], "height": [64, 80, 300]})
    >>> reflected_line(rows, InputConfig(crop=224), "see --crop")
    'warning: 67 % of the images are smaller than the crop of 224 pixels and continued by reflection, which fills 92 % \
of the smallest crop; see --crop'
    """
    size = np.asarray(rows[["width", "height"]], dtype=np.int64).reshape(-1, 2)
    is_known = (size > 0).all(axis=1)
    size, many = size[is_known], (rows["images"].to_numpy() if "images" in rows else np.ones(len(size)))[is_known]
    history, crop = history_of(config), config.crop
    if history is not None and history.size is not None:
        size = np.full_like(size, history.size)
    is_small = (size < crop).any(axis=1)
    small = size[is_small]
    if not len(small):
        return ""
    share = 100 * many[is_small].sum() / many.sum()
    filled = 100 * (1 - np.minimum(small, crop).prod(axis=1).min() / crop**2)
    return (
        f"warning: {'under 1' if share < 1 else f'{share:.0f}'} % of the images are smaller than the crop of {crop} "
        f"pixels and continued by reflection, which fills {filled:.0f} % of the smallest crop; {advice}"
    )
