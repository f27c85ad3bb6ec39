"""How near an image is to those of the training: what a learnt logit is worth."""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError

# Training images kept, directions kept, and which neighbour's distance counts.
REMEMBERED, DIRECTIONS, NEIGHBOUR = 256, 32, 5
# Where trust is 1/2, and one step of its slope: both in quantiles of validation photographs' distances.
_HALF, _STEP, _MIDDLE, _FAR = 0.75, 0.25, 0.5, 0.9


class Familiarity(nn.Module):
    """Trust in the learnt streams' logit by the image's distance from the training images.

    d is the squared distance, of features scaled to length 1, from the fifth nearest of up to 256 training ones, along
    the 32 directions in which these differ most and all others together. Trust is sigmoid((h - d) / w): 1/2 at h, the
    upper quartile of validation photographs' distances; w is a quarter of the way from their median to their upper
    decile. Far from all that it was trained on, a network's logit is large and means nothing. Before `fit`, trust is 1.

    Sun, Ming, Zhu, Li 2022, "Out-of-distribution detection with deep nearest neighbors"
    (https://arxiv.org/abs/2204.06507).

    Args:
        width: number of features, those of all learnt streams together.

    Shape:
        - input: (B, width)
        - output: (B,), in [0, 1]

    Attributes:
        centre: (width,), the mean of the training images' features.
        directions: (32, width), orthonormal.
        remembered: (256, 32), the training images; infinite where there are fewer.
        reach: h and w.
    """

    centre: Tensor
    directions: Tensor
    remembered: Tensor
    reach: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("directions", torch.zeros(DIRECTIONS, width))
        self.register_buffer("remembered", torch.full((REMEMBERED, DIRECTIONS), math.inf))
        self.register_buffer("reach", torch.tensor([math.inf, 1.0]))

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has been here."""
        return bool(self.reach.isfinite().all())

    def fit(self, train: Tensor, photographs: Tensor) -> None:
        """Remember training images, and set the reach by others.

        Args:
            train: features of training images, real and fake; the first 256 are kept.
            photographs: features of real validation images.

        Shape: (N, width), N at least 5; (M, width), M at least 1.

        Raises:
            UserError: too few images.
        """
        if len(train) < NEIGHBOUR or len(photographs) < 1:
            raise UserError(
                f"{len(train)} training images and {len(photographs)} real validation images are there; trust in the "
                f"learnt logit takes {NEIGHBOUR} and 1: give more images, or --fusion logit_sum"
            )
        kept = self._directed(train.detach()[:REMEMBERED]).double()
        self.centre.copy_(kept.mean(dim=0))
        _, _, directions = torch.linalg.svd(kept - kept.mean(dim=0), full_matrices=False)
        self.directions.zero_()
        self.directions[: len(directions)].copy_(directions[:DIRECTIONS])
        self.remembered.fill_(math.inf)
        self.remembered[: len(kept)].copy_(self._split(kept.to(self.centre.dtype))[0])
        distances = self.distance(photographs.detach()).double()
        half, middle, far = (torch.quantile(distances, share) for share in (_HALF, _MIDDLE, _FAR))
        self.reach.copy_(torch.stack([half, (_STEP * (far - middle)).clamp_min(1e-4)]))

    def distance(self, features: Tensor) -> Tensor:
        """Return d: (B, width) -> (B,), 0 to 4."""
        with torch.autocast(features.device.type, enabled=False):
            placed, rest = self._split(self._directed(features))
        gaps = (placed.unsqueeze(1) - self.remembered).square().sum(dim=2)
        return gaps.topk(NEIGHBOUR, dim=1, largest=False).values[:, -1] + rest

    def forward(self, features: Tensor) -> Tensor:
        """Return the trust, (B,)."""
        half, step = self.reach.unbind()
        distance = self.distance(features)
        # Before the fit nothing is remembered, all distances are infinite, and all is trusted.
        steps = torch.where(distance.isinf(), torch.full_like(distance, 30.0), (half - distance) / step)
        return torch.sigmoid(steps.clamp(-30.0, 30.0))

    def _split(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Place along the directions, and the squared distance from the plane that they span."""
        offset = features - self.centre
        placed = offset @ self.directions.T
        return placed, (offset.square().sum(dim=1) - placed.square().sum(dim=1)).clamp_min(0.0)

    def _directed(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(features.to(self.centre.dtype), dim=1)
