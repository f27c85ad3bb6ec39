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

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.errors import UserError
from fakefreq.evaluate.sight import see
from fakefreq.files import atomic_path
from fakefreq.models import Detector, PixelStream
from fakefreq.models.fusion import LATTICE
from fakefreq.models.onnx_detector import (
    HEADER,
    LATTICE_HEADER,
    OnnxDetector,
    describe_lattice,
    features_name,
    make_session,
    require_onnx,
)
from fakefreq.models.streams.lattice import SMALLEST, read_lattice
from fakefreq.models.weights import describe_detector

OPSET = 17
# How far the runtime's logits may lie from torch's: rounding, of 32 bits, and of 16 in the backbone.
TOLERANCE = {"float32": 1e-3, "float16": 0.1}
# A graph whose sizes are free has to give each stream's features at other sizes to this share of their range. Logits
# alone do not tell: a stream that is wrong may weigh little.
SHARE = 1e-4
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
    """A detector that reads the lattice in the whole images, as scoring does; it gives the streams' features too."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.eval()

    def forward(self, images: Tensor, whole: Tensor | None = None) -> tuple[Tensor, ...]:
        features = self.detector.features(images, None if whole is None else read_lattice(whole))
        return self.detector.head(features), *features.values()

    def values(self, batch: "Arrays") -> list[NDArray[np.float32]]:
        """Logits and features by torch."""
        with torch.no_grad():
            return [value.numpy() for value in self(*map(torch.from_numpy, batch.values()))]


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
    `logits`, (B,). Its metadata's entry `fakefreq` is JSON: detector, input (crop, views, history), threshold,
    minimum size, inputs. With these, and with the lattice stream that another entry keeps, `fakefreq.load_detector`
    reads it.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        path: the .onnx file.
        images: image files to compare on, beside drawn noise.
        half: keep the pixel stream's backbone in 16 bits; spectra, lattice and head need 32.

    Raises:
        UserError: the packages of the extra `onnx` are missing; an operation that ONNX lacks; `half` without a pixel
            stream; an image that cannot be read or is too small; logits that differ from torch's.
    """
    onnx = require_onnx()
    if isinstance(detector, OnnxDetector):
        raise UserError("this is an ONNX file already; export its run folder")
    if Path(path).suffix != ".onnx":
        raise UserError(f"{path} does not end in .onnx; change --out")
    detector = copy.deepcopy(detector).cpu().eval()
    graph, precision = _Graph(detector), "float16" if half else "float32"
    drawn, others = (_drawn_batches(detector, side) for side in (detector.input.crop, detector.input.crop + 32))
    batches = [*drawn, *_batches_of_files(detector, images)]
    stream = _backbone_of(detector) if half else None
    content = _with_free_sizes(graph, drawn, others)
    compared = [*batches, *others] if content else batches
    expected = [graph.values(batch)[0] for batch in compared]
    if stream is not None:
        stream.network = _HalfNetwork(stream.network)
    if half or content is None:
        content = _export(graph, batches[0], free=content is not None)
    assert content is not None
    session = make_session(content)
    largest = max(
        float(np.abs(_run(session, batch)[0] - logits).max()) for batch, logits in zip(compared, expected, strict=True)
    )
    if not largest <= TOLERANCE[precision]:
        raise UserError(
            f"the exported detector's logits differ from torch's by {largest:.3g}, above {TOLERANCE[precision]}; "
            + ("leave out --half" if half else "nothing is written: report this detector")
        )
    model = onnx.load_from_string(content)
    del model.graph.output[1:]  # the features
    inputs: dict[str, list[int | str]] = {
        item.name: [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in model.graph.input
    }
    size = {"minimum_size": detector.minimum_size}
    header = {**describe_detector(detector), **size, "inputs": inputs, "precision": precision}
    lattice = {} if detector.lattice is None else {LATTICE_HEADER: describe_lattice(detector.lattice)}
    onnx.helper.set_model_props(model, {HEADER: json.dumps(header), **lattice})
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return ExportedFile(Path(path), inputs, precision, len(compared), largest)


def _backbone_of(detector: Detector) -> PixelStream:
    stream = dict(detector.streams.items()).get("pixel")
    if not isinstance(stream, PixelStream):
        raise UserError(
            f"--half keeps the pixel stream's backbone in 16 bits, and {detector.config.name} has none: spectra need "
            "32. Leave out --half"
        )
    return stream


def _with_free_sizes(graph: _Graph, batches: list[Arrays], others: list[Arrays]) -> bytes | None:
    """The graph's bytes with free sizes; None where it does not export so, or gives other features at other sizes."""
    content = _export(graph, batches[0], free=True)
    if content is None:
        return None
    session = make_session(content)
    try:
        usual = _gaps(graph, session, batches)
        found = _gaps(graph, session, others)
    except Exception:  # onnxruntime's errors share no public base class
        return None
    # z is a quotient of small numbers: its rounding is that of the logits.
    rough = TOLERANCE["float32"]
    share = [rough, *(rough if name == LATTICE else SHARE for name in graph.detector.streams)]
    return content if (found <= np.maximum(share, 10 * usual)).all() else None


def _gaps(graph: _Graph, session: Any, batches: list[Arrays]) -> NDArray[np.float64]:
    """Largest difference from torch of the logits and of each stream's features, as a share of their range."""
    gaps = []
    for batch in batches:
        pairs = zip(_run(session, batch), graph.values(batch), strict=True)
        gaps.append([np.abs(found - expected).max() / max(np.ptp(expected), 1.0) for found, expected in pairs])
    return np.asarray(np.max(gaps, axis=0), dtype=np.float64)


def _export(graph: _Graph, batch: Arrays, free: bool) -> bytes | None:
    """The graph's bytes, with a free batch, and free sizes if asked for; None where ONNX cannot have them free."""
    arguments = tuple(torch.from_numpy(np.concatenate([array[:1]] * 2)) for array in batch.values())
    axes: dict[str, dict[int, str]] = {"images": {0: "batch"}, "logits": {0: "batch"}}
    if free or (len(graph.detector.streams) == 1 and graph.detector.lattice is not None):
        axes["images"] |= {2: "height", 3: "width"}
    if "whole" in batch:
        axes["whole"] = {0: "batch", 2: "whole_height", 3: "whole_width"}
    names, outputs = list(batch), ["logits", *map(features_name, graph.detector.streams)]
    axes |= {name: {0: "batch"} for name in outputs[1:]}
    buffer: Any = io.BytesIO()  # which torch takes, though its annotation says otherwise
    with _quiet():
        try:
            torch.onnx.export(
                graph, arguments, buffer, dynamo=False, opset_version=OPSET, input_names=names,
                output_names=outputs, dynamic_axes=axes, verbose=False,
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
                graph, arguments, dynamo=True, verbose=False, input_names=names, output_names=outputs,
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


def _run(session: Any, batch: Arrays) -> list[NDArray[np.float32]]:
    return session.run(None, batch)  # type: ignore[no-any-return]


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
        except UserError as error:  # of the file, or of a history that it is too small for
            reason = error.reason if isinstance(error, ImageError) else error
            raise UserError(f"{path}: {reason}; change --images") from error
        height, width = sight.image.shape[:2]
        if detector.lattice is not None and min(height, width) < SMALLEST:
            raise UserError(
                f"{path}: {width}x{height} pixels, and the lattice of an ONNX file takes images of {SMALLEST} a side "
                "or more; change --images"
            )
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
