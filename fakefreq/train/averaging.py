"""Weight averaging: a second set of weights that follows the first slowly."""

import copy
from typing import Any

import torch

from fakefreq.models import Detector


class AveragedDetector:
    """An exponential moving average of a detector's weights and batch-norm statistics.

    After Polyak and Juditsky 1992 ("Acceleration of stochastic approximation by averaging"), exponential as is usual.
    In the first steps the decay is lower, (1 + n) / (10 + n), or short runs would average in their random start.

    Args:
        detector: whose weights to follow.
        decay: in (0, 1); the average looks back about 1 / (1 - decay) steps.

    Attributes:
        detector: the averaged detector, in evaluation mode.
        updates: how often it was updated.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.detector = copy.deepcopy(detector).eval().requires_grad_(False)
        self.decay = decay
        # Infinite until something else fits it, as the lattice's null: the mean of two infinities would be no number.
        self._not_averaged = {name for name, value in detector.state_dict().items() if not value.isfinite().all()}
        self.updates = 0

    @torch.no_grad()
    def update(self, detector: Detector) -> None:
        """Move towards the detector's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = detector.state_dict()
        for name, average in self.detector.state_dict().items():
            if average.is_floating_point() and name not in self._not_averaged:
                average.lerp_(current[name], 1 - decay)
            else:
                average.copy_(current[name])

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes."""
        return {"detector": self.detector.state_dict(), "updates": self.updates}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.detector.load_state_dict(stored["detector"], strict=True)
        self.updates = int(stored["updates"])
