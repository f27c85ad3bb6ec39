"""Ablations: named, frozen experiments, each a question, what to expect, what it costs, and its variants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fakefreq.errors import UserError, choose
from fakefreq.files import atomic_path
from fakefreq.train.experiment import TrainConfig

DEFAULT = "default"


@dataclass(frozen=True)
class Experiment:
    """One question about the default two-stream detector.

    Attributes:
        name: of the experiment.
        question: what is asked.
        expected: what we expect to see, and why; written before it was run.
        variants: label -> what differs from the default, as FIELD=VALUE of `TrainConfig`.
    """

    name: str
    question: str
    expected: str
    variants: dict[str, tuple[str, ...]]

    @property
    def trainings(self) -> int:
        """Trainings a seed, the default's included; that, times one training, is the cost."""
        return 1 + len(self.variants)


def _one_field(field: str, values: Sequence[str], *others: str) -> dict[str, tuple[str, ...]]:
    return {value.replace("+", "_and_"): (f"{field}={value}", *others) for value in values}


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "streams",
            "What does each stream know alone?",
            "Pixels far ahead of any spectrum; block DCT ahead of global spectra on JPEG images.",
            {"pixel": ("detector=pixel",), "frequency": ("detector=frequency",)},
        ),
        Experiment(
            "spectrum",
            "Which spectrum helps the pixels most?",
            "Differences within the spread of seeds; those that see processing most (fft) transfer worst.",
            _one_field(
                "spectrum",
                (
                    "bayar",
                    "block_dct",
                    "dct",
                    "fad",
                    "fft",
                    "fft_residual",
                    "median",
                    "npr",
                    "profiles",
                    "srm",
                    "wavelet",
                ),
            ),
        ),
        Experiment(
            "fusion",
            "How should the streams become one logit?",
            "Sums of logits and gates harm least where the spectrum misleads; concatenation overfits it.",
            _one_field("fusion", ("attention", "concat", "film", "gated", "logit_sum")),
        ),
        Experiment(
            "augmentation",
            "What do one-law degradations of the training images do?",
            "A little lost in domain, more kept under other histories, controls called fake less often.",
            {
                "none": ("degrade=",),
                "jpeg": ("degrade=0.5*jpeg:50..95",),
                "resize": ("degrade=0.5*rescale:0.6..1.25:any",),
                "blur_and_jpeg": ("degrade=0.5*blur:0..3 0.5*jpeg:30..100",),
                "rotation": ("rotate=10",),
                "mask": ("degrade=0.5*mask:0.05..0.3",),
            },
        ),
        Experiment(
            "regularisation",
            "Do averaged weights, mixed images or soft labels help?",
            "Averaged weights a little; mixing hurts traces that live in single pixels.",
            {
                "ema": ("ema=0.99",),
                "mixup": ("mixup=0.2",),
                "label_smoothing": ("label_smoothing=0.1",),
                "auxiliary": ("fusion=logit_sum", "auxiliary=0.5"),
                "stream_dropout": ("stream_dropout=0.3",),
            },
        ),
        Experiment(
            "simulated",
            "Do self-made fakes, photos through simulated upsamplers, carry over to real generators?",
            "They teach upsampling traces, not faces: gains where the generator's last layers show.",
            {"a_quarter": ("simulate=0.25",), "half": ("simulate=0.5",)},
        ),
        Experiment(
            "crop",
            "How large a crop does it take, and what does resizing cost?",
            "Larger is better until the face is whole.",
            _one_field("crop", ("96", "128", "160", "192", "224")),
        ),
        Experiment(
            "freezing",
            "How much of the backbone must move?",
            "All of it: traces lie in low stages.",
            {"all_frozen": ("freeze=all",), "two_stages": ("freeze=2",), "layer_decay": ("layer_decay=0.7",)},
        ),
        Experiment(
            "backbone",
            "Does the frequency stream add to other backbones alike? (weights from timm's hub)",
            "Less to larger ones.",
            _one_field("backbone", ("resnet18", "resnet50", "vgg16", "efficientnet_b0", "convnext_tiny")),
        ),
        Experiment(
            "optimiser",
            "Adam or SGD?",
            "Alike, SGD at ten times the rate.",
            {"adam": ("optimizer=adam",), "sgd": ("optimizer=sgd", "learning_rate=0.01", "head_learning_rate=0.02")},
        ),
    )
}


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
    tables = []
    for experiment in experiments:
        variants = {label: what for label, what in experiment.variants.items() if not only or label in only}
        if not variants:
            continue
        say(f"{experiment.name}: {experiment.question} Expected: {experiment.expected}")
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
        tables.append(_differences(out / experiment.name, experiment.name))
    table = pd.concat(tables, ignore_index=True)
    with atomic_path(out / "ablations.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    draw_ablations(table, out / "ablations.png")
    return table


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
