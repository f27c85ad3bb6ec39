"""How often photographs are called fake that were merely processed: controls for the runs of a finished benchmark.

Build the controls out of photographs that no training has seen, at the history of the benchmark's images; with
`--control-reals` the untouched photographs stand beside them. Each run of the benchmark scores them at its own
validation threshold (`fpr`), and at the thresholds that 5 % and 1 % of its validation photographs exceed.

Example:
    fakefreq zoo build --controls all --control-reals photos/ --reals photos/ --share-photos --count 200 \\
        --size 256 --history size=256,kernel=bicubic,codec=jpeg:75 --out controls
    python benchmarks/controls.py runs/benchmark --manifest controls/manifest.csv --cells runs/cells --out controls.csv
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.bootstrap import wilson_interval
from fakefreq.evaluate.predict import score_rows
from fakefreq.files import atomic_path
from fakefreq.models import load_detector

RATES = (0.05, 0.01)


@dataclass
class Controls:
    """The false-positive rate of every run on every control."""

    folder: tyro.conf.Positional[Path]
    """of a finished benchmark"""
    manifest: Path
    """of the controls: photographs only"""
    out: Path
    """the table to write"""
    cells: Path | None = None
    """where the benchmark's trainings lie; `cells` in its folder by default"""
    batch_size: int = 32
    """images a step"""

    def run(self) -> None:
        rows = read_manifest(self.manifest)
        if (rows["label"] != 0).any():
            raise UserError(f"{self.manifest} holds fakes; controls are photographs: filter it with --where label=0")
        cells = pd.read_csv(self.folder / "cells.csv")
        tables = []
        for cell in cells[cells["status"] == "done"].itertuples():
            detector = load_detector((self.cells or self.folder / "cells") / str(cell.cell) / "run")
            scores, _ = score_rows(detector, rows, self.manifest.parent, self.batch_size, progress=str(cell.cell))
            known = pd.read_csv((self.cells or self.folder / "cells") / str(cell.cell) / "run" / "val_scores.csv")
            photographs = known.loc[known["label"] == 0, "logit"]
            for control, part in scores.groupby("subset"):
                called = int((part["logit"] > detector.threshold).sum())
                low, high = wilson_interval(called, len(part))
                facts = {"detector": cell.detector, "train_on": cell.train_on, "track": cell.track, "seed": cell.seed}
                row = {**facts, "control": control, "fpr": called / len(part), "low": low, "high": high, "n": len(part)}
                for rate in RATES:
                    row[f"alarms_at_{rate:.0%}"] = float((part["logit"] > photographs.quantile(1 - rate)).mean())
                tables.append(row)
        table = pd.DataFrame(tables)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")
        shown = table.groupby(["detector", "control"])[["fpr", *(f"alarms_at_{rate:.0%}" for rate in RATES)]]
        print(shown.mean().round(3).to_string())


if __name__ == "__main__":
    try:
        tyro.cli(Controls, description=__doc__).run()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
