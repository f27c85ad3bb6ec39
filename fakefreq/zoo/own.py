"""The user's own generator: an ONNX file, a TorchScript file or a callable, driven by seeded latents.

An ONNX file is a graph of known operations, and nothing in it is run as a program. A TorchScript file and a
callable are programs, which can do whatever their user can: they are loaded only where that is trusted.
"""

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.files import sha256_file
from fakefreq.zoo.controls import CONTROLS
from fakefreq.zoo.own_inputs import Inputs
from fakefreq.zoo.registry import GENERATORS, Generator, Origin, Sampler

Run = Callable[[list[NDArray[Any]]], NDArray[np.float32]]
_SCRIPTS = (".pt", ".pth", ".ts", ".torchscript")


@dataclass(frozen=True)
class OwnSampler:
    """A `Sampler` over any function from inputs to images."""

    run: Run
    inputs: Inputs
    name: str

    def sample_at(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        """Make chosen images of a seed.

        Shape: -> (N, H, W, 3) uint8, RGB; a generator of grey images gives three equal channels.

        Raises:
            UserError: the generator fails, or its output is no batch of images.
        """
        images = np.asarray(self.run(self.inputs.draw(indices, seed)))
        channels = images.shape[-1 if self.inputs.layout == "NHWC" else 1] if images.ndim == 4 else 0
        if images.ndim != 4 or len(images) != len(indices) or channels not in (1, 3):
            wanted = "(N, 3, H, W)" if self.inputs.layout == "NCHW" else "(N, H, W, 3)"
            raise UserError(
                f"{self.name} gave {images.shape} for {len(indices)} latents, {wanted} was expected; "
                "change --layout, --latent or --batch"
            )
        if not np.isfinite(images).all():
            raise UserError(f"{self.name} gave numbers that are not finite; check --latent, --truncation and its dtype")
        if self.inputs.layout == "NCHW":
            images = images.transpose(0, 2, 3, 1)
        low, high = self.inputs.value_range
        scaled = (images.astype(np.float32) - low) * (255.0 / (high - low))
        made = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(made, (*made.shape[:3], 3)))


def make_own(text: str, inputs: Inputs, name: str = "", trust: bool = False) -> Generator:
    """The user's generator as one of the zoo.

    Args:
        text: `FILE.onnx`, `FILE.pt` (TorchScript), or `package.module:callable`, which takes tensors (latents, then
            classes, then extra numbers) and returns images.
        inputs: what it is fed.
        name: of its folder; by default the file's or the callable's.
        trust: allow what runs as a program.

    Raises:
        UserError: no such file, an unknown kind, a name that is taken, or a program that is not trusted.
    """
    path = Path(text)
    is_callable = ":" in text and not path.exists() and path.suffix != ".onnx"
    plain = name or (text.partition(":")[2].rpartition(".")[2] if is_callable else path.stem.replace("-", "_"))
    if not plain.isidentifier():
        raise UserError(f"generator name {plain!r} is no plain word of letters, digits and _; give one with --name")
    if plain in GENERATORS or plain in CONTROLS or plain.startswith(("control_", "sim_")):
        raise UserError(f"generator name {plain!r} is taken; give another with --name")
    if not is_callable and path.suffix not in (".onnx", *_SCRIPTS):
        raise UserError(
            f"cannot tell what {text!r} is; --generator takes FILE.onnx, FILE.pt, or package.module:callable"
        )
    if not is_callable and not path.is_file():
        raise UserError(f"there is no file {text}; --generator takes FILE.onnx, FILE.pt, or package.module:callable")
    if (is_callable or path.suffix != ".onnx") and not trust:
        what = "a callable" if is_callable else "a TorchScript file"
        raise UserError(
            f"{text} is {what}, which runs as a program with your rights; add --trust if you trust its maker"
        )
    kind = "callable" if is_callable else "onnx" if path.suffix == ".onnx" else "torchscript"
    load_run = {"callable": load_callable, "onnx": load_onnx, "torchscript": load_torchscript}[kind]

    def load() -> Sampler:
        return OwnSampler(load_run(text), inputs, plain)

    origin = Origin(Path(text).name, f"{kind} {inputs}", "" if is_callable else sha256_file(path), "your own")
    return Generator(plain, f"your own ({kind})", "unknown", None, (), 0.0, False, load, inputs.batch, origin=origin)


def measure_own(generator: Generator) -> Generator:
    """The generator with its output's size, which one batch shows.

    Raises:
        UserError: it does not load or run as described.
    """
    images = generator.load().sample_at(range(generator.block), 0)
    return replace(generator, size=min(images.shape[1:3]))


def load_onnx(path: str) -> Run:
    """A function that runs an ONNX graph; inputs are matched by their order, outputs: the first is taken.

    Raises:
        UserError: onnxruntime is missing, or the graph cannot be read or wants other inputs.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("an ONNX generator needs onnxruntime; pip install onnxruntime (or fakefreq[zoo])") from error
    options = onnxruntime.SessionOptions()
    # One thread gives one result on any machine; see fakefreq.threads.
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise UserError(f"{path} does not open as ONNX: {' '.join(str(error).split())[:300]}") from error
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        if len(names) != len(inputs):
            raise UserError(
                f"{path} has the inputs {', '.join(names)}, {len(inputs)} were given: latents"
                "; --classes adds a class and --extra adds numbers"
            )
        # A number may be a tensor of one element in the graph.
        feeds = {
            name: value.reshape([1] * len(entry.shape)) if value.ndim == 0 else value
            for name, entry, value in zip(names, session.get_inputs(), inputs, strict=True)
        }
        try:
            return np.asarray(session.run(None, feeds)[0])
        except Exception as error:
            raise UserError(f"{path} does not run: {' '.join(str(error).split())[:300]}") from error

    return run


def load_torchscript(path: str) -> Run:
    """A function that runs a TorchScript module, which is a program: only for files whose maker is trusted.

    Raises:
        UserError: it cannot be read.
    """
    import torch

    try:
        with warnings.catch_warnings():
            # torch prefers its newer format, but the files that people have are TorchScript.
            warnings.simplefilter("ignore")
            module = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{path} does not open as TorchScript: {' '.join(str(error).split())[:300]}") from error
    return _run_torch(module, path)


def load_callable(text: str) -> Run:
    """A function that calls `package.module:callable`, found where Python finds modules, with torch tensors.

    Raises:
        UserError: it cannot be imported.
    """
    module_name, _, attribute = text.partition(":")
    try:
        made: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            made = getattr(made, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"cannot import {text}: {error}; is its folder on PYTHONPATH?") from error
    if not callable(made):
        raise UserError(f"{text} is no callable; --generator takes package.module:callable")
    return _run_torch(made, text)


def _run_torch(module: Callable[..., Any], name: str) -> Run:
    import torch

    def run(inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        tensors = [torch.from_numpy(value) if value.ndim else float(value) for value in inputs]
        try:
            with torch.inference_mode():
                images = module(*tensors)
        except (RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{name} does not run: {' '.join(str(error).split())[-300:]}") from error
        return np.asarray(images.float().cpu() if isinstance(images, torch.Tensor) else images)

    return run
