"""Ablations: the experiments of `fakefreq.experiments` as cells of a benchmark, one table and one figure of all."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError, choose
from fakefreq.experiments import EXPERIMENTS, TAUGHT_BY_DEFAULT, Experiment, Variant
from fakefreq.files import atomic_path
from fakefreq.protocols.cells import SEED

DEFAULT = "default"


def ablate(
    manifest: Path,
    out: Path,
    config: TrainConfig,
    names: Sequence[str],
    seeds: Sequence[int] = (0,),
    only: Sequence[str] = (),
    jobs: int = 1,
    draws: int = 1000,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Run experiments: train every variant and the default alike, test them on the same images, and tell them apart.

    Trainings are cells of `fakefreq.protocols`: shared between experiments, and never done twice.

    Args:
        manifest: with its splits filled.
        out: folder; gets ablations.csv, ablations.png and one benchmark folder an experiment.
        config: the default, with `train_on`.
        names: keys of `EXPERIMENTS`.
        seeds: one training of every variant for each.
        only: variants to run; empty: all of the experiments.
        jobs: trainings at a time.
        draws: bootstrap draws behind the intervals.
        say: called with lines for the user.

    Returns:
        What ablations.csv holds: one row an experiment, variant and test set, its difference to the default in AUC.

    Raises:
        UserError: anything that the user can mend.
    """
    from fakefreq.protocols.benchmark import benchmark, make_plan
    from fakefreq.report.ablation_figure import draw_ablations

    experiments = [EXPERIMENTS[choose(name, list(EXPERIMENTS), "experiment", "--experiments")] for name in names]
    if not experiments:
        raise UserError(f"ablate takes one or more experiments: {', '.join(EXPERIMENTS)}")
    known = [label for experiment in experiments for label in experiment.variants]
    for label in only:
        choose(label, known, "variant", "--only")
    if not config.train_on:
        raise UserError("an ablation tests on generators that it never saw: name those to train on with --train-on")
    tables: list[pd.DataFrame] = []
    for experiment in experiments:
        variants = _variants(experiment, config, only, say)
        if not variants:
            continue
        say(f"{experiment.name}: {experiment.question} Expected: {experiment.expected}")
        if any(TAUGHT_BY_DEFAULT in what for what in variants.values()):
            teachers = _teachers(manifest, out, config, seeds, jobs, say)
            taught = f"teacher={teachers}"
            variants = {
                label: tuple(taught if field == TAUGHT_BY_DEFAULT else field for field in what)
                for label, what in variants.items()
            }
        settings = [f"{label}.{field}" for label, what in variants.items() for field in what if not _names(field)]
        detectors = [f"{DEFAULT}={config.detector}"]
        detectors += [f"{label}={_detector(what, config.detector)}" for label, what in variants.items()]
        plan = make_plan(
            manifest, None, ("one_to_all",), detectors, settings, seeds, config, baseline=DEFAULT, draws=draws
        )
        outcomes = benchmark(plan, out / experiment.name, jobs, store=out / "cells", say=say)
        for outcome in outcomes:
            if not outcome.is_done:
                say(f"{outcome.cell.label} failed; see {out / experiment.name / 'failures.csv'}")
        if not any(outcome.is_done and outcome.cell.label != DEFAULT for outcome in outcomes):
            continue
        tables.append(_differences(out / experiment.name, experiment.name))
        # After each experiment: an ablation that is stopped leaves what it has found.
        table = pd.concat(tables, ignore_index=True)
        with atomic_path(out / "ablations.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        draw_ablations(table, out / "ablations.png")
    if not tables:
        raise UserError("no variant is left to compare with the default: choose others with --experiments or --only")
    return pd.concat(tables, ignore_index=True)


def _variants(
    experiment: Experiment, config: TrainConfig, only: Sequence[str], say: Callable[[str], None]
) -> dict[str, Variant]:
    """The variants to run: those that were asked for and that are not what the default is anyway."""
    from fakefreq.protocols.cells import parse_detectors

    chosen = {}
    for label, what in experiment.variants.items():
        if only and label not in only:
            continue
        settings = [f"{label}.{field}" for field in what if not _names(field)]
        if parse_detectors([f"{label}={_detector(what, config.detector)}"], settings, config)[label] == config:
            say(f"{experiment.name}: {label} is the default")
            continue
        chosen[label] = what
    return chosen


def _teachers(
    manifest: Path, out: Path, config: TrainConfig, seeds: Sequence[int], jobs: int, say: Callable[[str], None]
) -> str:
    """Train the default, as the experiment will anyway, and return where its weights of each seed are kept."""
    from fakefreq.data.manifests import manifest_digest, read_manifest
    from fakefreq.protocols.cells import expand
    from fakefreq.protocols.execute import execute

    digest = manifest_digest(read_manifest(manifest))
    cells = expand([config.train_on], {DEFAULT: config}, seeds, "raw", manifest, digest)
    folder = out / "teachers"
    for outcome in execute(cells, out / "cells", jobs, say=say):
        if not outcome.is_done:
            raise UserError(f"there is nobody to learn from: the default failed: {outcome.error}")
        weights = (outcome.folder / "run" / "best.safetensors").read_bytes()
        with atomic_path(folder / f"seed{outcome.cell.config.seed}.safetensors") as temporary:
            temporary.write_bytes(weights)
    return f"{folder}/seed{SEED}.safetensors"


def _names(field: str) -> bool:
    return field.startswith("detector=")


def _detector(what: Sequence[str], default: str) -> str:
    """The registered name of a variant: its own, or the default's."""
    return next((field.partition("=")[2] for field in what if _names(field)), default)


def _differences(folder: Path, name: str) -> pd.DataFrame:
    """The benchmark's differences in AUC, over all seeds, and the values that they come of."""
    differences = pd.read_csv(folder / "differences.csv", dtype={"seed": str})
    summary = pd.read_csv(folder / "summary.csv")
    chosen = differences[(differences["metric"] == "auc") & (differences["seed"] == "all")]
    values = summary[summary["metric"] == "auc"].set_index(["detector", "test"])["value"].to_dict()
    rows = pd.DataFrame(
        {
            "experiment": name,
            "variant": chosen["detector"],
            "test": chosen["test"],
            "seen": chosen["seen"],
            "auc": [values.get(key) for key in zip(chosen["detector"], chosen["test"], strict=True)],
            "auc_default": [values.get((DEFAULT, test)) for test in chosen["test"]],
            "difference": chosen["value"],
            "low": chosen["low"],
            "high": chosen["high"],
            "n_real": chosen["n_real"],
            "n_fake": chosen["n_fake"],
            "n_seeds": chosen["n_seeds"],
        }
    )
    return rows.reset_index(drop=True)
