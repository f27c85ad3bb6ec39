"""The work of `fakefreq benchmark`: a plan into cells, cells into scores, scores into tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.benchmarking.cells import Outcome, checked, execute
from fakefreq.benchmarking.code import code_digest
from fakefreq.benchmarking.plan import TRACKS, Job, Plan, find_protocol, make_jobs
from fakefreq.benchmarking.sweep import sweep_jobs
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import ScoreSet, make_score_set
from fakefreq.evaluate.robustness import ROBUSTNESS_COLUMNS, read_sweep
from fakefreq.evaluate.scores import COLUMNS, table_path, write_all_scores
from fakefreq.evaluate.tables import derive_tables, tidy, write_csv
from fakefreq.evaluate.test_sets import EACH
from fakefreq.files import read_json, write_json
from fakefreq.progress import ProgressBar
from fakefreq.train.bias_check import audit_training
from fakefreq.train.selection import select_training

logger = logging.getLogger(__name__)

Manifests = Mapping[str, pd.DataFrame]
Done = Mapping[tuple[str, str], Outcome]
"""(label, cell's name) -> where its scores are."""
TRAINING_COLUMNS = ["track", "train_on", "seed", "detector", "epoch", "step", "phase", "loss", "auc"]


@dataclass(frozen=True)
class Result:
    """A finished benchmark.

    Args:
        out: its folder.
        outcomes: how each cell ended. A cell that failed is in failures.csv; the tables hold the others.
        tables: name -> table, as the folder has them.
    """

    out: Path
    outcomes: Sequence[Outcome]
    tables: Mapping[str, pd.DataFrame]

    @property
    def failed(self) -> list[Outcome]:
        """The cells that failed."""
        return [outcome for outcome in self.outcomes if not outcome.is_done]


def benchmark(
    plan: Plan,
    out: str | Path,
    engine: Engine | None = None,
    any_code: bool = False,
    store: Path | None = None,
    *,
    threads: int = -1,
    degrade: Sequence[str] = (),
    degrade_limit: int = 100,
) -> Result:
    """Do the cells of a plan that are missing, then make all tables from their scores.

    Args:
        plan: what to do.
        out: folder of the tables.
        engine: where cells and sweeps are done; one after the other in this process by default.
        any_code: take finished cells that other versions of the code have made.
        store: folder of the cells; `out`/cells by default. Benchmarks may share one.
        threads: of the statistics; -1: one a core.
        degrade: degradations to sweep all cells over (`default`: those of `evaluate.robustness.SWEEP`); none: no sweep.
        degrade_limit: images of each class of each subset in a sweep, at most; 0: all.

    Raises:
        UserError: anything that the user can mend, a training set that fails the audit among it; every cell failed.
    """
    plan.check()
    if degrade_limit < 0:
        raise UserError(f"--sweep-limit is {degrade_limit}; it takes 0 (all images) or more")
    engine = engine or Engine()
    engine.check()
    out, sweep = Path(out), read_sweep(tuple(degrade))
    manifests = {track: read_manifest(path) for track, path in plan.tracks.items()}
    for manifest in manifests.values():
        check_splits(manifest)
    todo = make_jobs(plan, manifests)
    sets = [(job.track, job.train_on) for job in todo]
    biased = audit_training_sets(sets, manifests, plan.allow_biased)
    # Seed by seed, so that a benchmark that has to stop early has whole tables of fewer seeds.
    cells = sorted((cell for job in todo for cell in job.cells), key=lambda cell: plan.seeds.index(cell.config.seed))
    outcomes = checked(execute(cells, store or out / "cells", engine, any_code), manifests)
    write_json(out / "benchmark.json", {**describe(plan, manifests), "biased": _as_lists(biased)})
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    done = {(outcome.cell.label, outcome.cell.name): outcome for outcome in outcomes if outcome.is_done}
    if failed:
        rows = [{**outcome.cell.facts(), "error": outcome.error} for outcome in failed]
        _write("failures", pd.DataFrame(rows).drop_duplicates(), biased, out)
    else:
        (out / "failures.csv").unlink(missing_ok=True)
    if not done:
        raise UserError(f"all {len(failed)} cells failed, the first so: {failed[0].error}")
    logger.info("tables")
    tables = {**tables_of_cells(list(done.values()), failed), "training": training_table(list(done.values()))}
    draws = draws_of_scores(list(done.values()), plan.draws)
    tables |= derive_tables(score_sets_of(plan, todo, done, draws), plan.baseline, plan.prevalence, threads)
    write_all_scores(_each_scores(todo, done), table_path(out))
    if sweep:
        rows = sweep_jobs(plan, todo, manifests, done, draws, sweep=sweep, limit=degrade_limit, engine=engine)
        tables["robustness"] = tidy(rows, ROBUSTNESS_COLUMNS)
    tables = {name: _write(name, table, biased, out) for name, table in tables.items()}
    if plan.spectra:
        write_spectra(plan, manifests, out)
    return Result(out, outcomes, tables)


def audit_training_sets(
    sets: Sequence[tuple[str, tuple[str, ...]]],
    manifests: Manifests,
    allow_biased: bool,
) -> dict[tuple[str, str], str]:
    """Audit every training set, as `fakefreq train` does.

    Args:
        sets: track and generators of each.
        manifests: track -> manifest.
        allow_biased: go on after a `fail`.

    Returns:
        (track, training set) -> why its audit failed; only those that did. Means over training sets have the reasons
        of all.

    Raises:
        UserError: an audit failed, and that is not allowed.
    """
    found: dict[tuple[str, str], str] = {}
    for track, chosen in dict.fromkeys(sets):
        rows = select_training(manifests[track], chosen).train
        name = "+".join(chosen)
        finding = audit_training(rows, not allow_biased, f" of {name} ({track})")
        if finding.verdict == "fail":
            reason = f"the training images of {name} fail the audit: {'; '.join(finding.reasons[:1])}"
            found[track, name] = reason
            found[track, EACH] = "; ".join(filter(None, (found.get((track, EACH)), reason)))
    return found


def _as_lists(biased: Mapping[tuple[str, str], str]) -> list[dict[str, str]]:
    return [
        {"track": track, "train_on": name, "reason": reason} for (track, name), reason in biased.items() if name != EACH
    ]


def _write(name: str, table: pd.DataFrame, biased: Mapping[tuple[str, str], str], out: Path) -> pd.DataFrame:
    """Write a table; its last column says why the audit of a row's training set failed."""
    sets = zip(table["track"].astype(str), table["train_on"].astype(str), strict=True)
    table = table.assign(biased=[biased.get(key, "") for key in sets])
    write_csv(table, out / f"{name}.csv")
    return table


def describe(plan: Plan, manifests: Manifests) -> dict[str, Any]:
    """What a reader needs to judge and repeat a benchmark."""
    from fakefreq.threads import choose_device, describe_environment

    device = choose_device(next(iter(plan.detectors.values())).device)
    return {
        "protocols": {name: find_protocol(name).question for name in plan.protocols},
        "detectors": {label: config.what_it_computes() for label, config in plan.detectors.items()},
        "seeds": list(plan.seeds),
        "train_on": list(plan.train_on),
        "baseline": plan.baseline,
        "draws": plan.draws,
        "prevalence": plan.prevalence,
        "tracks": {
            track: {
                "manifest": str(plan.tracks[track]),
                "digest": manifest_digest(manifest),
                "images": len(manifest),
                "history": TRACKS[track],
            }
            for track, manifest in manifests.items()
        },
        "code": code_digest(),
        "environment": describe_environment(device),
    }


def tables_of_cells(done: Sequence[Outcome], failed: Sequence[Outcome]) -> dict[str, pd.DataFrame]:
    """Return the tables `cells` and `cost`."""
    columns = ["threshold", "val_auc", "best_epoch", "n_train", "n_val", "n_test", "parameters"]
    costs = ["parameters", "train_seconds", "score_seconds", "n_test", "device"]
    rows, cost = [], []
    for outcome in done:
        facts = outcome.record
        start = {**outcome.cell.facts(), "cell": outcome.folder.name}
        rows.append({**start, "status": "done", **{name: facts[name] for name in columns}})
        cost.append({**start, **{name: facts[name] for name in costs}})
    rows += [{**outcome.cell.facts(), "status": "failed"} for outcome in failed]
    order = ["track", "train_on", "seed", "detector"]
    cells = pd.DataFrame(rows).drop_duplicates().sort_values(order, ignore_index=True)
    return {
        "cells": cells,
        "cost": pd.DataFrame(cost).rename(columns={"n_test": "score_images"}).sort_values(order, ignore_index=True),
    }


def training_table(done: Sequence[Outcome]) -> pd.DataFrame:
    """Return the training curves of all cells: each one's log.csv."""
    logs = []
    for outcome in done:
        path = outcome.folder / "run" / "log.csv"
        if path.exists():
            logs.append(pd.read_csv(path).assign(**outcome.cell.facts()))
    table = pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()
    return table.reindex(columns=TRAINING_COLUMNS)


def draws_of_scores(done: Sequence[Outcome], draws: int) -> dict[str, Draws]:
    """Return the draws of each track, over all images that a cell has scored: what `fakefreq.tables` draws too."""
    images: dict[str, list[pd.DataFrame]] = {}
    for outcome in done:
        columns = ["path", "group", "label", "subset", "generator", "split"]
        images.setdefault(outcome.cell.track, []).append(outcome.scores[columns].astype({"path": str, "group": str}))
    return {
        track: Draws.of(pd.concat(tables, ignore_index=True).drop_duplicates("path"), draws)
        for track, tables in images.items()
    }


def score_sets_of(plan: Plan, jobs: Sequence[Job], done: Done, draws: Mapping[str, Draws]) -> Iterator[ScoreSet]:
    """Yield the score set of each training set, one of them in memory at a time.

    Args:
        plan: the benchmark.
        jobs: its training sets.
        done: the finished cells.
        draws: of each track.
    """
    order = [(track, protocol) for track in plan.tracks for protocol in plan.protocols]
    with ProgressBar("tables", sum(len(job.cells) for job in jobs), "cell") as progress:
        for job in sorted(jobs, key=lambda job: order.index((job.track, job.protocol))):
            scores, thresholds = {}, {}
            for cell in job.cells:
                outcome = done.get((cell.label, cell.name))
                if outcome is not None:
                    key = (cell.label, cell.config.seed)
                    scores[key] = find_protocol(job.protocol).select(outcome.scores)
                    thresholds[key] = float(outcome.record["threshold"])
            if scores:
                yield make_score_set(job.protocol, job.track, job.train_on, scores, draws[job.track], thresholds)
            else:
                logger.warning(f"{job.protocol}, {job.track}: no cell trained on {'+'.join(job.train_on)} is done")
            progress.update(len(job.cells))


def _each_scores(jobs: Sequence[Job], done: Done) -> Iterator[pd.DataFrame]:
    cells = {(cell.label, cell.name): cell for job in jobs for cell in job.cells if (cell.label, cell.name) in done}
    for key, cell in cells.items():
        facts = {**cell.facts(), "cell": done[key].folder.name, "threshold": float(done[key].record["threshold"])}
        yield done[key].scores.assign(**facts)[["cell", *COLUMNS]]


def write_spectra(plan: Plan, manifests: Manifests, out: Path) -> None:
    """Write the mean spectra of each track's generators into spectra/<track>/; those that are there are kept.

    Args:
        plan: the benchmark; its baseline's history is what the images go through first.
        manifests: track -> manifest.
        out: the benchmark's folder.
    """
    from fakefreq.atlas.measure import measure_manifest, write_tables

    text = plan.detectors[plan.baseline].history
    for track, manifest in manifests.items():
        folder = out / "spectra" / track
        made = {"manifest": manifest_digest(manifest), "history": text, "images": plan.spectra}
        record = folder / "made.json"
        if record.exists() and read_json(record, "the record of the spectra") == made:
            continue
        history = parse_history(text) if text else None
        try:
            found = measure_manifest(manifest, plan.tracks[track].parent, history, limit=plan.spectra, workers=0)
        except UserError as error:
            logger.warning(f"no mean spectra of the track {track}: {error}")
            continue
        write_tables(found, folder)
        write_json(record, made)
