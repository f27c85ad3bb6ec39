"""What a run ran on, so that its numbers can be judged and repeated."""

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

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
