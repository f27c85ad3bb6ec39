import numpy as np
import pytest
from sklearn import metrics as reference

from fakefreq.errors import UserError
from fakefreq.evaluate import metrics


@pytest.fixture(params=[False, True], ids=["distinct", "tied"])
def scores(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 400)
    logits = rng.normal(size=400) + labels
    return labels, np.round(logits, 1) if request.param else logits


def test_ranking_metrics(scores: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = scores
    assert metrics.auc(labels, logits) == reference.roc_auc_score(labels, logits)
    assert metrics.average_precision(labels, logits) == reference.average_precision_score(labels, logits)


def test_metrics_at_a_threshold(scores: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = scores
    called = logits > 0.3
    real, fake = labels == 0, labels == 1
    assert metrics.accuracy(labels, logits, 0.3) == reference.accuracy_score(labels, called)
    assert metrics.balanced_accuracy(labels, logits, 0.3) == pytest.approx(
        reference.balanced_accuracy_score(labels, called)
    )
    assert metrics.false_positive_rate(labels, logits, 0.3) == called[real].mean()
    assert metrics.true_positive_rate(labels, logits, 0.3) == called[fake].mean()


def test_large_logits_keep_their_order() -> None:
    # A sigmoid in float32 makes 40 and 50 the same number, and the AUC of these four scores .75 instead of 1.
    assert metrics.auc([0, 1, 0, 1], [40.0, 50.0, -3.0, 45.0]) == 1.0


def test_equal_error_rate_is_where_both_errors_meet() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    logits = rng.normal(size=40_000) + 2.0 * labels
    # Unit normals two apart: both error rates are Phi(-1) = .15866 at the middle; 4 standard errors are about .01.
    assert metrics.equal_error_rate(labels, logits) == pytest.approx(0.15866, abs=0.01)
    assert metrics.equal_error_rate(labels, -logits) == pytest.approx(1 - 0.15866, abs=0.01)
    assert metrics.equal_error_rate([0, 1], [1.0, 1.0]) == 0.5


def test_tpr_at_fpr_never_tolerates_more() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 500)
    logits = np.round(rng.normal(size=1000) + labels, 1)
    for fpr in (0.0, 0.01, 0.1, 1.0):
        allowed = [t for t in [*np.unique(logits), -np.inf] if (logits[labels == 0] > t).mean() <= fpr]
        expected = max((logits[labels == 1] > t).mean() for t in allowed)
        assert metrics.tpr_at_fpr(labels, logits, fpr) == pytest.approx(expected)
    with pytest.raises(UserError, match="between 0 and 1"):
        metrics.tpr_at_fpr(labels, logits, 1.5)


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 0], [1.0, 2.0], "no fake image"),
        ([1, 1], [1.0, 2.0], "no real image"),
        ([0, 1], [1.0, np.nan], "1 of 2 logits are not finite"),
        ([0, 1], [np.inf, 1.0], "first: inf, row 0"),
        ([0, 2], [1.0, 2.0], "got 2"),
        ([0, 1, 1], [1.0, 2.0], "one length"),
        ([], [], "no real image"),
    ],
)
def test_scores_that_cannot_be_measured_are_named(labels: list[int], logits: list[float], message: str) -> None:
    for metric in (metrics.auc, metrics.average_precision, metrics.equal_error_rate, metrics.best_threshold):
        with pytest.raises(UserError, match=message):
            metric(labels, logits)


def test_a_threshold_must_be_finite() -> None:
    with pytest.raises(UserError, match="threshold"):
        metrics.accuracy([0, 1], [0.0, 1.0], np.nan)
