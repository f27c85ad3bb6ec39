"""The command that makes a report of a finished benchmark."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import tyro

from fakefreq.commands.base import Command
from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS

logger = logging.getLogger(__name__)


@dataclass
class Report:
    """Make a self-contained page and tables out of a finished benchmark, or the tables alone out of its scores.

    Given the folder of a benchmark it writes report.html, report.md and tables/ (CSV and LaTeX) into it. Given its
    scores.parquet (or .csv) it measures them anew and writes the benchmark's tables into --out, byte for byte; only the
    column `biased`, which scores do not tell, is missing.

    Example: fakefreq report runs/benchmark
    Example: fakefreq report runs/benchmark/scores.parquet --protocol one_to_all --out rebuilt
    """

    source: tyro.conf.Positional[Path]
    """folder that `fakefreq benchmark`, `compare` or `demo` wrote, or its scores"""
    images: bool = True
    """show the most confident errors; a page that shows faces must not be redistributed"""
    out: Path | None = None
    """of scores: the folder of the tables"""
    protocol: str = "one_to_all"
    """of scores: the protocol that they were made by"""
    baseline: str = ""
    """of scores: the detector that the others are compared with; by default the first"""
    draws: int = DEFAULT_DRAWS
    """of scores: bootstrap draws"""
    metrics: tuple[str, ...] = ()
    """of scores: only these metrics, in metrics, summary, matrix and differences alone; by default all tables"""

    def run(self) -> None:
        if self.source.is_dir() or not self.source.exists():
            self._page()
        else:
            self._tables()

    def _page(self) -> None:
        from fakefreq.report.page import write_report

        for name, (value, default) in self._of_scores().items():
            if value != default:
                raise UserError(f"--{name} is for a file of scores, and {self.source} is none: leave it out")
        for path in write_report(self.source, self.images):
            logger.info(f"report: {path}")
        logger.info(f"tables: {self.source / 'tables'}")

    def _tables(self) -> None:
        from fakefreq.api import tables
        from fakefreq.evaluate.scores import read_cells
        from fakefreq.evaluate.tables import write_csv

        if self.out is None:
            raise UserError(f"{self.source} holds scores: say with --out which folder takes their tables")
        scores = read_cells(self.source)
        found = tables(scores, self.protocol, self.baseline, draws=self.draws, metrics=self.metrics)
        for name, table in found.items():
            write_csv(table, self.out / f"{name}.csv")
        logger.info(f"tables: {self.out}")

    def _of_scores(self) -> dict[str, tuple[object, object]]:
        """Flag -> value and default, of those that scores alone take."""
        names = ("out", "protocol", "baseline", "draws", "metrics")
        return {one.name: (getattr(self, one.name), one.default) for one in fields(self) if one.name in names}


COMMANDS: dict[str, Callable[..., Command]] = {"report": Report}
