"""Figures of a benchmark's report, drawn from its tables alone."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakefreq.report.figures import COLOURS, MARKERS, STYLE, WIDTH

DASHES = ["--", "-", "-.", ":"]


def matrix_figure(part: pd.DataFrame, title: str) -> Figure:
    """Return the AUC of one detector: training sets down, test sets across.

    Args:
        part: rows of matrix.csv of one protocol, track, detector and metric.
        title: above the map.
    """
    values = part.pivot_table(index="train_on", columns="test", values="value")
    rows, columns = values.shape
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(max(WIDTH, 2.2 + 0.62 * columns), 1.8 + 0.4 * rows), layout="constrained")
        axes = figure.add_subplot()
        grid = values.to_numpy(dtype=float)
        axes.imshow(grid, cmap="cividis", vmin=0.5, vmax=1.0, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                colour = "white" if value < 0.75 else "black"
                axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(columns), [str(name) for name in values.columns], rotation=35, ha="right")
        axes.set_yticks(range(rows), [str(name) for name in values.index])
        axes.set(xlabel="tested on", ylabel="trained on", title=title)
    return figure


def curve_figure(part: pd.DataFrame, title: str, det: bool) -> Figure:
    """Return ROC (or DET) curves with their 95 % bands, a line a detector."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, rows) in enumerate(part.groupby("detector", sort=False)):
            x = rows["fpr"].to_numpy(dtype=float)
            y, low, high = (rows[column].to_numpy(dtype=float) for column in ("tpr", "low", "high"))
            if det:
                y, low, high = 1 - y, 1 - high, 1 - low
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(x, y, color=colour, linestyle=DASHES[number % len(DASHES)], label=str(name))
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel="false positive rate", ylabel="miss rate" if det else "true positive rate", title=title)
        if det:
            axes.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1.1))
        axes.legend(loc="best")
    return figure


def reliability_figure(part: pd.DataFrame, title: str) -> Figure:
    """Return observed share of fakes against predicted probability: a method's mean over seeds, and pale its seeds."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1)
        for number, (method, rows) in enumerate(part.groupby("method", sort=False)):
            colour = COLOURS[number % len(COLOURS)]
            for _, line in rows.groupby("seed", sort=False):
                axes.plot(line["predicted"], line["observed"], color=colour, linewidth=0.7, alpha=0.35)
            mean = rows.groupby("bin")[["predicted", "observed"]].mean()
            axes.plot(mean["predicted"], mean["observed"], color=colour, linewidth=1.4, label=str(method),
                      marker=MARKERS[number % len(MARKERS)], markersize=4)  # fmt: skip
        axes.set(xlabel="predicted probability of fake", ylabel="observed share", title=title)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.legend(loc="best")
    return figure


def robustness_figure(part: pd.DataFrame, title: str) -> Figure:
    """Return AUC along the levels of one family of degradations: of both classes, of fakes only, of reals only.

    Args:
        part: rows of robustness.csv of one family and metric; several training sets are averaged.
        title: of the figure.
    """
    sides = [name for name in ("both", "fakes", "reals") if (part["applied_to"] == name).any()]
    one_set = part["train_on"].nunique() == 1
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(sides) + 0.6, 2.9), layout="constrained")
        for axes, side in zip(np.atleast_1d(figure.subplots(1, len(sides), sharey=True)), sides, strict=True):
            of_side = part[part["applied_to"] == side]
            for number, (name, rows) in enumerate(of_side.groupby("detector", sort=False)):
                colour = COLOURS[number % len(COLOURS)]
                line = rows.groupby("level")[["value", "low", "high", "difference"]].mean()
                bars = np.stack([line["value"] - line["low"], line["high"] - line["value"]]).clip(min=0)
                axes.errorbar(line.index, line["value"], bars if one_set else None, color=colour, label=str(name),
                              marker=MARKERS[number % len(MARKERS)], markersize=4, elinewidth=0.8)  # fmt: skip
                axes.axhline(
                    float((line["value"] - line["difference"]).mean()), color=colour, linestyle=":", linewidth=1
                )
            axes.set(xlabel="level", title={"both": "both classes"}.get(side, f"{side} only"), ylim=(0, 1.02))
        first = figure.axes[0]
        first.set_ylabel("AUC")
        first.legend(loc="lower left")
        figure.suptitle(title, fontsize=10)
    return figure


def cost_figure(cost: pd.DataFrame, headline: pd.DataFrame) -> Figure:
    """Return AUC on unseen generators against milliseconds an image, mean over cells, a mark a detector.

    Args:
        cost: cost.csv.
        headline: rows of summary.csv, `mean of unseen`, AUC.
    """
    spent = cost.assign(ms=1000 * cost["score_seconds"] / cost["score_images"]).groupby("detector")["ms"].mean()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.add_subplot()
        means = headline.groupby("detector", sort=False)["value"].mean()
        for number, (name, value) in enumerate(zip(map(str, means.index), means, strict=True)):
            if name in spent.index:
                axes.plot(spent[name], value, MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
                          label=str(name), markersize=8)  # fmt: skip
        axes.set(xlabel="milliseconds an image", ylabel="AUC, mean of unseen")
        axes.legend(loc="best")
    return figure
