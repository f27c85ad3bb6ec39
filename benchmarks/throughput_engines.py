"""Engines that score with `pixel` on a CPU, fakefreq's and bare libraries', each in a process; for throughput.py."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import timm
import torch

from fakefreq.evaluate.predict import infer, score_rows
from fakefreq.models import Detector, load_detector
from fakefreq.models.onnx_detector import make_session

ENGINES = {
    "timm": "",
    "onnxruntime": "",
    "openvino": "",
    "module": "timm",
    "infer": "timm",
    "infer .onnx": "onnxruntime",
    "infer openvino": "openvino",
    "score": "timm",
    "score .onnx": "onnxruntime",
    "score openvino": "openvino",
}
"""Engine -> the bare one that does its work. `module`: a detector called from Python; `infer`: the loop of all
commands, on decoded pixels; `score`: files on disk as `fakefreq score` takes them, decoding included."""
WEIGHTS, GRAPH, BARE = "best.safetensors", "ours.onnx", "bare.onnx"
"""Files in the folder of the engines: fakefreq's detector, its ONNX file, that of the bare network."""


class EngineProcess:
    """An engine's process, which waits between its turns."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"ended with {self.process.wait()}: {' '.join(self.words)}")
        return float(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def make_turn(name: str, folder: Path, backbone: str, images: int, batch_size: int, side: int) -> Callable[[], None]:
    """Return what one turn does: all images once, in batches."""
    torch.manual_seed(0)
    if name.startswith("score"):
        paths = [f"{number}.jpg" for number in range(images)]
        rows = pd.DataFrame({"path": paths, "label": 0})
        scorer = _scorer(name, folder)
        return lambda: _drop(score_rows(scorer, rows, folder, batch_size))
    pixels = torch.randint(0, 256, (images, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    parts = torch.split(pixels, batch_size)
    if name.startswith("infer"):
        scorer = _scorer(name, folder)
        numbers = np.array_split(np.arange(images), np.cumsum([len(part) for part in parts])[:-1])
        batches = [(part, number, None) for part, number in zip(parts, numbers, strict=True)]
        return lambda: _drop(infer(scorer, batches, [""] * images, batch_size))
    if name == "module":
        detector = load_detector(folder / WEIGHTS)
        return lambda: _each(detector, parts)
    floats = [part.float() / 255 for part in parts]
    if name == "timm":
        network = timm.create_model(backbone, num_classes=1).eval().to(memory_format=torch.channels_last)
        floats = [part.contiguous(memory_format=torch.channels_last) for part in floats]
        return lambda: _each(network, floats)
    arrays = [part.contiguous().numpy() for part in floats]
    if name == "onnxruntime":
        session = make_session((folder / BARE).read_bytes())
        return lambda: _drop([session.run(None, {"images": array}) for array in arrays])
    import openvino

    # Where the processor has bfloat16, OpenVINO would take it; the others count in 32 bits.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    settings |= {"INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = openvino.compile_model(str(folder / BARE), "CPU", settings)
    return lambda: _drop([compiled(array) for array in arrays])


def _scorer(name: str, folder: Path) -> Detector:
    if name.endswith("openvino"):
        return load_detector(folder / GRAPH, "openvino")
    return load_detector(folder / (GRAPH if name.endswith(".onnx") else WEIGHTS))


def _each(network: torch.nn.Module, parts: Sequence[torch.Tensor]) -> None:
    with torch.inference_mode():
        for part in parts:
            network(part)


def _drop(value: object) -> None:
    """Take a result and give none."""
