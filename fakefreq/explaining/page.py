"""An explanation as files: one self-contained page, its figures as PNG, its numbers as JSON."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.index.walk import find_images
from fakefreq.errors import UserError
from fakefreq.explaining.explanation import Explanation, explain_image
from fakefreq.explaining.figures import draw_lattice, draw_pixels, draw_spectrum, draw_terms
from fakefreq.explaining.frequencies import LatticeSeen, SpectrumSeen
from fakefreq.explaining.terms import CONSTANT, EVIDENCE
from fakefreq.files import atomic_path, write_json
from fakefreq.models import Detector
from fakefreq.models.onnx_detector import LOGITS_ONLY, OnnxDetector
from fakefreq.models.streams.lattice import QUIET, STUDIO_RANGE
from fakefreq.report.html import (
    Section,
    bullets,
    draw_png,
    facts_table,
    figure,
    panels,
    paragraph,
    png_element,
    table,
    write_page,
)
from fakefreq.spectra.lattice_fields import FIELDS

logger = logging.getLogger(__name__)

PAGE, NUMBERS = "explanation.html", "explanation.json"
# Of the lattice's frequencies, so many are listed on the page; all are in the JSON file.
LISTED = 8
LIMIT = (
    "An explanation shows what moved this detector. It does not show that the detector is right, and it is no evidence "
    "against anyone."
)


def explain_files(
    detector: Detector,
    images: str | Path | Sequence[str | Path],
    out: str | Path | None,
    on_error: Literal["stop", "skip"] = "stop",
) -> tuple[list[Explanation], list[tuple[str, str]]]:
    """Explain image files one after the other, and write each explanation as soon as it is made.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        images: files, folders (all images in and below them) and patterns, one or several.
        out: folder that gets one folder an image; None writes nothing.
        on_error: `stop` at an image that cannot be explained, or `skip` it.

    Returns:
        The explanations, and the skipped images as (path, reason).

    Raises:
        UserError: no image; an ONNX file instead of weights; with `stop`, an image that does not decode or is too
            small; files that cannot be written.
    """
    given = [images] if isinstance(images, str | Path) else images
    if not given:
        raise UserError("there is no image to explain; give files, folders or patterns")
    if isinstance(detector, OnnxDetector):
        raise UserError(LOGITS_ONLY)
    files, problems = find_images(given)
    if problems and on_error == "stop":
        raise UserError(f"{problems[0].path}: {problems[0].reason}")
    skipped = [(str(problem.path), problem.reason) for problem in problems]
    explanations: list[Explanation] = []
    names: set[str] = set()
    for path in files:
        try:
            explanation = explain_image(detector, path)
        except (ImageError, UserError) as error:
            reason = error.reason if isinstance(error, ImageError) else str(error)
            if on_error == "stop":
                raise UserError(f"{path}: {reason}") from error
            skipped.append((str(path), reason))
            continue
        explanations.append(explanation)
        line = f"{path}: logit {explanation.logit:+.3f}, {verdict(explanation)}"
        if out is not None:
            folder = Path(out) / _folder_name(path, names)
            write_explanation(folder, explanation)
            line += f"; {folder / PAGE}"
        logger.info(line)
    return explanations, skipped


def _folder_name(path: str | Path, names: set[str]) -> str:
    """A name out of the file's, not yet taken by another image of the call."""
    stem = Path(path).stem or "image"
    name = next(name for n in range(1, len(names) + 2) if (name := stem if n == 1 else f"{stem}-{n}") not in names)
    names.add(name)
    return name


def verdict(explanation: Explanation) -> str:
    """Return how the image is called, and on which side of the threshold that is."""
    called, side = ("fake", "above") if explanation.label else ("real", "not above")
    return f"called {called}: {side} the threshold {explanation.threshold:+.3f}"


def write_explanation(folder: Path, explanation: Explanation) -> None:
    """Write explanation.html, explanation.json and the figures, each whole, the page last.

    Args:
        folder: it is made where missing.
        explanation: of one image.

    Raises:
        UserError: a file cannot be written.
    """
    write_json(folder / NUMBERS, explanation.as_dict())
    bars = draw_terms(explanation.terms, explanation.logit, explanation.threshold)
    terms = png_element(_keep(folder / "terms.png", bars), _as_words(explanation))
    caption = "Each bar begins where the one above it ends; the last is their sum."
    sections = [
        Section("", _headline(explanation)),
        Section("The logit, term by term", figure(terms, caption, single=True) + _terms(explanation)),
    ]
    if explanation.heat is not None:
        pictures = _panels(folder, "pixels", draw_pixels(explanation))
        sections.append(Section("Pixels", paragraph(_of_pixels(explanation)) + pictures))
    for seen in explanation.spectra:
        # Of a spectrum's option the colon goes, which some file systems do not take.
        drawn = _panels(folder, seen.name.replace(":", "-"), draw_spectrum(seen))
        sections.append(Section(f"Spectrum {seen.name}", _of_spectrum(seen, drawn)))
    if explanation.lattice is not None:
        above, below = _of_lattice(explanation.lattice)
        drawn = _panels(folder, "lattice", draw_lattice(explanation.lattice))
        sections.append(Section("Lattice", above + drawn + below))
    sections.append(Section("How it was made", facts_table(_facts(explanation))))
    called = verdict(explanation).partition(":")[0]
    write_page(folder / PAGE, f"Why {Path(explanation.sight.path).name} is {called}", sections)


def _panels(folder: Path, name: str, drawn: dict[str, tuple[Figure, str]]) -> str:
    """Figures side by side; each is written to a file too."""
    return panels(
        figure(png_element(_keep(folder / f"{name}_{part}.png", drawing), caption), caption)
        for part, (drawing, caption) in drawn.items()
    )


def _keep(path: Path, drawing: Figure) -> bytes:
    """Write a figure as a PNG file and return its bytes."""
    content = draw_png(drawing)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return content


def _headline(explanation: Explanation) -> str:
    text = (
        f"Logit {explanation.logit:+.3f}, {verdict(explanation)}. Probability of fake {explanation.probability:.3f}, "
        "not calibrated."
    )
    return paragraph(text, "headline") + paragraph(LIMIT)


def _as_words(explanation: Explanation) -> str:
    return ", ".join(
        f"{name} {value:+.3f}" for name, value in {**explanation.terms, "logit": explanation.logit}.items()
    )


def _terms(explanation: Explanation) -> str:
    views = explanation.detector["views"]
    notes = [f"All values are means over the detector's {views} crops."] if views > 1 else []
    if EVIDENCE in explanation.terms:
        notes.append(
            "p is the learnt streams' logit; a p + b is calibrated. l is the lattice's log likelihood ratio. A fake "
            "carries what the learnt streams know with probability rho, and a lattice with probability pi: a missing "
            "trace is no evidence of a photograph, so both terms are bounded below."
        )
    elif CONSTANT in explanation.terms:
        notes.append("The constant is what the head says when no stream speaks.")
    rows = [[name, f"{value:.4g}"] for name, value in explanation.made_of.items()]
    made_of = table(["quantity", "value"], rows, "What the terms are made of") if rows else ""
    return "".join(paragraph(note) for note in notes) + made_of


def _of_pixels(explanation: Explanation) -> str:
    assert explanation.heat is not None
    height, width = explanation.heat.values.shape
    how = (
        f"Grad-CAM over the network's last maps, of {height}x{width} values ({explanation.heat.layer}): no finer."
        if explanation.heat.layer
        else f"Gradients integrated from a picture of the crop's mean colour, added up in {height}x{width} cells."
    )
    return f"{how} It explains the learnt logit of the centre crop, {explanation.learnt:+.3f}."


def _of_spectrum(seen: SpectrumSeen, figures: str) -> str:
    text = (
        f"The learnt logit is {seen.learnt:+.3f}; with the mean of the training images in place of this spectrum it is "
        f"{seen.learnt_of_mean:+.3f}. What each value adds is its gradient, integrated from that mean to this image."
    )
    if seen.axes == "picture":
        text += " The values are pixels of a residual, so its bands are those of the residual's own Fourier transform."
    rows = [[f"{band.low:.3f} to {band.high:.3f}", f"{band.learnt:+.3f}", f"{band.logit:+.3f}"] for band in seen.bands]
    header = ["band", "learnt logit", "logit"]
    return (
        paragraph(text)
        + figures
        + table(header, rows, "The logits after each band (cycles/pixel) is removed, one at a time")
    )


def _of_lattice(seen: LatticeSeen) -> tuple[str, str]:
    """What stands above the figures, and the table below them."""
    chance = (
        f"p-value {seen.pvalue:.4g}: the share of photographs whose l is as large."
        if seen.pvalue is not None
        else "The stream is not fitted, so there is no p-value."
    )
    above = bullets(
        [
            f"l = {seen.likelihood:+.3f}, the sum of what each z adds and {seen.constant:+.3f}. {chance}",
            "The whole image is read, not the crop. Period 8 and its divisors are JPEG's too: the curves know what "
            "JPEG does to photographs.",
            f"The trace of studio range is {seen.studio_range:.2f}: "
            + (
                "the image was decoded from WebP or video, and the curves for these are taken."
                if seen.studio_range > STUDIO_RANGE
                else f"from {STUDIO_RANGE} on, the curves for WebP are taken."
            ),
            f"The image's side is {seen.side:.0f} pixels, the root of its area: z of any lattice grows with it, so the "
            f"curves are those of that side. Areas quieter than {QUIET} of 255 steps are left out.",
        ]
    )
    rows, places = [], seen.places
    for place in np.argsort(-np.abs(seen.added), axis=None)[:LISTED]:
        field, number = divmod(int(place), len(places))
        vertical, horizontal = places[number]
        where = f"({vertical}/8, {horizontal}/8)"
        rows.append([where, FIELDS[field], f"{seen.scores[field, number]:.2f}", f"{seen.added[field, number]:+.3f}"])
    caption = f"The {LISTED} scores that add or take most, by frequency (vertical, horizontal; cycles/pixel) and field"
    return above, table(["frequency", "weighted with", "z", "adds to l"], rows, caption)


def _facts(explanation: Explanation) -> dict[str, object]:
    sight = explanation.sight
    return {
        "image": sight.path,
        "SHA-256": sight.sha256,
        "size": f"{sight.size[0]}x{sight.size[1]}",
        **{f"detector: {name}": value for name, value in explanation.detector.items()},
    }
