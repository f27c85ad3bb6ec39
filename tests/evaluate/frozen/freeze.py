"""Draws small score tables and writes every table that is derived from them, with all digits.

Run as `python -m tests.evaluate.frozen.freeze FOLDER`. The committed tables of `comparison` were written by the version
before `compare` and `benchmark` became one (with this script's counterpart there); later ones have to give the same
numbers. The others were written again when strata of few groups were pooled and a mean took over its parts' notes: of
the rows that were there before only intervals, p-values and notes changed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import ScoreSet, make_score_set
from fakefreq.evaluate.robustness import ROBUSTNESS_COLUMNS, robustness_rows
from fakefreq.evaluate.tables import comparison_view, derive_tables, tidy

FROZEN = Path(__file__).parent
GENERATORS = ("alpha", "beta", "gamma")
CELLS = [("pixel", 0), ("pixel", 1), ("two_stream", 0), ("two_stream", 1), ("frequency", 0)]
DRAWS = 120
GZIP = {"method": "gzip", "mtime": 0}
KEYS = ["path", "sha256", "label", "generator", "source", "subset", "group", "split"]


def draw_manifest() -> pd.DataFrame:
    """Three generators, a test set that is too small, fakes without reals, and a control; some images lack a group."""
    rows: list[tuple[object, ...]] = []

    def add(subset: str, label: int, number: int, group: str, split: str) -> None:
        name = f"{subset}/{label}/{number}.png"
        source = ("" if label else f"photos{number % 2}") if subset != "control" else "photos0"
        rows.append((name, f"{len(rows):04x}", label, subset * label, source, subset, group, split))

    splits = ("val", "train", "test", "test", "test")
    for subset in GENERATORS:
        for number in range(40):
            for label in (0, 1):  # a photograph and its fake are one group
                group = f"{subset}{number}" if subset != "gamma" else f"gamma{number // 2 * 2 + label}"
                split = splits[(number // 2 if subset == "gamma" else number) % 5]
                add(subset, label, number, "" if subset == "beta" else group, split)
    for label in (0, 1):
        for number in range(4):
            add("delta", label, number, f"delta{label}{number}", "test")
    for number in range(2):
        add("epsilon", 1, number, "", "test")
    for number in range(15):
        add("control", 0, number, f"alpha{number * 2}" if number < 5 else "", "test")
    return pd.DataFrame(rows, columns=KEYS)


def draw_cell(manifest: pd.DataFrame, train_on: str, detector: str, seed: int) -> pd.DataFrame:
    """One cell's scores, one decimal each, so that many are tied."""
    rng = np.random.default_rng([GENERATORS.index(train_on), len(detector), seed])
    used = set(manifest.loc[(manifest["subset"] == train_on) & (manifest["split"] != "test"), "group"]) - {""}
    is_val = (manifest["subset"] == train_on) & (manifest["split"] == "val")
    is_test = (manifest["subset"] != train_on) | (manifest["split"] == "test")
    is_test &= ~manifest["group"].isin(used)
    chosen = manifest[is_val | is_test].reset_index(drop=True)
    strength = np.where(chosen["subset"] == train_on, 2.0, 0.7) + 0.2 * len(detector) / 10
    logit = np.round(strength * (chosen["label"] - 0.5) + rng.normal(size=len(chosen)), 1)
    role = np.where((chosen["subset"] == train_on) & (chosen["split"] == "val"), "val", "test")
    return chosen.assign(role=role, logit=logit, detector=detector, train_on=train_on, seed=seed, track="raw")


def draw_degraded(rows: pd.DataFrame, detector: str, seed: int) -> dict[str, np.ndarray]:
    """Logits of some images as they are and after a degradation."""
    rng = np.random.default_rng([7, len(detector), seed])
    plain = np.round(1.2 * (rows["label"].to_numpy() - 0.5) + rng.normal(size=len(rows)), 1)
    return {"none": plain, "jpeg:60:4:2:0": np.round(0.6 * plain + 0.3, 1)}


def threshold_of(detector: str, seed: int) -> float:
    """A drawn cell's threshold."""
    return 0.05 * len(detector) - 0.1 * seed


def draw_scores(manifest: pd.DataFrame) -> pd.DataFrame:
    """All cells below each other."""
    return pd.concat([draw_cell(manifest, name, *key) for name in GENERATORS for key in CELLS], ignore_index=True)[
        ["detector", "train_on", "seed", "track", "role", *KEYS, "logit"]
    ]


def score_sets(
    manifest: pd.DataFrame, scores: pd.DataFrame, protocol: str, training_sets: tuple[str, ...] = GENERATORS
) -> list[ScoreSet]:
    """The score sets of a protocol."""
    draws, found = Draws.of(manifest, DRAWS), []
    for name in training_sets:
        cells = {}
        for detector, seed in CELLS:
            chosen = (scores["detector"] == detector) & (scores["seed"] == seed) & (scores["train_on"] == name)
            if protocol == "matrix":
                chosen &= (scores["role"] == "val") | (scores["split"] == "test")
            cells[detector, seed] = scores[chosen]
        thresholds = {key: threshold_of(*key) for key in CELLS}
        found.append(make_score_set(protocol, "raw", [name], cells, draws, thresholds))
    return found


def compared(manifest: pd.DataFrame, scores: pd.DataFrame, subsets: tuple[str, ...] = ()) -> pd.DataFrame:
    """What `compare` says of the detectors trained on alpha, seed by seed."""
    chosen = scores[scores["subset"].isin(subsets)] if subsets else scores
    return comparison_view(derive_tables(score_sets(manifest, chosen, "chosen", ("alpha",)), "pixel"))


def derived(manifest: pd.DataFrame, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What `benchmark` says of all cells."""
    sets = [one for protocol in ("one_to_all", "matrix") for one in score_sets(manifest, scores, protocol)]
    return derive_tables(sets, "pixel", threads=1)


def swept(manifest: pd.DataFrame) -> pd.DataFrame:
    """What a sweep over degradations says."""
    rows = manifest[(manifest["subset"] != "alpha") | (manifest["split"] == "test")]
    rows = rows.sort_values("path", kind="stable").reset_index(drop=True)
    logits = {key: draw_degraded(rows, *key) for key in CELLS}
    clean = {key: rows.assign(logit=of_key.pop("none"), role="test") for key, of_key in logits.items()}
    thresholds = {key: threshold_of(*key) for key in CELLS}
    scores = make_score_set("one_to_all", "raw", ["alpha"], clean, Draws.of(manifest, DRAWS), thresholds)
    return tidy(robustness_rows(scores, logits), ROBUSTNESS_COLUMNS)


def all_tables(manifest: pd.DataFrame, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Name -> table."""
    found = derived(manifest, scores)
    found["robustness"] = swept(manifest)
    found["comparison"] = compared(manifest, scores)
    found["comparison_one_unseen"] = compared(manifest, scores, ("alpha", "gamma", "control"))
    return found


def main(folder: Path) -> None:
    """Write inputs and tables."""
    manifest = draw_manifest()
    scores = draw_scores(manifest)
    manifest.to_csv(folder / "manifest.csv", index=False)
    scores.to_csv(folder / "scores.csv.gz", index=False, compression=GZIP)
    for name, table in all_tables(manifest, scores).items():
        table.to_csv(folder / f"{name}.csv.gz", index=False, float_format="%.15g", compression=GZIP)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
