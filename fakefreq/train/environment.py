"""What a run ran on, so that its numbers can be judged and repeated."""

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fakefreq.errors import UserError
from fakefreq.ranks import current
from fakefreq.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "opencv-python", "scikit-learn", "pandas", "safetensors")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return versions, hardware and the command, as JSON values.

    Args:
        device: where the run computes.
    """
    is_command = sys.argv[0].endswith(("fakefreq", str(Path("fakefreq", "__main__.py"))))
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "fakefreq": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "packages": versions,
        "processes": current().size,
        "command": shlex.join(["fakefreq", *sys.argv[1:]]) if is_command else "python API",
    }


def choose_device(name: str) -> torch.device:
    """Return the device that a flag means.

    Args:
        name: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`. Of several processes each takes its own GPU.

    Raises:
        UserError: no such device here.
    """
    ranks = current()
    if ranks.size > 1:
        if name.startswith("cuda:"):
            raise UserError(f"--device {name} is for one process; {ranks.size} work here: use auto, cuda or cpu")
        if name != "cuda" or torch.cuda.is_available():
            return torch.device(ranks.accelerator.device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"unknown device {name!r}; --device takes auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported; it takes auto, cpu, cuda or cuda:N")
    return device
