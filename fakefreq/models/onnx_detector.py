"""A detector that onnxruntime or OpenVINO runs, from a file that `fakefreq export` wrote."""

import base64
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from fakefreq.config.detector import DetectorConfig
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Known
from fakefreq.errors import UserError
from fakefreq.models.detector import Detector
from fakefreq.models.fusion import LATTICE, Fusion
from fakefreq.models.streams.lattice import LatticeStream
from fakefreq.spectra import to_float

HEADER, LATTICE_HEADER = "fakefreq", "fakefreq_lattice"
"""Entries of an ONNX file's metadata: JSON, and the lattice stream as safetensors in base64."""

LOGITS_ONLY = "this looks into a detector's streams, and an ONNX file gives logits only: give the run folder"


Runtime = Literal["onnxruntime", "openvino"]
# Runs a graph: pixels, uint8 or float32, and what its other inputs are given, by name -> its logits.
Run = Callable[[Tensor, dict[str, NDArray[np.float32]]], NDArray[np.float32]]


class OnnxDetector(Detector):
    """A detector whose graph onnxruntime or OpenVINO runs on the CPU, with as many threads as torch has.

    Scoring reads the lattice in whole images beside the network, for every detector by the same code. So the graph is
    entered behind its lattice: the file's own stream, kept in its metadata, gives what it says.

    Args:
        config: what the exported detector is made of.
        run: runs the graph: `images`, crops, and where there is a lattice stream `features of lattice`, what it says
            of each.
        minimum_size: of the crops, in pixels a side.
        side: of the crops where the graph takes one size only, else None.
        lattice: the stream, where the detector has one.

    Shape:
        - input: (B, 3, H, W), RGB, uint8 or float in [0, 1]
        - output: (B,) logits that grow towards fake
    """

    place: Tensor

    def __init__(
        self, config: DetectorConfig, run: Run, minimum_size: int, side: int | None, lattice: LatticeStream | None
    ) -> None:
        super().__init__(config, {} if lattice is None else {LATTICE: lattice}, Fusion({}, 0.0), minimum_size)
        self.run, self.side = run, side
        # What says device and type where there are no weights.
        self.register_buffer("place", torch.zeros(()), persistent=False)

    def forward(self, images: Tensor, lattice: Tensor | None = None) -> Tensor:
        """Return one logit an image, as `Detector.forward` does."""
        self._check(images)
        if self.side is not None and images.shape[-2:] != (self.side, self.side):
            raise UserError(
                f"this ONNX file takes images of {self.side}x{self.side} only; got {images.shape[-2]}x"
                f"{images.shape[-1]}: export the run again for another crop"
            )
        others = {}
        if self.lattice is not None:
            said = self.lattice(to_float(images)) if lattice is None else self.lattice.judge(lattice)
            others[features_name(LATTICE)] = said.detach().numpy()
        return torch.from_numpy(self.run(images if images.dtype == torch.uint8 else images.float(), others))

    def features(self, images: Tensor, lattice: Tensor | None = None) -> dict[str, Tensor]:
        """Refuse: the streams are within the graph."""
        del images, lattice
        raise UserError(LOGITS_ONLY)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OnnxDetector":
        del recurse
        moved = fn(self.place)
        if (moved.device, moved.dtype) != (self.place.device, self.place.dtype):
            raise UserError("an ONNX file is run on the CPU as it was exported: give --device auto, cpu or openvino")
        return self


def load_onnx(file: Path, runtime: Runtime = "onnxruntime") -> OnnxDetector:
    """Load a detector that `fakefreq export` wrote.

    Args:
        file: the .onnx file.
        runtime: what runs its graph.

    Raises:
        UserError: the packages of the extra `onnx` or `openvino` are missing; the file is no ONNX file, or another's.
    """
    onnx = require_onnx()
    try:
        model = onnx.load(str(file), load_external_data=False)
        metadata = {item.key: item.value for item in model.metadata_props}
    except Exception as error:  # those of protobuf share no public base class
        raise UserError(f"{file} is no ONNX file, or a damaged one") from error
    if HEADER not in metadata:
        raise UserError(f"{file} was not written by `fakefreq export`: it does not say which detector it holds")
    try:
        header = json.loads(metadata[HEADER])
        config, given = DetectorConfig(**header["detector"]), InputConfig(**header["input"])
        inputs, size, threshold = header["inputs"], int(header["minimum_size"]), float(header["threshold"])
        known = Known.from_dict(header["known"]) if header.get("known") else None
        lattice = None
        if "whole" in inputs or config.name == LATTICE:
            lattice = LatticeStream()
            lattice.load_state_dict(load(base64.b64decode(metadata[LATTICE_HEADER])))
            model = _behind_the_lattice(model)
        run = _by_openvino(model) if runtime == "openvino" else _by_onnxruntime(model)
    except UserError:
        raise
    except Exception as error:  # onnxruntime's share no public base class
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{file} does not hold what this version of fakefreq needs ({type(error).__name__}: {reason}); export the "
            "run again"
        ) from error
    side = inputs["images"][-1]
    detector = OnnxDetector(config, run, size, side if isinstance(side, int) else None, lattice)
    return detector.replace(given, threshold, known, header.get("revision", "")).eval()


def require_onnx() -> Any:
    """Return the package onnx.

    Raises:
        UserError: a package of the extra `onnx` is missing.
    """
    try:
        import onnx
        import onnx.utils
        import onnxruntime  # noqa: F401 -- it runs what the other reads and writes
    except ImportError as error:
        raise UserError("ONNX files need onnx, onnxscript and onnxruntime: pip install 'fakefreq[onnx]'") from error
    return onnx


def make_session(content: bytes) -> Any:
    """Return an onnxruntime session of a model's bytes, on the CPU, with torch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _by_onnxruntime(model: Any) -> Run:
    session = make_session(model.SerializeToString())

    def run(images: Tensor, others: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        # Loaders give channels last, and onnxruntime would turn that round by one thread: one pass that converts too.
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
        if images.dtype == torch.uint8:
            pixels = pixels.div_(255.0)
        return session.run(["logits"], {"images": pixels.numpy(), **others})[0]  # type: ignore[no-any-return]

    return run


def _by_openvino(model: Any) -> Run:
    try:
        import openvino
    except ImportError as error:
        raise UserError("--device openvino needs a package: pip install 'fakefreq[openvino]'") from error
    core = openvino.Core()
    # Where the processor has bfloat16, OpenVINO would take it.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    settings |= {"INFERENCE_NUM_THREADS": str(torch.get_num_threads())}

    @cache
    def compiled(dtype: torch.dtype) -> Any:
        graph = core.read_model(model.SerializeToString(), b"")
        if dtype == torch.uint8:
            # Bytes, channels last, as the loaders give them: OpenVINO's threads would wait for torch's to convert them.
            steps = openvino.preprocess.PrePostProcessor(graph)
            steps.input("images").tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
            steps.input("images").preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
            steps.input("images").model().set_layout(openvino.Layout("NCHW"))
            graph = steps.build()
        return core.compile_model(graph, "CPU", settings)

    compiled(torch.uint8)  # now, so that a graph that does not compile is an error of loading

    def run(images: Tensor, others: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        pixels = images.permute(0, 2, 3, 1) if images.dtype == torch.uint8 else images
        return np.array(compiled(images.dtype)({"images": pixels.contiguous().numpy(), **others})["logits"])

    return run


def features_name(stream: str) -> str:
    """Return what a stream's features are called in an exported graph."""
    return f"features of {stream}"


def describe_lattice(stream: LatticeStream) -> str:
    """Return the stream as the metadata keep it."""
    return base64.b64encode(save({name: value.contiguous() for name, value in stream.state_dict().items()})).decode()


def _behind_the_lattice(model: Any) -> Any:
    """The part of a graph that takes what the lattice stream says, (B, 1), instead of whole images."""
    onnx = require_onnx()
    name = features_name(LATTICE)
    known = {item.name for item in model.graph.value_info}
    if name not in known:
        said = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 1])
        model.graph.value_info.append(said)
    return onnx.utils.Extractor(model).extract_model(["images", name], ["logits"])
