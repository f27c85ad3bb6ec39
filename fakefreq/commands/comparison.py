"""Commands that compare detectors."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fakefreq.commands.base import TrainingCommand
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS

logger = logging.getLogger(__name__)


@dataclass
class Compare(TrainingCommand):
    """Train the two-stream detector and the pixel-only baseline alike, test both on every generator, and report.

    Same seed, backbone, batches and budget for both. This is `benchmark --protocol chosen` with its tables and page,
    and comparison.csv beside them.

    Example: fakefreq compare faces/manifest.csv --train-on stylegan --out runs/compare
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """folder of the results; what is finished there is not done again"""
    detectors: tuple[str, ...] = ("pixel", "two_stream")
    """the detectors to compare, instead of --detector; the first is the baseline"""
    seeds: tuple[int, ...] = (0,)
    """one training of each detector for every seed; --seed is unused"""
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals, 100 or more"""
    allow_biased: bool = False
    """train although the audit of the training images fails; every table and the page then say why"""

    def run(self) -> None:
        from fakefreq.benchmarking.presets import compare
        from fakefreq.report.page import write_report
        from fakefreq.report.tables import format_comparison

        self.refuse_detector()
        table = compare(
            self.manifest,
            self.out,
            self.config,
            self.detectors,
            self.seeds,
            draws=self.draws,
            allow_biased=self.allow_biased,
        )
        print(format_comparison(table))
        logger.info(f"table: {self.out / 'comparison.csv'}")
        logger.info(f"report: {write_report(self.out)[0]}")


@dataclass
class CompareScores:
    """Compare anyone's detectors by their scores alone: tables of path or sha256, and logit, score or probability.

    Scores grow towards fake; only images that all detectors score are compared, paired, as in `compare`. A table may
    say its `scale`, `threshold` and `threshold_from`, as those of `fakefreq score` do. A threshold that nothing names
    is chosen on validation images, else assumed; the table and its headings say what is assumed.

    --model runs a detector: a Python file that defines predict(path), which returns one number, or
    predict_batch(paths), which returns as many as there are paths, and perhaps SCALE = "logit" or "probability". It is
    YOUR code: it runs with your rights, in a process of its own, and nothing keeps it from anything that you may do.
    Its scores, with seconds an image, go to OUT_NAME.csv, the images on which it fails to OUT_NAME_failed.csv.

    Example: fakefreq compare-scores faces/manifest.csv --scores pixel=a.csv --model theirs=detector.py --out c.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the table of images"""
    out: Path
    """the table to write (.csv)"""
    scores: tuple[str, ...] = ()
    """NAME=FILE.csv each; the first is the baseline"""
    model: tuple[str, ...] = ()
    """NAME=FILE.py each; without --scores the first is the baseline"""
    train_on: tuple[str, ...] = ()
    """generators that were trained on; the others count as unseen, and training images of these are left out"""
    scale: tuple[str, ...] = ()
    """NAME=logit or NAME=probability, or one for all: what the scores are, where their tables do not say"""
    threshold: tuple[str, ...] = ()
    """NAME=NUMBER on the scores' own scale, or one for all: above it an image is called fake"""
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals, 100 or more"""
    timeout: float = 60.0
    """with --model: seconds that an image may take, or a batch of predict_batch; loading may take ten times as long"""
    batch_size: int = 32
    """with --model: images that predict_batch gets at once"""
    python: str = ""
    """with --model: the Python interpreter that runs it, such as that of the environment it needs; else this one"""

    def run(self) -> None:
        from fakefreq.benchmarking.outside import compare_outside, score_models
        from fakefreq.evaluate.outside_models import ModelRun
        from fakefreq.evaluate.tables import write_csv
        from fakefreq.report.tables import format_comparison

        run = ModelRun(self.timeout, self.batch_size, self.python)
        if not self.model and run != ModelRun():
            raise UserError("--timeout, --batch-size and --python mean nothing without --model; leave them")
        files = list(self.scores)
        if self.model:
            files += score_models(
                self.manifest, self.model, self.out, run, files, train_on=self.train_on, scales=self.scale
            )
        table = compare_outside(self.manifest, files, self.train_on, self.draws, self.scale, self.threshold)
        write_csv(table, self.out)
        print(format_comparison(table))
        logger.info(f"table: {self.out}")


@dataclass
class Evaluate:
    """Write the tables of `benchmark` for one detector: a run folder, or anyone's table of scores.

    A run is scored on the images of the manifest that it may be tested on; its validation chose the threshold.
    Writes metrics.csv, summary.csv, curves.csv, errors.csv, calibration.csv and more.

    Example: fakefreq evaluate runs/stylegan faces/manifest.csv
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, an .onnx file in it, or hf://owner/name[@revision]; or a table of scores, as `compare-scores` takes
    them"""
    manifest: tyro.conf.Positional[Path | None] = None
    """the table of images, or, for a run, a folder; a table of scores that has a label column needs none"""
    out: Path | None = None
    """folder of the tables; RUN/evaluation, RUN/FILE_evaluation or SCORES_evaluation by default, for a detector from
    the hub none"""
    train_on: tuple[str, ...] = ()
    """for a table of scores: generators that were trained on"""
    scale: Literal["", "logit", "probability"] = ""
    """for a table of scores: what they are, where the table does not say"""
    threshold: float | None = None
    """for a table of scores, on their own scale: above it an image is called fake"""
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals, 100 or more"""
    device: str = "auto"
    """for a run: auto, cpu, cuda or cuda:N; or openvino, for an .onnx file"""
    workers: int = -1
    """for a run: processes that decode; -1 chooses by the number of cores"""
    on_error: Literal["stop", "skip"] = "stop"
    """for a run, at an image that does not decode: stop, or skip it and list it in skipped.csv"""

    def run(self) -> None:
        from fakefreq.benchmarking.outside import evaluate_run, evaluate_scores
        from fakefreq.report.tables import format_comparison

        if self.detector.suffix.lower() in (".csv", ".parquet"):
            self._refuse("a table of scores", device="auto", workers=-1, on_error="stop")
            out = self.out or self.detector.with_name(f"{self.detector.stem}_evaluation")
            table = evaluate_scores(
                self.detector, self.manifest, out, self.train_on, self.scale, threshold=self.threshold, draws=self.draws
            )
        else:
            self._refuse("a run", train_on=(), scale="", threshold=None)
            if self.manifest is None:
                raise UserError(f"say what to test on: `fakefreq evaluate {self.detector} MANIFEST`, or a folder")
            table, out = evaluate_run(
                self.detector,
                self.manifest,
                self.out,
                self.draws,
                self.device,
                workers=self.workers,
                on_error=self.on_error,
            )
        print(format_comparison(table))
        logger.info(f"tables: {out}")

    def _refuse(self, what: str, **defaults: object) -> None:
        """Refuse flags that nothing would obey."""
        for name, value in defaults.items():
            if getattr(self, name) != value:
                raise UserError(f"--{name.replace('_', '-')} means nothing for {what} ({self.detector}); leave it")


@dataclass
class Demo:
    """Do the main job on real images that it fetches: CelebA photographs, and fakes of the zoo.

    Trains pixel-only and two-stream on one simulated upsampler; tests on a CycleGAN, on Real-ESRGAN, on three other
    upsamplers, and on photographs that were merely resampled, recompressed or sharpened.

    Example: fakefreq demo --out demo
    """

    out: Path = Path("demo")
    """folder of images and results; what is there is used again"""
    epochs: int = 3
    """passes over the training images"""
    seed: int = 0
    """of everything"""
    allow_biased: bool = False
    """train although the audit of the training images fails; every table and the page then say why"""

    def run(self) -> None:
        from fakefreq.benchmarking.presets import demo
        from fakefreq.files import atomic_path
        from fakefreq.report.figures import gain_figure
        from fakefreq.report.page import write_report
        from fakefreq.report.tables import format_comparison

        started = time.perf_counter()
        table, results, run = demo(self.out, self.epochs, self.seed, self.allow_biased)
        logger.info("step 4 of 4: what came out")
        print(format_comparison(table))
        logger.info(
            "These are small sets of small faces: the demo shows the way, it does not measure the field. "
            "Rows of photographs only give the rate at which real images are called fake."
        )
        logger.info(f"table: {results / 'comparison.csv'}")
        picture = results / "gain.png"
        with atomic_path(picture) as temporary:
            gain_figure(table).savefig(temporary, dpi=150, format="png")
        logger.info(f"figure: {picture}")
        logger.info(f"report: {write_report(results)[0]}   ({time.perf_counter() - started:.0f} s)")
        logger.info(f"next, single images in the browser (extra `app`): fakefreq app {run}")
