"""What degradations do to trained detectors: to both classes alike, to the fakes alone, to the reals alone.

Takes the folder of a finished `fakefreq benchmark`. Where it was swept (robustness.csv is there), that table is used;
else its runs are swept here, and what is scored is kept under --work. Writes OUT.csv (AUC on unseen and seen
generators, false-positive rates of controls) and OUT.png.

Example: python benchmarks/robustness.py runs/benchmark --train-on stylegan --out benchmarks/results/robustness_raw_cpu
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from fakefreq.benchmarking.sweep import sweep_runs
from fakefreq.config.files import RUN_SETTINGS
from fakefreq.errors import UserError
from fakefreq.evaluate.robustness import read_sweep
from fakefreq.files import atomic_path, read_json
from fakefreq.messages import shown_messages
from fakefreq.report.figures import robustness_figure
from fakefreq.report.page import robustness_rows


@dataclass
class Robustness:
    """Tables and figure of a sweep."""

    folder: tyro.conf.Positional[Path]
    """of a finished benchmark, or of one run, as `fakefreq train` leaves it"""
    out: Path = Path("benchmarks/results/robustness")
    """beginning of the two files' names"""
    manifest: Path | None = None
    """of the images; of a benchmark its own"""
    detectors: tuple[str, ...] = ()
    """labels; all by default"""
    train_on: tuple[str, ...] = ()
    """training sets, as cells.csv names them; all by default"""
    seeds: tuple[int, ...] = ()
    """all by default"""
    sweep: tuple[str, ...] = ("default",)
    """degradations; `default`: some forty"""
    limit: int = 100
    """images of each class of each subset, at most; 0: all"""
    draws: int = 1000
    """of the bootstrap"""
    cells: Path | None = None
    """where the benchmark's cells lie; `cells` in its folder by default"""
    work: Path = Path("runs/robustness")
    """keeps degraded scores, so that an interrupted sweep goes on"""

    @shown_messages()
    def run(self) -> None:
        table = self.kept(self.swept())
        if table.empty:
            raise UserError("nothing of the sweep is left: see --detectors, --train-on and --seeds")
        chosen = table[table["kind"].isin(["mean", "generator"]) & (table["metric"] == "auc")]
        controls = table[(table["kind"] == "control") & (table["metric"] == "fpr")]
        with atomic_path(self.out.with_name(f"{self.out.name}.csv")) as temporary:
            pd.concat([chosen, controls]).to_csv(temporary, index=False, float_format="%.4g")
        drawn = robustness_rows(table)
        if drawn.empty:
            print("no family has two levels, so there is no figure")
        else:
            with atomic_path(self.out.with_name(f"{self.out.name}.png")) as temporary:
                robustness_figure(drawn).savefig(temporary, format="png", dpi=110)
        print(f"{len(chosen) + len(controls)} rows: {self.out}.csv")

    def kept(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that were asked for: over all seeds where there are several."""
        for name, values in (("detector", self.detectors), ("train_on", self.train_on)):
            table = table[table[name].isin(values)] if values else table
        together = table["seed"].astype(str) == "all"
        if self.seeds:
            return table[table["seed"].astype(str).isin(map(str, self.seeds))]
        return table[together] if together.any() else table

    def swept(self) -> pd.DataFrame:
        """Return the sweep that is there, or make it."""
        texts = {"family": str, "note": str, "seed": str}
        if (self.folder / "robustness.csv").exists():
            return pd.read_csv(self.folder / "robustness.csv", dtype=texts)
        sweep = read_sweep(self.sweep)
        if (self.folder / RUN_SETTINGS).exists():
            if self.manifest is None:
                raise UserError("a run needs --manifest: the table of the images to degrade")
            sweep_runs([self.folder], self.manifest, sweep, self.limit, self.work, draws=self.draws)
            return pd.read_csv(self.work / "robustness.csv", dtype=texts)
        facts = read_json(self.folder / "benchmark.json", "the record of a benchmark")
        cells = pd.read_csv(self.folder / "cells.csv", dtype={"train_on": str, "detector": str})
        cells = cells[cells["status"] == "done"]
        for name, values in (("detector", self.detectors), ("train_on", self.train_on), ("seed", self.seeds)):
            cells = cells[cells[name].isin(values)] if values else cells
        tables = []
        for track, rows in cells.groupby("track", sort=False):
            manifest = self.manifest or Path(facts["tracks"][track]["manifest"])
            runs = [(self.cells or self.folder / "cells") / name / "run" for name in rows["cell"]]
            labels, out = rows["detector"].tolist(), self.work / str(track)
            sweep_runs(runs, manifest, sweep, self.limit, out, draws=self.draws, labels=labels, track=str(track))
            tables.append(pd.read_csv(out / "robustness.csv", dtype=texts))
        if not tables:
            raise UserError("no cell is left: see --detectors, --train-on and --seeds")
        return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    try:
        tyro.cli(Robustness, description=__doc__).run()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
