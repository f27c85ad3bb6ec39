"""The report of a benchmark: one self-contained page and the same in Markdown, out of its tables."""

import json
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakefreq.data.images.decode import read_image
from fakefreq.errors import UserError
from fakefreq.evaluate.test_sets import EACH
from fakefreq.files import write_text
from fakefreq.report import figures
from fakefreq.report.atlas_page import draw_map
from fakefreq.report.figures import STYLE
from fakefreq.report.html import (
    Section,
    bullets,
    facts_table,
    figure,
    heading,
    panels,
    paragraph,
    png_element,
    svg_element,
    table,
    write_page,
)
from fakefreq.report.tables import (
    Benchmark,
    export_tables,
    headline_rows,
    markdown,
    read_benchmark,
    shown_tables,
    with_interval,
    without_constants,
)

CAUTIONS = [
    "An AUC is measured against these photographs. Where the photographs and the fakes of a row were resized or "
    "compressed differently, a detector may tell those histories apart instead of the generator.",
    "With one seed an interval covers the choice of test images alone, and another training may differ: compare "
    "several seeds before you call a small difference real.",
    "p (Holm) is corrected over the generators of one training set; p is not.",
    "The threshold was chosen on validation images of the generators trained on. On another generator the AUC may be "
    "high and the accuracy low at once.",
    "Accuracy and average precision depend on the share of fakes among the test images; most real streams of images "
    "hold far fewer.",
    "A control holds photographs alone: a rate there far above that on other photographs means that the detector takes "
    "ordinary processing, such as resampling, for a generator.",
    "A score is no proof about a single image, and the page says nothing about generators that it does not list.",
]
MOST_CURVES = 6  # test sets drawn of each protocol and track: the rest is in curves.csv


def write_report(folder: Path, images: bool = False) -> list[Path]:
    """Write report.html, report.md and tables/ into the folder of a finished benchmark.

    Args:
        folder: as `fakefreq benchmark --out` left it.
        images: show the most confident errors; they are looked for through the manifest.

    Returns:
        The page and the Markdown file.

    Raises:
        UserError: no benchmark is there, or a file cannot be read or written.
    """
    benchmark = read_benchmark(folder)
    lines = [*biased_lines(benchmark), *headline(benchmark)]
    shown = shown_tables(benchmark)
    export_tables(shown, folder / "tables")
    failures = benchmark.tables["failures"]
    if not failures.empty:
        lines.append(f"{len(failures)} cells failed and are missing below; failures.csv says why.")
    sections = [Section("", "\n".join(paragraph(line, "headline") for line in lines))]
    parts = {
        "Audit of the images": audit_text(benchmark),
        "What the AUC gains or loses": _forests(benchmark),
        "Trained on one, tested on another": _matrices(benchmark),
        "ROC and DET curves": _curves(benchmark),
        "Reliability": _reliability(benchmark),
        "Robustness": _robustness(benchmark),
        "Training": _training(benchmark),
        "Mean spectra": _spectra(benchmark),
        "Most confident errors": gallery(benchmark) if images else "",
        "Cost against AUC": _cost(benchmark),
        "Tables": "\n".join(table(item.header, item.rows, item.title) for item in map(without_constants, shown)),
    }
    sections += [Section(title, body) for title, body in parts.items() if body]
    sections.append(Section("How it was made", facts_table(benchmark.facts)))
    sections.append(Section("Cautions", bullets(CAUTIONS)))
    page, text = folder / "report.html", folder / "report.md"
    write_page(page, "Benchmark of detectors", sections)
    facts = {name: benchmark.facts.get(name, "") for name in ("seeds", "baseline", "draws", "code", "tracks")}
    facts["command"] = benchmark.facts.get("environment", {}).get("command", "")
    made = "\n".join(f"- {name}: `{value}`" for name, value in facts.items())
    body = "\n\n".join(
        [
            "# Benchmark of detectors",
            *(line.replace("<", "&lt;") for line in lines),
            *(line.replace("<", "&lt;") for line in audit_lines(benchmark)),
            *map(markdown, map(without_constants, shown)),
            "## How it was made",
            made,
        ]
    )
    write_text(text, body + "\n")
    return [page, text]


def audit_lines(benchmark: Benchmark) -> list[str]:
    """Return the verdict of each track's audit, which lies beside its manifest, or that there is none."""
    lines = []
    for track, facts in benchmark.facts.get("tracks", {}).items():
        path = Path(str(facts.get("manifest", ""))).parent / "audit" / "audit.json"
        try:
            audit = json.loads(path.read_text(encoding="utf-8"))
            verdict, findings, digest = audit["verdict"], audit["findings"], audit["manifest"]["digest"]
            reasons = [f"{one['part']}: {one['reasons'][0]}." for one in findings if one["verdict"] != "pass"]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            lines.append(f"Track {track}: there is no audit beside its manifest; `fakefreq audit` makes one.")
            continue
        other = "" if digest == facts.get("digest") else " (of another state of the manifest)"
        lines.append(f"Track {track}: the audit says {verdict}{other}. {' '.join(reasons)}".strip())
    return lines


def biased_lines(benchmark: Benchmark) -> list[str]:
    """Return a warning for each training set that failed the audit and was trained on all the same."""
    return [
        f"Biased ({found['track']}): {found['reason']} Trained all the same, with --allow-biased: a detector may have "
        "learnt that instead of the generators."
        for found in benchmark.facts.get("biased", [])
    ]


def audit_text(benchmark: Benchmark) -> str:
    """Return the audits' verdicts as paragraphs."""
    return "\n".join(map(paragraph, audit_lines(benchmark)))


def headline(benchmark: Benchmark) -> list[str]:
    """Return what the benchmark says in plain sentences: one for each protocol, track, training set and detector.

    Where a protocol has a row over all its training sets, that row alone speaks for it.
    """
    rows = headline_rows(benchmark.tables["differences"])
    if rows.empty:
        return ["No difference in AUC on unseen generators could be measured: see the notes in differences.csv."]
    lines = []
    for _, part in rows.groupby(["protocol", "track", "detector"], sort=False):
        pooled = part[part["train_on"] == EACH]
        for _, row in (part if pooled.empty else pooled).iterrows():
            low, high = float(row["low"]), float(row["high"])
            verdict = "The interval holds zero: no difference is shown."
            if math.isnan(low):
                verdict = "There are too few images for an interval."
            elif low > 0:
                verdict = "The interval lies above zero."
            elif high < 0:
                verdict = "The interval lies below zero."
            trained = "" if pd.isna(row["train_on"]) else f", trained on {row['train_on']}"
            trained = ", mean over the training sets" if row["train_on"] == EACH else trained
            value = with_interval(float(row["value"]), low, high, signed=True)
            lines.append(
                f"{row['protocol']}, {row['track']}{trained}: on unseen generators {row['detector']} changes the mean "
                f"AUC by {value} against {row['baseline']}, {row['n_seeds']} seeds. {verdict}"
            )
    return lines


def _forests(benchmark: Benchmark) -> str:
    differences = benchmark.tables["differences"]
    if differences.empty:
        return ""
    chosen = differences[(differences["metric"] == "auc") & (differences["seed"].astype(str) == "all")]
    chosen = chosen[chosen["kind"].isin(["generator", "mean"]) & chosen["value"].notna()]
    drawn, left = [], 0
    for number, (key, part) in enumerate(chosen.groupby(["protocol", "track", "train_on"], sort=False, dropna=False)):
        if number >= MOST_CURVES:
            left += 1
            continue
        caption = f"{key[0]}, {key[1]}, trained on {key[2]}"
        drawing = figures.difference_figure(part)
        drawn.append(figure(svg_element(drawing, f"forest-{number}", f"Difference in AUC: {caption}"), caption))
    text = (
        "Difference in AUC from the baseline on the same images, with 95 % intervals. Right of zero: better than the "
        "baseline. Filled circle: generator unseen in training; open circle: seen; diamond: mean."
    )
    more = f" {left} more are in differences.csv." if left else ""
    return paragraph(text + more) + panels(drawn) if drawn else ""


def _training(benchmark: Benchmark) -> str:
    curves = benchmark.tables["training"]
    if curves.empty:
        return ""
    drawn = figures.training_figures(curves)
    captions = {
        "loss": "Loss: dashed over the training batches of the epoch so far, with markers on validation.",
        "auc": "AUC on validation images. Its highest value chose the weights.",
    }
    return panels(figure(svg_element(drawn[key], f"training-{key}", text), text) for key, text in captions.items())


def _spectra(benchmark: Benchmark) -> str:
    text = (
        "Mean log power of the luma, Hann-windowed tiles; half-planes: horizontal frequency 0 to 1/2, vertical -1/2 to "
        "1/2 cycles/pixel. Reals and fakes of a row share one scale. A lattice of dots in the difference is what an "
        "upsampling layer leaves; a smooth difference may come from another history of the photographs."
    )
    found = []
    for track in benchmark.facts.get("tracks", {}):
        path = benchmark.folder / "spectra" / track / "spectra.npz"
        if not path.is_file():
            continue
        with np.load(path) as arrays:
            planes = {name: arrays[name] for name in arrays.files}
        ending = "/fake/log_power"
        for name in [key.removesuffix(ending) for key in planes if key.endswith(ending)]:
            fake, real = planes[f"{name}/fake/log_power"], planes.get(f"{name}/real/log_power")
            if real is None:
                continue  # a control, or fakes without photographs: there is nothing to compare
            low, high = (float(value) for value in np.quantile(np.stack([real, fake]), [0.005, 0.995]))
            # Equal spectra leave no difference to scale by; any width will do.
            reach = float(np.quantile(np.abs(fake - real), 0.998)) or 1.0
            maps = {
                "photographs": draw_map(real, "cividis", low, max(high, low + 1e-9)),
                "fakes": draw_map(fake, "cividis", low, max(high, low + 1e-9)),
                "fakes less photographs": draw_map(fake - real, "PuOr_r", -reach, reach),
            }
            drawn = [
                figure(png_element(drawing, f"Mean spectrum, {name}: {caption}"), f"{name}: {caption}")
                for caption, drawing in maps.items()
            ]
            found += [heading(f"{name} ({track})"), panels(drawn)]
    return "\n".join([paragraph(text), *found]) if found else ""


def _matrices(benchmark: Benchmark) -> str:
    matrix = benchmark.tables["matrix"]
    if matrix.empty:
        return ""
    chosen = matrix[(matrix["metric"] == "auc") & (matrix["kind"] == "generator") & matrix["value"].notna()]
    drawn = []
    for key, part in chosen.groupby(["protocol", "track", "detector"], sort=False):
        title = ", ".join(map(str, key))
        element = png_element(figures.matrix_figure(part, str(key[2])), f"AUC of {title}, as in the tables below")
        drawn.append(figure(element, f"{title}: AUC, mean over seeds", wide=part["test"].nunique() > 6))
    return panels(drawn) if drawn else ""


def _curves(benchmark: Benchmark) -> str:
    curves = benchmark.tables["curves"]
    if curves.empty:
        return ""
    drawn, left = [], 0
    names = dict.fromkeys(zip(curves["protocol"], curves["track"], curves["train_on"], curves["test"], strict=True))
    groups = [key for key in names if str(key[3]).startswith("pooled")] or list(names)
    for number, key in enumerate(groups):
        if number >= MOST_CURVES:
            left += 1
            continue
        part = curves[(curves[["protocol", "track", "train_on", "test"]] == list(key)).all(axis=1)]
        caption = f"{key[0]}, {key[1]}, trained on {key[2]}, tested on {key[3]}"
        for kind in ("roc", "det"):
            drawing = figures.curve_figure(part, kind.upper(), kind == "det")
            drawn.append(figure(svg_element(drawing, f"{kind}-{number}", f"{kind.upper()}: {caption}"), caption))
    more = f" {left} more are in curves.csv." if left else ""
    return paragraph(f"Mean over seeds; bands: pointwise 95 %, images and seeds.{more}") + panels(drawn)


def _reliability(benchmark: Benchmark) -> str:
    bins = benchmark.tables["reliability"]
    if bins.empty:
        return ""
    chosen = bins[bins["test"].isin(["pooled seen", "pooled unseen"])]
    drawn = []
    keys = ["protocol", "track", "train_on", "detector", "test"]
    for number, (key, part) in enumerate(chosen.groupby(keys, sort=False)):
        if number >= 2 * MOST_CURVES:
            break
        caption = ", ".join(map(str, key))
        drawing = figures.reliability_figure(part, str(key[3]))
        drawn.append(figure(svg_element(drawing, f"reliability-{number}", f"Reliability: {caption}"), caption))
    text = (
        "All seeds together, by tenths (pale: each seed, bins of equal mass); dotted: calibrated. "
        "At most 12 panels; all of them are in reliability.csv."
    )
    return paragraph(text) + panels(drawn) if drawn else ""


def _robustness(benchmark: Benchmark) -> str:
    sweep = benchmark.tables["robustness"]
    if sweep.empty:
        return ""
    chosen = robustness_rows(sweep)
    drawn = []
    for number, (key, part) in enumerate(chosen.groupby(["protocol", "track", "family"], sort=False, dropna=False)):
        caption = ", ".join(str(name) for name in key if isinstance(name, str) and name)
        drawing = figures.robustness_figure(part, str(key[2]))
        drawn.append(figure(svg_element(drawing, f"robust-{number}", f"Robustness: {caption}"), caption, wide=True))
    if not drawn:
        return ""
    text = (
        f"AUC, {chosen['test'].iloc[0]}, mean over seeds; training sets: {chosen['train_on'].nunique()}. Bars, where "
        "there is one training set: 95 %, images and seeds. Dotted: the images as they are. Degrading both classes "
        "shows what robustness is lost; degrading one class alone shows a bias."
    )
    return paragraph(text) + panels(drawn)


def robustness_rows(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn of robustness.csv: AUC over all seeds, of unseen generators where there are some."""
    tests = [name for name in ("mean of unseen", "mean of seen") if (sweep["test"] == name).any()]
    chosen = sweep[(sweep["metric"] == "auc") & sweep["value"].notna()]
    chosen = chosen[chosen["test"] == tests[0]] if tests else chosen
    together = chosen[chosen["seed"].astype(str) == "all"]
    chosen = chosen if together.empty else together
    # A point alone is no curve; it stands in robustness.csv.
    levels = chosen.groupby("family")["level"].transform("nunique")
    return chosen[(levels > 1) & chosen["level"].notna()]


def _cost(benchmark: Benchmark) -> str:
    cost, summary = benchmark.tables["cost"], benchmark.tables["summary"]
    if cost.empty or summary.empty:
        return ""
    chosen = (summary["test"] == "mean of unseen") & (summary["metric"] == "auc") & summary["value"].notna()
    if not chosen.any():
        return ""
    element = svg_element(figures.cost_figure(cost, summary[chosen]), "cost", "AUC against time an image")
    devices = ", ".join(sorted(set(cost["device"].dropna().astype(str))))
    spent = pd.to_numeric(cost["score_images"]).sum()
    return figure(
        element, f"Scoring time with decoding, mean over cells ({spent} scored images, {devices})", single=True
    )


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
