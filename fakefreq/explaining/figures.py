"""Figures of an explanation: single panels of phone width, drawn from its numbers."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from fakefreq.explaining.explanation import Explanation
from fakefreq.explaining.frequencies import PLANES, LatticeSeen, SpectrumSeen
from fakefreq.explaining.pixels import HeatMap
from fakefreq.report.atlas_page import draw_map
from fakefreq.report.figures import COLOURS, STYLE, WIDTH

Array = NDArray[np.float64]
REAL, FAKE = COLOURS[0], COLOURS[1]
# Of signed values: negative, towards real, is blue-violet; positive, towards fake, is orange.
SIGNED = "PuOr_r"


def draw_terms(terms: dict[str, float], logit: float, threshold: float) -> Figure:
    """Return the terms as bars, each beginning where the one above ends, and the logit that they add up to."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.5 * (len(terms) + 1)), layout="constrained")
        axes = figure.add_subplot()
        begin = 0.0
        rows = list(terms.items())
        for place, (name, value) in enumerate([*rows, ("logit", logit)]):
            start = 0.0 if place == len(rows) else begin
            axes.barh(-place, value, left=start, height=0.45, color=FAKE if value > 0 else REAL)
            end = start + value
            axes.plot([end, end], [-place - 0.225, -place - 0.775 if place < len(rows) else -place - 0.225],
                      color="#555", linewidth=0.8)  # fmt: skip
            beside = blended_transform_factory(axes.transAxes, axes.transData)
            axes.text(
                0.01, -place + 0.28, f"{name}: {value:+.3f}", transform=beside, fontsize=8, va="bottom",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
            begin = end if place < len(rows) else begin
        axes.axvline(0, color="#555", linewidth=0.8)
        axes.axvline(threshold, color="#555", linestyle="--", linewidth=1)
        low, high = axes.dataLim.intervalx
        room = 0.05 * (high - low) + 0.02
        axes.set(yticks=[], ylim=(-len(rows) - 0.5, 0.8), xlim=(low - room, high + room))
        axes.set_xlabel("logit (dashed: the threshold)")
        axes.grid(visible=False, axis="y")
    return figure


def draw_crop(crop: NDArray[np.uint8]) -> Figure:
    """Return the crop as it is."""
    figure, axes = _picture()
    axes.imshow(crop, interpolation="nearest")
    return figure


def draw_heat(crop: NDArray[np.uint8], heat: HeatMap) -> Figure:
    """Return the heat map over the crop in grey."""
    figure, axes = _picture(room=0.5)
    grey = crop.astype(np.float64).mean(axis=2)
    axes.imshow(grey, cmap="gray", vmin=-60, vmax=315, interpolation="nearest")
    top, left, height, width = heat.box
    reach = float(np.abs(heat.values).max()) or 1.0
    drawn = axes.imshow(
        heat.values, cmap=SIGNED, vmin=-reach, vmax=reach, alpha=0.6, interpolation="bilinear",
        extent=(left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5),
    )  # fmt: skip
    axes.set(xlim=(-0.5, crop.shape[1] - 0.5), ylim=(crop.shape[0] - 0.5, -0.5))
    bar = figure.colorbar(drawn, ax=axes, location="bottom", fraction=0.08, ticks=MaxNLocator(5))
    bar.ax.tick_params(labelsize=8)
    return figure


def draw_spectrum(seen: SpectrumSeen) -> dict[str, tuple[Figure, str]]:
    """Return the panels of a spectrum: name -> (figure, caption)."""
    shown = [seen.seen] if seen.mean is None else [seen.seen, seen.mean]
    known = np.concatenate([values[np.isfinite(values)] for values in shown])
    low, high = (float(value) for value in np.quantile(known, [0.005, 0.995]))
    reach = float(np.nanmax(np.abs(seen.added))) or 1.0
    panels: dict[str, tuple[Figure, str]] = {}
    for place in range(len(seen.seen)):
        plane = "" if len(seen.seen) == 1 else f"{PLANES[place]}: "
        ending = f"_{place}" if plane else ""
        if seen.axes == "profiles":
            panels[f"seen{ending}"] = (_lines(seen, place), f"{plane}what the stream saw, {seen.unit}")
            panels[f"added{ending}"] = (_added_lines(seen, place), f"{plane}what each ring and sector adds")
            continue
        panels[f"seen{ending}"] = (
            _map(seen.axes, seen.seen[place], "cividis", low, high),
            f"{plane}what the stream saw, {seen.unit}",
        )
        if seen.mean is not None:
            panels[f"mean{ending}"] = (
                _map(seen.axes, seen.mean[place], "cividis", low, high),
                f"{plane}mean of the training images, {seen.unit}",
            )
        added = _map(seen.axes, seen.added[place], SIGNED, -reach, reach)
        panels[f"added{ending}"] = (added, f"{plane}what each value adds to the learnt logit")
    panels["bands"] = (_bands(seen), "the learnt logit after each band is removed; dashed: with all bands")
    return panels


def draw_lattice(seen: LatticeSeen) -> dict[str, tuple[Figure, str]]:
    """Return the panels of the lattice: name -> (figure, caption)."""
    scores, by_field = seen.as_plane(seen.scores[0]), seen.as_plane(seen.scores[1:].max(axis=0))
    added = seen.as_plane(seen.added.sum(axis=0))
    size = float(np.abs(seen.tile).max()) or 1.0
    highest, reach = max(float(seen.scores.max()), 3.0), float(np.nanmax(np.abs(added))) or 1.0
    tile = _map("tile", seen.tile, SIGNED, -size, size)
    return {
        "tile": (tile, "tile of luma, mean scaled residual by position modulo 8"),
        "z": (_cells(scores, "cividis", 0.0, highest, "{:.1f}"), "z by frequency, of the mean over the image"),
        "z_by_field": (
            _cells(by_field, "cividis", 0.0, highest, "{:.1f}"),
            "z by frequency, weighted with brightness, its square, Cb or Cr: the largest of the four",
        ),
        "added": (_cells(added, SIGNED, -reach, reach, "{:+.2f}"), "what each frequency adds to l"),
    }


def draw_pixels(explanation: Explanation) -> dict[str, tuple[Figure, str]]:
    """Return the crop and the heat map: name -> (figure, caption)."""
    assert explanation.heat is not None
    side, crop = min(explanation.sight.image.shape[:2]), explanation.crop
    continued = f" (the image has {side} pixels: continued by reflection)" if side < len(crop) else ""
    return {
        "crop": (draw_crop(crop), f"the centre crop that the network reads{continued}"),
        "heat_map": (
            draw_heat(crop, explanation.heat),
            f"{explanation.heat.method}: orange speaks for fake, violet for real",
        ),
    }


def _picture(room: float = 0.0) -> tuple[Figure, Axes]:
    """A square panel without axes, and room below it, in inches."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH, WIDTH + room), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axis_off()
    return figure, axes


def _map(kind: str, plane: Array, colours: str, low: float, high: float) -> Figure:
    if kind == "half-plane":
        return draw_map(plane, colours, low, high)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.add_subplot()
        extent = (0, 0.5, 0.5, 0) if kind == "cells" else None
        drawn = axes.imshow(plane, cmap=colours, vmin=low, vmax=high, interpolation="nearest", extent=extent)
        if kind == "cells":
            axes.set(xlabel="cycles / pixel", ylabel="cycles / pixel")
        elif kind == "blocks":
            axes.set(xlabel="horizontal coefficient", ylabel="vertical coefficient", xticks=range(8), yticks=range(8))
        elif kind == "tile":
            axes.set(xlabel="column modulo 8", ylabel="row modulo 8", xticks=range(8), yticks=range(8))
        else:
            axes.set_axis_off()
        figure.colorbar(drawn, ax=axes, shrink=0.9).ax.tick_params(labelsize=8)
    return figure


def _cells(plane: Array, colours: str, low: float, high: float, form: str) -> Figure:
    """A half-plane of few frequencies, each with its number."""
    rows, columns = plane.shape
    shown = np.fft.fftshift(plane, axes=0)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="auto")
        palette = mpl.colormaps[colours]
        for row, column in np.argwhere(np.isfinite(shown)):
            red, green, blue, _ = palette((shown[row, column] - low) / (high - low))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.45 else "white"
            axes.text(column, row, form.format(shown[row, column]), ha="center", va="center", fontsize=8, color=ink)
        axes.set(xlabel="horizontal, cycles / pixel", ylabel="vertical, cycles / pixel")
        axes.set_xticks(range(columns), [f"{column}/{rows}" for column in range(columns)])
        axes.set_yticks(range(rows), [f"{row - rows // 2}/{rows}" for row in range(rows)])
        axes.tick_params(labelsize=8)
    return figure


def _line_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    return figure, figure.add_subplot()


def _rings(values: Array) -> tuple[Array, Array]:
    """The rings of a profile: frequency, value; the 16 sectors come after them."""
    rings = len(values) - 16
    return np.arange(rings) / (2 * (rings - 1)), values[:rings]


def _lines(seen: SpectrumSeen, place: int) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = _line_panel()
        assert seen.mean is not None
        axes.plot(*_rings(seen.mean[place, 0]), color=REAL, linestyle="--", label="mean of training")
        axes.plot(*_rings(seen.seen[place, 0]), color=FAKE, label="this image")
        axes.set(xlabel="cycles / pixel", ylabel=seen.unit)
        axes.legend()
    return figure


def _added_lines(seen: SpectrumSeen, place: int) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = _line_panel()
        values = seen.added[place, 0]
        axes.bar(range(len(values)), values, color=np.where(values > 0, FAKE, REAL))
        rings = len(values) - 16
        axes.axvline(rings - 0.5, color="#555", linewidth=0.8)
        axes.set(xlabel="rings 0 to 1/2 cycles / pixel | sectors", ylabel="added to the learnt logit")
        axes.set_xticks([0, (rings - 1) / 2, rings - 1], ["0", "1/4", "1/2"])
    return figure


def _bands(seen: SpectrumSeen) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = _line_panel()
        without = np.array([band.learnt for band in seen.bands])
        # Where the logit falls without a band, the band spoke for fake.
        colours = np.where(without < seen.learnt, FAKE, REAL)
        lows = [band.low for band in seen.bands]
        width = 0.8 / 16
        axes.bar(lows, without - seen.learnt, width, seen.learnt, align="edge", color=colours)
        axes.axhline(seen.learnt, color="#555", linestyle="--", linewidth=1)
        axes.set_xticks(np.arange(5) / 8, ["0", "1/8", "1/4", "3/8", "1/2"])
        axes.set(xlabel="band, cycles / pixel", ylabel="learnt logit without it")
    return figure
