import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from fakefreq.errors import UserError
from fakefreq.evaluate.bootstrap import Draws, group_counts, percentile_interval
from fakefreq.evaluate.ranking import RankedScores
from tests.helpers.resampled import resampled


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [8, 0], ids=["distinct", "tied"])
def test_weighted_metrics_are_those_of_scikit_learn(decimals: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, 118)))
    logits = np.round(rng.normal(size=120) + labels, decimals)
    weights = rng.integers(0, 4, (30, 120)).astype(float)
    weights[:, :2] += 1  # both classes in every draw
    found = RankedScores(labels, logits, threshold=0.4).metrics(weights, ["auc", "ap", "accuracy"])
    for draw, weight in enumerate(weights):
        assert found["auc"][draw] == pytest.approx(roc_auc_score(labels, logits, sample_weight=weight))
        assert found["ap"][draw] == pytest.approx(average_precision_score(labels, logits, sample_weight=weight))
        expected = accuracy_score(labels, logits > 0.4, sample_weight=weight)
        assert found["accuracy"][draw] == pytest.approx(expected)


def test_a_resampled_metric_is_that_of_the_repeated_images() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 25)
    logits = rng.normal(size=50) + labels
    weights = next(group_counts(np.arange(50), labels, draws=5, seed=3))
    samples = resampled(labels, {"a": logits}, metrics=["auc"], draws=100, seed=3)["a", "auc"]
    first = next(group_counts(np.arange(50), labels, draws=100, seed=3))[0].astype(int)
    assert samples[0] == pytest.approx(roc_auc_score(np.repeat(labels, first), np.repeat(logits, first)))
    assert (weights[:, labels == 0].sum(axis=1) == 25).all()
    assert (weights[:, labels == 1].sum(axis=1) == 25).all()


def test_a_group_is_drawn_as_a_whole() -> None:
    codes = np.array([0, 0, 1, 2, 2, 2, 3])
    weights = next(group_counts(codes, np.zeros(7, dtype=np.int64), draws=200, seed=0))[:, codes]
    for group in range(4):
        of_group = weights[:, codes == group]
        assert (of_group == of_group[:, :1]).all()
    assert len(np.unique(weights[:, 0])) > 1


def test_copies_in_a_group_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 80)
    logits, groups = rng.normal(size=160) + labels, np.arange(160)
    copies = [np.repeat(values, 4) for values in (labels, logits, groups)]

    def width(*arguments: np.ndarray) -> float:
        label, logit, *group = arguments
        found = resampled(label, {"a": logit}, group[0] if group else None, metrics=["auc"], draws=1000)
        low, high = percentile_interval(found["a", "auc"])
        return high - low

    alone = width(labels, logits)
    assert width(*copies) == pytest.approx(alone, rel=0.1)
    assert width(*copies[:2]) == pytest.approx(alone / 2, rel=0.15)  # four times as many images: half as wide


def test_detectors_share_the_draws() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 100)
    a = rng.normal(size=200) + labels
    found = resampled(labels, {"a": a, "same": a.copy(), "b": a + 0.2 * rng.normal(size=200)})
    assert percentile_interval(found["same", "auc"] - found["a", "auc"]) == (0.0, 0.0)
    low, high = percentile_interval(found["b", "auc"] - found["a", "auc"])
    alone = percentile_interval(found["a", "auc"])
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_a_seed_repeats_the_draws() -> None:
    rng = np.random.default_rng(4)
    labels, logits = np.repeat([0, 1], 30), rng.normal(size=60)
    draws = [resampled(labels, {"a": logits}, draws=100, seed=seed)["a", "auc"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_every_class_of_every_test_set_stays_in_every_draw() -> None:
    # "small" has one real and one fake; without strata most draws would miss one of them.
    labels = np.array([0, 1] + [0, 1] * 50)
    subset = np.repeat(["small", "large"], [2, 100])
    images = pd.DataFrame({"path": [f"{n}.png" for n in range(102)], "label": labels, "subset": subset, "group": ""})
    images = images.assign(generator=np.where(labels, subset, ""), split="test")
    draws = Draws.of(images, 200)
    # An image without a group is a group of its own.
    columns = draws.columns(["\0" + path for path in images["path"]])
    assert len(set(columns)) == 102
    assert (draws.counts[:, columns[:2]] == 1).all()
    assert (draws.counts[:, columns[2:]].sum(axis=1) == 100).all()


def test_constant_logits_rank_nothing() -> None:
    found = resampled([0, 0, 0, 1, 1, 1], {"a": np.zeros(6)}, metrics=["auc"], draws=100)
    assert percentile_interval(found["a", "auc"]) == (0.5, 0.5)


def test_wrong_arguments_are_named() -> None:
    image = {"path": ["a.png"], "label": 0, "subset": "", "group": "", "generator": "", "split": "test"}
    draws = Draws.of(pd.DataFrame(image), 100)
    with pytest.raises(UserError, match="--draws takes 100 or more"):
        Draws.of(pd.DataFrame(image), 10)
    with pytest.raises(UserError, match="1 groups of the scores are not in the manifest, such as 'other'"):
        draws.columns(["other"])
    with pytest.raises(UserError, match="unknown metric 'f1'"):
        resampled([0, 1], {"a": [0.0, 1.0]}, metrics=["f1"])
    with pytest.raises(UserError, match="threshold"):
        resampled([0, 1], {"a": [0.0, 1.0]}, metrics=["accuracy"])


def test_two_thousand_draws_of_five_thousand_images_take_seconds() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], 2500)
    logits = {name: rng.normal(size=5000) + labels for name in ("a", "b")}
    started = time.perf_counter()
    resampled(labels, logits, np.arange(5000))
    # About 1 s on an idle core; a loop over draws with scikit-learn takes longer than 15 s.
    assert time.perf_counter() - started < 12


def test_identities_with_fakes_by_some_generators_vary_in_the_draws() -> None:
    rng = np.random.default_rng(8)
    images = [
        {"path": f"{person}/{name}", "group": str(person), "label": int(name != "photo"), "generator": name}
        for person in range(60)
        for name in ("photo", "a", "b", "c", "d", "e", "f")
        if name == "photo" or rng.random() < 0.5
    ]
    table = pd.DataFrame(images).assign(subset="all", split="test")
    table["logit"] = rng.normal(size=60)[table["group"].astype(int)] + 0.3 * rng.normal(size=len(table))
    draws = Draws.of(table, 2000)
    columns = draws.columns(table["group"].tolist())
    ranked = RankedScores(table["label"], table["logit"])
    found = ranked.resampled(draws.counts, columns, ["auc"])["auc"]
    plain = np.stack([np.bincount(rng.integers(0, 60, 60), minlength=60) for _ in range(2000)])
    expected = ranked.resampled(plain, columns, ["auc"])["auc"]
    assert (draws.counts.std(axis=0) > 0).all()
    assert found.std() == pytest.approx(expected.std(), rel=0.1)


def test_draws_without_a_value_are_left_out_of_an_interval() -> None:
    low, high = percentile_interval(np.array([0.0, np.nan, 1.0]), level=0.9)
    assert (low, high) == pytest.approx((0.05, 0.95))
    assert np.isnan(percentile_interval(np.array([np.nan, 1.0]))).all()
