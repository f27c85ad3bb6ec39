"""A trained detector as safetensors, with all that it needs in the header."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fakefreq.config.detector import DetectorConfig
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Known
from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.models.detector import Detector
from fakefreq.models.registry import build_detector
from fakefreq.version import __version__


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
    return {
        "fakefreq": __version__,
        "detector": asdict(detector.config),
        "input": asdict(detector.input),
        "threshold": detector.threshold,
        "known": None if detector.known is None else detector.known.to_dict(),
    }


def load_detector(path: str | Path) -> Detector:
    """Load a trained detector, strictly, in evaluation mode, on the CPU.

    Args:
        path: a run folder (its best weights are taken), `RUN/best`, or a `.safetensors` file.

    Raises:
        UserError: nothing there, not written by fakefreq, or the weights do not fit the network.
    """
    file = weights_path(path)
    try:
        with safe_open(file, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read the weights {file}: {error}") from error
    if "fakefreq" not in metadata:
        raise UserError(f"{file} was not written by fakefreq: it does not say which detector it holds")
    header = json.loads(metadata["fakefreq"])
    stored = header.get("input", header)  # older files hold what there was of it beside the rest
    given = InputConfig(**{item.name: stored[item.name] for item in fields(InputConfig) if item.name in stored})
    detector = build_detector(DetectorConfig(**header["detector"]), "none", given)
    try:
        detector.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise UserError(f"the weights in {file} do not fit the detector that it names: {error}") from error
    known = header.get("known")  # older files do not hold it
    return detector.replace(
        threshold=float(header["threshold"]), known=None if known is None else Known.from_dict(known)
    ).eval()


def weights_path(path: str | Path) -> Path:
    """Return the safetensors file that a run folder, `RUN/best` or a file's own path means.

    Raises:
        UserError: there is none.
    """
    given = Path(path)
    for candidate in (given, given / "best.safetensors", given.with_name(given.name + ".safetensors")):
        if candidate.is_file():
            return candidate
    raise UserError(
        f"no trained detector at {given}: give a run folder that holds best.safetensors "
        "(made by `fakefreq train`), or a .safetensors file"
    )
