"""Do probabilities mean what they say, on generators that training saw and on others; does abstention keep its promise?

Takes a finished folder of `fakefreq benchmark`, of `fakefreq compare`, or of one run, and writes OUT.csv (calibration
errors before and after temperature, Platt and isotonic maps that were fitted to validation images), OUT_coverage.csv
(split-conformal sets: stated and measured coverage) and OUT.png (reliability, seeds and training sets together).

Example: python benchmarks/calibration.py runs/benchmark --out benchmarks/results/calibration_facebench
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure

from fakefreq.benchmarking.plan import find_protocol
from fakefreq.errors import UserError
from fakefreq.evaluate.calibration import CALIBRATION_TABLES, calibration_rows
from fakefreq.evaluate.measure import score_sets
from fakefreq.evaluate.scores import load_scores
from fakefreq.evaluate.tables import tidy
from fakefreq.files import atomic_path
from fakefreq.report.figures import COLOURS, MARKERS, STYLE, together

POOLS = ["pooled seen", "pooled unseen"]
KEYS = ["protocol", "track", "train_on", "detector", "test"]


@dataclass
class Calibration:
    """Tables and figure of calibration and abstention."""

    folder: tyro.conf.Positional[Path]
    """of a finished benchmark, comparison or run"""
    out: Path = Path("benchmarks/results/calibration")
    """beginning of the three files' names"""
    protocol: str = ""
    """only this one of a benchmark; decides the test rows of other folders (one_to_all by default)"""
    detectors: tuple[str, ...] = ()
    """labels; all by default"""
    draws: int = 200
    """of the bootstrap, where the tables are not there yet"""

    def run(self) -> None:
        tables = {name: self._chosen(table) for name, table in self.tables().items()}
        if any(table.empty for table in tables.values()):
            raise UserError("nothing is left to show: see --protocol and --detectors")
        errors = tables["calibration"].groupby([*KEYS, "method", "metric"], sort=False, dropna=False)["value"]
        self._write("", errors.agg(["mean", "std", "min", "max", "count"]).reset_index())
        kept = ["coverage", "abstained", "error"]
        promised = tables["abstention"].groupby([*KEYS, "stated"], sort=False, dropna=False)
        coverage = promised[kept].mean().join(promised["coverage"].agg(least="min", seeds="count"))
        self._write("_coverage", coverage.reset_index())
        with atomic_path(self.out.with_name(f"{self.out.name}.png")) as temporary:
            reliability_figure(tables["reliability"]).savefig(temporary, format="png", dpi=110)
        print(coverage.groupby(["detector", "test", "stated"]).mean().round(3).to_string())

    def _write(self, end: str, table: pd.DataFrame) -> None:
        with atomic_path(self.out.with_name(f"{self.out.name}{end}.csv")) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")

    def _chosen(self, table: pd.DataFrame) -> pd.DataFrame:
        table = table[table["test"].isin(POOLS)]
        if self.protocol:
            table = table[table["protocol"] == self.protocol]
        return table[table["detector"].isin(self.detectors)] if self.detectors else table

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return calibration, reliability and abstention: those of the benchmark, else made from the scores."""
        if all((self.folder / f"{name}.csv").exists() for name in CALIBRATION_TABLES):
            return {name: pd.read_csv(self.folder / f"{name}.csv") for name in CALIBRATION_TABLES}
        only = bool(self.protocol) and find_protocol(self.protocol).test_rows == "test_split"
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in CALIBRATION_TABLES}
        for scores in score_sets(load_scores(self.folder), self.protocol, only, self.draws, self.detectors):
            for name, rows in calibration_rows(scores).items():
                found[name] += rows
        return {name: tidy(rows, CALIBRATION_TABLES[name]) for name, rows in found.items()}


def reliability_figure(bins: pd.DataFrame) -> Figure:
    """Return observed against predicted shares: a row a detector, a column for seen and one for unseen generators."""
    detectors = list(dict.fromkeys(bins["detector"]))
    tests = [name for name in POOLS if (bins["test"] == name).any()]
    with mpl.rc_context(STYLE):
        size = (3.2 * len(tests) + 0.4, 2.9 * len(detectors) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(detectors), len(tests), sharex=True, sharey=True, squeeze=False)
        for row, detector in zip(panels, detectors, strict=True):
            for axes, test in zip(row, tests, strict=True):
                chosen = bins[(bins["detector"] == detector) & (bins["test"] == test)]
                axes.plot([0, 1], [0, 1], color="#666666", linestyle=":", linewidth=1)
                for number, (method, rows) in enumerate(chosen.groupby("method", sort=False)):
                    mean = together(rows)
                    axes.plot(mean["predicted"], mean["observed"], color=COLOURS[number], label=str(method),
                              marker=MARKERS[number], markersize=4, linewidth=1.4)  # fmt: skip
                axes.set(title=f"{detector}, {test}", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
                axes.set_xticks(np.linspace(0, 1, 6))
        panels[0, 0].legend(loc="upper left")
        figure.supxlabel("predicted probability of fake", fontsize=10)
        figure.supylabel("observed share", fontsize=10)
    return figure


if __name__ == "__main__":
    try:
        tyro.cli(Calibration, description=__doc__).run()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
