"""The report of a comparison: one self-contained HTML page, made from tables that files hold too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.evaluate.alignment import TestSet, align_scores, test_sets
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.tables import detectors_of, number, tables_of, with_interval
from fakefreq.report import figures
from fakefreq.report.blocks import (
    Section,
    bullets,
    facts_table,
    figure,
    heading,
    panels,
    paragraph,
    table,
    write_page,
)
from fakefreq.report.embed import png_element, svg_element

CAUTIONS = [
    "An interval covers the choice of test images. It does not cover another training: compare several seeds before "
    "you call a small difference real.",
    "Several generators are several tests: of twenty p-values one is below 0.05 by chance. They are not corrected "
    "for that here.",
    "An AUC is measured against these photographs. Where the photographs and the fakes of a row were resized or "
    "compressed differently, a detector may tell those histories apart instead of the generator.",
    "The threshold was chosen on validation images of the generators trained on. On another generator the AUC may be "
    "high and the accuracy low at once.",
    "Accuracy and average precision depend on the share of fakes among the test images; most real streams of images "
    "hold far fewer.",
    "A score is no proof about a single image, and the page says nothing about generators that it does not list.",
]


def write_comparison_report(
    path: str | Path,
    comparison: pd.DataFrame,
    scores: Mapping[str, pd.DataFrame],
    logs: Mapping[str, pd.DataFrame],
    spectra: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    facts: Mapping[str, Any],
) -> None:
    """Write the report of a comparison.

    Args:
        path: the .html file.
        comparison: as `compare_scores` returns it, or several seeds of it below each other.
        scores: detector, or "detector, seed N" -> its scores, all of the same images; the baseline first.
        logs: detector, or "detector, seed N" -> its log.csv.
        spectra: generator -> {"real": ..., "fake": ...}, mean log power spectra with frequency zero in the middle.
        facts: how it was made: configuration, environment, digests, seeds; values that JSON or `str` can show.

    Raises:
        UserError: an empty comparison, scores of different images, or a file that cannot be written.
    """
    tables = tables_of(comparison)
    measured = [table_ for table_ in tables if "control" not in table_.header]
    controls = [table_ for table_ in tables if "control" in table_.header]
    sections = [Section("", "\n".join(paragraph(line, "headline") for line in headline(comparison)))]
    body = [table(item.header, item.rows, item.title) for item in measured]
    notes = _notes(comparison)
    if notes:
        body += [heading("Notes"), bullets(notes)]
    if body:
        sections.append(Section("Generator by generator", "\n".join(body)))
    if (comparison["metric"] == "auc_difference").any():
        sections.append(Section("What the AUC gains or loses", _forest(comparison)))
    order = {str(name): place for place, name in enumerate(dict.fromkeys(comparison["generator"]))}
    sets = [part for part in _sets(scores) if part[0].kind == "generator" and _has_both(part[1])]
    sets.sort(key=lambda part: order.get(part[0].name, len(order)))
    if sets:
        sections.append(Section("ROC curves", _roc(sets)))
    if controls:
        text = paragraph(
            "Every image here is a photograph. A rate far above that on the reals of the table above means that the "
            "detector takes ordinary processing, such as resampling, for a generator."
        )
        body = [table(item.header, item.rows, item.title) for item in controls]
        sections.append(Section("Controls: photographs called fake", "\n".join([text, *body])))
    if logs:
        sections.append(Section("Training", _training(logs)))
    if spectra:
        sections.append(Section("Mean spectra", _spectra(spectra)))
    sections.append(Section("How it was made", facts_table(dict(facts))))
    sections.append(Section("Cautions", bullets(CAUTIONS)))
    write_page(path, _title(comparison), sections)


def _title(comparison: pd.DataFrame) -> str:
    baseline, *others = detectors_of(comparison)
    trained = str(comparison["trained_on"].iloc[0]).replace("+", ", ")
    title = f"{', '.join(others)} against {baseline}" if others else baseline
    return f"{title}, trained on {trained}" if trained else title


def headline(comparison: pd.DataFrame) -> list[str]:
    """Return what the comparison says in plain sentences, one paragraph a detector.

    Args:
        comparison: as `compare_scores` returns it, or several seeds of it below each other.
    """
    baseline, *others = detectors_of(comparison)
    rows = comparison[comparison["metric"].isin(["auc", "auc_difference"]) & comparison["value"].notna()]
    generators = rows[rows["kind"] == "generator"]
    unseen = list(dict.fromkeys(generators.loc[~generators["seen"].astype(bool), "generator"]))
    if not unseen:
        rows = rows[rows["seen"].fillna(False).astype(bool)]
        names = list(dict.fromkeys(rows["generator"]))
        if not names:
            return ["No test set has both photographs and fakes, so there is no AUC to compare."]
        return [
            "No generator in the test images was unseen in training, so nothing here says how a detector carries "
            f"over to new generators. Seen: {', '.join(names)}."
        ]
    chosen = rows[rows["kind"] == "mean"] if len(unseen) > 1 else rows[rows["generator"] == unseen[0]]
    where = (
        f"On {len(unseen)} generators unseen in training ({', '.join(unseen)})"
        if len(unseen) > 1
        else f"On {unseen[0]}, the one generator unseen in training,"
    )
    area = "mean AUC" if len(unseen) > 1 else "AUC"
    found = []
    for name in others:
        change = chosen[(chosen["detector"] == name) & (chosen["metric"] == "auc_difference")]
        plain = {
            label: float(chosen.loc[(chosen["detector"] == label) & (chosen["metric"] == "auc"), "value"].mean())
            for label in (baseline, name)
        }
        levels = f"(from {number(plain[baseline])} to {number(plain[name])})"
        if len(change) == 1:
            row = change.iloc[0]
            text = with_interval(row["value"], row["low"], row["high"], signed=True)
            found.append(
                f"{where} the {name} detector changes the {area} by {text} against {baseline} {levels}. "
                f"{_verdict(float(row['low']), float(row['high']))} One seed: another training may differ."
            )
        else:
            values = change["value"]
            found.append(
                f"{where} the {name} detector changes the {area} by {number(values.mean(), signed=True)} against "
                f"{baseline} {levels}, the mean of {len(values)} seeds, which range from "
                f"{number(values.min(), signed=True)} to {number(values.max(), signed=True)}."
            )
    return found


def _verdict(low: float, high: float) -> str:
    """What a 95 % interval of a difference says."""
    if np.isnan(low):
        return "There are too few images for an interval."
    if low > 0:
        return "The 95 % interval lies above zero: on these generators it ranks better."
    if high < 0:
        return "The 95 % interval lies below zero: on these generators it ranks worse."
    return "The 95 % interval holds zero: these images show no difference either way."


def _notes(comparison: pd.DataFrame) -> list[str]:
    noted = comparison[comparison["note"] != ""]
    lines = [f"{row['generator']}, {row['detector']}: {row['note']}" for _, row in noted.iterrows()]
    return list(dict.fromkeys(lines))


def _forest(comparison: pd.DataFrame) -> str:
    element = svg_element(
        figures.comparison_figure(comparison), "forest", "Difference in AUC from the baseline for each generator"
    )
    caption = (
        "Difference in AUC from the baseline on the same images, with 95 % bootstrap intervals. Right of zero: better "
        "than the baseline. Filled circle: generator unseen in training; open circle: seen; diamond: mean of unseen."
    )
    return figure(element, caption, single=True)


def _sets(scores: Mapping[str, pd.DataFrame]) -> list[tuple[TestSet, npt.NDArray[np.int64], dict[str, Array]]]:
    """Each test set with its labels and every detector's logits."""
    if len(scores) < 2:
        return []
    aligned = align_scores(scores, next(iter(scores)))
    keys = next(iter(aligned.values()))
    labels = keys["label"].to_numpy(dtype=np.int64)
    logits = {name: table_["logit"].to_numpy(dtype=np.float64) for name, table_ in aligned.items()}
    return [
        (part, labels[part.rows], {name: values[part.rows] for name, values in logits.items()})
        for part in test_sets(keys)
    ]


def _has_both(labels: npt.NDArray[np.int64]) -> bool:
    return 0 < int(labels.sum()) < labels.size


def _roc(sets: list[tuple[TestSet, npt.NDArray[np.int64], dict[str, Array]]]) -> str:
    parts = []
    for position, (part, labels, logits) in enumerate(sets):
        element = svg_element(
            figures.roc_figure(labels, logits, part.name), f"roc-{position}", f"ROC curves on {part.name}"
        )
        reals = int((labels == 0).sum())
        parts.append(figure(element, f"{part.name}: {reals} real, {labels.size - reals} fake images"))
    text = "Dashed: the baseline. Dotted: chance. Further to the upper left is better."
    return f"{paragraph(text)}\n{panels(parts)}"


def _training(logs: Mapping[str, pd.DataFrame]) -> str:
    drawn = figures.training_figures(logs)
    captions = {
        "loss": "Loss: dashed over the training batches of the epoch so far, with markers on validation.",
        "auc": "AUC on validation images. Its highest value chose the weights.",
    }
    return panels(figure(svg_element(drawn[key], f"training-{key}", text), text) for key, text in captions.items())


def _spectra(spectra: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> str:
    parts = [
        paragraph(
            "Mean over images of the natural logarithm of one plus the windowed power spectrum of luma; the middle is "
            "frequency zero. Reals and fakes of a row share one scale. A lattice of dots in the difference is what an "
            "upsampling layer leaves; a smooth difference may come from another history of the photographs."
        )
    ]
    for name, pair in spectra.items():
        maps = figures.spectrum_figures(pair["real"], pair["fake"])
        captions = {
            "real": f"{name}: photographs",
            "fake": f"{name}: fakes",
            "difference": f"{name}: fakes less photographs",
        }
        drawn = [
            figure(png_element(maps[key], f"Mean spectrum, {caption}"), caption) for key, caption in captions.items()
        ]
        parts += [heading(name), panels(drawn)]
    return "\n".join(parts)
