"""What every detector costs: parameters, operations, and images a second in training and scoring, in one run.

All detectors do the same step in turn, so that a machine whose speed drifts slows all; the ratio to `pixel` is the
median of the ratios pair by pair. Batches are random pixels: decoding is the same for all and left out. Operations are
multiply-accumulates of convolutions and matrix products times two, as torch counts them; Fourier transforms and
elementwise operations are not among them. Weights are random, which changes no timing.

Example: python benchmarks/throughput.py --repeats 3 --batch-size 16 --out benchmarks/results/detectors_cpu.csv
"""

import fnmatch
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import tyro
from torch.utils.flop_counter import FlopCounterMode

from fakefreq.config.detector import DEFAULT_BACKBONE
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.models import Detector, create_detector, list_detectors
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.progress import track
from fakefreq.train.environment import choose_device, keep_freed_memory


@dataclass
class Throughput:
    """Time a training step and a scoring step of each detector; write a table."""

    out: Path = Path("benchmarks/results/detectors_cpu.csv")
    """the table to write"""
    backbone: str = DEFAULT_BACKBONE
    """a timm model for `pixel` and `two_stream`; a peer takes its paper's"""
    spectra: tuple[str, ...] = ("block_dct", "fft", "block_dct+fft")
    """the frequency streams of `two_stream`"""
    detectors: tuple[str, ...] = ("*",)
    """shell patterns of the detectors to time beside `pixel`, as `two_stream` or `peer/*`"""
    batch_size: int = 16
    """images a step"""
    size: int = 224
    """side of the images in pixels"""
    repeats: int = 3
    """timed steps of each kind"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    @shown_messages()
    def run(self) -> None:
        device = choose_device(self.device)
        if device.type == "cpu":
            keep_freed_memory()  # as `train` and `score` do
        images = torch.randint(0, 256, (self.batch_size, 3, self.size, self.size), dtype=torch.uint8, device=device)
        cases = {name: detector.to(device) for name, detector in self._cases().items()}
        seconds = {phase: _interleaved(cases, images, phase, self.repeats) for phase in ("score", "train")}
        rows = [self._row(name, detector, images, seconds) for name, detector in cases.items()]
        table = pd.DataFrame(rows)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)
        print(table.drop(columns=["backbone", "batch", "size", "repeats", "device", "threads", "torch"]).to_string())
        print(f"table: {self.out} (low and high are the quartiles of the ratios)")

    def _cases(self) -> dict[str, Detector]:
        wanted = [n for n in list_detectors() if n == "pixel" or any(fnmatch.fnmatch(n, p) for p in self.detectors)]
        # `pixel` runs first in each round, so that each ratio is to a step of the same round.
        wanted.sort(key=lambda name: (name != "pixel", name.startswith("peer/"), name))
        cases = {}
        for name in wanted:
            with_spectrum = name in ("two_stream", "frequency")
            for spectrum in self.spectra if with_spectrum else self.spectra[:1]:
                label = f"{name} {spectrum}" if with_spectrum else name
                cases[label] = create_detector(name, self.backbone, spectrum, "none")
        return cases

    def _row(
        self, name: str, detector: Detector, images: torch.Tensor, seconds: dict[str, dict[str, list[float]]]
    ) -> dict[str, Any]:
        trained = [*detector.pretrained_parameters(), *detector.new_parameters()]
        row: dict[str, Any] = {
            "detector": name,
            "backbone": detector.config.backbone,
            "parameters": sum(p.numel() for p in detector.parameters()),
            "trained": sum(p.numel() for p in trained),
            "gflops": round(_gflops(detector, images[:1]), 3),
        }
        for phase, times in seconds.items():
            row[f"{phase}_images_per_second"] = None
            if times[name]:
                ratios = sorted(a / b for a, b in zip(times[name], times["pixel"], strict=True))
                row[f"{phase}_images_per_second"] = round(self.batch_size / statistics.median(times[name]), 1)
                row[f"{phase}_time_over_pixel"] = round(statistics.median(ratios), 3)
                row[f"{phase}_low"] = round(ratios[len(ratios) // 4], 3)
                row[f"{phase}_high"] = round(ratios[-1 - len(ratios) // 4], 3)
        device = images.device
        return {
            **row,
            "batch": self.batch_size,
            "size": self.size,
            "repeats": self.repeats,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }


def _gflops(detector: Detector, image: torch.Tensor) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        detector.eval()(image)
    return float(counter.get_total_flops()) / 1e9


def _step(detector: Detector, images: torch.Tensor, phase: str) -> Callable[[], None] | None:
    if phase == "train" and isinstance(detector, FittedDetector):
        return None  # fitted in closed form to all images at once: there is no step
    labels = (torch.arange(len(images), device=images.device) % 2).float()

    def train() -> None:
        detector.train()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(detector(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # at the end: the gradients of all detectors at once would fill memory

    def score() -> None:
        detector.eval()
        with torch.inference_mode():
            detector(images)

    if phase == "score":
        return score
    optimizer = torch.optim.AdamW([*detector.pretrained_parameters(), *detector.new_parameters()], lr=1e-4)
    return train


def _interleaved(cases: dict[str, Detector], images: torch.Tensor, phase: str, repeats: int) -> dict[str, list[float]]:
    """Run the steps of all in turn, one round to warm up, and return the seconds of each."""
    steps = {name: _step(detector, images, phase) for name, detector in cases.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in track(range(repeats + 1), phase, unit="round"):
        for name, step in steps.items():
            if step is None:
                continue
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            started = time.perf_counter()
            step()
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    tyro.cli(Throughput, description=__doc__).run()
