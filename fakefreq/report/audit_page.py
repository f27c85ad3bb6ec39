"""The audit as one self-contained page: the verdict, why, and figures."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fakefreq.data.audit.audit import AuditResult
from fakefreq.data.audit.verdict import Finding
from fakefreq.report.html import Section, bullets, facts_table, figure, paragraph, svg_element, table, write_page

TITLES = {
    "header": "Header facts alone",
    "pixels": "Cheap pixel statistics",
    "duplicates": "Duplicates and leaks",
    "balance": "Balance",
    "history": "History of each class",
    "sources": "Photographs against photographs",
}
WORDS = {
    "pass": "Pass: nothing found by which the classes could be told apart without looking at the generator's work.",
    "warn": "Warn: read the parts below before training; results must be shown with the controls they name.",
    "fail": "Fail: a detector trained on this can score well without learning anything of the generator.",
}
_REAL, _FAKE = "#0072B2", "#D55E00"
# Names of sources may hold dollar signs.
_STYLE: dict[Any, Any] = {"font.size": 9, "text.parse_math": False}


def write_audit_page(path: str | Path, audit: AuditResult) -> None:
    """Write an audit as a page.

    Args:
        path: the .html file.
        audit: what `fakefreq.data.audit.audit.audit_manifest` returned.
    """
    facts = audit.manifest
    worst = [TITLES[finding.part].lower() for finding in audit.findings if finding.verdict == audit.verdict]
    named = "" if audit.verdict == "pass" else f" ({', '.join(worst)})"
    head = [
        paragraph(WORDS[audit.verdict] + named, "headline"),
        table(
            ["part", "verdict"],
            [[TITLES[finding.part], finding.verdict] for finding in audit.findings],
            f"{facts['images']} images of {facts['path']}, digest {facts['digest']}",
        ),
        # Sentences beside numbers would be cut off on a narrow screen.
        bullets([f"{TITLES[finding.part]}: {finding.reasons[0]}" for finding in audit.findings]),
    ]
    sections = [Section("", "\n".join(head))]
    sections += [Section(f"{TITLES[found.part]}: {found.verdict}", _part(found)) for found in audit.findings]
    sections.append(Section("Thresholds", facts_table(audit.as_dict()["thresholds"])))
    write_page(path, "Audit of a manifest", sections)


def _part(finding: Finding) -> str:
    parts = [bullets(finding.reasons)]
    facts = finding.facts
    if facts.get("auc", {}).get("features"):
        parts.append(_features(finding.part, facts["auc"]))
    if facts.get("left_out"):
        rows = [[image["path"], image["reason"]] for image in facts["left_out"]]
        parts.append(table(["image", "why it cannot be decoded"], rows, "Images that were left out"))
    if finding.part == "history":
        parts.append(_history(facts))
    if finding.part == "sources" and facts.get("pairs"):
        parts.append(_pairs(facts["pairs"]))
    if finding.part == "balance":
        rows = [
            [
                "fake" if row["label"] else "real",
                *(str(row[name] or "-") for name in ("name", "subset", "split", "images")),
            ]
            for row in facts["counts"]
        ]
        parts.append(table(["class", "generator or source", "subset", "split", "images"], rows, "Images"))
    if finding.part == "duplicates":
        told = {name.replace("_", " "): value for name, value in facts.items()}
        parts.append(
            facts_table(
                {name: "not searched (index with --phash)" if value is None else value for name, value in told.items()}
            )
        )
    return "\n".join(parts)


def _axes(rows: int, label: str) -> tuple[Figure, Any]:
    drawn = Figure(figsize=(6.0, 0.9 + 0.3 * rows), layout="constrained")
    axes = drawn.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)
    return drawn, axes


def _features(part: str, auc: dict[str, Any]) -> str:
    features = [feature for feature in auc["features"] if abs(feature["alone"] - 0.5) > 1e-9][:10]
    if not features:
        return paragraph("No fact differs from image to image.")
    with mpl.rc_context(_STYLE):
        drawn, axes = _axes(len(features), "AUC of the fact alone (bar); drop when it is shuffled (number)")
        places = range(len(features), 0, -1)
        axes.barh(places, [max(feature["alone"] - 0.5, 0) for feature in features], left=0.5, color=_REAL, height=0.6)
        axes.set_yticks(list(places), [feature["name"] for feature in features])
        for place, feature in zip(places, features, strict=True):
            axes.text(max(feature["alone"], 0.5) + 0.01, place, f"{feature['drop']:+.3f}", va="center", fontsize=8)
        axes.axvline(0.5, color="#555", linewidth=0.8)
        axes.axvline(auc["auc"], color=_FAKE, linestyle="--", linewidth=1)
        axes.set_xlim(0.48, 1.08)
        axes.set_xticks([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    caption = (
        f"Each fact by itself, cross-validated by group; the dashed line is all of them together, {auc['auc']:.3f} "
        f"[{auc['low']:.3f}, {auc['high']:.3f}]. Facts that say the same hide each other in the drop."
    )
    return figure(svg_element(drawn, f"features-{part}", f"Strongest facts of {part}"), caption, single=True)


def _history(facts: dict[str, Any]) -> str:
    parts = []
    for name, found in facts.items():
        values = sorted(found["values"].items(), key=lambda item: -sum(item[1]))[:10]
        if not values:
            continue
        with mpl.rc_context(_STYLE):
            drawn, axes = _axes(len(values), "share of the class")
            for place, (_, (real, fake)) in enumerate(reversed(values)):
                axes.barh(place + 0.2, real, height=0.36, color=_REAL, label="real" if not place else None)
                axes.barh(place - 0.2, fake, height=0.36, color=_FAKE, label="fake" if not place else None)
            axes.set_yticks(range(len(values)), [value for value, _ in reversed(values)])
            axes.set_xlim(0, 1.05 * max(max(pair) for _, pair in values))
            axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
        caption = f"{name.capitalize()}: {found['real']} of real, {found['fake']} of fake images; the ten commonest."
        parts.append(figure(svg_element(drawn, f"history-{name}", f"Shares of {name} by class"), caption, single=True))
    return "\n".join(parts)


def _pairs(pairs: list[dict[str, Any]]) -> str:
    with mpl.rc_context(_STYLE):
        drawn, axes = _axes(len(pairs), "AUC between two sets of photographs, 95 % interval")
        for place, pair in enumerate(reversed(pairs)):
            axes.plot([pair["low"], pair["high"]], [place, place], color=_REAL, linewidth=1.5)
            axes.plot(pair["auc"], place, "o", color=_REAL, markersize=5)
        axes.set_yticks(range(len(pairs)), [f"{pair['first']} | {pair['second']}" for pair in reversed(pairs)])
        axes.axvline(0.5, color="#555", linewidth=0.8)
        axes.set_xlim(0.4, 1.02)
        axes.set_ylim(-0.7, len(pairs) - 0.3)
    caption = (
        "A linear classifier on the radial spectrum of luma, cross-validated by group. At .5 they look alike to it."
    )
    return figure(svg_element(drawn, "sources", "AUC between sources of photographs"), caption, single=True)
