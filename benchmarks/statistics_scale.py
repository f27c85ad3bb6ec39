"""What the statistics cost: bootstrap of many detectors, and DeLong's tests.

Scores are drawn from normal distributions, ten detectors that share most of their noise, every image a group of its
own. Each part runs in a process of its own, whose greatest memory is stated (`peak_mib`; `start_mib` of it was there
before the part began: Python with numpy, scipy, pandas and scikit-learn).

Example: python benchmarks/statistics_scale.py --images 1000 10000 100000
"""

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro

from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.delong import delong
from fakefreq.evaluate.measure import make_score_set, measure_all
from fakefreq.evaluate.ranking import ALL_METRICS
from fakefreq.files import atomic_path

COLUMNS = ["part", "images", "detectors", "draws", "metrics", "threads", "seconds", "start_mib", "peak_mib"]


@dataclass
class Statistics:
    """Time the statistics and state their memory."""

    images: tuple[int, ...] = (1_000, 10_000, 100_000)
    """scores of a detector in the bootstrap, half of them of fakes"""
    detectors: int = 10
    """on the same images"""
    draws: int = DEFAULT_DRAWS
    """of the bootstrap"""
    threads: int = 0
    """0: one a core"""
    out: Path = Path("benchmarks/results/statistics_cpu.csv")
    """the table to write"""

    def run(self) -> None:
        threads = self.threads or os.cpu_count() or 1
        found = []
        for count in self.images:
            for names in (["auc"], ["auc", "ap", "tpr_at_fpr_1"], ALL_METRICS):
                start = {"part": "bootstrap", "images": count, "metrics": len(names), "threads": threads}
                start |= {"detectors": self.detectors, "draws": self.draws}
                found.append(start | alone(_bootstrap, count, self.detectors, self.draws, names, threads))
                print(json.dumps(found[-1]))
            start = {"part": "delong", "images": count, "detectors": self.detectors, "threads": 1}
            found.append(start | alone(_delong, count, self.detectors))
        with atomic_path(self.out) as temporary:
            pd.DataFrame(found)[COLUMNS].to_csv(temporary, index=False)
        print(f"{self.out}, settings {asdict(self)}")


def alone(part: Callable[..., None], *arguments: Any) -> dict[str, float]:
    """Run a part in a new process; return its seconds and memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, part, arguments))
    process.start()
    sender.close()
    try:
        found: dict[str, float] = receiver.recv()
    except EOFError:
        raise SystemExit(f"error: the part {part.__name__} ended without a result") from None
    finally:
        process.join()
    return found


def _measure(sender: Any, part: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    start = _peak_mib()
    began = time.perf_counter()
    part(*arguments)
    sender.send(
        {
            "seconds": round(time.perf_counter() - began, 2),
            "start_mib": round(start),
            "peak_mib": round(_peak_mib()),
        }
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def draw(count: int, detectors: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return labels and logits of detectors that share most of their noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    common = rng.normal(size=count) + labels
    return labels, {f"detector{number}": common + 0.5 * rng.normal(size=count) for number in range(detectors)}


def _bootstrap(count: int, detectors: int, draws: int, names: list[str], threads: int) -> None:
    labels, logits = draw(count, detectors)
    paths = np.char.add("image", np.arange(count).astype(str))
    images = pd.DataFrame({"path": paths, "sha256": "", "label": labels, "source": "", "subset": "one", "group": paths})
    images = images.assign(generator=np.where(labels == 1, "one", ""), split="test", role="test")
    cells = {(name, 0): images.assign(logit=values) for name, values in logits.items()}
    thresholds = dict.fromkeys(cells, 0.5)
    scores = make_score_set("", "raw", [], cells, Draws.of(images, draws), thresholds)
    found = measure_all(scores, threads=threads, metrics=names, kinds=("generator",))
    assert all(set(of_cell["generator", "one"].values) for of_cell in found.values())


def _delong(count: int, detectors: int) -> None:
    labels, logits = draw(count, detectors)
    first, *others = logits.values()
    assert all((delong(labels, other, first, np.arange(count)).p or 0) > 0 for other in others)


if __name__ == "__main__":
    tyro.cli(Statistics, description=__doc__).run()
