"""Trust in the learnt logit: high near the training images, low far from them."""

import pytest
import torch
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.models.familiarity import DIRECTIONS, NEIGHBOUR, REMEMBERED, Familiarity


def cloud(count: int, seed: int, shift: float = 0.0, width: int = 64) -> Tensor:
    """Features along few directions, as a network's are."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(6, width, generator=torch.Generator().manual_seed(99))
    features = 3.0 + torch.randn(count, 6, generator=generator) @ basis
    features[:, 0] += shift
    return features


@pytest.fixture
def fitted() -> Familiarity:
    familiarity = Familiarity(64)
    familiarity.fit(cloud(300, 0), cloud(100, 1))
    return familiarity


def test_before_the_fit_all_is_trusted() -> None:
    familiarity = Familiarity(64)
    assert not familiarity.is_fitted
    assert familiarity(cloud(5, 2)).min() > 0.999


def test_trust_falls_with_the_distance_from_the_training_images(fitted: Familiarity) -> None:
    assert fitted.is_fitted
    trust = [float(fitted(cloud(200, 3, shift)).mean()) for shift in (0.0, 20.0, 60.0)]
    assert 0.5 < trust[0] < 1
    assert trust[0] > trust[1] > trust[2]
    assert trust[2] < 0.01


def test_three_quarters_of_the_validation_photographs_are_trusted_by_half_or_more(fitted: Familiarity) -> None:
    share = float((fitted(cloud(100, 1)) >= 0.5).float().mean())
    assert share == pytest.approx(0.75, abs=0.015)


def test_distance_is_that_of_the_fifth_neighbour_of_unit_vectors() -> None:
    """With as many directions as the features have, it is the plain squared distance."""
    narrow = Familiarity(DIRECTIONS)
    train, probe = cloud(50, 4, width=DIRECTIONS), cloud(7, 5, width=DIRECTIONS)
    narrow.fit(train, cloud(20, 6, width=DIRECTIONS))
    unit = [part / part.norm(dim=1, keepdim=True) for part in (train, probe)]
    gaps = torch.cdist(unit[1].double(), unit[0].double()).square().sort(dim=1).values
    torch.testing.assert_close(narrow.distance(probe).double(), gaps[:, NEIGHBOUR - 1], atol=1e-5, rtol=1e-3)


def test_what_lies_off_the_kept_directions_counts_too(fitted: Familiarity) -> None:
    near = cloud(50, 0)
    off = torch.randn(64, generator=torch.Generator().manual_seed(7))
    off -= fitted.directions.T @ (fitted.directions @ off)
    assert bool((fitted.distance(near + 10 * off) > fitted.distance(near)).all())


def test_few_training_images_leave_places_empty() -> None:
    familiarity = Familiarity(64)
    familiarity.fit(cloud(NEIGHBOUR, 0), cloud(1, 1))
    assert int(familiarity.remembered.isfinite().all(dim=1).sum()) == NEIGHBOUR < REMEMBERED
    assert bool(familiarity(cloud(9, 2)).isfinite().all())
    with pytest.raises(UserError, match="4 training images.*logit_sum"):
        familiarity.fit(cloud(NEIGHBOUR - 1, 0), cloud(1, 1))


def test_the_scale_of_features_does_not_matter(fitted: Familiarity) -> None:
    features = cloud(20, 8)
    torch.testing.assert_close(fitted(features), fitted(5 * features), atol=1e-4, rtol=1e-4)
