"""Peak memory of `fakefreq spectrum` as the number of images grows: it should not follow.

Each size runs in a process of its own, decoding included (no worker processes), over photographs' stand-ins (blurred
noise, each file another) that are made on the spot and removed after.

Example: python benchmarks/atlas_memory.py --sizes 1000 3000 10000
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tyro

from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.progress import track


@dataclass
class AtlasMemory:
    """Measure and write one table."""

    out: Path = Path("benchmarks/results/atlas_memory_cpu.csv")
    """the table"""
    sizes: tuple[int, ...] = (1_000, 3_000, 10_000)
    """numbers of images; half are real, half are of two generators"""
    side: int = 96
    """of the images, in pixels"""
    seed: int = 0
    """of the images"""

    @shown_messages()
    def run(self) -> None:
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            made = 0
            for size in sorted(self.sizes):
                images = Path(folder) / "images"
                self._make(images, made, size)
                made = size
                seconds, peak = _measure(images, Path(folder) / f"atlas{size}")
                rows.append({"images": size, "side": self.side, "peak_mib": round(peak), "seconds": round(seconds, 1)})
                print(rows[-1])
        with atomic_path(self.out) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)

    def _make(self, folder: Path, first: int, end: int) -> None:
        """Write images number `first` to `end` - 1 in the layout real/name, fake/generator/name."""
        for number in track(range(first, end), "drawing images"):
            random = np.random.default_rng((self.seed, number))
            picture = cv2.GaussianBlur(random.integers(0, 256, (self.side, self.side, 3), dtype=np.uint8), (0, 0), 1.5)
            place = ("real", "fake/nearest", "real", "fake/cubic")[number % 4]
            if place.startswith("fake"):
                how = cv2.INTER_NEAREST if place.endswith("nearest") else cv2.INTER_CUBIC
                picture = cv2.resize(picture[::2, ::2], (self.side, self.side), interpolation=how)
            path = folder / place / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), picture):
                raise OSError(f"cannot write {path}")


def _measure(images: Path, out: Path) -> tuple[float, float]:
    """Return the seconds of one atlas and its process's peak resident memory in MiB."""
    code = "import sys; from fakefreq.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "spectrum", str(images), "--out", str(out), "--workers", "0"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"fakefreq spectrum ended with status {process.returncode}")
    # Kibibytes on Linux, bytes on macOS.
    return time.perf_counter() - started, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    tyro.cli(AtlasMemory, description=__doc__).run()
