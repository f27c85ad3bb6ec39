"""fakefreq: do spectra help to tell generated faces from photographs?

>>> import fakefreq
>>> fakefreq.list_detectors("two*")
['two_stream']
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from fakefreq.errors import UserError
from fakefreq.version import __version__

if TYPE_CHECKING:
    from fakefreq import spectra
    from fakefreq.api import audit, benchmark, explain, load_scores, predict, tables
    from fakefreq.models import Detector, create_detector, list_detectors, load_detector, register_detector

__all__ = [
    "Detector",
    "UserError",
    "__version__",
    "audit",
    "benchmark",
    "create_detector",
    "explain",
    "list_detectors",
    "load_detector",
    "load_scores",
    "predict",
    "register_detector",
    "spectra",
    "tables",
]

# What happens is logged, and a program that wants to see it says so: logging.basicConfig(level="INFO").
logging.getLogger(__name__).addHandler(logging.NullHandler())

# `import fakefreq` stays light, so that the command line answers at once: torch comes with the first use.
_LAZY = {
    "Detector": "fakefreq.models",
    "create_detector": "fakefreq.models",
    "list_detectors": "fakefreq.models",
    "load_detector": "fakefreq.models",
    "register_detector": "fakefreq.models",
    "audit": "fakefreq.api",
    "benchmark": "fakefreq.api",
    "explain": "fakefreq.api",
    "load_scores": "fakefreq.api",
    "predict": "fakefreq.api",
    "tables": "fakefreq.api",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name == "spectra":
        return importlib.import_module("fakefreq.spectra")
    raise AttributeError(f"module 'fakefreq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
