"""What the page says of one image, as HTML, and what it refuses before anything is decoded."""

import contextlib
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fakefreq.config.known import NEITHER
from fakefreq.data.images.decode import PIXEL_LIMIT
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.headers.header import probe_header
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import as_records, predict_images
from fakefreq.explaining.explanation import Explanation, explain_image
from fakefreq.explaining.figures import draw_lattice, draw_pixels, draw_spectrum, draw_terms
from fakefreq.explaining.page import LIMIT, verdict
from fakefreq.models import Detector
from fakefreq.report.html import STYLE, bullets, facts_table, figure, heading, panels, paragraph, png_element

THUMBNAIL = 384
"""Longer side of the picture of a whole image, in pixels."""
Json = dict[str, Any]

CSS = f"""
.why {{ {STYLE}
  color-scheme: light; background: #fff; color: #1b1b1b; border-radius: 8px; padding: .8rem 1rem;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }}
.why:empty {{ display: none; }}
.why h3 {{ color: #1b1b1b; font-weight: 600; }}
.why ul.warnings {{ padding: .6rem 1rem .6rem 2rem; background: #fff4e5; border-left: 4px solid #D55E00; }}
.why .refused {{ padding: .6rem 1rem; background: #fdecea; border-left: 4px solid #b00020; max-width: none; }}
.why .panels {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); }}
.why p.above {{ margin-top: 1rem; font-weight: 600; }}
.why ul {{ list-style: disc; padding-left: 1.2rem; }}
.why figure img {{ max-width: 100%; }}
@media (max-width: 40rem) {{
  .gradio-container main, .gradio-container .fillable {{ padding-inline: .5rem !important; }}
  .why {{ padding: .5rem 0; }}
}}
"""
_SETS = {
    "real": "Its logit is like those of validation's photographs, and unlike those of its fakes",
    "fake": "Its logit is like those of validation's fakes, and unlike those of its photographs",
    "real or fake": "No answer: its logit is like those of validation's photographs and like those of its fakes",
    NEITHER: "No answer: its logit is unlike those of validation's photographs and of its fakes",
}


@dataclass(frozen=True)
class Limits:
    """What is refused before anything is decoded.

    Args:
        megabytes: size of a file, above 0; the server stops reading an upload there.
        pixels: width times height that a file's header promises, at most `PIXEL_LIMIT`.

    Raises:
        UserError: a value out of range.
    """

    megabytes: float = 20.0
    pixels: int = 25_000_000

    def __post_init__(self) -> None:
        if self.megabytes <= 0:
            raise UserError(f"--max-megabytes is {self.megabytes:g}; it takes more than 0")
        if not 1 <= self.pixels <= PIXEL_LIMIT:
            raise UserError(f"--max-pixels is {self.pixels}; it takes 1 to {PIXEL_LIMIT}")

    @property
    def bytes(self) -> int:
        """Size of a file."""
        return int(self.megabytes * 1_000_000)

    def check(self, path: str | Path) -> None:
        """Refuse a file that is too large, or whose header promises too many pixels.

        Raises:
            ImageError: it is.
        """
        with contextlib.suppress(OSError):  # a file that cannot be asked cannot be read either, which says why
            size = Path(path).stat().st_size
            if size > self.bytes:
                raise ImageError(path, f"{size / 1e6:.1f} MB are above the limit of {self.megabytes:g} MB")
        facts = probe_header(path)
        if facts.width * facts.height > self.pixels:
            raise ImageError(path, f"{facts.width}x{facts.height} pixels are above the limit of {self.pixels}")


@dataclass(frozen=True)
class Look:
    """What is said of one image.

    Args:
        name: of the file, as it was given.
        said: its row of `fakefreq.predict`, as JSON values, without the path.
        explanation: why.
        coverage: of its conformal set, 0 where the detector has none.
    """

    name: str
    said: Json
    explanation: Explanation
    coverage: float


def look_at(detector: Detector, path: str | Path, name: str, limits: Limits) -> Look:
    """Say of one image what `fakefreq.predict` and `fakefreq.explain` say.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        path: of the file.
        name: to show instead of the path.
        limits: checked before anything is decoded.

    Raises:
        UserError: the file is refused or cannot be decoded; it begins with the name.
    """
    try:
        limits.check(path)
        table, skipped = predict_images(detector, path, on_error="skip")
        if skipped:
            raise ImageError(path, skipped[0][1])
        coverage = 0.0 if detector.known is None else detector.known.conformal.coverage
        said = {key: value for key, value in as_records(table)[0].items() if key != "path"}
        return Look(name, said, explain_image(detector, path), coverage)
    except ImageError as error:
        raise UserError(f"{name}: {error.reason}") from error


def show(look: Look) -> str:
    """Return what is said of an image as HTML: verdict, warnings, p-value, pictures, facts."""
    said, explanation = look.said, look.explanation
    lines = [f"Logit {said['logit']:+.3f}. Probability of fake {said['probability']:.3f}, not calibrated."]
    if said.get("lattice_pvalue") is not None:
        lines.append(
            f"Lattice p-value {said['lattice_pvalue']:.3g}: the share of photographs with as strong a lattice."
        )
    warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in said["warning"])
    above = '<p class="above">Outside of what validation knows</p>'
    outside = f'{above}<ul class="warnings">{warnings}</ul>' if warnings else ""
    called = f"C{verdict(explanation)[1:]}."
    if said["conformal"]:
        called += f" {_SETS[said['conformal']]} (conformal set, {look.coverage:.0%})."
    parts = [
        heading(look.name),
        paragraph(called, "headline"),
        outside,
        bullets(lines),
        *(f"{heading(title)}{panels(figures)}" for title, figures in _pictures(explanation).items()),
        heading("File"),
        facts_table(_facts(look)),
        paragraph(LIMIT),
    ]
    return block("".join(parts))


def block(inner: str) -> str:
    """Return a part of the page in its own style."""
    return f'<div class="why">{inner}</div>'


def _pictures(explanation: Explanation) -> dict[str, list[str]]:
    """Heading -> figures: a part of those that `fakefreq explain` writes."""
    image = explanation.sight.image
    size = f"{explanation.sight.size[0]}x{explanation.sight.size[1]} pixels"
    whole = figure(png_element(_thumbnail(image), "the image"), f"the image, {size}")
    found = {"Image": [whole]}
    if explanation.heat is not None:
        found["Image"] += _figures(draw_pixels(explanation))
    for seen in explanation.spectra:
        drawn = draw_spectrum(seen)
        found[f"Spectrum {seen.name}"] = _figures(drawn, "seen", "seen_0", "added", "added_0", "bands")
    if explanation.lattice is not None:
        found["Lattice"] = _figures(draw_lattice(explanation.lattice), "tile", "z", "z_by_field", "added")
    bars = draw_terms(explanation.terms, explanation.logit, explanation.threshold)
    found["The logit, term by term"] = _figures({"terms": (bars, "each bar begins where the one above it ends")})
    return found


def _figures(drawn: dict[str, tuple[Any, str]], *names: str) -> list[str]:
    return [
        figure(png_element(drawing, caption), caption)
        for name, (drawing, caption) in drawn.items()
        if not names or name in names
    ]


def _thumbnail(image: np.ndarray) -> bytes:
    """A PNG file's bytes; a larger image is made smaller to be looked at, which no number depends on."""
    scale = THUMBNAIL / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _facts(look: Look) -> Json:
    said = look.said
    quality = f", quality {said['jpeg_quality']}" if said["jpeg_quality"] else ""
    return {
        "size": f"{said['width']}x{said['height']}",
        "codec": f"{said['format']}{quality}",
        "threshold": f"{said['threshold']:+.3f}, from {said['threshold_from']}",
        "SHA-256": look.explanation.sight.sha256,
    }
