"""Commands that compare detectors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fakefreq.commands.base import Flat, say
from fakefreq.train.experiment import TrainConfig


@dataclass
class Compare:
    """Train the two-stream detector and the pixel-only baseline alike, test both on every generator, and report.

    Same seed, backbone, batches and budget for both. Writes comparison.csv and a self-contained report.html.

    Example: fakefreq compare faces/manifest.csv --train-on stylegan --out runs/compare
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """folder of the results; what is finished there is not done again"""
    config: Annotated[TrainConfig, Flat] = field(default_factory=TrainConfig)
    detectors: tuple[str, ...] = ("pixel", "two_stream")
    """the detectors to compare; the first is the baseline"""
    seeds: tuple[int, ...] = (0,)
    """one training of each detector for every seed; --seed is unused"""
    draws: int = 2000
    """bootstrap draws behind the intervals, 100 or more"""

    def run(self) -> None:
        from fakefreq.compare import compare
        from fakefreq.evaluate.comparison import format_table

        table = compare(self.manifest, self.out, self.config, self.detectors, self.seeds, self.draws, say=say)
        say(format_table(table))
        say(f"table: {self.out / 'comparison.csv'}")
        say(f"report: {self.out / 'report.html'}")


@dataclass
class Demo:
    """Do the main job on real images that it fetches: CelebA photographs, and fakes of the zoo.

    Trains pixel-only and two-stream on a CycleGAN and a simulated family; tests on a DCGAN, on Real-ESRGAN, on
    another simulated family, and on photographs that were merely resampled, recompressed or sharpened.

    Example: fakefreq demo --out demo
    """

    out: Path = Path("demo")
    """folder of images and results; what is there is used again"""
    epochs: int = 3
    """passes over the training images"""
    seed: int = 0
    """of everything"""

    def run(self) -> None:
        from fakefreq.demo import demo

        demo(self.out, self.epochs, self.seed, say=say)


COMMANDS = {"compare": Compare, "demo": Demo}
