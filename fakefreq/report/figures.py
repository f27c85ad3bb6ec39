"""Figures of the pages: drawn from tables, without pyplot, colour-blind safe, and embedded in the page itself.

Colours: M. Okabe, K. Ito (2008), Color universal design; maps: J. Nuñez, C. Anderton, R. Renslow (2018), Optimizing
colormaps with consideration for color vision deficiency (cividis). Panels are single figures of phone width, so that
a page can set them side by side or below each other at one size of type.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fakefreq.errors import UserError
from fakefreq.evaluate.scores import split_names
from fakefreq.files import atomic_path

# Okabe and Ito's palette without black and yellow, which are the axes' colour and too pale on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
MARKERS = ["o", "s", "^", "D", "v", "P"]
WIDTH = 3.6  # inches of a panel: 10 pt type is then about 14 px on a page 390 px wide
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # it comes with matplotlib, so a page looks alike on every machine
    "text.parse_math": False,  # names of generators may hold dollar signs
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
DASHES = ["--", "-", "-.", ":"]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    """Of a seventh line the colour comes again, and with it another marker."""
    return MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]


def _shared_marker(number: int) -> str:
    """One marker for the first six lines, another for the next six: where colours alone tell six apart."""
    return MARKERS[number // len(COLOURS) % len(MARKERS)]


def _legend(figure: Figure, axes: Axes, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """Put a legend where there is room: inside up to six lines, else below it.

    Names may begin with an underscore; matplotlib leaves such labels out of a legend.
    """
    if len(names) > len(COLOURS):
        _legend_below(figure, handles, names)
    else:
        _name(axes.legend(handles, [""] * len(names), loc="best"), names)


def _legend_below(figure: Figure, handles: Sequence[Artist], names: Sequence[str], ncols: int = 2) -> None:
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * math.ceil(len(names) / ncols))
    _name(figure.legend(handles, [""] * len(names), loc="outside lower center", ncols=ncols), names)


def _name(legend: Legend, names: Sequence[str]) -> None:
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _panel(height: float = 3.2, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def training_figures(curves: pd.DataFrame) -> dict[str, Figure]:
    """Return the curves of training: loss, and AUC on validation; a colour a detector, a line a seed and training set.

    Args:
        curves: training.csv of a benchmark.
    """
    with mpl.rc_context(STYLE):
        loss_figure, loss = _panel()
        auc_figure, area = _panel()
        last, handles = 1.0, []
        for number, (name, of_detector) in enumerate(curves.groupby("detector", sort=False)):
            colour, marker = _colour(number), _marker(number)
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=str(name)))
            for _, log in of_detector.groupby(["track", "train_on", "seed"], sort=False):
                train, val = log[log["phase"] == "train"], log[log["phase"] == "val"]
                if not len(val):
                    continue
                last = max(last, float(val["epoch"].max()))
                epochs = train["step"] / (val["step"].iloc[0] / val["epoch"].iloc[0])
                loss.plot(epochs, train["loss"], color=colour, linewidth=1, linestyle="--")
                loss.plot(val["epoch"], val["loss"], color=colour, marker=marker, markersize=5)
                area.plot(val["epoch"], val["auc"], color=colour, marker=marker, markersize=5)
        for axes, title in ((loss, "loss (dashed: training)"), (area, "validation AUC")):
            axes.set(title=title, xlabel="epoch")
            axes.set_xlim(0 if axes is loss else 0.8, last + 0.2)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.legend(handles=handles, loc="best")
    return {"loss": loss_figure, "auc": auc_figure}


def difference_figure(table: pd.DataFrame) -> Figure:
    """Return a forest plot: the difference in AUC from the baseline on each test set, with 95 % intervals.

    Args:
        table: rows of differences.csv of one protocol, track, training set and metric, over all seeds.

    Raises:
        UserError: it holds no difference.
    """
    table = table[table["value"].notna()]
    if table.empty:
        raise UserError("there is no difference in AUC to draw: no generator has both reals and fakes")
    names, detectors = list(dict.fromkeys(table["test"])), list(dict.fromkeys(table["detector"]))
    colours = {name: _colour(number + 1) for number, name in enumerate(detectors)}
    offsets = np.linspace(-0.28, 0.28, len(detectors)) if len(detectors) > 1 else np.zeros(1)
    with mpl.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, axes = _panel(height=1.3 + max(0.38, 0.16 * len(detectors)) * len(names), width=4.4)
        axes.axvline(0, color="#444444", linewidth=1)
        for _, row in table.iterrows():
            number = detectors.index(row["detector"])
            y = names.index(row["test"]) + offsets[number]
            colour, mean = colours[row["detector"]], row["kind"] == "mean"
            marker = "D" if mean and number < len(COLOURS) else _shared_marker(number)
            if pd.notna(row["low"]):
                axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2.4 if mean else 1.6)
            face = "white" if str(row.get("seen")).lower() == "true" else colour
            axes.plot(row["value"], y, marker=marker, color=colour, markerfacecolor=face, markersize=7)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(f"AUC less that of {table['baseline'].iloc[0]}")
        if len(detectors) > 1:
            lines = [Line2D([], [], color=colours[name], marker=_shared_marker(n)) for n, name in enumerate(detectors)]
            _legend_below(figure, lines, detectors)
    return figure


def gain_figure(comparison: pd.DataFrame, baseline: str = "pixel") -> Figure:
    """Return the AUC of each detector with its 95 % interval, a row a generator: the seen ones on top, then by AUC.

    Args:
        comparison: as `fakefreq.benchmarking.presets.compare` returns it, of one seed or several (their mean is shown).
        baseline: the detector that the others are compared with.
    """
    rows = comparison[(comparison["metric"] == "auc") & (comparison["kind"] == "generator")]
    rows = rows.assign(seen=rows["seen"].astype(str).str.lower() == "true")
    mean = (
        rows.groupby(["generator", "detector"])[["value", "low", "high", "seen"]].mean(numeric_only=True).reset_index()
    )
    order = (
        mean[mean["detector"] == baseline].sort_values(["seen", "value"], ascending=[True, True])["generator"].tolist()
    )
    detectors = [baseline, *[name for name in rows["detector"].unique() if name != baseline]]
    with mpl.rc_context(STYLE):
        room = max(0.45, 0.13 * len(detectors))
        figure = Figure(figsize=(7.0, 1.0 + room * len(order)), layout="constrained")
        axes, handles = figure.add_subplot(), []
        for number, detector in enumerate(detectors):
            part = mean[mean["detector"] == detector].set_index("generator").reindex(order)
            places = np.arange(len(order)) + (number - (len(detectors) - 1) / 2) * min(0.22, 0.8 / len(detectors))
            bars = np.stack([part["value"] - part["low"], part["high"] - part["value"]]).clip(min=0)
            marker = _shared_marker(number)
            axes.errorbar(part["value"], places, xerr=bars, fmt=marker, color=_colour(number), label=detector,
                          capsize=2, markersize=5)  # fmt: skip
            handles.append(Line2D([], [], color=_colour(number), marker=marker))
        seen = set(rows.loc[rows["seen"], "generator"])
        axes.set_yticks(range(len(order)), [f"{name} (seen)" if name in seen else name for name in order])
        axes.axvline(0.5, color="#666666", linestyle=":", linewidth=1)
        axes.set(xlabel="AUC, 95 % interval", ylim=(-0.6, len(order) - 0.4))
        _legend_below(figure, handles, detectors, ncols=min(4, len(detectors)))
    return figure


def matrix_figure(part: pd.DataFrame, title: str) -> Figure:
    """Return the AUC of one detector: training sets down, test sets across.

    Args:
        part: rows of matrix.csv of one protocol, track, detector and metric.
        title: above the map.
    """
    values = part.pivot_table(index="train_on", columns="test", values="value")
    rows, columns = values.shape
    labels = _training_sets([str(name) for name in values.index], {str(name) for name in values.columns})
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        width = max(WIDTH, 1.4 + 0.075 * max(map(len, labels)) + 0.62 * columns)
        figure = Figure(figsize=(width, 1.8 + 0.4 * rows), layout="constrained")
        axes = figure.add_subplot()
        grid = values.to_numpy(dtype=float)
        axes.imshow(grid, cmap="cividis", vmin=0.5, vmax=1.0, aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                colour = "white" if value < 0.75 else "black"
                axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(columns), [str(name) for name in values.columns], rotation=35, ha="right")
        axes.set_yticks(range(rows), labels)
        axes.set(xlabel="tested on", ylabel="trained on", title=title)
    return figure


def _training_sets(names: list[str], generators: Collection[str]) -> list[str]:
    """Names of training sets for a figure: that of all generators but one is called so.

    >>> _training_sets(["a+b", "a+c", "b+c"], {"a", "b", "c"})
    ['all but c', 'all but b', 'all but a']
    """
    trained_on = [set(split_names(name, generators)) for name in names]
    everything = set[str]().union(*trained_on)
    left_out = [everything - names_of_one for names_of_one in trained_on]
    if len(everything) < 3:
        return names
    return [
        f"all but {others.pop()}" if len(others) == 1 else name for name, others in zip(names, left_out, strict=True)
    ]


def curve_figure(part: pd.DataFrame, title: str, det: bool) -> Figure:
    """Return ROC (or DET) curves with their 95 % bands, a line a detector."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes, handles = figure.add_subplot(), {}
        for number, (name, rows) in enumerate(part.groupby("detector", sort=False)):
            x = rows["fpr"].to_numpy(dtype=float)
            y, low, high = (rows[column].to_numpy(dtype=float) for column in ("tpr", "low", "high"))
            if det:
                y, low, high = 1 - y, 1 - high, 1 - low
            colour, dash = _colour(number), DASHES[(number + number // len(COLOURS)) % len(DASHES)]
            handles[str(name)] = axes.plot(x, y, color=colour, linestyle=dash)[0]
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set(xlabel="false positive rate", ylabel="miss rate" if det else "true positive rate", title=title)
        if det:
            axes.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1.1))
        _legend(figure, axes, list(handles.values()), list(handles))
    return figure


def reliability_figure(part: pd.DataFrame, title: str) -> Figure:
    """Return observed share of fakes against predicted probability: a method's seeds together, and pale each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1)
        for number, (method, rows) in enumerate(part.groupby("method", sort=False)):
            colour = _colour(number)
            for _, line in rows.groupby("seed", sort=False):
                axes.plot(line["predicted"], line["observed"], color=colour, linewidth=0.7, alpha=0.35)
            mean = together(rows)
            axes.plot(mean["predicted"], mean["observed"], color=colour, linewidth=1.4, label=str(method),
                      marker=_marker(number), markersize=4)  # fmt: skip
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
        colour = _colour(number)
        line = rows.groupby("level")[["value", "low", "high", "difference"]].mean()
        bars = np.stack([line["value"] - line["low"], line["high"] - line["value"]]).clip(min=0)
        axes.errorbar(line.index, line["value"], bars if one_set else None, color=colour, label=str(name),
                      marker=_marker(number), markersize=4, elinewidth=0.8)  # fmt: skip
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
        axes, handles = figure.add_subplot(), {}
        means = headline.groupby("detector", sort=False)["value"].mean()
        for number, (name, value) in enumerate(zip(map(str, means.index), means, strict=True)):
            if name in spent.index:
                handles[name] = axes.plot(spent[name], value, _marker(number), color=_colour(number), markersize=8)[0]
        axes.set(xlabel="milliseconds an image", ylabel="AUC, mean of unseen")
        _legend(figure, axes, list(handles.values()), list(handles))
    return figure


def draw_ablations(table: pd.DataFrame, path: Path) -> Figure:
    """Draw the differences in AUC to the default: on average over seen and over unseen generators, or on the only one.

    Args:
        table: as `fakefreq.benchmarking.presets.ablate` returns it.
        path: PNG file to write.
    """
    if "kind" in table:  # older tables lack it
        table = table[table["kind"].isin(["generator", "mean"])]
    means = [test for test in ("mean of unseen", "mean of seen") if (table["test"] == test).any()]
    for of_mean, is_seen in (("mean of unseen", False), ("mean of seen", True)):
        of_kind = table[table["seen"].eq(is_seen) & ~table["test"].str.startswith(("mean of ", "pooled"))]
        if of_mean not in means and of_kind["test"].nunique() == 1:
            means.append(of_kind["test"].iloc[0])
    tests = means or sorted(table["test"].unique())
    rows = list(dict.fromkeys(zip(table["experiment"], table["variant"], strict=True)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.1 + 0.26 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for number, test in enumerate(tests):
            part = table[table["test"] == test].set_index(["experiment", "variant"]).reindex(rows)
            place = np.arange(len(rows)) + (number - (len(tests) - 1) / 2) * 0.3
            values = part["difference"].to_numpy(float)
            errors = np.abs(np.stack([values - part["low"], part["high"] - values]).astype(float))
            axes.errorbar(
                values, place, xerr=errors, fmt=_marker(number), color=_colour(number),
                label=test, markersize=4, elinewidth=1.2,
            )  # fmt: skip
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [f"{experiment}: {variant}" for experiment, variant in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        for number in range(1, len(rows)):
            if rows[number][0] != rows[number - 1][0]:
                axes.axhline(number - 0.5, color="0.6", linewidth=0.6)
        axes.set_xlabel("difference in AUC to the default, 95 %")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=len(tests))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return figure
