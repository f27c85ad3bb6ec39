"""Scores that the tests draw themselves, as `fakefreq benchmark` would have written them."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.evaluate.scores import table_path, write_all_scores

GENERATORS = ("alpha", "beta", "gamma")


def draw_cell(train_on: str, detector: str, seed: int, count: int = 40) -> pd.DataFrame:
    """One cell: `count` reals and fakes of each generator and of a control, a fifth of the seen ones validation."""
    rng = np.random.default_rng([GENERATORS.index(train_on), len(detector), seed])
    rows = []
    for generator in GENERATORS:
        for label in (0, 1):
            for number in range(count):
                seen = generator == train_on
                strength = (2.0 if seen else 0.6) + (0.3 if detector == "two_stream" else 0.0)
                split = ("val" if number % 5 == 0 else "test") if seen or number % 5 else "train"
                rows.append(
                    {
                        "role": "val" if split == "val" and seen else "test",
                        "path": f"{generator}/{label}/{number}.png",
                        "sha256": f"{generator}{label}{number}",
                        "label": label,
                        "generator": generator if label else "",
                        "source": "" if label else "photos",
                        "subset": generator,
                        "group": f"{generator}{number}",  # a photo and its fake
                        "split": "test" if split == "train" else split,
                        "logit": strength * (2 * label - 1) / 2 + rng.normal(),
                    }
                )
    for number in range(count // 2):
        rows.append({**rows[0], "path": f"control/{number}.png", "sha256": f"control{number}", "subset": "control",
                     "group": f"control{number}", "role": "test", "split": "test", "logit": rng.normal()})  # fmt: skip
    table = pd.DataFrame(rows)
    table["cell"], table["detector"], table["train_on"] = f"{detector}-{train_on}-{seed}", detector, train_on
    return table.assign(seed=seed, track="raw")


def draw_benchmark(folder: Path, seeds: tuple[int, ...] = (0, 1), suffix: str = "", count: int = 40) -> Path:
    """Write the scores of two detectors trained on each generator; return the table's path."""
    labels = ("pixel", "two_stream")
    path = folder / f"scores{suffix}" if suffix else table_path(folder)
    cells = (draw_cell(name, label, seed, count) for name in GENERATORS for label in labels for seed in seeds)
    write_all_scores(cells, path)
    return path
