"""The tables of a finished benchmark as texts: for the terminal, the page, Markdown, CSV and LaTeX."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.errors import UserError
from fakefreq.files import write_text

NAMES = ["training", "summary", "matrix", "differences", "curves", "reliability", "calibration", "errors", "cost"]
NAMES += ["robustness"]
SHOWN = ["auc", "ap", "accuracy", "tpr_at_fpr_1", "found_at_5", "false_alarms_at_5", "fpr", "ece"]


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark.

    Args:
        folder: where it lies.
        facts: its benchmark.json.
        tables: name -> table; empty where the file is absent or holds no row.
    """

    folder: Path
    facts: dict[str, Any]
    tables: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Shown:
    """A table of texts with the file name that its exports get."""

    name: str
    title: str
    header: list[str]
    rows: list[list[str]]


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


def read_benchmark(folder: Path) -> Benchmark:
    """Read the tables that `fakefreq benchmark` wrote.

    Raises:
        UserError: no benchmark is there, or its benchmark.json or a table cannot be read.
    """
    path = folder / "benchmark.json"
    if not path.is_file():
        raise UserError(f"{folder} holds no benchmark.json: give the folder that `fakefreq benchmark --out` wrote")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        tables = {name: _read(folder / f"{name}.csv") for name in [*NAMES, "failures"]}
    except ValueError as error:
        raise UserError(f"{folder}: a table of the benchmark cannot be read: {error}") from error
    if not isinstance(facts, dict):
        raise UserError(f"{path} holds no JSON object")
    return Benchmark(folder, facts, tables)


def _read(path: Path) -> pd.DataFrame:
    texts = ["detector", "train_on", "test", "note", "generator", "source", "track", "protocol", "path"]
    try:
        return pd.read_csv(path, dtype=dict.fromkeys(texts, "string"), keep_default_na=False, na_values=[""])
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()


def headline_rows(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the headline: AUC less the baseline's, over all seeds, on the mean of unseen generators."""
    if differences.empty:
        return differences
    chosen = (differences["seed"].astype(str) == "all") & (differences["metric"] == "auc")
    return differences[chosen & (differences["test"] == "mean of unseen") & differences["value"].notna()]


def shown_tables(benchmark: Benchmark) -> list[Shown]:
    """Return the main tables as texts: the metrics over seeds, and the differences with their corrected p-values."""
    found = []
    summary = benchmark.tables["summary"]
    if not summary.empty:
        keys = ["protocol", "track", "train_on", "detector", "test", "kind"]
        rows = []
        for key, part in summary[summary["metric"].isin(SHOWN)].groupby(keys, sort=False, dropna=False):
            cells = {str(row.metric): _interval(row) for row in part.itertuples()}
            rows.append([*map(_text, key), *(cells.get(name, "") for name in SHOWN)])
        found.append(Shown("metrics", "Metrics, mean over seeds with 95 % interval", [*keys, *SHOWN], rows))
    differences = benchmark.tables["differences"]
    if not differences.empty:
        part = differences[(differences["seed"].astype(str) == "all") & (differences["metric"] == "auc")]
        keys = ["protocol", "track", "train_on", "detector", "test", "kind"]
        tuples: list[Any] = list(part.itertuples())
        rows = [
            [*(_text(getattr(row, key)) for key in keys), _interval(row, True), p_value(float(row.p)),
             p_value(float(row.p_holm)), number(float(row.detectable)), _text(row.n_real), _text(row.n_fake)]
            for row in tuples
        ]  # fmt: skip
        header = [*keys, "AUC difference", "p", "p (Holm)", "detectable", "reals", "fakes"]
        found.append(Shown("differences", f"AUC less that of {benchmark.facts.get('baseline', '')}", header, rows))
    return [item for item in found if item.rows]


def without_constants(item: Shown) -> Shown:
    """Return a table whose first columns of one value alone stand in its title instead: it is read on a phone."""
    names = [name for name in ("protocol", "track", "train_on", "detector") if name in item.header]
    said = {name: {row[item.header.index(name)] for row in item.rows} for name in names}
    constant = {name: next(iter(values)) for name, values in said.items() if len(values) == 1}
    kept = [place for place, name in enumerate(item.header) if name not in constant]
    title = "; ".join([item.title, *(f"{name} {value}" for name, value in constant.items() if value)])
    return Shown(
        item.name, title, [item.header[place] for place in kept], [[row[p] for p in kept] for row in item.rows]
    )


def _interval(row: Any, signed: bool = False) -> str:
    return with_interval(float(row.value), float(row.low), float(row.high), signed)


def _text(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def export_tables(tables: list[Shown], folder: Path) -> None:
    """Write each table as CSV and as LaTeX for the booktabs package."""
    folder.mkdir(parents=True, exist_ok=True)
    for item in tables:
        write_text(folder / f"{item.name}.csv", pd.DataFrame(item.rows, columns=item.header).to_csv(index=False))
        write_text(folder / f"{item.name}.tex", latex(item))


def latex(item: Shown) -> str:
    """Return a table for LaTeX's booktabs.

    >>> print(latex(Shown("t", "T", ["a_b"], [["50 %"]])))
    % needs \\usepackage{booktabs}
    \\begin{tabular}{l}
    \\toprule
    a\\_b \\\\
    \\midrule
    50 \\% \\\\
    \\bottomrule
    \\end{tabular}
    <BLANKLINE>
    """
    lines = [" & ".join(map(escape_latex, row)) + r" \\" for row in [item.header, *item.rows]]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    columns = "l" * len(item.header)
    return f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"


def escape_latex(text: str) -> str:
    """Return plain text with LaTeX's special characters escaped.

    >>> print(escape_latex("a_b & 5%"))
    a\\_b \\& 5\\%
    """
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    # An opening bracket after \\ would be read as its argument.
    special |= {"[": "{[}", "]": "{]}"}
    return "".join(special.get(character, character) for character in text)


def markdown(item: Shown) -> str:
    """Return a table in Markdown."""
    rows = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in [item.header, *item.rows]]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    title = item.title.replace("<", "&lt;")
    return "\n".join([f"**{title}**", "", lines[0], "|" + "---|" * len(item.header), *lines[1:]])


def format_comparison(comparison: pd.DataFrame) -> str:
    """Return a comparison as aligned plain text for the terminal; of several seeds, what all say together.

    Args:
        comparison: as `fakefreq.evaluate.tables.comparison_view` returns it.

    Raises:
        UserError: it is empty.
    """
    blocks = []
    for table in comparison_tables(comparison):
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
    return "\n\n".join([*_warnings(comparison), *blocks])


def _warnings(comparison: pd.DataFrame) -> list[str]:
    reasons = sorted(set(comparison["biased"]) - {""}) if "biased" in comparison else []
    return [f"Biased, and trained all the same: {reason}" for reason in reasons]


def _threshold_text(comparison: pd.DataFrame) -> str:
    """Say where the thresholds come from: of validation, or, of outside scores, each detector's own."""
    if "threshold_from" not in comparison:
        return "the validation threshold"
    origins = dict(zip(comparison["detector"], comparison["threshold_from"], strict=True))
    if all(origin.removeprefix("score table: ") == "validation" for origin in origins.values()):
        return "the validation threshold"
    return "the thresholds of " + ", ".join(f"{name} ({origin})" for name, origin in origins.items())


def comparison_tables(comparison: pd.DataFrame) -> list[Shown]:
    """Return a comparison as tables: AUC, what else is measured, and the controls made of reals only."""
    if comparison.empty:
        raise UserError("the comparison is empty: no test image was scored")
    together = comparison[comparison["seed"].astype(str) == "all"]
    table = comparison if together.empty else together
    detectors = list(dict.fromkeys(table["detector"]))
    values = {(row.generator, row.detector, row.metric): row for row in table.itertuples()}
    sets = table.drop_duplicates("generator")

    def cell(name: str, detector: str, metric: str, signed: bool = False) -> str:
        row = values.get((name, detector, metric))
        return "" if row is None else _interval(row, signed)

    auc_rows, other_rows, control_rows = [], [], []
    for entry in sets.to_dict("records"):
        name = str(entry["generator"])
        if entry["kind"] == "control":
            rates = [cell(name, detector, "fpr") for detector in detectors]
            control_rows.append([name, _text(entry["n_real"]), *rates])
            continue
        seen = {"true": "seen", "false": "unseen"}.get(str(entry["seen"]).lower(), "")
        row = [name, seen, _text(entry["n_real"]), _text(entry["n_fake"]), cell(name, detectors[0], "auc")]
        for other in detectors[1:]:
            change = values.get((name, other, "auc_difference"))
            test = "" if change is None else p_value(float(change.p))  # type: ignore[arg-type]
            row += [cell(name, other, "auc"), cell(name, other, "auc_difference", True), test]
        auc_rows.append(row)
        for detector in detectors:
            other_rows.append([name, seen, detector, *(cell(name, detector, key) for key in ("ap", "accuracy", "fpr"))])
    header = ["generator", "training", "real", "fake", f"{detectors[0]} AUC"]
    for other in detectors[1:]:
        header += [f"{other} AUC", f"{other} − {detectors[0]}", "p"]
    other_header = ["generator", "training", "detector", "AP", "accuracy", "FPR"]
    at = _threshold_text(comparison)
    of_rates = f"Average precision (AP); accuracy and false-positive rate (FPR) at {at}"
    control = f"Controls, photographs only: false-positive rate at {at} [95 % interval]"
    seeds = comparison["seed"].astype(str).nunique() - (not together.empty)
    over = f", {seeds} seeds" if seeds > 1 else ""
    found = [
        Shown("auc", f"AUC [95 % interval]; p: paired test on the same images{over}", header, auc_rows),
        Shown("rates", f"{of_rates} [95 % interval]", other_header, other_rows),
        Shown("controls", control, ["control", "real", *detectors], control_rows),
    ]
    return [item for item in found if item.rows]
