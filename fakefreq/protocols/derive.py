"""From the scores of cells to all tables of a benchmark; training set by training set, so that memory stays small."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from fakefreq.errors import UserError
from fakefreq.evaluate.store import append_tables, table_path
from fakefreq.protocols import tables
from fakefreq.protocols.calibrated import CALIBRATED_TABLES, calibrated_rows
from fakefreq.protocols.curves import CURVE_COLUMNS, ERROR_COLUMNS, curve_rows, error_rows
from fakefreq.protocols.measure import Draws, Measured
from fakefreq.protocols.protocol import find_protocol
from fakefreq.protocols.unit import Key, Unit, group_names, make_unit

if TYPE_CHECKING:
    from fakefreq.protocols.benchmark import Job, Plan
    from fakefreq.protocols.execute import Outcome

Say = Callable[[str], None]
Row = dict[str, Any]
COLUMNS: dict[str, list[str]] = {
    "metrics": tables.METRICS_COLUMNS,
    "summary": tables.SUMMARY_COLUMNS,
    "matrix": tables.SUMMARY_COLUMNS,
    "differences": tables.DIFFERENCE_COLUMNS,
    "curves": CURVE_COLUMNS,
    "errors": ERROR_COLUMNS,
    **CALIBRATED_TABLES,
}
SCORES = ["cell", "detector", "train_on", "seed", "track", "role"]
SCORES += ["path", "sha256", "label", "generator", "source", "subset", "group", "split", "logit"]


def derive_tables(
    plan: "Plan",
    jobs: Sequence["Job"],
    manifests: Mapping[str, pd.DataFrame],
    done: Mapping[tuple[str, str], "Outcome"],
    out: Path,
    threads: int,
    say: Say = lambda line: None,
) -> None:
    """Write every table that `fakefreq.protocols` lists, apart from those of the cells themselves.

    Args:
        plan: the benchmark.
        jobs: its training sets.
        manifests: track -> manifest.
        done: (label, cell's name) -> where its scores are.
        out: folder of the tables.
        threads: of the statistics.
        say: called with lines for the user.
    """
    from fakefreq.protocols.benchmark import load_cell

    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    work = sum(len(job.cells) for job in jobs)
    with tqdm(total=work, desc="tables", unit="cell", leave=False) as bar:
        for track, manifest in manifests.items():
            draws = Draws.of(manifest.assign(group=group_names(manifest)), plan.draws)
            for protocol in plan.protocols:
                kept: dict[str, dict[Key, list[Measured]]] = {}
                for job in (job for job in jobs if (job.track, job.protocol) == (track, protocol)):
                    scores, thresholds, val = {}, {}, {}
                    for cell in job.cells:
                        outcome = done.get((cell.label, cell.name))
                        if outcome is None:
                            continue
                        table, threshold = load_cell(outcome)
                        key = (cell.label, cell.config.seed)
                        scores[key] = find_protocol(protocol).select(table)
                        val[key] = table[table["role"] == "val"]
                        thresholds[key] = threshold
                    if not scores:
                        say(f"{protocol}, {track}: no cell trained on {'+'.join(job.train_on)} is done")
                        continue
                    unit = make_unit(protocol, track, job.train_on, scores, thresholds, draws)
                    unit.measure_all(draws, plan.prevalence, threads, lambda: None)
                    tables.add_means(unit)
                    kept[unit.train_on] = _unseen(unit)
                    _collect(rows, unit, plan.baseline)
                    rows["curves"] += curve_rows(unit, draws)
                    rows["errors"] += error_rows(unit)
                    for name, found in calibrated_rows(unit, val, draws).items():
                        rows[name] += found
                    bar.update(len(job.cells))
                everywhere = tables.over_training_sets(protocol, track, kept)
                if everywhere is not None:
                    _collect(rows, everywhere, plan.baseline)
    rows["matrix"] = [row for row in rows["summary"] if _in_matrix(row)]
    rows["errors"] = list({tuple(row[name] for name in ERROR_COLUMNS): row for row in rows["errors"]}.values())
    for name, columns in COLUMNS.items():
        tables.write_csv(tables.tidy(rows[name], columns), out / f"{name}.csv")
    write_all_scores(jobs, done, out)


def _collect(rows: dict[str, list[Row]], unit: Unit, baseline: str) -> None:
    rows["metrics"] += tables.metric_rows(unit)
    rows["summary"] += tables.summary_rows(unit)
    rows["differences"] += tables.difference_rows(unit, baseline)


def _unseen(unit: Unit) -> dict[Key, list[Measured]]:
    names = [part.name for part in unit.parts if part.kind == "generator" and part.seen is False]
    return {key: [of_cell[name] for name in names] for key, of_cell in unit.measured.items() if names}


def _in_matrix(row: Row) -> bool:
    return row["kind"] in ("generator", "mean", "control") and row["metric"] in tables.MATRIX_METRICS


def write_all_scores(jobs: Sequence["Job"], done: Mapping[tuple[str, str], "Outcome"], out: Path) -> None:
    """Write scores.parquet (.csv): the rows of every cell below each other, one cell in memory at a time."""
    from fakefreq.protocols.benchmark import load_cell

    cells = {(cell.label, cell.name): cell for job in jobs for cell in job.cells if (cell.label, cell.name) in done}
    if not cells:
        raise UserError("no cell is done, so there is no score")

    def each() -> Any:
        for key, cell in cells.items():
            table, _ = load_cell(done[key])
            yield table.assign(**{**cell.facts(), "cell": done[key].folder.name})[SCORES]

    append_tables(each(), table_path(out))
