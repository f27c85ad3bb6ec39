import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from fakefreq.errors import UserError
from fakefreq.evaluate.measure import too_few
from fakefreq.evaluate.metrics import equal_error_rate, tpr_at_fpr
from fakefreq.evaluate.ranking import ALL_METRICS, LOWER_IS_BETTER, RankedScores


@pytest.fixture(params=[8, 0], ids=["distinct", "tied"])
def drawn(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, 300)))
    logits = np.round(rng.normal(size=302) + 1.2 * labels, request.param)
    weights = rng.integers(0, 4, (12, 302)).astype(float)
    weights[:, :2] += 1  # both classes in every draw
    return labels, logits, weights


@pytest.mark.slow
def test_weighted_metrics_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, logits, weights = drawn
    found = RankedScores(labels, logits, 0.3, prevalence=0.05, alarms={"1": 1.2, "5": 0.7}).metrics(
        weights, ALL_METRICS
    )
    assert list(found) == ALL_METRICS and set(LOWER_IS_BETTER) < set(ALL_METRICS)
    chance = 1 / (1 + np.exp(-logits))
    for draw, weight in enumerate(weights):
        expected = {
            "auc": roc_auc_score(labels, logits, sample_weight=weight),
            "ap": average_precision_score(labels, logits, sample_weight=weight),
            "partial_auc": roc_auc_score(labels, logits, sample_weight=weight, max_fpr=0.1),
            "brier": brier_score_loss(labels, chance, sample_weight=weight),
            "nll": log_loss(labels, chance, sample_weight=weight),
            "accuracy": np.average((logits > 0.3) == labels, weights=weight),
            "accuracy_half": np.average((chance > 0.5) == labels, weights=weight),
        }
        of_class = {label: weight * (labels == label) for label in (0, 1)}
        expected["fpr"], expected["tpr"] = (np.average(logits > 0.3, weights=of_class[label]) for label in (0, 1))
        for rate, threshold in (("1", 1.2), ("5", 0.7)):
            expected[f"found_at_{rate}"] = np.average(logits > threshold, weights=of_class[1])
            expected[f"false_alarms_at_{rate}"] = np.average(logits > threshold, weights=of_class[0])
        expected["balanced_accuracy"] = (1 - expected["fpr"] + expected["tpr"]) / 2
        # Precision in a world of one fake in twenty, by the theorem of Bayes.
        right, wrong = 0.05 * expected["tpr"], 0.95 * expected["fpr"]
        expected["precision"] = right / (right + wrong)
        some_labels, some_logits = (np.repeat(values, weight.astype(int)) for values in (labels, logits))
        expected["eer"] = equal_error_rate(some_labels, some_logits)
        expected["tpr_at_fpr_1"], expected["tpr_at_fpr_01"] = (
            tpr_at_fpr(some_labels, some_logits, fpr) for fpr in (0.01, 0.001)
        )
        for name, value in expected.items():
            assert found[name][draw] == pytest.approx(value, abs=1e-9), name


def test_calibration_error_of_equal_mass_bins_by_hand() -> None:
    # Ten pairs of images; in each the mean probability is p, and one of the two is fake.
    chances = np.repeat(np.linspace(0.05, 0.95, 10), 2)
    labels = np.tile([0, 1], 10)
    logits = np.log(chances / (1 - chances)) + np.tile([0.0, 1e-9], 10)
    found = RankedScores(labels, logits).metrics(np.ones((1, 20)), ["ece"])["ece"][0]
    assert found == pytest.approx(np.abs(np.linspace(0.05, 0.95, 10) - 0.5).mean(), abs=1e-6)
    assert RankedScores([0, 1], [0.0, 0.0]).metrics(np.ones((1, 2)), ["ece"])["ece"][0] == 0.0


def test_truthful_probabilities_have_little_calibration_error() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    ones = np.ones((1, 20_000))
    assert RankedScores(labels, logits).metrics(ones, ["ece"])["ece"][0] < 0.01
    assert RankedScores(labels, 3 * logits).metrics(ones, ["ece"])["ece"][0] > 0.1


def test_images_too_few_for_a_metric_are_named() -> None:
    assert too_few("tpr_at_fpr_1", 99, 50) == "needs 100 reals, there are 99"
    assert too_few("tpr_at_fpr_01", 1000, 50) == ""
    assert too_few("auc", 0, 50) == "needs 1 reals, there are 0"
    assert too_few("fpr", 5, 0) == ""
    assert "fakes" in too_few("auc", 5, 0)
    assert too_few("ece", 40, 40) == "needs 100 images, there are 80"


def test_a_draw_without_a_class_has_no_metric() -> None:
    weights = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    found = RankedScores([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], 0.5).metrics(weights, ["auc", "eer", "tpr"])
    for values in found.values():
        assert np.isnan(values[0]) and np.isfinite(values[1])


def test_wrong_arguments_are_named() -> None:
    scores = RankedScores([0, 1], [0.0, 1.0])
    with pytest.raises(UserError, match="need a threshold"):
        scores.metrics(np.ones((1, 2)), ["accuracy"])
    with pytest.raises(UserError, match="unknown metric 'f1'"):
        scores.metrics(np.ones((1, 2)), ["f1"])
