"""Robustness: what degradations change, applied to images of both classes, to fakes only and to reals only.

Degrading both classes alike asks what a detector loses. Degrading one class alone asks what it takes a degradation
for: a detector that has learnt a codec calls degraded reals fake, or degraded fakes real.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.data.degrade.language import Degradation, parse_degradation
from fakefreq.data.images.resample import KERNELS
from fakefreq.evaluate.measure import Key, Measured, OfCell, ScoreSet, measure_all
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.seeds import combine_seeds

Row = dict[str, Any]
APPLIED_TO = ("both", "fakes", "reals")
METRICS = ("auc", "accuracy", "fpr", "tpr")
ROBUSTNESS_COLUMNS = [
    "protocol", "track", "train_on", "seed", "detector", "test", "kind", "seen", "family", "degradation", "level",
    "applied_to", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
    "n_real", "n_fake", "note",
]  # fmt: skip
SWEEP = (
    *(f"jpeg:{quality}" for quality in (30, 40, 50, 60, 70, 80, 90, 95, 100)),
    *(f"webp:{quality}" for quality in (30, 50, 70, 90)),
    *(f"blur:{sigma}" for sigma in (0.5, 1, 2)),
    *(f"resize:{factor}:{kernel}" for kernel in KERNELS for factor in (0.5, 0.75, 1.5, 2)),
    *(f"noise:{sigma}" for sigma in (1, 2, 4, 8)),
    *(f"crop:{share}" for share in (0.9, 0.7, 0.5)),
    *(f"double_jpeg:{first}:75" for first in (60, 75, 90)),
    "social",
)
"""What a sweep goes through unless it is told otherwise."""


def read_sweep(texts: tuple[str, ...]) -> dict[str, Degradation]:
    """Return text -> degradation, each once, in the order given.

    Args:
        texts: degradations; `default` stands for `SWEEP`.

    Raises:
        UserError: an unknown degradation.

    >>> list(read_sweep(("jpeg:60", "jpeg:60", "resize:0.5")))
    ['jpeg:60:4:2:0', 'resize:0.5:bicubic']
    """
    found: dict[str, Degradation] = {}
    for text in texts:
        for word in SWEEP if text == "default" else (text,):
            degradation = parse_degradation(word)
            found[str(degradation)] = degradation
    found.pop("none", None)
    return found


def family_and_level(degradation: Degradation) -> tuple[str, float | None]:
    """Return what a degradation's curve is called and where on it this one stands.

    >>> family_and_level(parse_degradation("jpeg:60"))
    ('jpeg 4:2:0', 60.0)
    >>> family_and_level(parse_degradation("resize:0.5:area")), family_and_level(parse_degradation("social"))
    (('resize area', 0.5), ('social', None))
    """
    steps = degradation.steps
    if len(steps) != 1:
        return "chain", None
    name, first, *others = [steps[0].name, *map(str, steps[0].arguments)]
    try:
        return " ".join([name, *others]), float(first)
    except ValueError:  # drawn from a range: there is no one level
        return name, None


def take(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return at most `limit` images of each class of each subset and generator, by hash: the same ones always.

    Args:
        rows: with sha256, or path where it is empty.
        limit: 0 takes all.
    """
    if not limit:
        return rows.reset_index(drop=True)
    key = rows["sha256"].astype(str).where(rows["sha256"].astype(str) != "", rows["path"].astype(str))
    order = key.map(lambda text: hashlib.sha256(text.encode()).hexdigest())
    chosen = rows.assign(order=order).sort_values(["order", "path"])
    chosen = chosen.groupby(["label", "subset", "generator"], observed=True, sort=True).head(limit)
    return chosen.drop(columns="order").sort_values("path").reset_index(drop=True)


def robustness_rows(scores: ScoreSet, degraded: Mapping[Key, Mapping[str, Array]]) -> list[Row]:
    """Return what degradations change, for the cells of one training set.

    Args:
        scores: of the images as they are.
        degraded: (detector, seed) -> degradation -> logits of the same images after it.

    Returns:
        Rows a detector, seed, test set, degradation, class it is applied to and metric, and the same over seeds.
    """

    def measured(logits: Mapping[Key, Array]) -> dict[Key, OfCell]:
        return measure_all(scores, 0.5, metrics=METRICS, logits=logits, kinds=("generator", "control"))

    plain = measured(scores.logits)
    found = _rows(scores, plain, plain, {"family": "none", "degradation": "none", "applied_to": "both"})
    fake = scores.labels == 1
    for text in next(iter(degraded.values())):
        family, level = family_and_level(parse_degradation(text))
        for applied_to in APPLIED_TO:
            changed = {"both": np.ones(len(fake), dtype=bool), "fakes": fake, "reals": ~fake}[applied_to]
            mixed = {key: np.where(changed, degraded[key][text], clean) for key, clean in scores.logits.items()}
            facts = {"family": family, "degradation": text, "level": level, "applied_to": applied_to}
            found += _rows(scores, measured(mixed), plain, facts)
    return found


def _rows(scores: ScoreSet, now: Mapping[Key, OfCell], plain: Mapping[Key, OfCell], facts: Row) -> list[Row]:
    found: list[Row] = []
    for label in scores.detectors:
        keys = [(label, seed) for seed in scores.seeds(label)]
        sets = [[key] for key in keys] + ([keys] if len(keys) > 1 else [])
        for several in sets:
            seed = str(several[0][1]) if len(several) == 1 else "all"
            start = {"protocol": scores.protocol, "track": scores.track, "train_on": scores.train_on, "seed": seed}
            for of, first in now[several[0]].items():
                for metric in METRICS:
                    if metric not in first.values and metric not in first.notes:
                        continue
                    row: Row = {**start, "detector": label, **first.test_set.facts(), **facts, "metric": metric}
                    row["note"] = first.notes.get(metric, "")
                    found.append(row | _values(metric, [(now[key][of], plain[key][of]) for key in several]))
    return found


def _values(metric: str, pairs: Sequence[tuple[Measured, Measured]]) -> Row:
    if any(metric not in one.values for pair in pairs for one in pair):
        return {}
    here = combine_seeds([a.values[metric] for a, _ in pairs], [a.samples[metric] for a, _ in pairs], (0.0, 1.0))
    change = combine_seeds(
        [a.values[metric] - b.values[metric] for a, b in pairs],
        [a.samples[metric] - b.samples[metric] for a, b in pairs],
    )
    return {
        **{"value": here.value, "low": here.low, "high": here.high},
        **{"difference": change.value, "difference_low": change.low, "difference_high": change.high},
    }
