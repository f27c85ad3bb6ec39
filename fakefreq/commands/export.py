"""The command that hands a detector on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

from fakefreq.commands.base import Command

logger = logging.getLogger(__name__)


@dataclass
class Export:
    """Write a trained detector as an ONNX file, held against torch, with its settings in the file's metadata.

    Example: fakefreq export runs/stylegan --out stylegan.onnx --images a.jpg b.png
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, or a .safetensors file"""
    out: Path
    """the .onnx file to write"""
    images: tuple[Path, ...] = ()
    """image files on which the logits are compared with torch's, beside drawn noise"""
    half: bool = False
    """keep the pixel stream's backbone in 16 bits: a file half as large; spectra, lattice and head stay in 32"""

    def run(self) -> None:
        from fakefreq.exporting import export_detector
        from fakefreq.models import load_detector

        written = export_detector(load_detector(self.detector), self.out, self.images, self.half)
        for name, shape in written.inputs.items():
            logger.info(f"input {name}: {' x '.join(map(str, shape))}")
        drawn = f"{written.checked - len(self.images)} batches of drawn noise"
        on = f"{len(self.images)} images and {drawn}" if self.images else drawn
        logger.info(f"largest difference from torch's logits: {written.largest:.2g}, on {on}")
        logger.info(f"{written.precision}; written to {written.path}")


COMMANDS: dict[str, Callable[..., Command]] = {"export": Export}
