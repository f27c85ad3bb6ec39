import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from fakefreq.errors import UserError
from fakefreq.evaluate.calibration import METHODS, fit_calibrator
from fakefreq.evaluate.conformal import fit_conformal
from fakefreq.evaluate.ranking import RankedScores


def draw(seed: int, count: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return labels, rng.normal(size=count) + 1.5 * labels + shift


def error(labels: np.ndarray, logits: np.ndarray) -> float:
    return float(RankedScores(labels, logits).metrics(np.ones((1, len(labels))), ["ece"])["ece"][0])


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_fitted_on_validation_it_mends_test_images_of_the_same_kind(method: str) -> None:
    (val_labels, val), (labels, test) = draw(0, 2000), draw(1, 20_000)
    # Four times too sure, and for Platt and isotonic also off centre.
    offset = 0.0 if method == "temperature" else 2.0
    centre = 0.75
    wrong, wrong_val = (4 * (values - centre) + offset for values in (test, val))
    mended = fit_calibrator(method, val_labels, wrong_val)(wrong)
    assert error(labels, wrong) > 0.08
    assert error(labels, mended) < 0.04
    if method != "isotonic":  # which may tie images, the others keep their order
        assert (np.argsort(mended, kind="stable") == np.argsort(wrong, kind="stable")).all()


def test_temperature_is_the_one_that_was_applied() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 2, 50_000)
    labels = (rng.random(50_000) < expit(truth)).astype(int)
    for temperature in (0.2, 1.0, 5.0):
        assert 1 / fit_calibrator("temperature", labels, temperature * truth).slope == pytest.approx(
            temperature, rel=0.03
        )


def test_platt_is_a_logistic_regression() -> None:
    labels, logits = draw(3, 5000)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, None], labels)
    found = fit_calibrator("platt", labels, logits)
    # Platt's targets differ from 0 and 1 by 1 / 2,500.
    assert found.slope == pytest.approx(model.coef_[0, 0], rel=0.01)
    assert found.offset == pytest.approx(model.intercept_[0], rel=0.02)
    separated = fit_calibrator("platt", [0] * 20 + [1] * 20, np.arange(40.0))
    assert 0 < separated.slope < 100


def test_isotonic_is_that_of_scikit_learn_off_zero_and_one() -> None:
    (labels, logits), (_, other) = draw(4, 400), draw(5, 1000, shift=3.0)
    expected = IsotonicRegression(out_of_bounds="clip").fit(logits, labels).predict(other)
    found = expit(fit_calibrator("isotonic", labels, logits)(other))
    # Where a straight line ends in a point that is kept off 0 or 1, it is that much lower.
    np.testing.assert_allclose(found, np.clip(expected, 1 / 402, 1 - 1 / 402), atol=1 / 402)
    assert np.isfinite(fit_calibrator("isotonic", labels, logits)(np.array([-1e9, 1e9]))).all()


def test_none_changes_nothing_and_wrong_arguments_are_named() -> None:
    np.testing.assert_array_equal(fit_calibrator("none", [0, 1], [0.0, 1.0])([3.0, -2.0]), [3.0, -2.0])
    with pytest.raises(UserError, match="unknown calibration 'beta'"):
        fit_calibrator("beta", [0, 1], [0.0, 1.0])
    for method in METHODS:
        with pytest.raises(UserError, match="no fake image"):
            fit_calibrator(method, [0, 0], [0.0, 1.0])
    with pytest.raises(UserError, match="between 0 and 1"):
        fit_conformal([0, 1], [0.0, 1.0], coverage=1.0)


@pytest.mark.parametrize("stated", [0.8, 0.9, 0.95])
def test_conformal_sets_cover_as_stated_whatever_the_detector(stated: float) -> None:
    covered: dict[int, list[float]] = {0: [], 1: []}
    for seed in range(400):
        (val_labels, val), (labels, test) = draw(seed, 120), draw(10_000 + seed, 400)
        sets = fit_conformal(val_labels, val, stated)
        for label in (0, 1):
            covered[label].append(sets.covers(labels[labels == label], test[labels == label]).mean())
    for shares in covered.values():
        # Exactly stated to stated + 1 / (n + 1), with about 60 validation images a class, n of them varying.
        margin = 4 * np.std(shares) / math.sqrt(len(shares))
        assert stated - margin <= np.mean(shares) <= stated + 1 / 45 + margin


def test_an_unseen_generator_breaks_the_promise_and_the_check_shows_it() -> None:
    (val_labels, val), (labels, test) = draw(6, 500), draw(7, 4000)
    unseen = np.where(labels == 1, test - 1.5, test)  # fakes that look like photographs
    sets = fit_conformal(val_labels, val, 0.9)
    assert sets.covers(labels, unseen)[labels == 1].mean() < 0.6
    assert sets.covers(labels, unseen)[labels == 0].mean() > 0.85


def test_few_validation_images_abstain_rather_than_promise() -> None:
    sets = fit_conformal([0] * 5 + [1] * 5, np.arange(10.0), 0.95)
    assert sets.answers([-100.0, 4.5, 100.0]).tolist() == [-1, -1, -1]
    assert sets.covers([0, 1], [100.0, -100.0]).all()
