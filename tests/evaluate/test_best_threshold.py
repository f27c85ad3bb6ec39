import numpy as np
import pytest

from fakefreq.evaluate.metrics import balanced_accuracy, best_threshold


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate(([0, 1], rng.integers(0, 2, 60)))
    logits = np.round(rng.normal(size=62) + labels, 1 if seed % 2 else 6)
    candidates = np.unique(logits)
    best = max(balanced_accuracy(labels, logits, t) for t in candidates)
    assert balanced_accuracy(labels, logits, best_threshold(labels, logits)) == pytest.approx(best)


def test_order_of_the_images_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    logits = np.round(rng.normal(size=100), 1)
    order = rng.permutation(100)
    assert best_threshold(labels, logits) == best_threshold(labels[order], logits[order])


def test_the_longest_of_equally_good_intervals_is_halved() -> None:
    # Above 0 and above 2 are equally good (each calls three of four rightly); the gap from 2 to 8 is the longer.
    assert best_threshold([0, 1, 0, 1], [0.0, 1.0, 2.0, 8.0]) == 5.0
    # Equally long ones: the lower.
    assert best_threshold([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0]) == 0.5


def test_it_is_not_moved_by_the_share_of_fakes() -> None:
    labels, logits = np.array([0, 0, 1, 1, 0, 1]), np.array([0.0, 1.0, 2.0, 3.0, 2.5, 0.5])
    many = np.concatenate([np.arange(6), np.repeat(np.flatnonzero(labels == 0), 9)])
    assert best_threshold(labels, logits) == best_threshold(labels[many], logits[many])


@pytest.mark.parametrize("logits", [[1.0, 1.0, 1.0, 1.0], [3.0, 2.0, 1.0, 0.0]], ids=["constant", "reversed"])
def test_a_useless_detector_calls_nothing_fake(logits: list[float]) -> None:
    threshold = best_threshold([0, 0, 1, 1], logits)
    assert np.isfinite(threshold)
    assert not (np.array(logits) > threshold).any()


def test_neighbouring_floats_are_still_parted() -> None:
    low = 1.0
    high = np.nextafter(low, 2.0)
    threshold = best_threshold([0, 1], [low, high])
    assert low <= threshold < high
