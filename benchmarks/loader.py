"""Images a second of the loader against bare cv2 decoding of the same files with the same number of processes.

Example: OMP_NUM_THREADS=1 python benchmarks/loader.py
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tyro

from fakefreq.data.images.decode import read_image
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.samples import Augment, Request, Samples, SharedSlots
from fakefreq.data.manifests import index_folder
from fakefreq.files import atomic_path


@dataclass
class Config:
    """Measure epochs of bare decoding, of each step that is added to it, and of the loader, one after the other.

    Rates are given with the start of the processes and without; ratios are to bare decoding in the same round."""

    out: Path = Path("benchmarks/results/loader_cpu.csv")
    """table to write"""
    folder: Path | None = None
    """images in a layout of `fakefreq index`; else 256-pixel JPEGs are made on the spot"""
    images: int = 4000
    """to make"""
    crop: int = 224
    """side in pixels"""
    batch_size: int = 32
    """images a batch"""
    workers: int = os.cpu_count() or 1
    """processes, the same for both"""
    repeats: int = 7
    """of each, alternating"""
    seed: int = 0
    """of pictures, order and crops"""


def make_images(root: Path, count: int, seed: int) -> None:
    """Write smooth pictures with a little noise: about 15 kB a file at quality 75 to 95, as faces have."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        path = root / ("real" if number % 2 else "fake") / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), noisy, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 96))])


def decoded(paths: list[str]) -> int:
    """What every loader must do at least; the pixels are dropped at once."""
    for path in paths:
        assert cv2.imread(path, cv2.IMREAD_COLOR) is not None, path
    return len(paths)


def kept(paths: list[str]) -> int:
    """The same, but the arrays of a batch are alive together."""
    return len([cv2.imread(path, cv2.IMREAD_COLOR) for path in paths])


def checked(paths: list[str]) -> int:
    """Read, header walked, size and end of the file checked, decoded to RGB."""
    for path in paths:
        read_image(path)
    return len(paths)


class Placed:
    """Also cropped, mirrored where it is for training, and laid side by side: all but the way to the parent."""

    def __init__(self, samples: Samples, slots: SharedSlots) -> None:
        self.samples, self.slots = samples, slots

    def __call__(self, rows: list[int]) -> int:
        """Make one batch in this process."""
        self.samples.slots = self.slots
        return len(self.samples[Request(os.getpid() % 8, [(0, row, row) for row in rows])].rows)


Work = Callable[[Any], int]
_work: list[Work] = []


def _do(chunk: object) -> int:
    return _work[-1](chunk)


def by_processes(work: Work, items: Sequence[object], config: Config) -> Iterator[int]:
    """Do the work in batches by as many processes as the loader has."""
    chunks = [items[start : start + config.batch_size] for start in range(0, len(items), config.batch_size)]
    cv2.setNumThreads(0)
    # Inherited by fork: shared memory cannot be sent.
    _work.append(work)
    with multiprocessing.get_context("fork").Pool(config.workers) as pool:
        yield from pool.imap_unordered(_do, chunks)


def by_loader(rows: pd.DataFrame, root: Path, config: Config, train: bool) -> Iterator[int]:
    """One epoch, with random crops and flips where it is for training."""
    batches = make_batches(rows, root, config.crop, config.batch_size, train, seed=config.seed, workers=config.workers)
    for batch in batches:
        yield len(batch.index)


def measure(counts: Iterator[int], images: int) -> tuple[float, float]:
    """Images a second, with the start and the end of the processes and from the tenth batch to the last."""
    start = time.perf_counter()
    stamps, seen = [], []
    for count in counts:
        stamps.append(time.perf_counter())
        seen.append(count)
    whole = time.perf_counter() - start
    assert sum(seen) == images
    return images / whole, sum(seen[10:]) / (stamps[-1] - stamps[9])


def main(config: Config) -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory(prefix="fakefreq-loader-") as made:
        root = Path(made)
        folder = config.folder or root / "images"
        if config.folder is None:
            make_images(folder, config.images, config.seed)
        rows, _ = index_folder(folder, root / "m.csv", group_by="file")
        paths = [str(root / path) for path in rows["path"]]
        places = list(range(len(rows)))
        labels = rows["label"].to_numpy(dtype=np.int64)
        samples = {
            train: Samples(
                paths, [""] * len(rows), labels, config.crop, Augment() if train else None, twins=None,
                seed=config.seed, history=None,
                cache=None, views=1,
            )
            for train in (False, True)
        }  # fmt: skip
        slots = SharedSlots(8, config.batch_size, config.crop)
        ways: dict[str, Callable[[], Iterator[int]]] = {
            "bare": lambda: by_processes(decoded, paths, config),
            "bare, a batch kept": lambda: by_processes(kept, paths, config),
            "checked and decoded": lambda: by_processes(checked, paths, config),
            "batch made, score": lambda: by_processes(Placed(samples[False], slots), places, config),
            "batch made, train": lambda: by_processes(Placed(samples[True], slots), places, config),
            "loader, score": lambda: by_loader(rows, root, config, False),
            "loader, train": lambda: by_loader(rows, root, config, True),
        }
        measure(ways["bare"](), len(rows))  # warms the file cache
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(config.repeats):
            for name, start in ways.items():
                rates[name].append(measure(start(), len(rows)))
    table = []
    for name, own in rates.items():
        row: dict[str, object] = {"way": name, "images": len(rows)}
        for place, part in enumerate(("with_start", "steady")):
            ratios = [mine[place] / bare[place] for mine, bare in zip(own, rates["bare"], strict=True)]
            row[f"{part}_images_per_second"] = statistics.median(mine[place] for mine in own)
            row[f"{part}_over_bare_median"] = statistics.median(ratios)
            row[f"{part}_over_bare_least"] = min(ratios)
            row[f"{part}_over_bare_most"] = max(ratios)
        row |= {"workers": config.workers, "repeats": config.repeats, "files": "own" if config.folder else "made"}
        table.append(row)
        print(
            f"{name}: {row['steady_images_per_second']:.0f} images/s, {row['steady_over_bare_median']:.3f} of bare; "
            f"with the start {row['with_start_images_per_second']:.0f}, {row['with_start_over_bare_median']:.3f}"
        )
    with atomic_path(config.out) as temporary:
        pd.DataFrame(table).to_csv(temporary, index=False, float_format="%.4g")
    print(f"table: {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
