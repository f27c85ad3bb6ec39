"""A trained detector as safetensors, with all that it needs in the header: written, and found again."""

import json
import logging
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fakefreq.config.detector import DetectorConfig
from fakefreq.config.files import RUN_SETTINGS
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Known
from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.hub import fetch, is_hub_name, parse_hub_name
from fakefreq.models.detector import Detector
from fakefreq.models.onnx_detector import load_onnx
from fakefreq.models.pretrained import NOTICES
from fakefreq.models.registry import build_detector
from fakefreq.threads import choose_device
from fakefreq.version import __version__

logger = logging.getLogger(__name__)

PUBLISHED_WEIGHTS = "model.safetensors"
"""The file of weights of a published detector; the hub knows this name."""
PUBLISHED_FILES = (RUN_SETTINGS, "summary.json", "environment.json", "trained_images.txt", "val_scores.csv")
"""What `fakefreq evaluate` reads of a published detector beside its weights."""
WHERE = "a run folder, RUN/best, a .safetensors or .onnx file, or hf://owner/name[@revision]"
"""What a detector is found by."""


def save_detector(detector: Detector, path: str | Path, facts: dict[str, Any] | None = None) -> None:
    """Write a detector as one self-describing safetensors file, atomically.

    Args:
        detector: what to save.
        path: ends in `.safetensors`.
        facts: further JSON values to keep in the file's header, such as the epoch and validation AUC.
    """
    header = {**describe_detector(detector), "facts": facts or {}}
    tensors = {name: value.detach().cpu().contiguous() for name, value in detector.state_dict().items()}
    # Through bytes: a full disk is then an ordinary OSError, which atomic_path turns into a message.
    payload = save(tensors, metadata={"fakefreq": json.dumps(header)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(payload)


def describe_detector(detector: Detector) -> dict[str, Any]:
    """Return what a file of weights has to say beside the weights, as JSON values."""
    notice = NOTICES.get(detector.config.backbone) if {"pixel", "peer"} & set(detector.streams) else None
    return {
        "fakefreq": __version__,
        **({"notice": notice} if notice else {}),
        "detector": asdict(detector.config),
        "input": asdict(detector.input),
        "threshold": detector.threshold,
        **({"revision": detector.revision} if detector.revision else {}),
        "known": None if detector.known is None else detector.known.to_dict(),
    }


def load_detector(path: str | Path, device: str = "cpu") -> Detector:
    """Load a trained detector, strictly, in evaluation mode.

    Args:
        path: a run folder (its best weights are taken), `RUN/best`, a `.safetensors` file, an `.onnx` file of
            `fakefreq export`, which scores and cannot be looked into, or the name of a published detector,
            `hf://owner/name[@revision]`, which is fetched into the hub's cache.
        device: `cpu`, `cuda`, `cuda:N`, or `auto`: CUDA where there is one, and the CPU for an .onnx file, which
            computes nowhere else; or `openvino`: an .onnx file on the CPU, by OpenVINO instead of onnxruntime.

    Raises:
        UserError: no such device; nothing there, not written by fakefreq, written by a version that does not agree with
            this one, or the weights do not fit the network.
    """
    path = pin(path)
    file = weights_path(path)
    if file.suffix.lower() == ".onnx":
        if device == "openvino":
            return load_onnx(file, "openvino")
        on_cpu = load_onnx(file)
        return on_cpu if device == "auto" else on_cpu.to(choose_device(device))
    if device == "openvino":
        raise UserError(f"--device openvino is for an .onnx file; `fakefreq export {path} --out FILE.onnx` makes one")
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the weights {file}: {error}") from error
    if "fakefreq" not in metadata:
        raise UserError(f"{file} was not written by fakefreq: it does not say which detector it holds")
    header: dict[str, Any] = {}
    try:
        header = dict(json.loads(metadata["fakefreq"]))
        there = header.get("input", header)  # older files hold what there was of it beside the rest
        given = InputConfig(**{item.name: there[item.name] for item in fields(InputConfig) if item.name in there})
        config, threshold = DetectorConfig(**header["detector"]), float(header["threshold"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} was written by fakefreq {header.get('fakefreq', 'of an unknown version')} and this is "
            f"{__version__}, which reads it otherwise ({error}); use that version, or train again"
        ) from error
    detector = build_detector(config, "none", given)
    try:
        detector.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise UserError(f"the weights in {file} do not fit the detector that it names: {error}") from error
    stored_known = header.get("known")  # older files do not hold it
    known = None if stored_known is None else Known.from_dict(stored_known)
    detector = detector.replace(threshold=threshold, known=known, revision=str(path) if is_hub_name(path) else "")
    return detector.eval().to(choose_device(device))


def weights_path(path: str | Path) -> Path:
    """Return the file that a run folder, `RUN/best`, a file's own path or a name on the hub means.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if is_hub_name(path):
        name = parse_hub_name(path, "model")
        file = fetch(name, [PUBLISHED_WEIGHTS])[0] / PUBLISHED_WEIGHTS
        if not file.is_file():
            raise UserError(f"{name} holds no {PUBLISHED_WEIGHTS}: it is no detector that `fakefreq publish` has sent")
        return file
    given = Path(path)
    candidates = [given, given / "best.safetensors", given / PUBLISHED_WEIGHTS]
    if given.name:  # `.` and `/` have none
        candidates.append(given.with_name(given.name + ".safetensors"))
    try:
        for candidate in candidates if str(path) else ():
            if candidate.is_file():
                return candidate
    except OSError as error:  # a name that is too long, a folder without permission
        raise UserError(f"cannot read the detector {given}: {error.strerror}; give {WHERE}") from error
    shown = str(path) or "''"
    raise UserError(
        f"no trained detector at {shown}: give {WHERE}; `fakefreq train` makes run folders that hold best.safetensors"
    )


def pin(path: str | Path) -> str | Path:
    """Return a name on the hub with its revision's commit, and anything else as it is.

    A branch may have moved on when it is asked for again. The small files of the published detector are fetched.

    Raises:
        UserError: there is no such name, or it is no detector of fakefreq.
    """
    if not is_hub_name(path):
        return path
    folder, name = fetch(parse_hub_name(path, "model"), PUBLISHED_FILES)
    if not (folder / RUN_SETTINGS).is_file():
        raise UserError(f"{name} holds no {RUN_SETTINGS}: it is no detector that `fakefreq publish` has sent")
    logger.info(f"detector: {name}")
    return str(name)
