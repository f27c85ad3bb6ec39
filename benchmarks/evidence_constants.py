"""What other constants of the fusion `evidence` would have given on the test folders: gain against loss.

The sum is a function of what `pixel` and `lattice` say of an image and of the pixels' validation scores, so the score
table of a benchmark holds all that it takes. The script says what the constants trade. It chooses nothing: the
constants come from the selection sets (`lattice_selection.py`), as test images may not choose them.

To compare with there are functions of both logits that are fitted to the test images and their labels: logistic
regressions on products of splines, with folders to be found or to be kept weighing more. They are no strict bound:
splines with more knots fit the test images better, and part of that is chance.

Example:
    python benchmarks/evidence_constants.py runs/benchmark/scores.parquet --out runs/evidence_constants.csv
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from evidence_parts import check_detectors
from lattice_selection import evidence
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import SplineTransformer

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.scores import CELL_COLUMNS, load_scores
from fakefreq.files import atomic_path
from fakefreq.models.fusion import LATTICE_SHARE, LEARNT_SHARE
from fakefreq.report.figures import COLOURS, MARKERS
from fakefreq.train.evidence import platt

RHO = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
PI = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
# Weights of the folders that gain most (`Config.found`), and of those that have most to lose (`Config.kept`).
WEIGHTS = ((1, 1), (1, 3), (1, 10), (3, 1), (10, 3), (10, 5), (10, 10), (10, 30), (30, 10))
# Knots of each spline, and the inverse strength of the penalty.
SPLINES = {6: 10.0, 10: 1000.0}
FITTED = "fitted to the test images"


@dataclass
class Config:
    """What to read and to write.

    Args:
        scores: of benchmarks with the detectors pixel, lattice and two_stream; a row of panels each track.
        out: the table; the figure lies beside it.
        found: folders that weigh more where functions are fitted to find them.
        kept: folders that weigh more where functions are fitted to lose nothing on them.
        loss: of the folder that loses most, a dotted line in the figure.
        gain: mean over the unseen generators, a dotted line in the figure.
    """

    scores: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("runs/evidence_constants.csv")
    found: tuple[str, ...] = ("dcgan",)
    kept: tuple[str, ...] = ("stylegan", "stylegan2")
    loss: float = 0.01
    gain: float = 0.15


def parts_of(cell: pd.DataFrame) -> pd.DataFrame:
    """Return a row a test image of one training: subset, label, pixel, lattice, and `learnt`, the calibrated pixel.

    Raises:
        UserError: a detector is missing.
    """
    check_detectors(cell)
    rows = ["path", "role", "label", "subset"]
    said = cell.pivot_table(index=rows, columns="detector", values="logit", observed=True).reset_index()
    validation = said[said["role"] == "val"]
    scale, offset = platt(validation["label"].to_numpy(np.int64), validation["pixel"].to_numpy(np.float64))
    return said.assign(learnt=scale * said["pixel"] + offset)[said["role"] != "val"]


def _areas(scored: pd.DataFrame, names: tuple[str, ...]) -> list[dict[str, object]]:
    return [
        {"subset": str(subset)} | {name: auc(part["label"], part[name]) for name in names}
        for subset, part in scored.groupby("subset", observed=True)
        if part["label"].nunique() == 2
    ]


def gains(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of pixels and of each sum by folder, of one training: rho, pi, subset, pixel, evidence."""
    parts, rows = parts_of(cell), []
    for rho, pi in itertools.product(RHO, PI):
        scored = parts.assign(evidence=evidence(parts, rho, pi))
        rows += [{"rho": rho, "pi": pi, **areas} for areas in _areas(scored, ("pixel", "evidence"))]
    return pd.DataFrame(rows)


def gains_of_fitted(cell: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return the same of functions that are fitted to the test images themselves, by the weights of `WEIGHTS`.

    Each class of each folder weighs as much as any other before the weights.
    """
    parts, rows = parts_of(cell), []
    bounded = np.column_stack([parts["learnt"].clip(-10, 10), parts["lattice"].clip(-5, 12)])
    even = 1000.0 / parts.groupby(["subset", "label"], observed=True)["path"].transform("size").to_numpy(np.float64)
    for knots, penalty in SPLINES.items():
        curves = SplineTransformer(n_knots=knots, knots="quantile").fit_transform(bounded)
        pixel, lattice = np.split(curves, 2, axis=1)
        features = np.column_stack([curves, (pixel[:, :, None] * lattice[:, None]).reshape(len(curves), -1)])
        for found, kept in WEIGHTS:
            weights = even * np.where(parts["subset"].isin(config.found), found, 1)
            weights *= np.where(parts["subset"].isin(config.kept), kept, 1)
            model = LogisticRegression(C=penalty, max_iter=1000).fit(features, parts["label"], sample_weight=weights)
            scored = parts.assign(evidence=model.decision_function(features))
            facts = {"knots": knots, "weight_found": found, "weight_kept": kept}
            rows += [facts | areas for areas in _areas(scored, ("pixel", "evidence"))]
    return pd.DataFrame(rows)


def trade(table: pd.DataFrame, seen: str, by: tuple[str, ...] = ("rho", "pi")) -> pd.DataFrame:
    """Return a row a pair of constants or weights: mean gain over the unseen, the folder that loses most, each AUC."""
    means = table.groupby([*by, "subset"])[["pixel", "evidence"]].mean()
    change = (means["evidence"] - means["pixel"]).unstack()
    facts = pd.DataFrame({
        "gain_unseen": change.drop(columns=seen).mean(axis=1),
        "worst_change": change.min(axis=1),
        "worst": change.idxmin(axis=1),
    })  # fmt: skip
    return facts.join(means["evidence"].unstack().add_prefix("auc_")).reset_index()


def draw(table: pd.DataFrame, config: Config, path: Path) -> None:
    """Mean gain over the unseen against the loss of the folder that loses most: a panel a track, a line a rho."""
    tracks = table["track"].unique()
    fitted, table = table[table["sum"] == FITTED], table[table["sum"] != FITTED]
    figure, axes = plt.subplots(
        1, len(tracks), figsize=(3.4 * len(tracks), 3.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, track in zip(axes[0], tracks, strict=True):
        part = table[table["track"] == track]
        for number, (rho, line) in enumerate(part.groupby("rho")):
            look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            axis.plot(
                line["worst_change"], line["gain_unseen"], markersize=4, linewidth=1, label=f"rho {rho:g}", **look
            )
        chosen = part[(part["rho"] == LEARNT_SHARE) & (part["pi"] == LATTICE_SHARE)]
        axis.plot(
            chosen["worst_change"], chosen["gain_unseen"], "o", markersize=12, markerfacecolor="none", color="black",
            linestyle="none", label="the default",
        )  # fmt: skip
        for knots, best in fitted[fitted["track"] == track].groupby("knots"):
            axis.plot(
                best["worst_change"], best["gain_unseen"], "*", markersize=8, color="0.4" if knots == 6 else "0.7",
                linestyle="none", label=f"{FITTED}, {knots:g} knots",
            )  # fmt: skip
        axis.axvline(-config.loss, color="0.5", linestyle=":")
        axis.axhline(config.gain, color="0.5", linestyle=":")
        axis.set(title=str(track), xlabel="change of the folder that loses most (AUC)")
    axes[0, 0].set_ylabel("mean gain over the unseen (AUC)")
    axes[0, -1].legend(fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def main(config: Config) -> None:
    """Compute all sums, write the table whole, draw it."""
    tables = []
    for path in config.scores:
        scores = load_scores(path).astype({name: str for name in CELL_COLUMNS if name != "seed"})
        for (train_on, track), part in scores.groupby(["train_on", "track"], sort=False):
            cells = [cell for _, cell in part.groupby("seed")]
            sums = trade(pd.concat([gains(cell) for cell in cells]), str(train_on)).assign(sum="evidence")
            fitted = pd.concat([gains_of_fitted(cell, config) for cell in cells])
            sums_of_fitted = trade(fitted, str(train_on), ("knots", "weight_found", "weight_kept")).assign(sum=FITTED)
            both = pd.concat([sums, sums_of_fitted], ignore_index=True)
            tables.append(both.assign(train_on=str(train_on), track=str(track), seeds=len(cells)))
    table = pd.concat(tables, ignore_index=True)
    first = ["train_on", "track", "seeds", "sum", "rho", "pi", "knots", "weight_found", "weight_kept"]
    table = table[[*first, *table.columns.drop(first)]]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(config.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, config, config.out.with_suffix(".png"))
    within = table[table["worst_change"] >= -config.loss]
    best = within.loc[within.groupby(["track", "sum"])["gain_unseen"].idxmax()]
    print(f"the largest mean gain of those that lose at most {config.loss:g} on any folder:")
    print(best.round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
