"""Figures of a benchmark's report, drawn from its tables alone."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
    """Return observed share of fakes against predicted probability: a method's seeds together, and pale each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1)
        for number, (method, rows) in enumerate(part.groupby("method", sort=False)):
            colour = COLOURS[number % len(COLOURS)]
            for _, line in rows.groupby("seed", sort=False):
                axes.plot(line["predicted"], line["observed"], color=colour, linewidth=0.7, alpha=0.35)
            mean = together(rows)
            axes.plot(mean["predicted"], mean["observed"], color=colour, linewidth=1.4, label=str(method),
                      marker=MARKERS[number % len(MARKERS)], markersize=4)  # fmt: skip
        axes.set(xlabel="predicted probability of fake", ylabel="observed share", title=title)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.legend(loc="best")
    return figure


def together(bins: pd.DataFrame) -> pd.DataFrame:
    """Return one reliability curve of several: all their images, by tenths of the predicted probability.

    Their own bins do not match: equal mass lies elsewhere in each, and tied probabilities leave some empty.
    """
    weight = bins["n"].to_numpy(dtype=float)
    tenth = np.minimum((bins["predicted"].to_numpy(dtype=float) * 10).astype(int), 9)
    sums = {
        name: np.bincount(tenth, weight * bins[name].to_numpy(dtype=float), 10) for name in ("predicted", "observed")
    }
    images = np.bincount(tenth, weight, 10)
    return pd.DataFrame({name: values[images > 0] / images[images > 0] for name, values in sums.items()})


SIDES = {"both": "both classes", "fakes": "fakes only", "reals": "reals only"}


def robustness_figure(part: pd.DataFrame, title: str = "") -> Figure:
    """Return AUC along the levels of degradations: of both classes, of fakes only, of reals only.

    Args:
        part: rows of robustness.csv of one metric, a row of panels for each family; several training sets are averaged.
        title: of the figure; the families' names by default.
    """
    sides = [name for name in SIDES if (part["applied_to"] == name).any()]
    families = list(dict.fromkeys(part["family"]))
    with mpl.rc_context(STYLE):
        size = (2.6 * len(sides) + 0.6, 2.6 * len(families) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(families), len(sides), sharey=True, squeeze=False)
        for family, row in zip(families, panels, strict=True):
            for side, axes in zip(sides, row, strict=True):
                _robustness_panel(axes, part[(part["applied_to"] == side) & (part["family"] == family)])
                axes.set(xlabel="level" if title else family, title=SIDES[side], ylim=(0, 1.02))
            row[0].set_ylabel("AUC")
        panels[0, 0].legend(loc="lower left")
        figure.suptitle(title, fontsize=10)
    return figure


def _robustness_panel(axes: Axes, part: pd.DataFrame) -> None:
    one_set = part["train_on"].nunique() == 1
    for number, (name, rows) in enumerate(part.groupby("detector", sort=False)):
        colour = COLOURS[number % len(COLOURS)]
        line = rows.groupby("level")[["value", "low", "high", "difference"]].mean()
        bars = np.stack([line["value"] - line["low"], line["high"] - line["value"]]).clip(min=0)
        axes.errorbar(line.index, line["value"], bars if one_set else None, color=colour, label=str(name),
                      marker=MARKERS[number % len(MARKERS)], markersize=4, elinewidth=0.8)  # fmt: skip
        axes.axhline(float((line["value"] - line["difference"]).mean()), color=colour, linestyle=":", linewidth=1)


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
