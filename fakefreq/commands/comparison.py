"""Commands that compare detectors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fakefreq.commands.base import Flat, say
from fakefreq.config.run import TrainConfig


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
class CompareScores:
    """Compare anyone's detectors by their scores alone: tables of path or sha256, and score.

    Each is a CSV that grows towards fake; only images that all of them score are compared, paired, as in `compare`.

    Example: fakefreq compare-scores faces/manifest.csv --scores pixel=a.csv theirs=b.csv --out c.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the table of images"""
    scores: tuple[str, ...]
    """NAME=FILE.csv each; the first is the baseline"""
    out: Path
    """the table to write (.csv)"""
    train_on: tuple[str, ...] = ()
    """generators that were trained on; the others count as unseen, and training images of these are left out"""
    draws: int = 2000
    """bootstrap draws behind the intervals, 100 or more"""
    seed: int = 0
    """of the bootstrap"""

    def run(self) -> None:
        from fakefreq.data.manifests import read_manifest
        from fakefreq.errors import UserError
        from fakefreq.evaluate.comparison import compare_scores, format_table
        from fakefreq.evaluate.outside import common_images, read_outside_scores, select_rows, thresholds_of
        from fakefreq.files import atomic_path

        parts = [entry.partition("=") for entry in self.scores]
        files = {name if file else Path(name).stem: file or name for name, _, file in parts}
        if len(files) < 2 or len(files) < len(self.scores):
            raise UserError("--scores takes two or more NAME=FILE.csv of different names")
        manifest = read_manifest(self.manifest)
        tables = {name: read_outside_scores(file, manifest) for name, file in files.items()}
        tables, left_out = common_images(tables)
        thresholds, tables = thresholds_of(select_rows(tables, self.train_on))
        tables, _ = common_images(tables)
        baseline = next(iter(tables))
        table = compare_scores(tables, thresholds, self.train_on, baseline, self.seed, self.draws)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        if left_out:
            say(f"{left_out} images that not all detectors score are left out")
        say(format_table(table))
        say(f"table: {self.out}")


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


COMMANDS = {"compare": Compare, "compare-scores": CompareScores, "demo": Demo}
