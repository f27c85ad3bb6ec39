"""How large the pieces should be in which a CPU takes a batch: time by size, alone and beside other busy processes.

At each step of each piece a transform's threads wait for one another, for the length of a time slice where another
process holds a core; whole batches on the other hand leave the cache at every step. All sizes take turns in one run.

Example: python benchmarks/spectra_pieces.py
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro
from torch import Tensor

from fakefreq.files import atomic_path
from fakefreq.spectra import PowerSpectrum
from fakefreq.spectra import _tensor as pieces

TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "power_spectrum": PowerSpectrum(scale="linear"),
    "log_power_spectrum": PowerSpectrum(),
}
WHOLE = 1 << 20  # MiB: no batch is as large


@dataclass
class Pieces:
    """Measure and write one table."""

    out: Path = Path("benchmarks/results/spectra_pieces_cpu.csv")
    """the table"""
    shapes: tuple[str, ...] = ("32x3x224x224", "8x3x1024x1024")
    """batches, as BxCxHxW"""
    mebibytes: tuple[int, ...] = (1, 2, 4, 8, WHOLE)
    """sizes of pieces"""
    others: tuple[int, ...] = (0, 1, 2)
    """processes beside this one, each of which keeps a core busy"""
    repeats: int = 9
    """timed rounds; of images beyond 512 pixels, a third of this"""

    def run(self) -> None:
        """Measure every size beside every number of other processes."""
        rows = []
        for shape in self.shapes:
            sizes = [int(part) for part in shape.split("x")]
            images = torch.rand(*sizes, generator=torch.Generator().manual_seed(0))
            repeats = self.repeats if sizes[-1] <= 512 else max(3, self.repeats // 3)
            for count in self.others:
                busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
                try:
                    rows += [{"shape": shape, "others": count} | row for row in self._rows(images, repeats)]
                finally:
                    for process in busy:
                        process.kill()
                        process.wait()
        with atomic_path(self.out) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)

    def _rows(self, images: Tensor, repeats: int) -> Iterator[dict[str, Any]]:
        seconds: dict[tuple[str, int], list[float]] = {}
        usual = pieces.PIECE_BYTES
        try:
            for turn in range(repeats + 1):
                for name, transform in TRANSFORMS.items():
                    for size in self.mebibytes:
                        pieces.PIECE_BYTES = size * 2**20
                        started = time.perf_counter()
                        transform(images)
                        if turn:
                            seconds.setdefault((name, size), []).append(time.perf_counter() - started)
        finally:
            pieces.PIECE_BYTES = usual
        for (name, size), times in seconds.items():
            row = {
                "transform": name,
                "piece": "whole batch" if size == WHOLE else f"{size} MiB",
                "milliseconds_least": round(1e3 * min(times), 2),
                "milliseconds_median": round(1e3 * statistics.median(times), 2),
                "milliseconds_most": round(1e3 * max(times), 2),
                "repeats": repeats,
                "threads": torch.get_num_threads(),
                "load": round(os.getloadavg()[0], 1),
            }
            print(*row.values())
            yield row


if __name__ == "__main__":
    tyro.cli(Pieces, description=__doc__).run()
