import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from fakefreq.evaluate.bootstrap import wilson_interval
from fakefreq.evaluate.delong import DeLong, delong, delong_interval
from tests.helpers.resampled import resampled


def draw(seed: int, n: int = 100, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two detectors that share much of their noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n, n + 20])
    common = rng.normal(size=2 * n + 20) + labels
    a = common + 0.7 * rng.normal(size=common.size)
    return labels, a, common + 0.7 * rng.normal(size=common.size) + gain * labels


def naive(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """DeLong's difference and standard error from the full table of pairs, O(n^2), as in the paper of 1988."""
    tables = []
    for logits in (a, b):
        x, y = logits[labels == 1][:, None], logits[labels == 0][None, :]
        tables.append((x > y) + 0.5 * (x == y))
    m, n = tables[0].shape
    s10 = np.cov([table.mean(axis=1) for table in tables])
    s01 = np.cov([table.mean(axis=0) for table in tables])
    covariance = s10 / m + s01 / n
    contrast = np.array([1.0, -1.0])
    return tables[0].mean() - tables[1].mean(), float(np.sqrt(contrast @ covariance @ contrast))


@pytest.mark.parametrize("decimals", [8, 0], ids=["distinct", "tied"])
def test_midranks_give_what_all_pairs_give(decimals: int) -> None:
    labels, a, b = draw(0, gain=0.3)
    a, b = np.round(a, decimals), np.round(b, decimals)
    found = delong(labels, a, b)
    difference, error = naive(labels, a, b)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.auc_a == pytest.approx(roc_auc_score(labels, a))
    assert found.auc_b == pytest.approx(roc_auc_score(labels, b))


def test_standard_error_is_that_of_a_bootstrap() -> None:
    labels, a, b = draw(1, n=300)
    samples = resampled(labels, {"a": a, "b": b}, metrics=["auc"])
    spread = np.std(samples["a", "auc"] - samples["b", "auc"])
    # The standard deviation of 2,000 draws is itself known to 1 / sqrt(4000) = 1.6 %.
    assert delong(labels, a, b).standard_error == pytest.approx(spread, rel=0.08)


@pytest.mark.slow
def test_it_rejects_at_its_nominal_rate_where_nothing_differs() -> None:
    rejected = sum((delong(*draw(seed, n=60)).p or 0.0) < 0.05 for seed in range(600))
    low, high = binom.interval(0.999, 600, 0.05)
    assert low <= rejected <= high


def test_it_finds_a_true_difference() -> None:
    rejected = sum((delong(*draw(seed, n=150, gain=1.0)).p or 0.0) < 0.05 for seed in range(40))
    assert rejected >= 36


def test_images_of_a_group_are_not_counted_twice() -> None:
    labels, a, b = draw(2, gain=0.3)
    groups = np.arange(labels.size)
    alone = delong(labels, a, b)
    assert delong(labels, a, b, groups).standard_error == pytest.approx(alone.standard_error, rel=1e-12)
    twice = [np.repeat(values, 2) for values in (labels, a, b, groups)]
    grouped, ungrouped = delong(*twice), delong(*twice[:3])
    assert grouped.standard_error == pytest.approx(alone.standard_error, rel=1e-9)
    assert ungrouped.standard_error is not None
    assert alone.standard_error is not None
    assert ungrouped.standard_error < 0.75 * alone.standard_error


@pytest.mark.slow
def test_a_fake_paired_with_its_photo_is_one_group() -> None:
    # The noise of a pair is shared, so an error in the photo's score is one in the fake's: their covariance counts.
    def pairs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        shared, labels = np.tile(rng.normal(size=80), 2), np.repeat([0, 1], 80)
        a = 0.9 * shared + 0.3 * rng.normal(size=160) + 0.5 * labels
        return labels, a, rng.normal(size=160) + 0.5 * labels, np.tile(np.arange(80), 2)

    found = [(delong(*pairs(seed)), delong(*pairs(seed)[:3])) for seed in range(300)]
    true = np.std([grouped.difference for grouped, _ in found])
    grouped_error = np.mean([grouped.standard_error or 0.0 for grouped, _ in found])
    plain_error = np.mean([plain.standard_error or 0.0 for _, plain in found])
    assert grouped_error == pytest.approx(true, rel=0.12)
    assert plain_error > 1.15 * true


def test_equal_detectors_have_p_of_one() -> None:
    labels, a, _ = draw(3)
    area, reason = float(roc_auc_score(labels, a)), "both detectors order the images alike"
    found = delong(labels, a, a)
    assert found == DeLong(found.auc_a, found.auc_a, 0.0, 0.0, 0.0, 1.0, reason)
    assert found.auc_a == pytest.approx(area)
    assert delong(labels, a, 3 * a + 2).p == 1.0
    constant = np.zeros(labels.size)
    assert delong(labels, constant, constant).p == 1.0


def test_cases_without_a_test_say_why() -> None:
    separated = delong([0, 0, 1, 1], [0, 1, 2, 3], [5, 5, 5, 5])
    assert (separated.difference, separated.standard_error, separated.z, separated.p) == (0.5, 0.0, None, None)
    assert "no spread" in separated.reason
    few = delong([0, 1, 1], [0.0, 1.0, 2.0], [1.0, 0.0, 2.0])
    assert few.p is None
    assert "fewer than two" in few.reason


def test_interval_of_one_auc_covers_it() -> None:
    # Unit normals one apart: AUC = Phi(1 / sqrt(2)) = .76025.
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 60)
        interval = delong_interval(labels, rng.normal(size=120) + labels)
        assert interval is not None
        covered += interval[0] <= 0.76025 <= interval[1]
    assert binom.ppf(0.0005, 300, 0.95) <= covered
    assert delong_interval([0, 0, 1, 1], [0, 1, 2, 3]) is None


def test_wilson_interval_is_the_published_one() -> None:
    # R. Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3.
    for count, total, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        assert wilson_interval(count, total) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
