"""What this process computes on: its device, threads, memory that is free again, and a record of all that."""

import contextlib
import ctypes
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fakefreq.errors import UserError
from fakefreq.ranks import current
from fakefreq.version import __version__

if TYPE_CHECKING:
    import torch

# Of glibc's mallopt: give no large block a mapping of its own; keep up to 2 GB that is free at the heap's end.
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
KEPT_BYTES = 2_000_000_000
KEEP = "FAKEFREQ_KEEP_MEMORY"
"""The variable that leaves the allocator as it is where it is 0."""


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one CPU thread inside, and as many as before outside.

    Sums in another order, as several threads make them, give other bits. And small images gain less than a factor of
    two from a second thread, while on a busy machine each layer waits for the slower one.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def keep_freed_memory() -> bool:
    """Let this process use freed memory again instead of giving it back to the system; the first detector does it.

    A step on a CPU asks for the same large tensors as the last one. By default glibc maps and unmaps each that is above
    32 MiB, and the system clears every page anew; `benchmarks/freed_memory.py` measures what that costs. At most 2 GB
    that are free stay with the process.

    Returns:
        Whether that was set: on Linux with glibc, unless the user has set one of its `MALLOC_..._` variables, or
        `FAKEFREQ_KEEP_MEMORY=0`.
    """
    is_set = any(name.startswith("MALLOC_") and name.endswith("_") for name in os.environ)
    if sys.platform != "linux" or is_set or os.environ.get(KEEP) == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(o, v) == 1 for o, v in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT_BYTES)))


def choose_device(name: str) -> "torch.device":
    """Return the device that a flag means.

    Args:
        name: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`. Of several processes each takes its own GPU.

    Raises:
        UserError: no such device here.
    """
    import torch

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
