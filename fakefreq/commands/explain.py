"""The command that shows why a detector says what it says."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fakefreq.commands.base import Command
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)


@dataclass
class Explain:
    """Show for image files why a detector calls them fake or real: a page an image, figures and numbers.

    The logit as a sum of terms, the pixels and the frequencies that decided, and the lattice with its p-value. Writes
    explanation.html, explanation.json and PNG figures into a folder of the image's name.

    Example: fakefreq explain a.jpg b.png --detector runs/stylegan --out why
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files, folders (all images in and below them) and patterns"""
    detector: Path
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
    out: Path
    """folder to write; a page that shows faces must not be redistributed"""
    on_error: Literal["tell", "stop", "skip"] = "tell"
    """at an image that cannot be explained: explain the others, list it, and exit with 2 (tell) or 0 (skip); or stop"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.explaining.page import explain_files
        from fakefreq.models import load_detector
        from fakefreq.threads import choose_device

        detector = load_detector(self.detector).to(choose_device(self.device))
        on_error: Literal["stop", "skip"] = "stop" if self.on_error == "stop" else "skip"
        explanations, skipped = explain_files(detector, self.images, self.out, on_error)
        for path, reason in skipped:
            logger.info(f"not explained: {path}: {reason}")
        if skipped and self.on_error != "skip":
            path, reason = skipped[0]
            raise UserError(
                f"{len(skipped)} of {len(explanations) + len(skipped)} images could not be explained, the first "
                f"{path}: {reason}; mend or leave them out, or accept it with --on-error skip"
            )


COMMANDS: dict[str, Callable[..., Command]] = {"explain": Explain}
