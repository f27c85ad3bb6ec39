"""The most confident errors of a benchmark, each beside its log spectrum."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fakefreq.data.images.decode import read_image
from fakefreq.errors import UserError
from fakefreq.report.figures import STYLE
from fakefreq.report.html import figure, panels, paragraph, png_element
from fakefreq.report.tables import Benchmark

MOST = 12  # images on a page: each is some 60 kB
WARNING = (
    "These pictures may show people: a page that holds them must not be redistributed. --no-images leaves them out."
)


def gallery(benchmark: Benchmark) -> str:
    """Return the first errors of each detector with their spectra; empty where there is none."""
    errors = benchmark.tables["errors"]
    if errors.empty:
        return ""
    tracks = benchmark.facts.get("tracks", {})
    ranked = errors.sort_values("rank", kind="stable").drop_duplicates(["detector", "kind", "path"])
    count = max(1, MOST // max(1, len(ranked.groupby(["detector", "kind"]))))
    shown, missing = [], 0
    for _, row in ranked.groupby(["detector", "kind"], sort=False).head(count).sort_values("detector").iterrows():
        manifest = tracks.get(str(row["track"]), {}).get("manifest", "")
        try:
            pixels = read_image(Path(manifest).parent / str(row["path"]))
        except (UserError, OSError):
            missing += 1
            continue
        kind = "photograph called fake" if row["kind"] == "false_positive" else "missed fake"
        caption = f"{row['detector']}, {kind}, logit {row['logit']:.3g}: {row['path']}"
        shown.append(figure(png_element(_pair(pixels), caption), caption))
    lost = f" {missing} images were not found through the manifest." if missing else ""
    if not shown:
        return paragraph(f"No image could be read.{lost} errors.csv names them.")
    return paragraph(WARNING + lost) + panels(shown)


def _pair(pixels: np.ndarray) -> Figure:
    luma = pixels.astype(float) @ (0.299, 0.587, 0.114)
    rows, columns = luma.shape
    window = np.outer(np.hanning(rows), np.hanning(columns))
    power = np.abs(np.fft.fftshift(np.fft.fft2((luma - luma.mean()) * window))) ** 2
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        drawing = Figure(figsize=(3.0, 1.5), layout="constrained")
        for axes, picture, colours in zip(
            drawing.subplots(1, 2), (pixels, np.log1p(power)), (None, "cividis"), strict=True
        ):
            axes.imshow(picture, cmap=colours)
            axes.set_axis_off()
    return drawing
