"""What other constants of the fusion `evidence` would have given on the test folders: gain against loss.

The sum is a function of what `pixel` and `lattice` say of an image and of the pixels' validation scores, so the score
table of a benchmark holds all that it takes. The script says what the constants trade. It chooses nothing: the
constants come from the selection sets (`lattice_selection.py`), as test images may not choose them.

Example:
    python benchmarks/evidence_constants.py runs/benchmark/scores.parquet --out runs/evidence_constants.csv
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from evidence_parts import NEEDED
from lattice_selection import evidence
from matplotlib import pyplot as plt

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.scores import CELL_COLUMNS, load_scores
from fakefreq.files import atomic_path
from fakefreq.models.fusion import LATTICE_SHARE, LEARNT_SHARE
from fakefreq.report.figures import COLOURS, MARKERS
from fakefreq.train.evidence import platt

RHO = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
PI = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)


@dataclass
class Config:
    """What to read and to write.

    Args:
        scores: of benchmarks with the detectors pixel, lattice and two_stream; a row of panels each track.
        out: the table; the figure lies beside it.
        loss: of the folder that loses most, a dotted line in the figure.
        gain: mean over the unseen generators, a dotted line in the figure.
    """

    scores: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("runs/evidence_constants.csv")
    loss: float = 0.01
    gain: float = 0.15


def gains(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of pixels and of each sum by folder, of one training: rho, pi, subset, pixel, lattice, evidence.

    Raises:
        UserError: a detector is missing.
    """
    missing = NEEDED - set(cell["detector"])
    if missing:
        raise UserError(f"the scores hold no {', '.join(sorted(missing))}; give those of a benchmark with all three")
    said = cell.pivot_table(
        index=["path", "role", "label", "subset"], columns="detector", values="logit", observed=True
    )
    said = said.reset_index()
    validation = said[said["role"] == "val"]
    scale, offset = platt(validation["label"].to_numpy(np.int64), validation["pixel"].to_numpy(np.float64))
    parts = said.assign(learnt=scale * said["pixel"] + offset)[said["role"] != "val"]
    rows = []
    for rho, pi in itertools.product(RHO, PI):
        scored = parts.assign(evidence=evidence(parts, rho, pi))
        for subset, part in scored.groupby("subset", observed=True):
            if part["label"].nunique() == 2:
                areas = {name: auc(part["label"], part[name]) for name in ("pixel", "lattice", "evidence")}
                rows.append({"rho": rho, "pi": pi, "subset": str(subset), **areas})
    return pd.DataFrame(rows)


def trade(table: pd.DataFrame, seen: str) -> pd.DataFrame:
    """Return a row a pair of constants: mean gain over the unseen generators, the folder that loses most, each AUC."""
    means = table.groupby(["rho", "pi", "subset"])[["pixel", "evidence"]].mean()
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
        axis.axvline(-config.loss, color="0.5", linestyle=":")
        axis.axhline(config.gain, color="0.5", linestyle=":")
        axis.set(title=str(track), xlabel="change of the folder that loses most (AUC)")
    axes[0, 0].set_ylabel("mean gain over the unseen (AUC)")
    axes[0, -1].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def main(config: Config) -> None:
    """Compute all sums, write the table whole, draw it."""
    tables = []
    for path in config.scores:
        scores = load_scores(path).astype({name: str for name in CELL_COLUMNS if name != "seed"})
        for (train_on, track), part in scores.groupby(["train_on", "track"], sort=False):
            found = pd.concat([gains(cell) for _, cell in part.groupby("seed")])
            seeds = part["seed"].nunique()
            tables.append(trade(found, str(train_on)).assign(train_on=str(train_on), track=str(track), seeds=seeds))
    table = pd.concat(tables, ignore_index=True)
    table = table[["train_on", "track", "seeds", *table.columns.drop(["train_on", "track", "seeds"])]]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(config.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, config, config.out.with_suffix(".png"))
    within = table[table["worst_change"] >= -config.loss]
    best = within.loc[within.groupby("track")["gain_unseen"].idxmax()]
    print(f"the largest mean gain of those that lose at most {config.loss:g} on any folder:")
    print(best.round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
