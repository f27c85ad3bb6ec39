"""Images a second of the loader against bare cv2 decoding of the same files with the same number of processes."""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tyro

from fakefreq.data.loader import make_batches
from fakefreq.data.manifest import index_folder
from fakefreq.files import atomic_path


@dataclass
class Config:
    """Measure epochs of the loader and of bare decoding, one after the other, start of the processes included.

    Example: OMP_NUM_THREADS=1 python benchmarks/loader.py
    """

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


def decode_all(paths: list[str]) -> int:
    """What every loader must do at least; the pixels stay where they are."""
    count = 0
    for path in paths:
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        assert image is not None, path
        count += image.size
    return count


def bare_seconds(paths: list[str], workers: int, batch_size: int) -> float:
    """Seconds to decode all files by so many processes."""
    chunks = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    cv2.setNumThreads(0)
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        sum(pool.imap_unordered(decode_all, chunks))
    return time.perf_counter() - start


def loader_seconds(rows: pd.DataFrame, root: Path, config: Config, train: bool) -> float:
    """Seconds of one epoch, with random crops and flips where it is for training."""
    batches = make_batches(
        rows, root, config.crop, config.batch_size, train, config.seed, workers=config.workers, on_error="stop"
    )
    start = time.perf_counter()
    seen = sum(len(batch.index) for batch in batches)
    assert seen == len(rows)
    return time.perf_counter() - start


def main(config: Config) -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory(prefix="fakefreq-loader-") as made:
        folder = config.folder or Path(made) / "images"
        if config.folder is None:
            make_images(folder, config.images, config.seed)
        manifest, _ = index_folder(folder, Path(made) / "m.csv", group_by="file")
        paths = [str(Path(made) / path) for path in manifest["path"]]
        ways: dict[str, Callable[[], float]] = {
            "bare": lambda: bare_seconds(paths, config.workers, config.batch_size),
            "loader, train": lambda: loader_seconds(manifest, Path(made), config, True),
            "loader, score": lambda: loader_seconds(manifest, Path(made), config, False),
        }
        bare_seconds(paths, config.workers, config.batch_size)  # warms the file cache
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(config.repeats):
            for name, measure in ways.items():
                seconds[name].append(measure())
    rows = []
    for name, times in seconds.items():
        ratios = [bare / own for bare, own in zip(seconds["bare"], times, strict=True)]
        rows.append(
            {
                "way": name,
                "images": len(manifest),
                "images_per_second": len(manifest) / statistics.median(times),
                "over_bare_median": statistics.median(ratios),
                "over_bare_least": min(ratios),
                "over_bare_most": max(ratios),
                "workers": config.workers,
                "repeats": config.repeats,
                "files": "own" if config.folder else "made",
            }
        )
        print(f"{name}: {rows[-1]['images_per_second']:.0f} images/s, {rows[-1]['over_bare_median']:.3f} of bare")
    with atomic_path(config.out) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.4g")
    print(f"table: {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
