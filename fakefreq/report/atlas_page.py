"""The atlas of fingerprints as one self-contained page: generators side by side, on shared scales."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fakefreq.atlas.accumulate import Array
from fakefreq.atlas.measure import Fingerprint
from fakefreq.report.figures import COLOURS, STYLE, WIDTH
from fakefreq.report.html import (
    Section,
    facts_table,
    figure,
    panels,
    paragraph,
    png_element,
    svg_element,
    table,
    write_page,
)

# z beyond this is a lattice, however large.
LATTICE_REACH = 8.0


def write_atlas(path: Path, fingerprints: Sequence[Fingerprint], facts: dict[str, Any]) -> None:
    """Write the page.

    Args:
        path: the .html file.
        fingerprints: one a generator.
        facts: what a reader needs to repeat it.
    """
    planes = [images.log_power.mean for found in fingerprints for images in (found.fakes, found.reals) if images]
    low, high = np.quantile(np.concatenate([plane.ravel() for plane in planes]), [0.005, 0.995])
    differences = [_difference(found) for found in fingerprints if found.reals]
    reach = float(np.quantile(np.abs(np.concatenate([d.ravel() for d in differences])), 0.998)) if differences else 1.0
    sections = [
        Section(
            "",
            paragraph(
                "Mean log power of the luma, Hann-windowed tiles; half-planes: horizontal frequency 0 to 1/2, vertical "
                "-1/2 to 1/2 cycles/pixel. All maps of one kind share one scale. A difference between fakes and reals "
                "is a generator's trace only where both went through the same processing: look at the controls first."
            )
            + panels(
                figure(
                    png_element(draw_map(found.fakes.log_power.mean, "cividis", low, high), f"{found.name}: mean"),
                    f"{found.name} (n = {found.fakes.n})",
                )
                for found in fingerprints
            ),
        )
    ]  # fmt: skip
    for number, found in enumerate(fingerprints):
        sections.append(Section(found.name, _generator(found, number, low, high, max(reach, 1e-6))))
    sections.append(Section("How it was made", facts_table(facts)))
    write_page(path, "Atlas of spectral fingerprints", sections)


def _difference(found: Fingerprint) -> Array:
    assert found.reals is not None
    return found.fakes.log_power.mean - found.reals.log_power.mean


def _generator(found: Fingerprint, number: int, low: float, high: float, reach: float) -> str:
    figures, text = [], f"{found.fakes.n} images, tiles of {found.tile} pixels."
    if found.reals is not None and found.z is not None:
        share = float((np.abs(found.z) > found.limit).mean())
        text = (
            f"{found.fakes.n} fakes, {found.reals.n} reals, tiles of {found.tile} pixels. |z| exceeds "
            f"{found.limit:.1f} at {share:.0%} of the frequencies; shuffled labels do so anywhere in 5 % of cases."
        )
        figures.append(_png(draw_map(found.reals.log_power.mean, "cividis", low, high), found, "reals: mean log power"))
    figures.append(_png(draw_map(found.fakes.log_power.mean, "cividis", low, high), found, "mean log power"))
    if found.reals is not None and found.z is not None:
        figures.append(
            _png(draw_map(_difference(found), "PuOr_r", -reach, reach), found, "fakes less reals, log power")
        )
        span = float(max(np.quantile(np.abs(found.z), 0.995), found.limit * 1.5))
        significant = np.where(np.abs(found.z) > found.limit, found.z, np.nan)
        figures.append(
            _png(draw_map(significant, "PuOr_r", -span, span), found, f"z where |z| > {found.limit:.1f}, else white")
        )
    figures.append(figure(svg_element(_lines(found, "radial"), f"radial-{number}", "radial profile"),
                          "radial profile with the mean's 95 % band"))  # fmt: skip
    figures.append(figure(svg_element(_lines(found, "angular"), f"angular-{number}", "angular profile"),
                          "angular profile, 1/8 to 1/2 cycles/pixel"))  # fmt: skip
    figures.append(_png(_blocks(found), found, "8x8 block DCT: " + ("fakes less reals" if found.reals else "mean")))
    figures.append(_png(_tiles(found), found, "lattice: mean residual of the luma by position modulo 8"))
    for name, images in (("reals", found.reals), ("fakes" if found.reals else "images", found.fakes)):
        if images is not None:
            height = np.sqrt(images.evidence.mean)
            caption = f"lattice of the {name}: root mean z² by frequency, 1 is none; largest {height.max():.1f}"
            figures.append(_png(draw_map(height, "cividis", 0.0, LATTICE_REACH), found, caption))
    rows = [
        [
            f"{peak.vertical:+.3f}",
            f"{peak.horizontal:.3f}",
            f"{peak.z:.1f}",
            f"{peak.z_real:.1f}",
            f"{peak.difference:+.2f}",
        ]
        for peak in found.peaks
    ]
    header = ["vertical", "horizontal", "z", "z of reals", "log power less reals'"]
    peaks = table(header, rows, "Peaks of the mean power, cycles/pixel") if rows else paragraph("No peak above z = 4.")
    return paragraph(text) + panels(figures) + peaks


def _png(drawing: Figure, found: Fingerprint, caption: str) -> str:
    return figure(png_element(drawing, f"{found.name}: {caption}"), caption)


def draw_map(plane: Array, colours: str, low: float, high: float) -> Figure:
    """Return a map of a half-plane of frequencies.

    Args:
        plane: rows of vertical frequency from 0 up and then from -1/2 up, columns of horizontal frequency from 0 up.
        colours: of matplotlib.
        low: value of the first colour.
        high: value of the last.
    """
    rows, columns = plane.shape
    shown = np.fft.fftshift(plane, axes=0)
    half = (0.5 / rows, 0.25 / (columns - 1))
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        drawing = Figure(figsize=(WIDTH * 0.75, 3.4), layout="constrained")
        axes = drawing.add_subplot()
        image = axes.imshow(
            shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest",
            extent=(-half[1], 0.5 + half[1], 0.5 - half[0], -0.5 - half[0]),
        )  # fmt: skip
        axes.set(xlabel="cycles / pixel", ylabel="cycles / pixel")
        axes.set(xticks=[0, 0.25, 0.5], yticks=[-0.5, -0.25, 0, 0.25, 0.5])
        axes.tick_params(labelsize=8)
        drawing.colorbar(image, ax=axes, shrink=0.9, extend="both").ax.tick_params(labelsize=8)
    return drawing


def _lines(found: Fingerprint, kind: str) -> Figure:
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = drawing.add_subplot()
        for name, images, colour in (("fake", found.fakes, COLOURS[1]), ("real", found.reals, COLOURS[0])):
            if images is None:
                continue
            running = images.radial if kind == "radial" else images.angular
            steps = len(running.mean)
            place = np.arange(steps) / (found.tile if kind == "radial" else steps / 180)
            error = 1.96 * np.where(np.isfinite(running.standard_error), running.standard_error, 0.0)
            label = name if found.reals else "images"
            axes.plot(place, running.mean, color=colour, label=label, linestyle="--" if name == "real" else "-")
            axes.fill_between(place, running.mean - error, running.mean + error, color=colour, alpha=0.25, linewidth=0)
        axes.set(xlabel="cycles / pixel" if kind == "radial" else "direction, degrees", ylabel="log power")
        axes.legend()
    return drawing


def _tiles(found: Fingerprint) -> Figure:
    """The mean tiles of reals and fakes side by side, on one scale; images of one size share their phase."""
    sets = [("reals", found.reals), ("fakes" if found.reals else "images", found.fakes)]
    drawn = [(name, images.lattice.mean) for name, images in sets if images is not None]
    reach = max(0.05, *(float(np.abs(tile).max()) for _, tile in drawn))
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        drawing = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        for axes, (name, tile) in zip(drawing.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
            image = axes.imshow(tile, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
            axes.set(title=name, xticks=range(0, 8, 2), yticks=range(0, 8, 2), xlabel="column modulo 8")
        drawing.colorbar(image, ax=drawing.axes, shrink=0.9)
    return drawing


def _blocks(found: Fingerprint) -> Figure:
    plane = found.fakes.blocks.mean - (found.reals.blocks.mean if found.reals else 0.0)
    reach = float(np.abs(plane).max()) or 1.0
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        drawing = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = drawing.add_subplot()
        colours, low = ("PuOr_r", -reach) if found.reals else ("cividis", 0.0)
        image = axes.imshow(plane, cmap=colours, vmin=low, vmax=reach)
        axes.set(xlabel="horizontal coefficient", ylabel="vertical coefficient", xticks=range(8), yticks=range(8))
        drawing.colorbar(image, ax=axes, shrink=0.9)
    return drawing
