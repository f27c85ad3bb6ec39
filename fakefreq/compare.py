"""The main job: what the two-stream detector gains over the pixel-only baseline, generator by generator."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.comparison import compare_scores
from fakefreq.evaluate.mean_spectrum import mean_spectra
from fakefreq.evaluate.score import read_scores, score_rows, write_scores
from fakefreq.files import atomic_path, read_json
from fakefreq.models import load_detector
from fakefreq.report.page import write_comparison_report
from fakefreq.train.environment import choose_device
from fakefreq.train.selection import generators_of, select_evaluation
from fakefreq.train.train import train

BASELINE = "pixel"


def compare(
    manifest_path: str | Path,
    out: str | Path,
    config: TrainConfig,
    detectors: Sequence[str] = (BASELINE, "two_stream"),
    seeds: Sequence[int] = (0,),
    draws: int = 2000,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Train each detector with the same seed, backbone, batches and budget; score every other generator; report.

    Args:
        manifest_path: a manifest whose `split` column is filled.
        out: folder for `comparison.csv`, `report.html`, `spectra.npz` and one run folder a detector and seed, each
            with its `scores.csv`. What a former call finished there is not done again.
        config: the training; its detector's name and its seed are replaced.
        detectors: names; the first is the baseline.
        seeds: one training of every detector for each.
        draws: bootstrap draws behind the intervals.
        say: called with lines for the user.

    Returns:
        What comparison.csv holds.

    Raises:
        UserError: anything that the user can mend.
    """
    if len(set(detectors)) < 2 or len(set(detectors)) < len(detectors):
        raise UserError(f"--detectors takes two or more different names; got {', '.join(detectors) or 'none'}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError("--seeds takes one or more different whole numbers")
    manifest_path, out = Path(manifest_path), Path(out)
    manifest = read_manifest(manifest_path)
    check_splits(manifest)
    rows = select_evaluation(manifest, config.train_on).assign(manifest=manifest_digest(manifest))
    tables, scores, logs, summaries = [], {}, {}, {}
    for seed in seeds:
        of_seed, thresholds = {}, {}
        for name in detectors:
            label = name if len(seeds) == 1 else f"{name}, seed {seed}"
            run = out / f"{name}-seed{seed}"
            say(f"train {name} with seed {seed} in {run}")
            run_config = replace(config, seed=seed, detector=name)
            summaries[label] = train(manifest_path, run, run_config, resume=True, say=say)
            thresholds[name] = float(summaries[label]["threshold"])
            of_seed[name] = _scores(run, rows, manifest_path.parent, config, say)
            logs[label] = pd.read_csv(run / "log.csv")
            scores[label] = of_seed[name]
        trained_on = list(config.train_on or generators_of(manifest))
        table = compare_scores(of_seed, thresholds, trained_on, baseline=detectors[0], seed=seed, draws=draws)
        tables.append(table)
    comparison = pd.concat(tables, ignore_index=True)
    with atomic_path(out / "comparison.csv") as temporary:
        comparison.to_csv(temporary, index=False, float_format="%.6g")
    history = parse_history(config.history) if config.history else None
    spectra = mean_spectra(rows, manifest_path.parent, config.crop, history=history)
    arrays = {f"{generator}/{kind}": array for generator, pair in spectra.items() for kind, array in pair.items()}
    with atomic_path(out / "spectra.npz") as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    facts = _facts(out, manifest, config, summaries, detectors, seeds, draws)
    write_comparison_report(out / "report.html", comparison, scores, logs, spectra, facts)
    return comparison


def _scores(run: Path, rows: pd.DataFrame, root: Path, config: TrainConfig, say: Callable[[str], None]) -> pd.DataFrame:
    """Return the run's scores of the evaluation rows; score them where the run's scores.csv is not theirs."""
    path = run / "scores.csv"
    if path.exists():
        stored = read_scores(path)
        keys = ["path", "sha256", "manifest"]
        if "manifest" in stored and all(stored[name].tolist() == rows[name].tolist() for name in keys):
            say(f"{path} is there already; nothing to score")
            return stored
    detector = load_detector(run).to(choose_device(config.device))
    table, _ = score_rows(detector, rows, root, config.batch_size, config.workers, progress=f"score {run.name}")
    write_scores(table, path)
    return read_scores(path)


def _facts(
    out: Path,
    manifest: pd.DataFrame,
    config: TrainConfig,
    summaries: dict[str, dict[str, Any]],
    detectors: Sequence[str],
    seeds: Sequence[int],
    draws: int,
) -> dict[str, Any]:
    """What a reader needs to judge and repeat the comparison."""
    environment = read_json(out / f"{detectors[0]}-seed{seeds[0]}" / "environment.json", "the run's environment")
    return {
        "runs": summaries,
        "configuration": config.what_it_computes(),
        "seeds": list(seeds),
        "bootstrap draws": draws,
        "manifest digest": manifest_digest(manifest),
        "command": environment["command"],
        "environment": environment,
    }
