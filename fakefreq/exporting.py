"""Detectors as ONNX files that other runtimes read, checked against torch."""

import copy
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.data.images.headers.header import ImageError
from fakefreq.errors import UserError
from fakefreq.evaluate.sight import see
from fakefreq.files import atomic_path
from fakefreq.models import Detector, PixelStream
from fakefreq.models.streams.lattice import read_lattice
from fakefreq.models.weights import describe_detector

OPSET = 17
# How far the runtime's logits may lie from torch's: rounding, of 32 bits, and of 16 in the backbone. At most so much,
# and no more than a share of the logits' own spread: where all are alike, a wrong graph shows little.
TOLERANCE, SHARE = {"float32": 1e-3, "float16": 0.1}, {"float32": 0.01, "float16": 0.2}
Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ExportedFile:
    """What was written and how it was checked.

    Args:
        path: of the file.
        inputs: name -> shape, with names for what is free.
        precision: `float32`, or `float16` of the backbone.
        checked: how many batches were compared, one an image and some of drawn noise.
        largest: difference from torch's logits.
    """

    path: Path
    inputs: dict[str, list[int | str]]
    precision: str
    checked: int
    largest: float


class _Graph(nn.Module):
    """A detector that reads the lattice in the whole images, as scoring does."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.eval()

    def forward(self, images: Tensor, whole: Tensor | None = None) -> Tensor:
        return self.detector(images, None if whole is None else read_lattice(whole))  # type: ignore[no-any-return]


class _HalfNetwork(nn.Module):
    """A network in 16 bits between values of 32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.half()).float()  # type: ignore[no-any-return]


def export_detector(
    detector: Detector, path: str | Path, images: Sequence[str | Path] = (), half: bool = False
) -> ExportedFile:
    """Write a detector as an ONNX file and hold its logits against torch's.

    The file takes `images`, crops (B, 3, H, W) of floats in [0, 1], and where the detector reads a lattice beside other
    streams also `whole`, the whole images that they are crops of, (B, 3, H', W'), 16 pixels a side or more. It gives
    `logits`, (B,). Its metadata's entry `fakefreq` is JSON: detector, threshold, crop, history, views,
    minimum size, inputs.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        path: the .onnx file.
        images: image files to compare on, beside drawn noise.
        half: keep the pixel stream's backbone in 16 bits; spectra, lattice and head need 32.

    Raises:
        UserError: the packages of the extra `onnx` are missing; an operation that ONNX lacks; `half` without a pixel
            stream; an image that cannot be read; logits that differ from torch's.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError("export needs onnx, onnxscript and onnxruntime: pip install 'fakefreq[onnx]'") from error
    if Path(path).suffix != ".onnx":
        raise UserError(f"{path} does not end in .onnx; change --out")
    detector = copy.deepcopy(detector).cpu().eval()
    graph, precision = _Graph(detector), "float16" if half else "float32"
    batches = [*_drawn_batches(detector, detector.crop), *_batches_of_files(detector, images)]
    others = _drawn_batches(detector, detector.crop + 32)
    with torch.no_grad():
        expected = [graph(*map(torch.from_numpy, batch.values())).numpy() for batch in (*batches, *others)]
    spread = float(np.ptp(np.concatenate(expected)))
    allowed = min(TOLERANCE[precision], SHARE[precision] * spread + TOLERANCE[precision] / 100)
    if half:
        _halve(detector)
    for free in (True, False):
        content = _export(graph, batches[0], free)
        if content is None:
            continue
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        compared = [*batches, *others] if free else batches
        gaps = [_gap(session, batch, logits) for batch, logits in zip(compared, expected, strict=False)]
        largest = max(gaps)
        if largest <= allowed:
            break
    else:
        raise UserError(
            f"the exported detector's logits differ from torch's by {largest:.3g}, above {allowed:.3g}; "
            + ("leave out --half" if half else "nothing is written: report this detector")
        )
    model = onnx.load_from_string(content)
    inputs: dict[str, list[int | str]] = {
        item.name: [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in model.graph.input
    }
    size = {"minimum_size": detector.minimum_size}
    header = {**describe_detector(detector), **size, "inputs": inputs, "precision": precision}
    onnx.helper.set_model_props(model, {"fakefreq": json.dumps(header)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return ExportedFile(Path(path), inputs, precision, len(compared), largest)


def _halve(detector: Detector) -> None:
    stream = dict(detector.streams.items()).get("pixel")
    if not isinstance(stream, PixelStream):
        raise UserError(
            f"--half keeps the pixel stream's backbone in 16 bits, and {detector.config.name} has none: spectra need "
            "32. Leave out --half"
        )
    stream.network = _HalfNetwork(stream.network)


def _export(graph: _Graph, batch: Arrays, free: bool) -> bytes | None:
    """The graph's bytes, with a free batch, and free sizes if asked for; None where ONNX cannot have them free."""
    arguments = tuple(torch.from_numpy(np.concatenate([array[:1]] * 2)) for array in batch.values())
    axes: dict[str, dict[int, str]] = {"images": {0: "batch"}, "logits": {0: "batch"}}
    if free or (len(graph.detector.streams) == 1 and graph.detector.lattice is not None):
        axes["images"] |= {2: "height", 3: "width"}
    if "whole" in batch:
        axes["whole"] = {0: "batch", 2: "whole_height", 3: "whole_width"}
    names = list(batch)
    buffer: Any = io.BytesIO()  # which torch takes, though its annotation says otherwise
    with _quiet():
        try:
            torch.onnx.export(
                graph, arguments, buffer, dynamo=False, opset_version=OPSET, input_names=names,
                output_names=["logits"], dynamic_axes=axes, verbose=False,
            )  # fmt: skip
            return bytes(buffer.getvalue())
        except Exception as error:  # the exporter's errors share no public base class
            # Fourier transforms: the exporter that traces graphs knows them, for one size.
            if free:
                return None
            if "whole" in batch:
                raise UserError(
                    f"--spectrum {graph.detector.config.spectrum} does not export to ONNX: its transform takes "
                    "one size there, and the lattice is read in whole images of any size"
                ) from error
        try:
            program = torch.onnx.export(
                graph, arguments, dynamo=True, verbose=False, input_names=names, output_names=["logits"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
            )  # fmt: skip
        except Exception as error:  # the exporter's errors share no public base class
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
            raise UserError(f"{graph.detector.config.name} does not export to ONNX: {reason[:200]}") from error
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' warnings, and without the graphs that torch's C++ prints where it does not know a part."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
        logger.setLevel(level)


def _gap(session: Any, batch: Arrays, expected: NDArray[np.float32]) -> float:
    """Largest difference; infinite where the runtime does not take this batch."""
    try:
        logits = session.run(None, batch)[0]
    except Exception:  # onnxruntime's errors share no public base class
        return float("inf")
    gap = float(np.abs(logits - expected).max())
    return gap if np.isfinite(gap) else float("inf")


def _with_whole(detector: Detector, crops: NDArray[np.float32], whole: NDArray[np.float32]) -> Arrays:
    if detector.lattice is None:
        return {"images": crops}
    return {"images": whole} if len(detector.streams) == 1 else {"images": crops, "whole": whole}


def _batches_of_files(detector: Detector, images: Sequence[str | Path]) -> list[Arrays]:
    """A batch an image, since their sizes may differ."""
    batches = []
    for path in images:
        try:
            sight = see(detector, path)
        except ImageError as error:
            raise UserError(f"{path}: {error.reason}; change --images") from error
        whole = (sight.image.astype(np.float32) / 255).transpose(2, 0, 1)[None]
        batches.append(_with_whole(detector, sight.pixels[:1].numpy(), np.ascontiguousarray(whole)))
    return batches


def _drawn_batches(detector: Detector, side: int) -> list[Arrays]:
    """Batches of 1 and 3 pictures: coarse noise and fine noise, in crops of one size and whole images of another."""
    random = np.random.default_rng(0)
    batches = []
    for count in (1, 3):
        whole = random.random((count, 3, side + 24, side + 40), dtype=np.float32) * 0.2
        coarse = random.random((count, 3, -(-(side + 24) // 8), -(-(side + 40) // 8)), dtype=np.float32) * 0.8
        whole += coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, : side + 24, : side + 40]
        batches.append(_with_whole(detector, np.ascontiguousarray(whole[..., :side, :side]), whole))
    return batches
