"""Commands that measure detectors by protocol: benchmark, ablate and robustness."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fakefreq.commands.base import Flat, TrainingCommand
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS

logger = logging.getLogger(__name__)


@dataclass
class Benchmark(TrainingCommand):
    """Train and test detectors by protocol, and write the tables of a results section.

    Protocols: chosen (--train-on together, tested on the others), one_to_all (each of --train-on), leave_one_out,
    matrix (each generator alone, tested on each) and all_seen. Every training is a cell with a folder of its own; the
    same command again does only what is missing.

    Example: fakefreq benchmark faces/manifest.csv --protocol matrix leave_one_out --seeds 0 1 2 --out runs/benchmark
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled: the track `raw`"""
    out: Path
    """folder of the tables and, in cells/, of the trainings"""
    native: Path | None = None
    """the same images with nothing resized and one JPEG law for all, as a second manifest: the track `native`"""
    aligned: Path | None = None
    """the same images brought to one size and one codec, as a further manifest: the track `aligned`"""
    tracks: tuple[str, ...] = ()
    """of raw, native and aligned, those to run, as where each has a --crop of its own; all by default"""
    protocol: tuple[str, ...] = ("matrix",)
    """protocols; cells that they share are done once"""
    detectors: tuple[str, ...] = ("pixel", "two_stream")
    """NAME, or LABEL=NAME for another configuration of one: two_stream_fft=two_stream; instead of --detector"""
    set: tuple[str, ...] = ()
    """LABEL.FIELD=VALUE for one detector alone: two_stream_fft.spectrum=fft"""
    baseline: str = ""
    """the label that the others are compared with; the first by default"""
    seeds: tuple[int, ...] = (0,)
    """one training of every cell for each; --seed is unused"""
    on: Annotated[Engine, Flat] = field(default_factory=Engine)
    cells: Path | None = None
    """folder of the trainings, where several benchmarks share one"""
    any_code: bool = False
    """take finished cells although the code has changed since"""
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals, 100 or more"""
    allow_biased: bool = False
    """train although the audit of the training images fails; every table and the page then say why"""
    spectra: int = 200
    """images of each class of each generator that the page's mean spectra are made of; 0: none"""
    prevalence: float = 0.01
    """the share of fakes in the world for which precision is stated"""

    sweep: tuple[str, ...] = ()
    """also test on degraded images: such as jpeg:60 resize:0.5:area, or `default` for some forty of them"""
    sweep_limit: int = 100
    """images of each class of each subset that a degradation is tested on, at most; 0: all"""

    def run(self) -> None:
        from fakefreq.benchmarking.plan import make_plan
        from fakefreq.benchmarking.run import benchmark
        from fakefreq.report.page import write_report

        self.refuse_detector()
        plan = make_plan(
            {"raw": self.manifest, "native": self.native, "aligned": self.aligned},
            protocols=self.protocol,
            detectors=self.detectors,
            settings=self.set,
            seeds=self.seeds,
            config=self.config,
            only=self.tracks,
            baseline=self.baseline,
            draws=self.draws,
            prevalence=self.prevalence,
            allow_biased=self.allow_biased,
            spectra=self.spectra,
        )
        result = benchmark(
            plan, self.out, self.on, self.any_code, self.cells, degrade=self.sweep, degrade_limit=self.sweep_limit
        )
        logger.info(f"tables: {self.out}")
        logger.info(f"report: {write_report(self.out)[0]}")
        if result.failed:
            raise UserError(
                f"{len(result.failed)} of {len(result.outcomes)} cells failed and are missing from the tables; why is "
                f"in {self.out / 'failures.csv'}. The same command again tries them once more"
            )


@dataclass
class Robustness:
    """Test trained detectors on degraded images: of both classes, of the fakes only, of the reals only.

    What is lost on both is a lack of robustness; what changes on one class alone is a bias. Writes robustness.csv.

    Example: fakefreq robustness runs/pixel runs/two_stream --manifest faces/manifest.csv --out runs/robustness
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, as `fakefreq train` leaves them"""
    manifest: Path
    """the table of images; those that a run has been trained on are left out"""
    out: Path
    """folder of robustness.csv and of the scores; what is there is not scored again"""
    sweep: tuple[str, ...] = ("default",)
    """degradations, such as jpeg:60 resize:0.5:area+jpeg:60..95; `default`: some forty of them"""
    limit: int = 100
    """images of each class of each subset, at most; 0: all"""
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    on: Annotated[Engine, Flat] = field(default_factory=Engine)

    def run(self) -> None:
        from fakefreq.benchmarking.sweep import sweep_runs
        from fakefreq.evaluate.robustness import read_sweep

        sweep = read_sweep(self.sweep)
        if not self.runs or not sweep:
            raise UserError("robustness takes one or more run folders, and --sweep one or more degradations")
        table = sweep_runs(
            self.runs, self.manifest, sweep, self.limit, self.out, draws=self.draws, device=self.device, engine=self.on
        )
        logger.info(f"{len(table)} rows: {self.out / 'robustness.csv'}")


@dataclass
class Ablate(TrainingCommand):
    """Run named experiments on the default detector: what each choice of spectrum, fusion, augmentation, ... is worth.

    Without --experiments, lists them with their questions, expectations and costs.

    Example: fakefreq ablate faces/manifest.csv --train-on stylegan --experiments fusion --seeds 0 1 2 --out runs/ablate
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """folder of ablations.csv, ablations.png and the trainings; what is finished there is not done again"""
    experiments: tuple[str, ...] = ()
    """their names"""
    only: tuple[str, ...] = ()
    """variants to run; all of the experiments by default"""
    seeds: tuple[int, ...] = (0,)
    """one training of every variant for each; --seed is unused"""
    on: Annotated[Engine, Flat] = field(default_factory=Engine)
    draws: int = DEFAULT_DRAWS
    """bootstrap draws behind the intervals, 100 or more"""
    allow_biased: bool = False
    """train although the audit of the training images fails; every table then says why"""

    def run(self) -> None:
        from fakefreq.benchmarking.experiments import EXPERIMENTS

        if not self.experiments:
            for experiment in EXPERIMENTS.values():
                print(f"{experiment.name} ({experiment.trainings} trainings a seed): {experiment.question}")
                print(f"  expected: {experiment.expected}")
                print(f"  cost: {experiment.cost}")
                print(f"  variants: {', '.join(experiment.variants)}")
            return
        from fakefreq.benchmarking.presets import ablate
        from fakefreq.report.figures import draw_ablations

        table = ablate(
            self.manifest, self.out, self.config, self.experiments, self.seeds, only=self.only, engine=self.on,
            draws=self.draws, allow_biased=self.allow_biased,
        )  # fmt: skip
        draw_ablations(table, self.out / "ablations.png")
        means = table[table["test"].isin(["mean of unseen", "mean of seen"])]
        columns = ["experiment", "variant", "test", "auc", "auc_default", "difference", "low", "high", "n_seeds"]
        print(means[columns].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        logger.info(f"table: {self.out / 'ablations.csv'}")
        logger.info(f"figure: {self.out / 'ablations.png'}")
