"""Intervals of rates: over the groups of their own class, and of means that have no spread."""

import numpy as np
import pandas as pd
import pytest

from fakefreq.api import tables
from fakefreq.evaluate.bootstrap import wilson_interval
from fakefreq.evaluate.scores import COLUMNS


def draw(counts: dict[str, tuple[int, int]], apart: float = 1.0) -> pd.DataFrame:
    """Scores of generators with so many test photographs and fakes; the first has validation images too."""
    rng, rows = np.random.default_rng(0), list[dict[str, object]]()
    for generator, sizes in {"seen": (40, 40), **counts}.items():
        for label, size in enumerate(sizes):
            for number in range(size):
                path, split = f"{generator}/{label}/{number}.png", "val" if generator == "seen" else "test"
                rows.append({"path": path, "sha256": path, "label": label, "generator": generator * label})
                rows[-1] |= {"source": "photos" * (1 - label), "subset": generator, "group": path, "split": split}
                rows[-1] |= {"role": split, "logit": apart * (label - 0.5) + rng.uniform(-1, 1)}
    table = pd.DataFrame(rows).assign(detector="pixel", train_on="seen", seed=0, track="raw", threshold=0.0)
    return table[COLUMNS]


def row_of(table: pd.DataFrame, test: str, metric: str) -> pd.Series:
    found: pd.Series = table[(table["test"] == test) & (table["metric"] == metric)].iloc[0]
    return found


def test_a_rate_of_photographs_has_the_interval_of_the_photographs() -> None:
    metrics = tables(draw({"a": (2000, 20)}), draws=100)["metrics"]
    for metric, count in (("fpr", 2000), ("tpr", 20)):
        row = row_of(metrics, "a", metric)
        assert (row["low"], row["high"]) == pytest.approx(wilson_interval(row["value"] * count, count))


@pytest.mark.parametrize("name", ["metrics", "summary"])
def test_a_mean_without_spread_is_no_certainty(name: str) -> None:
    found = tables(draw({"a": (12, 15), "b": (24, 15)}, apart=4.0), draws=100)[name]
    row = row_of(found, "mean of unseen", "fpr")
    limits = [wilson_interval(0, count)[1] for count in (12, 24)]
    assert (row["value"], row["low"]) == (0, 0)
    assert row["high"] == pytest.approx(np.mean(limits))
    assert row_of(found, "mean of unseen", "auc")["note"].startswith("a: the classes are perfectly separated")
