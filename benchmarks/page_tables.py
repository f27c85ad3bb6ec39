"""The committed tables, and how a page writes their numbers; for page_numbers.py."""

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from fakefreq.report.tables import with_interval

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
UNSEEN = "mean of unseen"
GENERATORS = ("stylegan", "stylegan2", "dcgan", "mobilestylegan_native", "began", UNSEEN)
BOTH = ("pixel", "two_stream")
FOUND_AND_ALARMS = ("found_at_5", "false_alarms_at_5")


@cache
def table(name: str) -> pd.DataFrame:
    """A committed table."""
    return pd.read_csv(RESULTS / f"{name}.csv", keep_default_na=False, na_values=[""])


def short(value: float, digits: int = 3) -> str:
    """A share without its leading zero.

    >>> short(0.97241), short(1.0), short(0.5, 2)
    ('.972', '1.000', '.50')
    """
    return f"{value:.{digits}f}".removeprefix("0")


def one(name: str, **chosen: object) -> pd.Series:
    """The one row of a table that has some values."""
    rows = table(name)
    for column, value in chosen.items():
        rows = rows[rows[column].astype(str) == str(value)]
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows of {name} have {chosen}")
    return rows.iloc[0]


def metric(name: str, detector: str, test: str, which: str = "auc") -> float:
    """The mean over seeds of one metric; of the means over training sets where there are several."""
    return float(one(f"{name}_summary", detector=detector, test=test, metric=which)["value"])


def gain(name: str, detector: str, test: str = UNSEEN) -> pd.Series:
    """The row of a detector's AUC less that of pixels, over all seeds."""
    return one(f"{name}_differences", detector=detector, test=test, metric="auc", seed="all")


def interval(row: pd.Series, signed: bool = True) -> str:
    """A value with its interval."""
    return with_interval(float(row["value"]), float(row["low"]), float(row["high"]), signed)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table whose first columns are texts and whose others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * texts + "---:|" * (len(header) - texts)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def prose(text: str) -> str:
    """Lines of at most 120 characters."""
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def named(generator: str) -> str:
    """A generator as the tables name it."""
    return generator if generator == UNSEEN else f"`{generator}`" + " (seen)" * (generator == "stylegan")


def counts(row: pd.Series) -> str:
    """Photographs and fakes of a row."""
    return f"{int(row['n_real'])} / {int(row['n_fake'])}"


def finding(number: int, text: str) -> str:
    """An item of the list of findings."""
    words = " ".join(text.split())
    return textwrap.fill(words, 120, initial_indent=f"{number}. ", subsequent_indent="   ", break_on_hyphens=False)
