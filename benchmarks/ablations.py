"""What each choice of the default detector is worth: the experiments of `fakefreq ablate` over a folder of faces.

Every variant and the default are trained on one generator with several seeds and tested on the same images, those of
generators that training never saw; differences are paired. Writes one table and one figure. A run that is stopped goes
on where it was: finished trainings in --work are not done again, and table and figure hold what is there.

`--small` is a setting for two CPU cores: 128-pixel crops, three epochs of at most 40 steps. A training of the default
then takes less than a fifth of the operations of five epochs at 224; its numbers rank variants, and no more.

Example: python benchmarks/ablations.py --small --experiments fusion masks --seeds 0 1 2
"""

import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from face_folder import FaceFolder

from fakefreq.benchmarking.experiments import EXPERIMENTS
from fakefreq.benchmarking.presets import ablate
from fakefreq.commands.base import Flat, TrainingCommand, with_config_files
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import read_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.report.figures import draw_ablations

# Needs weights that only timm's hub has.
NEEDS_NETWORK = ("backbone",)


@dataclass(kw_only=True)
class Config(TrainingCommand):
    """What to run.

    Args:
        faces: the folder.
        experiments: names; by default all but `backbone`, whose weights are on timm's hub.
        only: variants to run; all by default.
        seeds: one training of every variant for each.
        small: the setting for two CPU cores.
        config: the default that is taken apart; with --small its crop, epochs and max_steps are replaced.
        jobs: trainings at a time.
        draws: bootstrap draws.
        allow_biased: train although the audit of the training images fails.
        work: folder of manifest, trainings and all tables.
        out: the committed table; the figure lies beside it as .png.
    """

    faces: Annotated[FaceFolder, tyro.conf.arg(name="")] = field(default_factory=FaceFolder)
    experiments: tuple[str, ...] = tuple(name for name in EXPERIMENTS if name not in NEEDS_NETWORK)
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    small: bool = False
    config: Annotated[TrainConfig, Flat] = field(default_factory=lambda: TrainConfig(train_on=("stylegan",)))
    jobs: int = 1
    draws: int = DEFAULT_DRAWS
    allow_biased: bool = False
    work: Path = Path("runs/ablations")
    out: Path = Path("benchmarks/results/ablations_facebench_raw_cpu.csv")


@shown_messages()
def main(config: Config) -> None:
    """Index, split, run the experiments, and copy the table and the figure that are kept."""
    manifest = config.faces.index(config.work / "manifest.csv")
    default = replace(config.config, crop=128, epochs=3, max_steps=40) if config.small else config.config
    table = ablate(
        manifest, config.work, default, config.experiments, config.seeds, only=config.only,
        engine=Engine(jobs=config.jobs), draws=config.draws, allow_biased=config.allow_biased,
    )  # fmt: skip
    draw_ablations(table, config.work / "ablations.png")
    for made, kept in (("ablations.csv", config.out), ("ablations.png", config.out.with_suffix(".png"))):
        with atomic_path(kept) as temporary:
            shutil.copyfile(config.work / made, temporary)
    print(f"{len(read_manifest(manifest))} images, {len(table)} rows: {config.out}")


if __name__ == "__main__":
    try:
        main(with_config_files(tyro.cli(Config, description=__doc__), sys.argv[1:]))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
