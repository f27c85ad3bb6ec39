"""`fakefreq benchmark`: protocols into cells, cells into scores, scores into tables."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.errors import UserError, choose
from fakefreq.evaluate.robustness import read_sweep
from fakefreq.evaluate.store import read_table, table_path
from fakefreq.files import read_json, write_json
from fakefreq.protocols.cells import Cell, code_digest, expand, parse_detectors
from fakefreq.protocols.checked import checked
from fakefreq.protocols.derive import derive_tables
from fakefreq.protocols.execute import Outcome, execute
from fakefreq.protocols.protocol import find_protocol
from fakefreq.protocols.robust import sweep_benchmark
from fakefreq.protocols.tables import write_csv
from fakefreq.train.selection import generators_of

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a benchmark is to do.

    Args:
        protocols: names of protocols.
        detectors: label -> configuration.
        seeds: one training of every cell for each.
        tracks: `raw`, `aligned` -> manifest.
        train_on: what one_to_all trains on.
        baseline: label that the others are compared with.
        draws: bootstrap draws.
        prevalence: that the precision is stated for.
    """

    protocols: tuple[str, ...]
    detectors: Mapping[str, TrainConfig]
    seeds: tuple[int, ...]
    tracks: Mapping[str, Path]
    train_on: tuple[str, ...] = ()
    baseline: str = ""
    draws: int = 1000
    prevalence: float = 0.01

    def check(self) -> None:
        """Refuse what cannot work before anything is trained.

        Raises:
            UserError: names the flag to change.
        """
        from fakefreq.models.registry import list_detectors

        if not self.protocols:
            raise UserError("--protocol takes one or more names; got none")
        for name in self.protocols:
            find_protocol(name)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError("--seeds takes one or more different whole numbers")
        if self.baseline not in self.detectors:
            raise UserError(f"--baseline is {self.baseline!r}; it takes one of: {', '.join(self.detectors)}")
        if not 0 < self.prevalence < 1:
            raise UserError(f"--prevalence is {self.prevalence}; it takes more than 0 and less than 1")
        if self.draws < 100:
            raise UserError(f"--draws takes 100 or more bootstrap draws; got {self.draws}")
        known = list_detectors()
        for label, config in self.detectors.items():
            if config.detector not in known:
                # Said by each of its cells too, but a slip of the pen should not wait for the first of them.
                raise UserError(f"--detectors: there is no detector {config.detector!r} ({label}); {', '.join(known)}")
            config.check()


@dataclass(frozen=True)
class Job:
    """One training set of one protocol on one track: the cells that stand side by side in its tables."""

    protocol: str
    track: str
    train_on: tuple[str, ...]
    cells: tuple[Cell, ...]


def make_jobs(plan: Plan, manifests: Mapping[str, pd.DataFrame]) -> list[Job]:
    """Expand a plan; cells that protocols share are the same cell."""
    jobs = []
    for track, manifest in manifests.items():
        data = manifest_digest(manifest)
        for name in plan.protocols:
            for chosen in find_protocol(name).training_sets(generators_of(manifest), plan.train_on):
                cells = expand([chosen], plan.detectors, plan.seeds, track, plan.tracks[track], data)
                jobs.append(Job(name, track, chosen, tuple(cells)))
    return jobs


def benchmark(
    plan: Plan,
    out: str | Path,
    jobs: int = 1,
    any_code: bool = False,
    store: Path | None = None,
    threads: int = -1,
    degrade: Sequence[str] = (),
    degrade_limit: int = 100,
    say: Say = lambda line: None,
) -> list[Outcome]:
    """Do the cells of a plan that are missing, then make all tables from their scores.

    Args:
        plan: what to do.
        out: folder of the tables.
        jobs: cells at a time.
        any_code: take finished cells that other versions of the code have made.
        store: folder of the cells; `out`/cells by default. Benchmarks may share one.
        threads: of the statistics; -1: one a core.
        degrade: degradations to sweep all cells over (`default`: those of `evaluate.robustness.SWEEP`); none: no sweep.
        degrade_limit: images of each class of each subset in a sweep, at most; 0: all.
        say: called with lines for the user.

    Returns:
        How each cell ended. A cell that failed is listed in failures.csv; the tables hold the others.

    Raises:
        UserError: anything that the user can mend; every cell failed.
    """
    plan.check()
    if jobs < 1:
        raise UserError(f"--jobs takes 1 or more; got {jobs}")
    out, sweep = Path(out), read_sweep(tuple(degrade))
    manifests = {track: read_manifest(path) for track, path in plan.tracks.items()}
    for manifest in manifests.values():
        check_splits(manifest)
    todo = make_jobs(plan, manifests)
    # Seed by seed, so that a benchmark that has to stop early has whole tables of fewer seeds.
    cells = sorted((cell for job in todo for cell in job.cells), key=lambda cell: plan.seeds.index(cell.config.seed))
    outcomes = checked(execute(cells, store or out / "cells", jobs, any_code, say), manifests)
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    write_json(out / "benchmark.json", describe(plan, manifests))
    _write_failures(failed, out)
    done = {(outcome.cell.label, outcome.cell.name): outcome for outcome in outcomes if outcome.is_done}
    if not done:
        raise UserError(f"all {len(failed)} cells failed, the first so: {failed[0].error}")
    _write_cells(list(done.values()), failed, out)
    say("tables")
    derive_tables(plan, todo, manifests, done, out, os.cpu_count() or 1 if threads < 0 else threads, say)
    if sweep:
        sweep_benchmark(plan, todo, manifests, done, sweep, degrade_limit, out, say)
    return outcomes


def describe(plan: Plan, manifests: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What a reader needs to judge and repeat a benchmark."""
    from fakefreq.train.environment import choose_device, describe_environment

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
            track: {"manifest": str(plan.tracks[track]), "digest": manifest_digest(manifest), "images": len(manifest)}
            for track, manifest in manifests.items()
        },
        "code": code_digest(),
        "environment": describe_environment(device),
    }


def _write_failures(failed: Sequence[Outcome], out: Path) -> None:
    path = out / "failures.csv"
    if failed:
        rows = [{**outcome.cell.facts(), "error": outcome.error} for outcome in failed]
        write_csv(pd.DataFrame(rows).drop_duplicates(), path)
    else:
        path.unlink(missing_ok=True)


def _write_cells(done: Sequence[Outcome], failed: Sequence[Outcome], out: Path) -> None:
    columns = ["threshold", "val_auc", "best_epoch", "n_train", "n_val", "n_test", "parameters"]
    costs = ["parameters", "train_seconds", "score_seconds", "n_test", "device"]
    rows, cost = [], []
    for outcome in done:
        facts = read_json(outcome.folder / "cell.json", "the record of a cell")
        start = {**outcome.cell.facts(), "cell": outcome.folder.name}
        rows.append({**start, "status": "done", **{name: facts[name] for name in columns}})
        cost.append({**start, **{name: facts[name] for name in costs}})
    rows += [{**outcome.cell.facts(), "status": "failed"} for outcome in failed]
    order = ["track", "train_on", "seed", "detector"]
    write_csv(pd.DataFrame(rows).drop_duplicates().sort_values(order, ignore_index=True), out / "cells.csv")
    cost_table = pd.DataFrame(cost).rename(columns={"n_test": "score_images"})
    write_csv(cost_table.sort_values(order, ignore_index=True), out / "cost.csv")


def load_cell(outcome: Outcome) -> tuple[pd.DataFrame, float]:
    """Return a cell's scores and its threshold; `checked` has looked at them."""
    facts = read_json(outcome.folder / "cell.json", "the record of a cell")
    return read_table(table_path(outcome.folder)), float(facts["threshold"])


def make_plan(
    manifest: Path,
    aligned: Path | None,
    protocols: Sequence[str],
    detectors: Sequence[str],
    settings: Sequence[str],
    seeds: Sequence[int],
    config: TrainConfig,
    baseline: str = "",
    draws: int = 1000,
    prevalence: float = 0.01,
    only: Sequence[str] = (),
) -> Plan:
    """Return the plan that the flags of `fakefreq benchmark` mean.

    Raises:
        UserError: a track that is unknown or has no manifest; a detector or setting that does not exist.
    """
    tracks = {"raw": manifest} | ({"aligned": aligned} if aligned else {})
    for name in only:
        choose(name, ["raw", "aligned"], "track", "--tracks")
        if name not in tracks:
            raise UserError("--tracks aligned needs --aligned, the manifest of the aligned images")
    tracks = {name: path for name, path in tracks.items() if not only or name in only}
    configs = parse_detectors(detectors, settings, replace(config, train_on=()))
    chosen = baseline or next(iter(configs))
    return Plan(
        tuple(dict.fromkeys(protocols)),
        configs,
        tuple(seeds),
        tracks,
        tuple(config.train_on),
        chosen,
        draws,
        prevalence,
    )
