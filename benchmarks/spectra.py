"""Time and error of the spectra beside torch-dct, scipy, plain matrix products, a bare conv2d and a bare rfft2.

All variants of a transform take turns in one run, so their ratios stand even where the machine is busy. Error is the
largest deviation from scipy in float64, over the largest value. torch-dct is optional: pip install torch-dct.

Example: python benchmarks/spectra.py --repeats 15
"""

import importlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from fakefreq.files import atomic_path
from fakefreq.spectra import BlockDCT, PowerSpectrum, dct2, dct_basis
from fakefreq.train.environment import choose_device

Case = Callable[[], Any]


@dataclass
class Spectra:
    """Measure and write one table."""

    out: Path = Path("benchmarks/results/spectra_cpu.csv")
    """the table"""
    shapes: tuple[str, ...] = ("32x3x224x224", "8x3x1024x1024")
    """batches, as BxCxHxW"""
    repeats: int = 15
    """timed rounds; those of images beyond 512 pixels are a quarter of this"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        device = choose_device(self.device)
        rows: list[dict[str, Any]] = []
        for shape in self.shapes:
            sizes = [int(part) for part in shape.split("x")]
            images = torch.rand(*sizes, generator=torch.Generator().manual_seed(0)).to(device)
            repeats = self.repeats if sizes[-1] <= 512 else max(3, self.repeats // 4)
            for transform, (expected, cases) in _transforms(images).items():
                seconds = _interleaved(cases, repeats, device, f"{transform} {shape}")
                own = seconds["fakefreq"]
                for name, times in seconds.items():
                    ratio = statistics.median(a / b for a, b in zip(own, times, strict=True))
                    found = cases[name]()
                    rows.append(
                        {
                            "transform": transform,
                            "variant": name,
                            "shape": shape,
                            "milliseconds_least": round(1e3 * min(times), 3),
                            "milliseconds_median": round(1e3 * statistics.median(times), 3),
                            "fakefreq_over_this": round(ratio, 3),
                            "fakefreq_over_this_least": round(min(own) / min(times), 3),
                            "error": None if "bare" in name else f"{_error(found, expected):.2e}",
                            "repeats": repeats,
                            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                            "threads": torch.get_num_threads(),
                            "load": round(os.getloadavg()[0], 1),
                            "torch": torch.__version__,
                        }
                    )
        table = pd.DataFrame(rows)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)
        print(table.drop(columns=["repeats", "device", "threads", "torch"]).to_string(index=False))


def _transforms(images: Tensor) -> dict[str, tuple[np.ndarray, dict[str, Case]]]:
    """Return for each transform what scipy says in float64, and the variants to time."""
    array = images.cpu().numpy()
    exact = array.astype(np.float64)
    height, width = images.shape[-2:]
    rows, columns = (dct_basis(size, torch.float32, images.device) for size in (height, width))
    full: dict[str, Case] = {
        "fakefreq": lambda: dct2(images),
        "plain matmul": lambda: rows @ images @ columns.T,
        "scipy, 1 worker": lambda: scipy.fft.dctn(array, axes=(2, 3), norm="ortho"),
        "scipy, 2 workers": lambda: scipy.fft.dctn(array, axes=(2, 3), norm="ortho", workers=2),
        "bare rfft2": lambda: torch.fft.rfft2(images),
    }
    try:
        torch_dct = importlib.import_module("torch_dct")
        full["torch-dct"] = lambda: torch_dct.dct_2d(images, norm="ortho")
    except ImportError:
        print("torch-dct is not installed: its rows are left out")
    blocks = BlockDCT(8, 8).to(images.device)
    planes, kernels = images.flatten(0, 1).unsqueeze(1), blocks.kernels(images)
    tiled = exact[..., : height // 8 * 8, : width // 8 * 8].reshape(*exact.shape[:2], height // 8, 8, width // 8, 8)
    of_blocks = scipy.fft.dctn(tiled, axes=(3, 5), norm="ortho").transpose(0, 1, 3, 5, 2, 4)
    power = PowerSpectrum(scale="linear")
    windows = [torch.hann_window(size, dtype=torch.float64).numpy() for size in (height, width)]
    taper = np.outer(*windows)
    amplitude = scipy.fft.rfft2((exact - exact.mean(axis=(2, 3), keepdims=True)) * taper, workers=2)
    return {
        "dct2": (scipy.fft.dctn(exact, axes=(2, 3), norm="ortho", workers=2), full),
        "block_dct": (
            of_blocks.reshape(*exact.shape[:2], 64, height // 8, width // 8),
            {
                "fakefreq": lambda: blocks(images),
                "bare conv2d": lambda: torch.nn.functional.conv2d(planes, kernels, stride=8),
            },
        ),
        "power_spectrum": (
            np.abs(amplitude) ** 2 / np.square(taper).sum(),
            {"fakefreq": lambda: power(images), "bare rfft2": lambda: torch.fft.rfft2(images)},
        ),
    }


def _error(found: Any, expected: np.ndarray) -> float:
    values = found.double().cpu().numpy() if isinstance(found, Tensor) else found
    return float(np.abs(values - expected).max() / np.abs(expected).max())


def _interleaved(cases: dict[str, Case], repeats: int, device: torch.device, title: str) -> dict[str, list[float]]:
    """Run all variants in turn, one round to warm up, and return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in tqdm(range(repeats + 1), desc=title, unit="round"):
        for name, case in cases.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            started = time.perf_counter()
            case()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    tyro.cli(Spectra, description=__doc__).run()
