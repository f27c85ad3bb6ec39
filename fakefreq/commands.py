"""The commands as data: one dataclass each, whose fields are its flags and whose docstring is its help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol

import tyro

from fakefreq.errors import UserError
from fakefreq.train.experiment import TrainConfig


class Command(Protocol):
    """What every command can do."""

    def run(self) -> None:
        """Do it; raise `UserError` for what the user can mend."""


def say(line: str) -> None:
    """Print a line for the user, at once."""
    print(line, flush=True)


@dataclass
class Index:
    """Make a manifest, the table of images, out of a folder of real and fake images.

    Recognises GENERATOR/{0_real,1_fake}, {real,fake}, real/ with fake/GENERATOR/, and a train|val|test level
    above them. Reads headers and hashes, never whole pictures.

    Example: fakefreq index faces/ --out faces/manifest.csv
    """

    folder: tyro.conf.Positional[Path]
    """the folder of images"""
    out: Path
    """the manifest to write (.csv); its paths are relative to its own folder"""
    group_by: Literal["stem", "file", "folder"] = "stem"
    """images never to be parted by a split: same file name without ending, same bytes only, or same folder"""
    source: tuple[str, ...] = ()
    """where reals come from, as SUBSET=NAME: --source stylegan=ffhq dcgan=celeba"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an unreadable image: stop, or skip it and list it in skipped.csv"""
    allow_one_class: bool = False
    """accept a folder of reals only or fakes only"""
    jobs: int = -1
    """processes; -1: one a core"""

    def run(self) -> None:
        from fakefreq.data.manifest import index_folder

        sources = {}
        for entry in self.source:
            subset, separator, name = entry.partition("=")
            if not separator or not name:
                raise UserError(f"--source takes SUBSET=NAME, such as stylegan=ffhq; got {entry!r}")
            sources[subset] = name
        index_folder(
            self.folder,
            self.out,
            group_by=self.group_by,
            sources=sources,
            on_error=self.on_error,
            allow_one_class=self.allow_one_class,
            jobs=self.jobs,
            say=say,
        )


@dataclass
class Split:
    """Split a manifest into train, val and test: by group, stratified by generator, seeded.

    Example: fakefreq split faces/manifest.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    out: Path | None = None
    """where to write; the manifest itself by default"""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """shares of train, val and test"""
    seed: int = 0
    """of the shuffle"""
    overwrite: bool = False
    """split rows again that have a split already"""

    def run(self) -> None:
        from fakefreq.data.manifest import rewrite_split

        rewrite_split(
            self.manifest, self.out or self.manifest, self.fractions, self.seed, keep=not self.overwrite, say=say
        )


# The configuration's fields become flags without a prefix: --crop, not --config.crop.
Flat = tyro.conf.arg(name="")


@dataclass
class Train:
    """Train one detector: validation chooses the epoch and the threshold, test images are never opened.

    Example: fakefreq train faces/manifest.csv --out runs/stylegan --train-on stylegan --detector two_stream
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """the run folder"""
    config: Annotated[TrainConfig, Flat] = field(default_factory=TrainConfig)
    resume: bool = False
    """go on where an interrupted run stopped"""

    def run(self) -> None:
        from fakefreq.train.loop import train

        summary = train(self.manifest, self.out, self.config, resume=self.resume, say=say)
        say(
            f"best epoch {summary['best_epoch']}: validation AUC {summary['val_auc']:.4f} "
            f"(n = {summary['n_val']}); weights in {self.out / 'best.safetensors'}"
        )


@dataclass
class Score:
    """Score images: one row an image with its logit, which grows towards fake.

    Example: fakefreq score runs/stylegan faces/manifest.csv --out scores.csv --split test
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, or a .safetensors file"""
    manifest: tyro.conf.Positional[Path]
    """the table of images"""
    out: Path
    """the score table to write (.csv)"""
    split: Literal["all", "train", "val", "test"] = "all"
    """which part of the manifest"""
    batch_size: int = 32
    """images a step"""
    workers: int = -1
    """processes that decode; -1 chooses by the number of cores"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an image that does not decode: stop, or skip it and list it beside --out"""

    def run(self) -> None:
        from fakefreq.data.manifest import read_manifest, write_skipped
        from fakefreq.evaluate.score import score_rows, write_scores
        from fakefreq.models import load_detector
        from fakefreq.train.environment import choose_device

        detector = load_detector(self.detector).to(choose_device(self.device))
        rows = read_manifest(self.manifest)
        if self.split != "all":
            rows = rows[rows["split"] == self.split]
        scores, skipped = score_rows(detector, rows, self.manifest.parent, self.batch_size, self.workers, self.on_error)
        write_scores(scores, self.out)
        say(f"{len(scores)} images scored; written to {self.out}")
        if skipped:
            listed = self.out.with_name(f"{self.out.stem}_skipped.csv")
            write_skipped(skipped, listed)
            say(f"{len(skipped)} images skipped; listed with reasons in {listed}")


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
class Predict:
    """Say for image files how fake they look.

    The probability is not calibrated, and it is worth little on generators unlike those trained on.

    Example: fakefreq predict a.jpg b.png --detector runs/stylegan
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files"""
    detector: Path
    """a run folder, RUN/best, or a .safetensors file"""
    out: Path | None = None
    """also write the table to this .csv"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.files import atomic_path
        from fakefreq.models import load_detector
        from fakefreq.train.environment import choose_device

        table = load_detector(self.detector).to(choose_device(self.device)).predict(self.images)
        if self.out:
            with atomic_path(self.out) as temporary:
                table.to_csv(temporary, index=False)
        say(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@dataclass
class Demo:
    """Do the main job on real images that it fetches: CelebA photographs, DCGAN and CycleGAN fakes.

    Trains pixel-only and two-stream on one generator, tests on the other and on resampled photographs.

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
