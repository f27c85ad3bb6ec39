"""Simulations: tests reject at their nominal rate, intervals cover, and DeLong agrees with other ways to the same."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from fakefreq.evaluate.bootstrap import group_counts, percentile_interval
from fakefreq.evaluate.delong import delong, delong_interval
from fakefreq.evaluate.ranking import RankedScores
from fakefreq.evaluate.seeds import Together, combine_seeds, holm
from tests.helpers.resampled import resampled

PAIRS = 2000
# The data of E. DeLong et al. (1988): 43 patients, albumin, total protein, K-G score, whether surgery helped.
SURGERY = np.fromstring(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)


def pair(seed: int, n: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two detectors of equal truth that share much of their noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n)
    common = rng.normal(size=2 * n) + labels
    a, b = (common + 0.7 * rng.normal(size=2 * n) for _ in range(2))
    return labels, a + gain * labels, b


def within_binomial_error(rejected: int, trials: int, rate: float) -> bool:
    low, high = binom.interval(0.999, trials, rate)
    return bool(low <= rejected <= high)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.01, 0.05, 0.2])
def test_delong_rejects_at_its_nominal_rate_where_nothing_differs(level: float) -> None:
    rejected = sum((delong(*pair(seed, 80)).p or 0.0) < level for seed in range(PAIRS))
    assert within_binomial_error(rejected, PAIRS, level), rejected / PAIRS


def _bootstrap_p(labels: np.ndarray, a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> float:
    scores = [RankedScores(labels, logits) for logits in (a, b)]
    samples = [one.metrics(counts, ["auc"])["auc"] for one in scores]
    values = [float(one.metrics(np.ones((1, len(labels))), ["auc"])["auc"][0]) for one in scores]
    return combine_seeds([values[0] - values[1]], [samples[0] - samples[1]]).p


@pytest.mark.slow
def test_the_paired_bootstrap_rejects_at_its_nominal_rate_where_nothing_differs() -> None:
    n = 80
    labels = np.repeat([0, 1], n)
    # The images are new in every simulation, so the draws need not be.
    counts = next(group_counts(np.arange(2 * n), labels, draws=200, seed=0)).astype(float)
    rejected = sum(_bootstrap_p(*pair(seed, n), counts) < 0.05 for seed in range(PAIRS))
    # 200 draws leave the standard error uncertain by 5 %, which adds .003 to the rate.
    assert within_binomial_error(rejected, PAIRS, 0.053), rejected / PAIRS


def test_delong_agrees_with_a_permutation_test() -> None:
    rng = np.random.default_rng(0)
    compared = []
    for seed, gain in ((1, 0.0), (2, 0.15), (3, 0.3), (4, 0.45)):
        labels, a, b = pair(seed, 60, gain)
        observed = abs(delong(labels, a, b).difference)
        # Ranks, then each image's two scores swapped or not (E. Venkatraman, C. Begg 1996).
        a, b = (np.argsort(np.argsort(logits)).astype(float) for logits in (a, b))
        swap = rng.random((4000, len(labels))) < 0.5
        areas = []
        for logits in (np.where(swap, b, a), np.where(swap, a, b)):
            fake, real = logits[:, labels == 1], logits[:, labels == 0]
            above = (fake[:, :, None] > real[:, None, :]).mean(axis=(1, 2))
            areas.append(above + 0.5 * (fake[:, :, None] == real[:, None, :]).mean(axis=(1, 2)))
        permuted = float((np.abs(areas[0] - areas[1]) >= observed - 1e-12).mean())
        compared.append((permuted, delong(labels, a, b).p or 0.0))
    for permuted, p in compared:
        assert p == pytest.approx(permuted, abs=0.05)
    assert min(p for p, _ in compared) < 0.05 < max(p for p, _ in compared)


def test_delong_gives_the_numbers_of_another_implementation_on_the_data_of_its_paper() -> None:
    # The oracle: pROC 1.18.0 under R 4.2.2 (Debian's r-cran-proc), run on these 43 rows, all markers with
    # direction = "<"; roc.test(marker, kg, method = "delong", paired = TRUE), var and ci.auc(method = "delong").
    helped = SURGERY[:, 3].astype(int)
    albumin, protein, kg = SURGERY[:, 0], SURGERY[:, 1], 10 - SURGERY[:, 2]
    for logits, area, error, z, p in (
        (albumin, 0.736559139785, 0.0953436177301, 0.112778269045, 0.910206347201),
        (protein, 0.647849462366, 0.104609588718, -0.745218389658, 0.456139707507),
    ):
        found = delong(helped, logits, kg)
        assert [found.auc_a, found.auc_b] == pytest.approx([area, 0.725806451613], abs=1e-12)
        assert [found.standard_error, found.z, found.p] == pytest.approx([error, z, p], rel=1e-10)
    # Its intervals are normal in the AUC itself, ours in its log-odds: from ours follows the standard error of theirs.
    for logits, area, error in (
        (albumin, 0.736559139785, 0.0926943460524),
        (protein, 0.647849462366, 0.100047375584),
        (kg, 0.725806451613, 0.10282160898),
    ):
        interval = delong_interval(helped, logits)
        assert interval is not None
        low, high = (np.log(bound / (1 - bound)) for bound in interval)
        assert (high - low) / 2 / norm.ppf(0.975) * area * (1 - area) == pytest.approx(error, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3], ids=["independent images", "images in groups"])
def test_intervals_cover_the_truth_at_their_level(members: int) -> None:
    trials, groups, shift = 600, 60, 1.0
    truth = float(norm.cdf(shift / np.sqrt(2)))
    labels = np.repeat([0, 1], groups * members)
    codes = np.repeat(np.arange(2 * groups), members)
    covered = {"bootstrap": 0, "delong": 0}
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        # Images of a group share most of what they are.
        logits = np.repeat(rng.normal(size=2 * groups), members)
        if members > 1:
            logits = np.sqrt(0.8) * logits + np.sqrt(0.2) * rng.normal(size=len(labels))
        logits = logits + shift * labels
        samples = resampled(labels, {"a": logits}, codes, ["auc"], draws=300, seed=seed)["a", "auc"]
        low, high = percentile_interval(samples)
        covered["bootstrap"] += low <= truth <= high
        interval = delong_interval(labels, logits, codes)
        assert interval is not None
        covered["delong"] += interval[0] <= truth <= interval[1]
    for name, count in covered.items():
        # Percentiles of 60 groups are about 1 % short; the binomial error of 600 trials is .9 %.
        assert 0.92 <= count / trials <= 0.98, (name, count / trials)


def half_of(found: Together) -> float:
    """Half the length of the interval, undone from what it says can be detected."""
    return found.detectable - float(norm.ppf(0.8)) * found.standard_error


@pytest.mark.slow
@pytest.mark.parametrize("seed_spread", [0.0, 0.1, 0.5])
def test_intervals_over_seeds_cover_whether_images_or_seeds_vary_more(seed_spread: float) -> None:
    trials, images, seeds, covered, rejected = 500, 100, 3, 0, 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        of_image = rng.normal(size=images)
        table = of_image + rng.normal(0, seed_spread, (seeds, 1)) + 0.5 * rng.normal(size=(seeds, images))
        counts = rng.multinomial(images, np.full(images, 1 / images), size=200)
        found = combine_seeds(table.mean(axis=1).tolist(), list(table @ counts.T / images))
        covered += found.low <= 0 <= found.high
        rejected += found.p < 0.05
    # Wider than need be where both vary; never narrower, within the binomial error of 500 trials (1 %).
    assert covered / trials >= 0.93, covered / trials
    assert rejected / trials <= 0.075
    assert (found.p < 0.05) == (abs(found.value) > half_of(found))


@pytest.mark.slow
def test_what_is_called_detectable_is_found_four_times_in_five() -> None:
    n, gain = 100, 0.42
    truth = np.mean([delong(*pair(seed, 4000, gain)).difference for seed in range(20)])
    labels = np.repeat([0, 1], n)
    counts = next(group_counts(np.arange(2 * n), labels, draws=300, seed=1)).astype(float)
    detectable, found = [], 0
    for seed in range(300):
        _, a, b = pair(seed, n, gain)
        samples = [RankedScores(labels, logits).metrics(counts, ["auc"])["auc"] for logits in (a, b)]
        values = [delong(labels, a, b).auc_a, delong(labels, a, b).auc_b]
        both = combine_seeds([values[0] - values[1]], [samples[0] - samples[1]])
        detectable.append(both.detectable)
        found += both.p < 0.05
    expected = norm.cdf(truth / np.mean(detectable) * (norm.ppf(0.975) + norm.ppf(0.8)) - norm.ppf(0.975))
    assert np.mean(detectable) == pytest.approx(truth, rel=0.3)  # so that this asks about a power near .8
    assert found / 300 == pytest.approx(expected, abs=0.08)


def test_holm_keeps_the_rate_of_any_false_finding() -> None:
    rng = np.random.default_rng(0)
    wrong = sum(bool((holm(rng.random(8)) < 0.05).any()) for _ in range(PAIRS))
    assert within_binomial_error(wrong, PAIRS, 0.05)
    # One true difference among them is found more often than by dividing the level by eight throughout.
    np.testing.assert_allclose(holm([0.005, np.nan, 0.02, 0.9]), [0.015, np.nan, 0.04, 0.9])
    assert holm([]).size == 0
