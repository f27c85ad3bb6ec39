"""The command that shows why a detector says what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fakefreq.commands.base import Command, say
from fakefreq.errors import UserError


@dataclass
class Explain:
    """Show for image files why a detector calls them fake or real: a page an image, figures and numbers.

    The logit as a sum of terms, the pixels and the frequencies that decided, and the lattice with its p-value. Writes
    explanation.html, explanation.json and PNG figures into a folder of the image's name.

    Example: fakefreq explain a.jpg b.png --detector runs/stylegan --out why
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files"""
    detector: Path
    """a run folder, RUN/best, or a .safetensors file"""
    out: Path
    """folder to write; a page that shows faces must not be redistributed"""
    on_error: Literal["stop", "skip"] = "skip"
    """at an image that cannot be explained: stop, or skip it and say so"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.explaining.page import explain_files
        from fakefreq.models import load_detector
        from fakefreq.train.environment import choose_device, keep_freed_memory

        keep_freed_memory()
        detector = load_detector(self.detector).to(choose_device(self.device))
        explanations, skipped = explain_files(detector, self.images, self.out, self.on_error, say)
        if skipped:
            reasons = "; ".join(f"{path}: {reason}" for path, reason in skipped)
            if not explanations:
                raise UserError(f"no image could be explained: {reasons}")
            say(f"{len(skipped)} of {len(self.images)} images skipped")


COMMANDS: dict[str, Callable[..., Command]] = {"explain": Explain}
