"""Which detector still works on generators that it never saw: protocols over a folder of real and GAN faces.

Example: python benchmarks/cross_generator.py --train-on stylegan --seeds 0 1 2
"""

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from face_folder import FaceFolder

from fakefreq.benchmarking.plan import make_plan
from fakefreq.benchmarking.run import benchmark
from fakefreq.commands.base import TrainingCommand, with_config_files
from fakefreq.data.degrade.history import parse_history
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages


@dataclass(kw_only=True)
class Config(TrainingCommand):
    """What to run.

    Args:
        faces: the folder.
        protocol: names, as `fakefreq benchmark` takes them.
        detectors: names, or LABEL=NAME; the first is the baseline.
        set: LABEL.FIELD=VALUE for one of them.
        aligned: a history such as size=128,codec=jpeg:75: adds the aligned track; images too small for it are left out.
        tracks: of raw and aligned, those to run; both by default.
        seeds: one training of every cell for each.
        config: the training.
        jobs: cells at a time.
        draws: bootstrap draws.
        allow_biased: train although the audit of the training images fails.
        work: folder of manifests, trainings and all tables.
        out: the committed tables' common beginning; `_summary.csv` and `_differences.csv` are added.
    """

    faces: Annotated[FaceFolder, tyro.conf.arg(name="")] = field(default_factory=FaceFolder)
    protocol: tuple[str, ...] = ("one_to_all",)
    detectors: tuple[str, ...] = ("pixel", "two_stream")
    set: tuple[str, ...] = ()
    aligned: str = ""
    tracks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    jobs: int = 1
    draws: int = DEFAULT_DRAWS
    allow_biased: bool = False
    work: Path = Path("runs/cross_generator")
    out: Path = Path("benchmarks/results/one_to_all_facebench_raw_cpu")


@shown_messages()
def main(config: Config) -> None:
    """Index, split, align, run the protocols, and copy the tables that are kept."""
    manifest = config.faces.index(config.work / "manifest.csv")
    aligned = None
    if config.aligned:
        from fakefreq.data.manifest.align import align_manifest

        aligned = config.work / "aligned" / "manifest.csv"
        align_manifest(manifest, aligned.parent, parse_history(config.aligned), too_small="skip")
    plan = make_plan(
        {"raw": manifest, "aligned": aligned},
        protocols=config.protocol,
        detectors=config.detectors,
        settings=config.set,
        seeds=config.seeds,
        config=config.config,
        only=config.tracks,
        draws=config.draws,
        allow_biased=config.allow_biased,
    )
    benchmark(plan, config.work / "tables", Engine(jobs=config.jobs), store=config.work / "cells")
    for name in ("summary", "differences"):
        with atomic_path(config.out.with_name(f"{config.out.name}_{name}.csv")) as temporary:
            shutil.copyfile(config.work / "tables" / f"{name}.csv", temporary)


if __name__ == "__main__":
    try:
        main(with_config_files(tyro.cli(Config, description=__doc__), sys.argv[1:]))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
