"""Time and error of the spectra beside torch-dct, scipy, plain matrix products, a bare conv2d and a bare rfft2.

All variants of a transform take turns in one run, so their ratios stand even where the machine is busy. Error is the
largest deviation from scipy, numpy or PyWavelets in float64, over the largest value; beyond the cosine transform and
power it is that of the first image. A variant whose name begins with a plus is a step of the plain way to a power
spectrum over the whole batch at once, with all before it: what each costs.
torch-dct is optional: pip install torch-dct.

Example: python benchmarks/spectra.py --repeats 15
"""

import importlib
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.fft
import torch
import tyro
from spectra_others import OTHERS
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.progress import track
from fakefreq.spectra import BlockDCT, PowerSpectrum, dct2, dct_basis, idct2, window_1d
from fakefreq.threads import choose_device

Case = Callable[[], Any]
TRANSFORMS = ("dct2", "idct2", "block_dct", "power_spectrum", "log_power_spectrum", *OTHERS)


@dataclass
class Spectra:
    """Measure and write one table."""

    out: Path = Path("benchmarks/results/spectra_cpu.csv")
    """the table; rows of transforms and shapes that are not measured again are kept"""
    shapes: tuple[str, ...] = ("32x3x224x224", "8x3x1024x1024")
    """batches, as BxCxHxW"""
    transforms: tuple[str, ...] = TRANSFORMS
    """what to measure"""
    repeats: int = 15
    """timed rounds; of images beyond 512 pixels, a third of this"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    @shown_messages()
    def run(self) -> None:
        if unknown := [name for name in self.transforms if name not in TRANSFORMS]:
            raise UserError(f"unknown transforms {unknown}; there are {', '.join(TRANSFORMS)} (--transforms)")
        device = choose_device(self.device)
        for shape in self.shapes:
            sizes = [int(part) for part in shape.split("x")]
            images = torch.rand(*sizes, generator=torch.Generator().manual_seed(0)).to(device)
            repeats = self.repeats if sizes[-1] <= 512 else max(3, self.repeats // 3)
            for transform in self.transforms:
                # Each part of the table is written when it is there: a run that is stopped loses one transform.
                self._keep(pd.DataFrame(_rows(transform, images, repeats, device)))

    def _keep(self, rows: pd.DataFrame) -> None:
        if self.out.exists():
            kept = pd.read_csv(self.out)
            is_again = (kept["transform"] == rows["transform"][0]) & (kept["shape"] == rows["shape"][0])
            rows = pd.concat([kept[~is_again & kept["transform"].isin(TRANSFORMS)], rows])
        rows["place"] = rows["transform"].map(TRANSFORMS.index)
        rows = rows.sort_values(["place", "shape"], kind="stable").drop(columns="place")
        with atomic_path(self.out) as temporary:
            rows.to_csv(temporary, index=False)


def _rows(transform: str, images: Tensor, repeats: int, device: torch.device) -> Iterator[dict[str, Any]]:
    expected, cases = _cases(transform, images)
    shape = "x".join(str(size) for size in images.shape)
    seconds = _interleaved(cases | {"copy": images.clone}, repeats, device, f"{transform} {shape}")
    copied = 2 * images.nbytes / statistics.median(seconds.pop("copy"))
    own = seconds["fakefreq"]
    for name, times in seconds.items():
        found = cases[name]()
        # What has to be moved at least: the pixels in and the result out.
        moved = images.nbytes + found.nbytes
        row = {
            "transform": transform,
            "variant": name,
            "shape": shape,
            "milliseconds_least": round(1e3 * min(times), 3),
            "milliseconds_median": round(1e3 * statistics.median(times), 3),
            "fakefreq_over_this": round(statistics.median(a / b for a, b in zip(own, times, strict=True)), 3),
            "fakefreq_over_this_least": round(min(own) / min(times), 3),
            "of_copy_bandwidth": round(moved / statistics.median(times) / copied, 3),
            "error": None if "bare" in name or "+" in name else f"{_error(found, expected):.2e}",
            "repeats": repeats,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1),
            "torch": torch.__version__,
        }
        print(row["transform"], shape, name, row["milliseconds_median"], row["fakefreq_over_this"], row["error"])
        yield row


def _cases(transform: str, images: Tensor) -> tuple[np.ndarray, dict[str, Case]]:
    """Return what scipy says in float64, and the variants to time."""
    exact = images.double().cpu().numpy()
    if transform in ("dct2", "idct2"):
        return _full_frame(transform, images, exact)
    if transform == "block_dct":
        return _in_blocks(images, exact)
    if transform in ("power_spectrum", "log_power_spectrum"):
        return _power(images, exact, is_log=transform == "log_power_spectrum")
    other = OTHERS[transform]
    read = other.prepare(images)
    return other.exact(read[:1].double().cpu().numpy()), {
        "fakefreq": lambda: other.own(read),
        **{name: make(read) for name, make in other.peers.items()},
    }


def _full_frame(transform: str, images: Tensor, exact: np.ndarray) -> tuple[np.ndarray, dict[str, Case]]:
    array = images.cpu().numpy()
    rows, columns = (dct_basis(size, torch.float32, images.device) for size in images.shape[-2:])
    forward = transform == "dct2"
    own, by_scipy = (dct2, scipy.fft.dctn) if forward else (idct2, scipy.fft.idctn)
    cases: dict[str, Case] = {
        "fakefreq": lambda: own(images),
        "plain matmul": lambda: rows @ images @ columns.T if forward else rows.T @ images @ columns,
        "bare rfft2": lambda: torch.fft.rfft2(images),
    }
    if images.device.type == "cpu":
        for workers in sorted({1, torch.get_num_threads()}):
            name = f"scipy, {workers} worker{'s' if workers > 1 else ''}"
            cases[name] = partial(by_scipy, array, axes=(2, 3), norm="ortho", workers=workers)
    try:
        torch_dct = importlib.import_module("torch_dct")
        theirs = torch_dct.dct_2d if forward else torch_dct.idct_2d
        cases["torch-dct"] = lambda: theirs(images, norm="ortho")
    except ImportError:
        print("torch-dct is not installed: its rows are left out")
    return by_scipy(exact, axes=(2, 3), norm="ortho", workers=2), cases


def _in_blocks(images: Tensor, exact: np.ndarray) -> tuple[np.ndarray, dict[str, Case]]:
    height, width = images.shape[-2:]
    blocks = BlockDCT(8, 8).to(images.device)
    planes, kernels = images.flatten(0, 1).unsqueeze(1), blocks.kernels(images)
    tiled = exact[..., : height // 8 * 8, : width // 8 * 8].reshape(*exact.shape[:2], height // 8, 8, width // 8, 8)
    expected = scipy.fft.dctn(tiled, axes=(3, 5), norm="ortho").transpose(0, 1, 3, 5, 2, 4)
    basis = dct_basis(8, torch.float32, images.device)

    def by_matrices() -> Tensor:
        cells = images.unfold(2, 8, 8).unfold(3, 8, 8)
        return (basis @ cells @ basis.T).permute(0, 1, 4, 5, 2, 3).reshape(expected_shape)

    expected_shape = (*images.shape[:2], 64, height // 8, width // 8)
    return expected.reshape(expected_shape), {
        "fakefreq": lambda: blocks(images),
        "bare conv2d": lambda: torch.nn.functional.conv2d(planes, kernels, stride=8),
        "plain matmul": by_matrices,
    }


def _power(images: Tensor, exact: np.ndarray, is_log: bool) -> tuple[np.ndarray, dict[str, Case]]:
    power = PowerSpectrum(scale="log1p" if is_log else "linear")
    taper = np.outer(*(window_1d("hann", size, dtype=torch.float64).numpy() for size in images.shape[-2:]))
    taper /= np.sqrt(np.square(taper).sum())
    expected = np.abs(scipy.fft.rfft2((exact - exact.mean(axis=(2, 3), keepdims=True)) * taper, workers=2)) ** 2
    window = torch.from_numpy(taper).to(images)

    def windowed() -> Tensor:
        amplitude: Tensor = torch.fft.rfft2((images - images.mean(dim=(2, 3), keepdim=True)) * window)
        return amplitude

    def squared() -> Tensor:
        found = windowed()
        return found.real.square() + found.imag.square()

    cases: dict[str, Case] = {
        "fakefreq": lambda: power(images),
        "bare rfft2": lambda: torch.fft.rfft2(images),
        "+ mean and window": windowed,
        "+ squares": squared,
    }
    if is_log:
        one = squared()
        cases["+ torch.log1p"] = lambda: squared().log1p()
        cases["+ torch.log1p alone"] = lambda: one.log1p()
        cases["+ torch.log alone"] = lambda: one.log()
    return np.log1p(expected) if is_log else expected, cases


def _error(found: Any, expected: np.ndarray) -> float:
    values = found.double().cpu().numpy() if isinstance(found, Tensor) else found
    return float(np.abs(values[: len(expected)] - expected).max() / np.abs(expected).max())


def _interleaved(cases: dict[str, Case], repeats: int, device: torch.device, title: str) -> dict[str, list[float]]:
    """Run all variants in turn, one round to warm up, and return the seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    # In a drawn order: torch's threads keep their cores for some milliseconds after a variant, at the next one's cost.
    order = random.Random(0)
    for turn in track(range(repeats + 1), title, unit="round"):
        for name in order.sample(list(cases), len(cases)):
            spent = _seconds(cases[name], device)
            if turn:
                seconds[name].append(spent)
    return seconds


def _seconds(case: Case, device: torch.device) -> float:
    """Time one call; on a GPU by its own clock."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        begin.record()
        case()
        end.record()
        torch.cuda.synchronize(device)
        return float(begin.elapsed_time(end)) / 1e3
    started = time.perf_counter()
    case()
    return time.perf_counter() - started


if __name__ == "__main__":
    tyro.cli(Spectra, description=__doc__).run()
