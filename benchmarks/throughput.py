"""What the frequency stream costs: two-stream against pixel-only, training and scoring, in one run.

Both detectors do the same step in turn, so that a machine whose speed drifts slows both; the ratio is the median
of the ratios pair by pair. Batches are random pixels: decoding is the same for both and left out.

Example: python benchmarks/throughput.py --repeats 15 --out benchmarks/results/throughput_cpu.csv
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from tqdm import tqdm

from fakefreq.detector_config import DEFAULT_BACKBONE
from fakefreq.files import atomic_path
from fakefreq.models import Detector, create_detector
from fakefreq.train.environment import choose_device


@dataclass
class Throughput:
    """Time a training step and a scoring step of each detector; write a table."""

    out: Path = Path("benchmarks/results/throughput_cpu.csv")
    """the table to write"""
    backbone: str = DEFAULT_BACKBONE
    """a timm model; its weights are random, which changes no timing"""
    spectra: tuple[str, ...] = ("block_dct", "fft", "block_dct+fft")
    """the frequency streams to time"""
    batch_size: int = 32
    """images a step"""
    size: int = 224
    """side of the images in pixels"""
    repeats: int = 15
    """timed steps of each kind"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        device = choose_device(self.device)
        images = torch.randint(0, 256, (self.batch_size, 3, self.size, self.size), dtype=torch.uint8, device=device)
        labels = (torch.arange(self.batch_size, device=device) % 2).float()
        cases = {"pixel": create_detector("pixel", self.backbone, pretrained="none")}
        for spectrum in self.spectra:
            cases[f"two_stream {spectrum}"] = create_detector("two_stream", self.backbone, spectrum, "none")
        rows = []
        for phase in ("train", "score"):
            steps = {name: _step(detector.to(device), images, labels, phase) for name, detector in cases.items()}
            seconds = _interleaved(steps, self.repeats, device, phase)
            for name, detector in cases.items():
                ratios = [a / b for a, b in zip(seconds[name], seconds["pixel"], strict=True)]
                rows.append(
                    {
                        "phase": phase,
                        "detector": name,
                        "backbone": self.backbone,
                        "parameters": sum(p.numel() for p in detector.parameters()),
                        "images_per_second": round(self.batch_size / statistics.median(seconds[name]), 1),
                        "time_over_pixel": round(statistics.median(ratios), 3),
                        "ratio_low": round(sorted(ratios)[len(ratios) // 4], 3),
                        "ratio_high": round(sorted(ratios)[-1 - len(ratios) // 4], 3),
                        "batch": self.batch_size,
                        "size": self.size,
                        "repeats": self.repeats,
                        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                        "threads": torch.get_num_threads(),
                        "torch": torch.__version__,
                    }
                )
        table = pd.DataFrame(rows)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)
        print(
            table[["phase", "detector", "images_per_second", "time_over_pixel", "ratio_low", "ratio_high"]].to_string()
        )
        print(f"table: {self.out} (ratio_low and ratio_high are the quartiles)")


def _step(detector: Detector, images: torch.Tensor, labels: torch.Tensor, phase: str) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-4)

    def train() -> None:
        detector.train()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(detector(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def score() -> None:
        detector.eval()
        with torch.inference_mode():
            detector(images)

    return train if phase == "train" else score


def _interleaved(
    steps: dict[str, Callable[[], None]], repeats: int, device: torch.device, phase: str
) -> dict[str, list[float]]:
    """Run all steps in turn, two rounds to warm up, and return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in tqdm(range(repeats + 2), desc=phase, unit="round"):
        for name, step in steps.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            started = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    tyro.cli(Throughput, description=__doc__).run()
