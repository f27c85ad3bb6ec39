"""A comparison for people: wide rows, aligned text for the terminal, Markdown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fakefreq.errors import UserError


@dataclass(frozen=True)
class TextTable:
    """A table of ready-made cells.

    Args:
        title: one line above it.
        header: one word or two a column.
        rows: cells; the first column is text, the others are numbers.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


def detectors_of(comparison: pd.DataFrame) -> list[str]:
    """Return the detectors in the order of the comparison: the baseline is the first."""
    return [str(name) for name in dict.fromkeys(comparison["detector"])]


def wide(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return one row a seed and test set, with a column for each detector, metric and bound.

    Args:
        comparison: as `compare_scores` returns it.

    Returns:
        Columns seed, generator, kind, seen, n_real, n_fake, then such as `pixel_auc`, `pixel_auc_low`,
        `pixel_auc_high`, `two_stream_auc_difference`, `two_stream_auc_difference_p`.
    """
    keys = ["seed", "generator", "kind", "seen", "n_real", "n_fake"]
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for record in comparison.to_dict("records"):
        key = tuple(record[name] for name in ("seed", "kind", "generator"))
        row = rows.setdefault(key, {name: record[name] for name in keys})
        column = f"{record['detector']}_{record['metric']}"
        row[column] = record["value"]
        for bound in ("low", "high"):
            row[f"{column}_{bound}"] = record[bound]
        if str(record["metric"]).endswith("auc_difference"):
            row[f"{column}_p"] = record["p"]
    return pd.DataFrame(list(rows.values()))


def number(value: float, signed: bool = False) -> str:
    """Return a metric with three decimals; empty where there is none.

    >>> number(0.94712), number(0.0121, signed=True), number(float("nan"))
    ('0.947', '+0.012', '')
    """
    if math.isnan(value):
        return ""
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def with_interval(value: float, low: float, high: float, signed: bool = False) -> str:
    """Return a metric with its interval.

    >>> with_interval(0.94712, 0.93, 0.9641)
    '0.947 [0.930, 0.964]'
    """
    if math.isnan(low):
        return number(value, signed)
    return f"{number(value, signed)} [{number(low, signed)}, {number(high, signed)}]"


def p_value(value: float) -> str:
    """Return a p-value with three decimals.

    >>> p_value(0.0213), p_value(2e-7), p_value(float("nan"))
    ('0.021', '<0.001', '')
    """
    if math.isnan(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def tables_of(comparison: pd.DataFrame) -> list[TextTable]:
    """Return the comparison as tables: AUC, what else is measured, and the controls made of reals only."""
    if comparison.empty:
        raise UserError("the comparison is empty: no test image was scored")
    detectors = detectors_of(comparison)
    table = wide(comparison)
    # The seeds of a generator stand below each other.
    names = list(dict.fromkeys(table["generator"]))
    table = table.sort_values("generator", key=lambda column: column.map(names.index), kind="stable")
    generators, controls = table[table["kind"] != "control"], table[table["kind"] == "control"]
    many_seeds = table["seed"].nunique() > 1
    tables = []
    if len(generators):
        tables.append(_auc_table(generators, detectors, many_seeds))
        tables.append(_others_table(generators, detectors, many_seeds))
    if len(controls):
        title = "Controls, photographs only: false-positive rate at the validation threshold [95 % interval]"
        header = ["control", *(["seed"] if many_seeds else []), "real", *detectors]
        rows = [
            [
                str(row["generator"]),
                *([str(row["seed"])] if many_seeds else []),
                str(row["n_real"]),
                *(_cell(row, f"{name}_fpr") for name in detectors),
            ]
            for _, row in controls.iterrows()
        ]
        tables.append(TextTable(title, header, rows))
    return tables


def _cell(row: "pd.Series[Any]", column: str, signed: bool = False) -> str:
    value, low, high = (row.get(column + bound, math.nan) for bound in ("", "_low", "_high"))
    return with_interval(value, low, high, signed)


def _start(row: "pd.Series[Any]", many_seeds: bool) -> list[str]:
    training = "" if pd.isna(row["seen"]) else ("seen" if row["seen"] else "unseen")
    seed = [str(row["seed"])] if many_seeds else []
    return [str(row["generator"]), *seed, training, str(row["n_real"]), str(row["n_fake"])]


def _auc_table(table: pd.DataFrame, detectors: Sequence[str], many_seeds: bool) -> TextTable:
    baseline, others = detectors[0], detectors[1:]
    header = ["generator", *(["seed"] if many_seeds else []), "training", "real", "fake", f"{baseline} AUC"]
    for name in others:
        header += [f"{name} AUC", f"{name} − {baseline}", "p"]
    rows = []
    for _, row in table.iterrows():
        cells = [*_start(row, many_seeds), _cell(row, f"{baseline}_auc")]
        for name in others:
            column = f"{name}_auc_difference"
            cells += [_cell(row, f"{name}_auc"), _cell(row, column, signed=True)]
            cells.append(p_value(row.get(f"{column}_p", math.nan)))
        rows.append(cells)
    return TextTable("AUC [95 % bootstrap interval]; p: paired DeLong test", header, rows)


def _others_table(table: pd.DataFrame, detectors: Sequence[str], many_seeds: bool) -> TextTable:
    seeds = ["seed"] if many_seeds else []
    header = ["generator", *seeds, "training", "detector", "AP", "accuracy", "FPR"]
    rows = []
    for _, row in table.iterrows():
        start = _start(row, many_seeds)[:-2]
        for name in detectors:
            rows.append([*start, name, *(_cell(row, f"{name}_{metric}") for metric in ("ap", "accuracy", "fpr"))])
    title = "Average precision (AP); accuracy and false-positive rate (FPR) at the validation threshold"
    return TextTable(f"{title} [95 % interval]", header, rows)


def format_table(comparison: pd.DataFrame) -> str:
    """Return the comparison as aligned plain text for the terminal.

    Args:
        comparison: as `compare_scores` returns it.

    Raises:
        UserError: it is empty.
    """
    blocks = []
    for table in tables_of(comparison):
        cells = [table.header, *table.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(table.header))]
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        rule = "-" * max(map(len, lines))
        blocks.append("\n".join([table.title, lines[0], rule, *lines[1:]]))
    return "\n\n".join(blocks)


def format_markdown(comparison: pd.DataFrame) -> str:
    """Return the comparison as Markdown tables, each with its title in bold above it."""
    blocks = []
    for table in tables_of(comparison):
        marks = ["---", *["---:"] * (len(table.header) - 1)]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, marks, *table.rows)]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        blocks.append(f"**{table.title}**\n\n{lines}")
    return "\n\n".join(blocks) + "\n"
