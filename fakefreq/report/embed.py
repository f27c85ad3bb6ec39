"""Figures as parts of a page: lines as inline SVG, maps as PNG in the page's own bytes."""

import base64
import html
import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

RESOLUTION = 140  # pixels an inch: a panel 3.6 in wide is 504 pixels, sharp at phone width on dense screens


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


def png_element(figure: Figure, alt: str) -> str:
    """Return a figure as an <img> element whose picture is in its own address.

    Args:
        figure: what to draw.
        alt: what the figure shows, for those who cannot see it.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    width, height = (round(inches * RESOLUTION) for inches in figure.get_size_inches())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" height="{height}">'
