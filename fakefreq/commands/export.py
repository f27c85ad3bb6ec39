"""The commands that hand a detector on."""

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
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
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


@dataclass
class Publish:
    """Send a finished run to the Hugging Face hub: weights, settings, evidence, and a model card made from the run.

    The card tells data, protocol, results with intervals, controls, the audit's verdict, limits and misuse. Afterwards
    hf://OWNER/NAME is a detector for every command. Writing needs a token: `hf auth login`, or HF_TOKEN. Names and
    paths of images are not sent.

    Example: fakefreq publish runs/stylegan owner/stylegan-detector --license apache-2.0
    """

    run_folder: tyro.conf.Positional[Path]
    """a run folder, which has ended and been evaluated with `fakefreq evaluate`"""
    name: tyro.conf.Positional[str]
    """owner/name on the hub; the repository is made where it is missing"""
    license: str = ""
    """of the weights, in the hub's short form, such as apache-2.0 or cc-by-nc-4.0; it must be given"""
    evaluation: Path | None = None
    """folder whose metrics.csv tells of this run, from `evaluate` or `benchmark`; RUN/evaluation by default"""
    untested: bool = False
    """publish a run that nothing has tested; the card says so"""
    private: bool = False
    """make the repository private"""
    out: Path | None = None
    """write what would be sent into this folder, and send nothing"""

    def run(self) -> None:
        from fakefreq.publishing.publish import publish_run

        made = publish_run(
            self.run_folder, self.name, self.license, self.evaluation, self.untested, self.private, self.out
        )
        if self.out is None:
            logger.info(f"published: {made}")
        else:
            logger.info(f"nothing was sent; written to {made}: {', '.join(sorted(f.name for f in self.out.iterdir()))}")


COMMANDS: dict[str, Callable[..., Command]] = {"export": Export, "publish": Publish}
