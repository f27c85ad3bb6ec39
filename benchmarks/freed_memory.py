"""What `fakefreq.threads.keep_freed_memory` changes: time and memory of training and scoring on a CPU.

The allocator is set once for a process, so each measurement is a process of its own, by turns with and without; the
ratio is the median over the pairs. Batches are random pixels.

Example: OMP_NUM_THREADS=1 python benchmarks/freed_memory.py --rounds 5
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro

from fakefreq.config.detector import DEFAULT_BACKBONE
from fakefreq.files import atomic_path
from fakefreq.models import create_detector
from fakefreq.progress import track
from fakefreq.threads import KEEP, keep_freed_memory


@dataclass
class FreedMemory:
    """Time steps in processes with and without; write a table of a row a detector and side."""

    out: Path = Path("benchmarks/results/freed_memory_cpu.csv")
    """the table to write"""
    detectors: tuple[str, ...] = ("pixel", "two_stream")
    """detectors to time"""
    sizes: tuple[int, ...] = (128, 224)
    """sides of the images in pixels"""
    batch_size: int = 32
    """images a step"""
    steps: int = 8
    """timed steps of each process, after three to warm up"""
    rounds: int = 5
    """processes of each kind"""
    one: str = ""
    """internal: the detector, side and setting of this process"""

    def run(self) -> None:
        if self.one:
            print(json.dumps(self._measure(*self.one.split(","))))
            return
        rows = []
        for detector in self.detectors:
            for size in self.sizes:
                pairs = [
                    [self._child(detector, size, keep) for keep in ("default", "kept")]
                    for _ in track(range(self.rounds), f"{detector} at {size}", unit="round")
                ]
                rows.append({"detector": detector, "size": size} | _row(pairs) | {"batch": self.batch_size})
                print(rows[-1], flush=True)
        table = pd.DataFrame(rows).assign(rounds=self.rounds, steps=self.steps, torch=torch.__version__)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)

    def _child(self, detector: str, size: int, keep: str) -> dict[str, float]:
        words = ["--one", f"{detector},{size},{keep}", "--batch-size", str(self.batch_size), "--steps", str(self.steps)]
        done = subprocess.run(
            [sys.executable, __file__, *words],
            env={**os.environ, KEEP: "1" if keep == "kept" else "0"},
            capture_output=True,
            text=True,
            check=True,
        )
        measured: dict[str, float] = json.loads(done.stdout)
        return measured

    def _measure(self, name: str, side: str, keep: str) -> dict[str, float]:
        if keep == "kept" and not keep_freed_memory():
            raise SystemExit("this system's allocator cannot be set, or a MALLOC_ variable sets it already")
        detector = create_detector(name, DEFAULT_BACKBONE, "block_dct", "none")
        images = torch.randint(0, 256, (self.batch_size, 3, int(side), int(side)), dtype=torch.uint8)
        labels = (torch.arange(self.batch_size) % 2).float()
        optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-4)
        seconds: dict[str, list[float]] = {"train": [], "score": []}
        for _ in range(self.steps + 3):
            started = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.binary_cross_entropy_with_logits(detector(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            seconds["train"].append(time.perf_counter() - started)
        detector.eval()
        for _ in range(self.steps + 3):
            started = time.perf_counter()
            with torch.inference_mode():
                detector(images)
            seconds["score"].append(time.perf_counter() - started)
        measured = {phase: statistics.median(times[3:]) for phase, times in seconds.items()}
        return measured | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _row(pairs: list[list[dict[str, float]]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for phase in ("train", "score"):
        ratios = sorted(kept[phase] / default[phase] for default, kept in pairs)
        row[f"{phase}_ms_default"] = round(1e3 * statistics.median(default[phase] for default, _ in pairs), 1)
        row[f"{phase}_ms_kept"] = round(1e3 * statistics.median(kept[phase] for _, kept in pairs), 1)
        row[f"{phase}_ratio"] = round(statistics.median(ratios), 3)
        row[f"{phase}_least"], row[f"{phase}_greatest"] = round(ratios[0], 3), round(ratios[-1], 3)
    for number, kind in enumerate(("default", "kept")):
        row[f"peak_mib_{kind}"] = round(max(pair[number]["peak_mib"] for pair in pairs))
    return row


if __name__ == "__main__":
    tyro.cli(FreedMemory, description=__doc__).run()
