"""The command that takes the default detector apart."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from fakefreq.commands.base import Flat, TrainingCommand
from fakefreq.engines import Engine
from fakefreq.evaluate import DEFAULT_DRAWS

logger = logging.getLogger(__name__)


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
            self.manifest, self.out, self.config, self.experiments, self.seeds, self.only, self.on, self.draws,
            self.allow_biased
        )  # fmt: skip
        draw_ablations(table, self.out / "ablations.png")
        means = table[table["test"].isin(["mean of unseen", "mean of seen"])]
        columns = ["experiment", "variant", "test", "auc", "auc_default", "difference", "low", "high", "n_seeds"]
        print(means[columns].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        logger.info(f"table: {self.out / 'ablations.csv'}")
        logger.info(f"figure: {self.out / 'ablations.png'}")


COMMANDS = {"ablate": Ablate}
