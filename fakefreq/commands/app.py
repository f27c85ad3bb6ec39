"""The command that opens a page in the browser for single images."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import tyro

from fakefreq.commands.base import Command


@dataclass
class App:
    """Open a page in the browser: drop an image, or two, and see what a detector says of it and why.

    Needs the extra `app` (gradio). The page is for this machine alone, keeps no image and sends nothing anywhere. Its
    routes /predict and /explain give the same as JSON.

    Example: fakefreq app runs/stylegan
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
    examples: Path | None = None
    """a manifest or a folder of images that the page offers; by default test images of the benchmark or demo, if any"""
    host: str = "127.0.0.1"
    """the address to listen at; 0.0.0.0 lets in whoever reaches this machine, without a password"""
    port: int = 0
    """the port to listen at; 0: the first free one from 7860"""
    max_megabytes: float = 20.0
    """larger files are refused"""
    max_pixels: int = 25_000_000
    """images whose header promises more are refused before they are decoded"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.app.look import Limits
        from fakefreq.app.page import find_examples, need_gradio, serve
        from fakefreq.models import load_detector
        from fakefreq.threads import choose_device

        limits = Limits(self.max_megabytes, self.max_pixels)
        need_gradio()
        detector = load_detector(self.detector).to(choose_device(self.device))
        examples = find_examples(self.detector, self.examples)
        before = signal.signal(signal.SIGTERM, _interrupt)  # so that what was uploaded is deleted then, too
        try:
            serve(detector, limits, examples, self.host, self.port or None)
        finally:
            signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


COMMANDS: dict[str, Callable[..., Command]] = {"app": App}
