"""A detector that onnxruntime runs, from a file that `fakefreq export` wrote."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from fakefreq.config.detector import DetectorConfig
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Known
from fakefreq.errors import UserError
from fakefreq.models.detector import Detector
from fakefreq.models.fusion import LATTICE, Fusion
from fakefreq.models.streams.lattice import LatticeStream

HEADER, LATTICE_HEADER = "fakefreq", "fakefreq_lattice"
"""Entries of an ONNX file's metadata: JSON, and the lattice stream as safetensors in base64."""

LOGITS_ONLY = "this looks into a detector's streams, and an ONNX file gives logits only: give the run folder"


class OnnxDetector(Detector):
    """A detector whose graph onnxruntime runs on the CPU, with as many threads as torch has.

    Scoring reads the lattice in whole images beside the network, for every detector by the same code. So the graph is
    entered behind its lattice: the file's own stream, kept in its metadata, gives what it says.

    Args:
        config: what the exported detector is made of.
        session: takes `images`, crops, and where there is a lattice stream what it says of each.
        minimum_size: of the crops, in pixels a side.
        side: of the crops where the graph takes one size only, else None.
        lattice: the stream, where the detector has one.

    Shape:
        - input: (B, 3, H, W), RGB, uint8 or float in [0, 1]
        - output: (B,) logits that grow towards fake
    """

    place: Tensor

    def __init__(
        self, config: DetectorConfig, session: Any, minimum_size: int, side: int | None, lattice: LatticeStream | None
    ) -> None:
        super().__init__(config, {} if lattice is None else {LATTICE: lattice}, Fusion({}, 0.0), minimum_size)
        self.session, self.side = session, side
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
        # Loaders give channels last, and onnxruntime would turn that round by one thread: one pass that converts too.
        pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
        if images.dtype == torch.uint8:
            pixels = pixels.div_(255.0)
        feed = {"images": pixels.numpy()}
        if self.lattice is not None:
            said = self.lattice(pixels) if lattice is None else self.lattice.judge(lattice)
            feed[self.session.get_inputs()[-1].name] = said.detach().numpy()
        return torch.from_numpy(self.session.run(["logits"], feed)[0])

    def features(self, images: Tensor, lattice: Tensor | None = None) -> dict[str, Tensor]:
        """Refuse: the streams are within the graph."""
        del images, lattice
        raise UserError(LOGITS_ONLY)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OnnxDetector":
        del recurse
        moved = fn(self.place)
        if (moved.device, moved.dtype) != (self.place.device, self.place.dtype):
            raise UserError("an ONNX file is run on the CPU as it was exported: give --device cpu")
        return self


def load_onnx(file: Path) -> OnnxDetector:
    """Load a detector that `fakefreq export` wrote.

    Args:
        file: the .onnx file.

    Raises:
        UserError: the packages of the extra `onnx` are missing; the file is no ONNX file, or another's.
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
        session = make_session(model.SerializeToString())
    except UserError:
        raise
    except Exception as error:  # onnxruntime's share no public base class
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{file} does not hold what this version of fakefreq needs ({type(error).__name__}: {reason}); export the "
            "run again"
        ) from error
    side = inputs["images"][-1]
    detector = OnnxDetector(config, session, size, side if isinstance(side, int) else None, lattice)
    return detector.replace(given, threshold, known).eval()


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
