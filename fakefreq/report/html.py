"""Building blocks of a self-contained page: no script, no outside resource, readable on a phone and in print."""

import base64
import html
import io
import json
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fakefreq.files import write_text

RESOLUTION = 140  # pixels an inch: a panel 3.6 in wide is 504 pixels, sharp at phone width on dense screens
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 70rem; background: #fff; color: #1b1b1b;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; padding-top: .6rem; border-top: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p, li { max-width: 46rem; }
.headline { font-size: 1.1rem; padding: .8rem 1rem; background: #eef4f9; border-left: 4px solid #0072B2;
  max-width: none; }
.scroll { overflow-x: auto; margin: 0 0 1.2rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
p.caption { font-weight: 600; font-size: .875rem; margin: 1rem 0 .2rem; max-width: none; }
th, td { padding: .3rem .7rem .3rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd;
  vertical-align: top; }
thead th { border-bottom: 2px solid #555; }
th:first-child, td:first-child, table.facts td { text-align: left; font-weight: 400; }
thead th:first-child { font-weight: 600; }
.scroll th:first-child { position: sticky; left: 0; background: #fff; }
table.facts td { white-space: normal; overflow-wrap: anywhere; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: 1rem; }
figure { margin: 0 0 .5rem; min-width: 0; break-inside: avoid; }
figure.single { max-width: 36rem; }
figure svg, figure img { display: block; width: 100%; height: auto; }
figure.wide { grid-column: 1 / -1; max-width: 46rem; }
figure.wide .scroll { margin: 0; }
figure.wide svg, figure.wide img { min-width: 34rem; }
figcaption { font-size: .875rem; color: #444; }
pre { overflow-x: auto; padding: .6rem .8rem; background: #f5f5f5; font-size: .8rem; line-height: 1.4; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } th, td { padding-right: .4rem; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .panels { grid-template-columns: repeat(3, 1fr); }
  figure.wide svg, figure.wide img { min-width: 0; }
}
"""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        title: plain text; empty for a part without a heading.
        body: HTML, made of the functions of this module.
    """

    title: str
    body: str


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text.

    >>> paragraph("AUC < 1")
    '<p>AUC &lt; 1</p>'
    """
    opening = f'<p class="{html.escape(kind)}">' if kind else "<p>"
    return f"{opening}{html.escape(text)}</p>"


def heading(text: str) -> str:
    """Return a heading inside a section."""
    return f"<h3>{html.escape(text)}</h3>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>\n" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "\n</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table of plain texts that scrolls sideways where the page is narrower than it is."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    lines = []
    for row in rows:
        first, *others = (html.escape(cell) for cell in row)
        lines.append(f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>")
    # A region that scrolls takes the keyboard's focus, so that it can be scrolled without a mouse.
    region = f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(caption)}">'
    body = "\n".join(lines)
    return (
        f"{paragraph(caption, 'caption')}\n{region}<table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def facts_table(facts: dict[str, Any]) -> str:
    """Return single facts and short lists as a table, and each fact with an inner structure as JSON below it."""
    plain: dict[str, str] = {}
    for name, value in facts.items():
        items = value if isinstance(value, list | tuple) else [value]
        if not any(isinstance(item, dict | list | tuple) for item in items):
            plain[name] = ", ".join(str(item) for item in items)
    parts = []
    if plain:
        rows = "\n".join(
            f'<tr><th scope="row">{html.escape(str(name))}</th><td>{html.escape(text)}</td></tr>'
            for name, text in plain.items()
        )
        parts.append(f'<table class="facts"><tbody>\n{rows}\n</tbody></table>')
    for name, value in facts.items():
        if name not in plain:
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
            parts.append(f"{heading(str(name))}\n<pre>{html.escape(text)}</pre>")
    return "\n".join(parts)


def figure(element: str, caption: str, single: bool = False, wide: bool = False) -> str:
    """Return a figure with its caption.

    Args:
        element: an <svg> or <img>, as `svg_element` and `png_element` return it.
        caption: plain text.
        single: it stands alone, not among `panels`.
        wide: it takes a whole row of `panels`, and scrolls sideways where that is narrower than its type allows.
    """
    kind = ' class="single"' if single else ' class="wide"' if wide else ""
    if wide:
        label = html.escape(caption)
        element = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">{element}</div>'
    return f"<figure{kind}>{element}\n<figcaption>{html.escape(caption)}</figcaption></figure>"


def panels(figures: Iterable[str]) -> str:
    """Return figures side by side, as many in a row as the page is wide."""
    return '<div class="panels">\n' + "\n".join(figures) + "\n</div>"


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a self-contained HTML page, atomically.

    Args:
        path: the .html file.
        title: plain text.
        sections: in the order of reading.

    Raises:
        UserError: the file cannot be written.
    """
    parts = []
    for section in sections:
        head = f"<h2>{html.escape(section.title)}</h2>\n" if section.title else ""
        parts.append(f"<section>\n{head}{section.body}\n</section>")
    body = "\n".join(parts)
    write_text(
        path,
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{body}\n</main>\n</body>\n"
        "</html>\n",
    )


def svg_element(figure: Figure, name: str, alt: str) -> str:
    """Return a figure as an inline <svg> element without any outside reference.

    Args:
        figure: what to draw.
        name: unique on the page, of letters, digits and hyphens; it keeps the element's inner ids apart from those
            of other figures.
        alt: what the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    # Type as outlines: the page then looks alike without the font. The salt makes ids, and so files, repeatable.
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", drawing)
    # The page sets the size; the viewBox keeps the proportions.
    opening = f'<svg role="img" aria-label="{html.escape(alt)}"'
    head, rest = drawing.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head.replace("<svg", opening, 1))
    return f"{head}>{rest}".strip()


def draw_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()


def png_element(figure: Figure | bytes, alt: str) -> str:
    """Return a figure as an <img> element whose picture is in its own address.

    Args:
        figure: what to draw, or what `draw_png` has drawn.
        alt: what the figure shows, for those who cannot see it.
    """
    content = draw_png(figure) if isinstance(figure, Figure) else figure
    width, height = struct.unpack(">II", content[16:24])  # of the header chunk
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" height="{height}">'
