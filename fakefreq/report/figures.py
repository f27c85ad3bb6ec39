"""Figures of a comparison: drawn without pyplot, colour-blind safe, and embedded in the page itself.

Colours: M. Okabe, K. Ito (2008), Color universal design; maps: J. Nuñez, C. Anderton, R. Renslow (2018), Optimizing
colormaps with consideration for color vision deficiency (cividis). Panels are single figures of phone width, so that
a page can set them side by side or below each other at one size of type.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array, auc, roc_curve

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


def detector_of(label: str) -> str:
    """Return the detector in a label of scores or logs.

    >>> detector_of("two_stream, seed 1")
    'two_stream'
    """
    return label.split(", seed ")[0]


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """Return one colour a detector, in the order given; its seeds share it."""
    detectors = list(dict.fromkeys(detector_of(label) for label in labels))
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(detectors)}


def _panel(height: float = 3.2, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _legend(axes: Axes, colours: Mapping[str, str], **options: Any) -> None:
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    axes.legend(handles=handles, **options)


def roc_figure(labels: npt.ArrayLike, logits: Mapping[str, npt.ArrayLike], title: str) -> Figure:
    """Return the ROC curves of detectors on one generator, each with its AUC in the legend.

    Args:
        labels: 0 for real, 1 for fake.
        logits: detector, or "detector, seed N" -> logits in the order of the labels; seeds share a colour.
        title: of the panel: the generator.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _panel(height=3.5)
        colours = colours_of(list(logits))
        areas: dict[str, list[float]] = {}
        for label, values in logits.items():
            name = detector_of(label)
            fpr, tpr = roc_curve(labels, values)
            axes.plot(*_corners(fpr, tpr), color=colours[name], linestyle=_line(name, colours))
            areas.setdefault(name, []).append(auc(labels, values))
        axes.plot([0, 1], [0, 1], color="#777777", linewidth=1, linestyle=":")
        handles = [
            Line2D([], [], color=colours[name], linestyle=_line(name, colours), label=_area_label(name, found))
            for name, found in areas.items()
        ]
        axes.legend(handles=handles, loc="lower right")
        axes.set(title=title, xlabel="false-positive rate", ylabel="true-positive rate")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure


def _line(name: str, colours: Mapping[str, str]) -> Literal["--", "-"]:
    """The baseline is dashed, so that curves stay apart in grey print."""
    return "--" if name == next(iter(colours)) else "-"


def _area_label(name: str, areas: list[float]) -> str:
    if len(areas) == 1:
        return f"{name}: AUC {areas[0]:.3f}"
    return f"{name}: AUC {min(areas):.3f} to {max(areas):.3f}"


def _corners(fpr: Array, tpr: Array) -> tuple[Array, Array]:
    """Drop the points in the middle of straight lines: the curve is the same, its file far smaller."""
    turn = np.diff(fpr[:-1]) * np.diff(tpr[1:]) != np.diff(fpr[1:]) * np.diff(tpr[:-1])
    keep = np.concatenate(([True], turn, [True]))
    return fpr[keep], tpr[keep]


def training_figures(logs: Mapping[str, pd.DataFrame]) -> dict[str, Figure]:
    """Return the curves of training: loss, and AUC on validation.

    Args:
        logs: detector, or "detector, seed N" -> its log.csv, with columns epoch, step, phase, loss and auc.

    Raises:
        UserError: a log without one of these columns.
    """
    colours = colours_of(list(logs))
    with mpl.rc_context(STYLE):
        loss_figure, loss = _panel()
        auc_figure, area = _panel()
        last = 1
        for label, log in logs.items():
            missing = [name for name in ("epoch", "step", "phase", "loss", "auc") if name not in log]
            if missing:
                raise UserError(f"the log of {label} lacks the columns {', '.join(missing)}")
            name = detector_of(label)
            train, val = log[log["phase"] == "train"], log[log["phase"] == "val"]
            if not len(val):
                continue
            last = max(last, int(val["epoch"].max()))
            epochs = train["step"] / (val["step"].iloc[0] / val["epoch"].iloc[0])
            loss.plot(epochs, train["loss"], color=colours[name], linewidth=1, linestyle="--")
            marker = MARKERS[list(colours).index(name) % len(MARKERS)]
            loss.plot(val["epoch"], val["loss"], color=colours[name], marker=marker, markersize=5)
            area.plot(val["epoch"], val["auc"], color=colours[name], marker=marker, markersize=5)
        for axes, title in ((loss, "loss (dashed: training)"), (area, "validation AUC")):
            axes.set(title=title, xlabel="epoch")
            axes.set_xlim(0 if axes is loss else 0.8, last + 0.2)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            _legend(axes, colours, loc="best")
    return {"loss": loss_figure, "auc": auc_figure}


def spectrum_figures(real: Array, fake: Array) -> dict[str, Figure]:
    """Return maps of the mean log spectrum of reals, of fakes, and of their difference.

    Reals and fakes share one scale; that of the difference is symmetric about zero. Scales leave out the outermost
    values, so that the constant component alone does not set them.

    Args:
        real: mean log power, frequency zero at [side // 2, side // 2].
        fake: alike, of the same shape.

    Raises:
        UserError: arrays of different shapes, or values that are not finite.
    """
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if real.ndim != 2 or real.shape != fake.shape:
        raise UserError(f"mean spectra must be two planes of one size; got {real.shape} and {fake.shape}")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise UserError("a mean spectrum has values that are not finite")
    low, high = np.quantile(np.stack([real, fake]), [0.005, 0.995])
    # Equal spectra leave no difference to scale by; any width will do, and zero stays in the middle.
    reach = float(np.quantile(np.abs(fake - real), 0.999)) or 1.0
    return {
        "real": _map(real, "cividis", low, max(high, low + 1e-9)),
        "fake": _map(fake, "cividis", low, max(high, low + 1e-9)),
        "difference": _map(fake - real, "PuOr_r", -reach, reach),
    }


def _map(plane: Array, colours: str, low: float, high: float) -> Figure:
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(size)) for size in plane.shape)
    half_row, half_column = 0.5 / plane.shape[0], 0.5 / plane.shape[1]
    extent = (
        columns[0] - half_column,
        columns[-1] + half_column,
        rows[-1] + half_row,
        rows[0] - half_row,
    )
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = _panel(height=3.0)
        image = axes.imshow(plane, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
        axes.set(xlabel="cycles / pixel", ylabel="cycles / pixel")
        axes.set(xticks=[-0.5, -0.25, 0, 0.25, 0.5], yticks=[-0.5, -0.25, 0, 0.25, 0.5])
        axes.tick_params(labelsize=8)
        figure.colorbar(image, ax=axes, shrink=0.9, extend="both").ax.tick_params(labelsize=8)
    return figure


def comparison_figure(comparison: pd.DataFrame) -> Figure:
    """Return a forest plot: the difference in AUC from the baseline, generator by generator, with 95 % intervals.

    Args:
        comparison: as `compare_scores` returns it, or several seeds of it below each other.

    Raises:
        UserError: it holds no difference in AUC.
    """
    table = comparison[(comparison["metric"] == "auc_difference") & comparison["value"].notna()]
    if table.empty:
        raise UserError("the comparison holds no difference in AUC: no generator has both reals and fakes")
    names = list(dict.fromkeys(table["generator"]))
    names.sort(key=lambda name: str(table.loc[table["generator"] == name, "kind"].iloc[0]) == "mean")
    detectors = [name for name in dict.fromkeys(comparison["detector"]) if name in set(table["detector"])]
    colours = dict(zip(detectors, COLOURS[1:] + COLOURS[:1], strict=False))
    series = list(dict.fromkeys(zip(table["detector"], table["seed"], strict=True)))
    offsets = np.linspace(-0.28, 0.28, len(series)) if len(series) > 1 else np.zeros(1)
    with mpl.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, axes = _panel(height=1.3 + max(0.38, 0.16 * len(series)) * len(names), width=4.4)
        axes.axvline(0, color="#444444", linewidth=1)
        for _, row in table.iterrows():
            y = names.index(row["generator"]) + offsets[series.index((row["detector"], row["seed"]))]
            colour, mean = colours[row["detector"]], row["kind"] == "mean"
            if pd.notna(row["low"]):
                axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2.4 if mean else 1.6)
            face = "white" if row["seen"] else colour
            axes.plot(row["value"], y, marker="D" if mean else "o", color=colour, markerfacecolor=face, markersize=7)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(f"AUC less that of {table['baseline'].iloc[0]}")
        if len(detectors) > 1:
            _legend(axes, colours, loc="upper center", bbox_to_anchor=(0.4, -0.22), ncols=2)
    return figure
