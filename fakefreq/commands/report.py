"""The command that makes a report of a finished benchmark."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro

from fakefreq.commands.base import Command

logger = logging.getLogger(__name__)


@dataclass
class Report:
    """Make a self-contained page, Markdown, and CSV and LaTeX tables out of a finished benchmark.

    Writes report.html, report.md and tables/ into its folder.

    Example: fakefreq report runs/benchmark
    """

    folder: tyro.conf.Positional[Path]
    """folder that `fakefreq benchmark`, `compare` or `demo` wrote"""
    images: bool = True
    """show the most confident errors; a page that shows faces must not be redistributed"""

    def run(self) -> None:
        from fakefreq.report.page import write_report

        for path in write_report(self.folder, self.images):
            logger.info(f"report: {path}")
        logger.info(f"tables: {self.folder / 'tables'}")


COMMANDS: dict[str, Callable[..., Command]] = {"report": Report}
