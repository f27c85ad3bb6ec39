"""What every detector costs: parameters, operations, and images a second in training and scoring, in one run.

All detectors do the same step in turn, so that a machine whose speed drifts slows all; the ratio to `pixel` is the
median of the ratios pair by pair. Batches are random pixels: decoding is the same for all and left out. Operations are
multiply-accumulates of convolutions and matrix products times two, as torch counts them; Fourier transforms and
elementwise operations are not among them. Weights are random, which changes no timing. `train_outside_backbone` is the
share of a training step that is not the backbone's forward and backward pass; it is measured on a CPU, uncompiled.
`bare timm` is the backbone as timm makes it, in channels_last, with one output and pixels that are normalised already:
its time over that of `pixel` is the speed of `pixel` as a share of it.

With --engines it times instead how fast one machine scores with `pixel` on a CPU, by fakefreq and by bare libraries,
each in a process of its own, since the allocator is a process's. They take turns, and the ratio is the median over the
turns: fakefreq's speed over that of the bare library that does the work.

Example: python benchmarks/throughput.py --repeats 3 --batch-size 16 --out benchmarks/results/detectors_cpu.csv
Example: python benchmarks/throughput.py --engines all --batch-size 32 --repeats 7
Example: python benchmarks/throughput.py --detectors two_stream --spectra lattice --batch-size 256 --precision bf16
"""

import contextlib
import fnmatch
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import timm
import torch
import tyro
from throughput_engines import BARE, ENGINES, GRAPH, WEIGHTS, EngineProcess, make_turn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fakefreq.config.detector import DEFAULT_BACKBONE
from fakefreq.config.input import InputConfig
from fakefreq.config.optim import Precision
from fakefreq.errors import UserError, choose
from fakefreq.exporting import OPSET, export_detector
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.models import Detector, create_detector, list_detectors, save_detector
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.progress import track
from fakefreq.threads import choose_device

BARE_TIMM = "bare timm"


@dataclass
class Throughput:
    """Time a training step and a scoring step of each detector; write a table."""

    out: Path | None = None
    """the table to write; benchmarks/results/detectors_cpu.csv by default, with --engines engines_cpu.csv beside it"""
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
    precision: Precision = "fp32"
    """of the networks, as in a training: fp32, or bf16 by autocast"""
    compile: bool = False
    """hand all of them to torch.compile"""
    engines: tuple[str, ...] = ()
    """time these engines instead (timm, onnxruntime, openvino, module, infer, ...), or all that are installed (all)"""
    images: int = 256
    """with --engines: images a turn"""
    one: str = ""
    """internal: the engine of this process, and the folder of its files"""

    @shown_messages()
    def run(self) -> None:
        if self.one:
            self._serve(*self.one.split("=", 1))
        elif self.engines:
            self._write(self._of_engines(), "engines_cpu.csv")
        else:
            self._write(self._of_detectors(), "detectors_cpu.csv")

    def _write(self, rows: list[dict[str, Any]], name: str) -> None:
        out, table = self.out or Path("benchmarks/results") / name, pd.DataFrame(rows)
        with atomic_path(out) as temporary:
            table.to_csv(temporary, index=False)
        same = ["backbone", "batch", "size", "repeats", "device", "precision", "compiled", "threads", "torch"]
        print(table.drop(columns=same, errors="ignore").to_string())
        print(f"table: {out} (low and high are the quartiles of the ratios)")

    def _of_detectors(self) -> list[dict[str, Any]]:
        device = choose_device(self.device)
        pixels = torch.randint(0, 256, (self.batch_size, self.size, self.size, 3), dtype=torch.uint8, device=device)
        images = pixels.permute(0, 3, 1, 2)  # as the loaders give them
        cases = {name: detector.to(device) for name, detector in self._cases().items()}
        way = _Way(self.precision, self.compile)
        seconds = {phase: _interleaved(cases, images, phase, self.repeats, way) for phase in ("score", "train")}
        return [self._row(name, detector, images, seconds) for name, detector in cases.items()]

    def _cases(self) -> dict[str, nn.Module]:
        wanted = [n for n in list_detectors() if n == "pixel" or any(fnmatch.fnmatch(n, p) for p in self.detectors)]
        # `pixel` runs first in each round, so that each ratio is to a step of the same round.
        wanted.sort(key=lambda name: (name != "pixel", name.startswith("peer/"), name))
        cases: dict[str, nn.Module] = {}
        for name in wanted:
            with_spectrum = name in ("two_stream", "frequency")
            for spectrum in self.spectra if with_spectrum else self.spectra[:1]:
                label = f"{name} {spectrum}" if with_spectrum else name
                cases[label] = create_detector(name, self.backbone, spectrum, "none")
            if name == "pixel":
                bare = timm.create_model(self.backbone, num_classes=1)
                cases[BARE_TIMM] = bare.to(memory_format=torch.channels_last)
        return cases

    def _row(
        self, name: str, detector: nn.Module, images: torch.Tensor,
        seconds: dict[str, dict[str, list[tuple[float, float]]]],
    ) -> dict[str, Any]:  # fmt: skip
        row: dict[str, Any] = {
            "detector": name,
            "backbone": detector.config.backbone if isinstance(detector, Detector) else self.backbone,
            "parameters": sum(p.numel() for p in detector.parameters()),
            "trained": sum(p.numel() for p in _trained(detector)),
            "gflops": round(_gflops(detector, images[:1]), 3),
        }
        for phase, times in seconds.items():
            row[f"{phase}_images_per_second"] = None
            if times[name]:
                taken = [whole for whole, _ in times[name]]
                ratios = sorted(a / b for a, (b, _) in zip(taken, times["pixel"], strict=True))
                row[f"{phase}_images_per_second"] = round(self.batch_size / statistics.median(taken), 1)
                row[f"{phase}_time_over_pixel"] = round(statistics.median(ratios), 3)
                row[f"{phase}_low"] = round(ratios[len(ratios) // 4], 3)
                row[f"{phase}_high"] = round(ratios[-1 - len(ratios) // 4], 3)
        device = images.device
        shares = [1 - inside / whole for whole, inside in seconds["train"][name] if inside]
        if device.type == "cpu" and not self.compile and shares:
            row["train_outside_backbone"] = round(statistics.median(shares), 4)
        return {
            **row,
            "batch": self.batch_size,
            "size": self.size,
            "repeats": self.repeats,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "precision": self.precision,
            "compiled": self.compile,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }

    def _of_engines(self) -> list[dict[str, Any]]:
        names = [name for name in ENGINES if self.engines == ("all",) or name in self.engines]
        for name in () if self.engines == ("all",) else self.engines:
            choose(name, list(ENGINES), "engine", "--engines")
        if find_spec("openvino") is None:
            if self.engines != ("all",) and any("openvino" in name for name in names):
                raise UserError("openvino needs a package: pip install 'fakefreq[openvino]' (--engines)")
            names = [name for name in names if "openvino" not in name]
        seconds: dict[str, list[float]] = {name: [] for name in names}
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            self._prepare(Path(folder))
            children = {name: stack.enter_context(EngineProcess(self._words(f"{name}={folder}"))) for name in names}
            for turn in track(range(self.repeats + 1), "engines", unit="round"):
                for name, child in children.items():
                    taken = child.turn()
                    if turn:  # the first one warms up
                        seconds[name].append(taken)
        return [self._row_of_engine(name, seconds) for name in names]

    def _words(self, one: str) -> list[str]:
        counts = ["--batch-size", str(self.batch_size), "--size", str(self.size), "--images", str(self.images)]
        return [sys.executable, __file__, "--one", one, "--backbone", self.backbone, *counts]

    def _prepare(self, folder: Path) -> None:
        """Write the detector, its ONNX file, that of the bare network, and images of a quarter more than the crop."""
        torch.manual_seed(0)
        detector = create_detector("pixel", self.backbone, pretrained="none", input=InputConfig(self.size)).eval()
        save_detector(detector, folder / WEIGHTS)
        export_detector(detector, folder / GRAPH)
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                timm.create_model(self.backbone, num_classes=1).eval(), (torch.zeros(2, 3, self.size, self.size),),
                str(folder / BARE), dynamo=False, opset_version=OPSET, input_names=["images"], output_names=["logits"],
                dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            )  # fmt: skip
        side, random = self.size * 5 // 4, np.random.default_rng(0)
        for number in range(self.images):
            coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{number}.jpg"), cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))

    def _serve(self, name: str, folder: str) -> None:
        """What an engine's own process does: a turn for each line that comes in."""
        turn = make_turn(name, Path(folder), self.backbone, self.images, self.batch_size, self.size)
        for _ in sys.stdin:
            started = time.perf_counter()
            turn()
            print(time.perf_counter() - started, flush=True)

    def _row_of_engine(self, name: str, seconds: dict[str, list[float]]) -> dict[str, Any]:
        row: dict[str, Any] = {"engine": name, "images_per_second": self.images / statistics.median(seconds[name])}
        bare = ENGINES[name]
        if bare in seconds:
            ratios = sorted(a / b for a, b in zip(seconds[bare], seconds[name], strict=True))
            row |= {"bare": bare, "speed_over_bare": round(statistics.median(ratios), 3)}
            row |= {"low": round(ratios[len(ratios) // 4], 3), "high": round(ratios[-1 - len(ratios) // 4], 3)}
        row["images_per_second"] = round(row["images_per_second"], 1)
        settings = {"batch": self.batch_size, "size": self.size, "images": self.images, "repeats": self.repeats}
        return {**row, "backbone": self.backbone, **settings, "threads": torch.get_num_threads(),
                "torch": torch.__version__}  # fmt: skip


@dataclass(frozen=True)
class _Way:
    """How the networks are run."""

    precision: Precision
    compile: bool


def _trained(network: nn.Module) -> list[nn.Parameter]:
    if isinstance(network, Detector):
        return [*network.pretrained_parameters(), *network.new_parameters()]
    return list(network.parameters())


def _pictures(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a network is given: a detector the pixels, a bare one floats."""
    return images if isinstance(network, Detector) else images.float().div_(255)


def _gflops(network: nn.Module, image: torch.Tensor) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.eval()(_pictures(network, image))
    return float(counter.get_total_flops()) / 1e9


def _step(
    network: nn.Module, pixels: torch.Tensor, phase: str, clock: "_BackboneClock", way: _Way
) -> Callable[[], None] | None:
    if phase == "train" and isinstance(network, FittedDetector):
        return None  # fitted in closed form to all images at once: there is no step
    labels = (torch.arange(len(pixels), device=pixels.device) % 2).float()
    images = _pictures(network, pixels)
    call = torch.compile(network) if way.compile else network

    def logits() -> torch.Tensor:
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=way.precision == "bf16"):
            found: torch.Tensor = call(images)
        return found.flatten().float()

    def train() -> None:
        network.train()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        clock.stop()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # at the end: the gradients of all networks at once would fill memory

    def score() -> None:
        network.eval()
        with torch.inference_mode():
            logits()

    if phase == "score":
        return score
    optimizer = torch.optim.AdamW(_trained(network), lr=1e-4)
    return train


class _BackboneClock:
    """Seconds of a step within the pixel stream's backbone, forward and backward; 0 where there is none."""

    def __init__(self, detector: nn.Module, way: _Way) -> None:
        self.seconds, self.started = 0.0, 0.0
        streams = dict(detector.streams) if isinstance(detector, Detector) and not way.compile else {}
        self.network = getattr(streams["pixel"], "network", None) if "pixel" in streams else None
        if self.network is not None:
            self.network.register_forward_pre_hook(self._start)
            self.network.register_forward_hook(self.stop)
            self.network.register_full_backward_pre_hook(self._start)

    def _start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def stop(self, *_: Any) -> None:
        """Add what has passed since the start; on the way back the backbone is the last of all."""
        if self.network is not None:
            self.seconds += time.perf_counter() - self.started


def _interleaved(
    cases: dict[str, nn.Module], images: torch.Tensor, phase: str, repeats: int, way: _Way
) -> dict[str, list[tuple[float, float]]]:
    """Run the steps of all in turn, one round to warm up; return each step's seconds, and those in the backbone."""
    clocks = {name: _BackboneClock(network, way) for name, network in cases.items()}
    steps = {name: _step(network, images, phase, clocks[name], way) for name, network in cases.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in track(range(repeats + 1), phase, unit="round"):
        for name, step in steps.items():
            if step is None:
                continue
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            started, clocks[name].seconds = time.perf_counter(), 0.0
            step()
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            if turn:
                seconds[name].append((time.perf_counter() - started, clocks[name].seconds))
    return seconds


if __name__ == "__main__":
    tyro.cli(Throughput, description=__doc__).run()
