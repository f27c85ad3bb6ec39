"""Peers whose head is fitted to all training images at once, as scikit-learn does it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.svm import SVC
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.models.peers.base import PeerDetector

Floats = NDArray[np.float64]


class Standardise(nn.Module):
    """Subtract a mean and divide by a standard deviation, one of each for every feature.

    Both come from `fit`; before, and where a network behind it is trained by gradients, they are gathered in training
    as a cumulative average over all batches.

    Args:
        width: number of features.

    Shape:
        - input and output: (B, width)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # momentum None: the average over all batches so far, not a moving one that remembers the last few.
        self.norm = nn.BatchNorm1d(width, affine=False, momentum=None)

    def set(self, features: Tensor) -> None:
        """Take mean and standard deviation from the features of all training images, (N, width)."""
        norm: Any = self.norm
        norm.running_mean.copy_(features.mean(dim=0, dtype=torch.float64))
        norm.running_var.copy_(features.var(dim=0, correction=0))

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised features."""
        norm: Any = self.norm
        if self.training:
            standard: Tensor = norm(features)
        else:  # the same, in operations that exporters know without being told the width
            standard = (features - norm.running_mean) * torch.rsqrt(norm.running_var + norm.eps)
        return standard


class KernelMachine(nn.Module):
    """The decision function of a support vector machine with a Gaussian kernel; 0 for every image before it is fitted.

    Args:
        width: number of features.

    Shape:
        - input: (B, width)
        - output: (B, 1)
    """

    vectors: Tensor
    weights: Tensor
    constants: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(1, width))
        self.register_buffer("weights", torch.zeros(1))
        self.register_buffer("constants", torch.tensor([1.0, 0.0]))  # gamma, intercept

    def set(self, machine: Any) -> None:
        """Take over a fitted scikit-learn SVC."""
        device = self.vectors.device
        self.vectors = torch.as_tensor(machine.support_vectors_, dtype=torch.float32, device=device)
        self.weights = torch.as_tensor(machine.dual_coef_[0], dtype=torch.float32, device=device)
        constants = [float(machine._gamma), float(machine.intercept_[0])]
        self.constants = torch.tensor(constants, dtype=torch.float32, device=device)

    def forward(self, features: Tensor) -> Tensor:
        """Return the decision, (B, 1)."""
        with torch.autocast(features.device.type, enabled=False):
            distance = (features.float().unsqueeze(1) - self.vectors).square().sum(dim=2)
            decision: Tensor = torch.exp(-self.constants[0] * distance) @ self.weights.unsqueeze(1)
            return decision + self.constants[1]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        # How many support vectors there are is known only once a machine was fitted.
        _take_lengths(self, ("vectors", "weights"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _take_lengths(module: nn.Module, names: tuple[str, ...], state_dict: dict[str, Tensor], prefix: str) -> None:
    """Make buffers as long as the stored ones that are about to be loaded."""
    for name in names:
        stored = state_dict.get(prefix + name)
        if stored is not None and stored.shape[1:] == getattr(module, name).shape[1:]:
            setattr(module, name, torch.zeros_like(stored))


class BoostedTrees(nn.Module):
    """The sum of gradient-boosted trees (Friedman 2001, "Greedy function approximation"), as plain arrays.

    All nodes of all trees stand in one list. A leaf's children are itself, so that every path has the same length. It
    gives 0 for every image before it is fitted. No gradient passes through it.

    Shape:
        - input: (B, width)
        - output: (B, 1), the log of the odds

    Attributes:
        roots: (T,), the node that each tree begins with.
        branches: (N, 2), the node where the value is at most the threshold, and the other one.
        feature: (N,), which value each node looks at.
        numbers: (N, 2), threshold of each node, and what a leaf adds.
        base: (), added to the sum.
    """

    depth = 3
    roots: Tensor
    branches: Tensor
    feature: Tensor
    numbers: Tensor
    base: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("roots", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("branches", torch.zeros(1, 2, dtype=torch.int64))
        self.register_buffer("feature", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("numbers", torch.zeros(1, 2))
        self.register_buffer("base", torch.zeros(()))

    def set(self, model: HistGradientBoostingClassifier) -> None:
        """Take over a fitted model of at most `depth` levels."""
        device, start = self.roots.device, 0
        roots: list[int] = []
        parts: list[tuple[Floats, Floats, Floats]] = []
        for (tree,) in model._predictors:
            roots.append(start)
            own, is_leaf = start + np.arange(len(tree.nodes)), tree.nodes["is_leaf"] > 0
            sides = [np.where(is_leaf, own, start + tree.nodes[side].astype(np.int64)) for side in ("left", "right")]
            feature = np.where(is_leaf, 0, tree.nodes["feature_idx"])
            pair = [np.where(is_leaf, 0.0, tree.nodes["num_threshold"]), np.where(is_leaf, tree.nodes["value"], 0.0)]
            parts.append((np.stack(sides, axis=1), feature, np.stack(pair, axis=1)))
            start += len(own)
        branches, features, numbers = (
            torch.as_tensor(np.concatenate(part), device=device) for part in zip(*parts, strict=True)
        )
        self.roots = torch.tensor(roots, device=device)
        self.branches, self.feature, self.numbers = branches.long(), features.long(), numbers.float()
        self.base.fill_(float(model._baseline_prediction.item()))

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum, (B, 1)."""
        node = self.roots + torch.zeros_like(features[:, :1], dtype=torch.int64)
        for _ in range(self.depth):
            goes_left = features.gather(1, self.feature[node]) <= self.numbers[:, 0][node]
            node = torch.where(goes_left, self.branches[:, 0][node], self.branches[:, 1][node])
        return self.numbers[:, 1][node].sum(dim=1, keepdim=True) + self.base

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        _take_lengths(self, ("roots", "branches", "feature", "numbers"), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class FittedDetector(PeerDetector):
    """A detector whose stream gives standardised features, and whose head `fit` sets in one pass.

    The stream has `raw(pixels)`, the features before `standardise`, a `Standardise`; and `machine`, a `KernelMachine`
    for the method `svm`, `BoostedTrees` for `trees`.

    Args:
        config: as `PeerDetector`.
        stream: as above.
        method: `ridge` (the penalty by leave-one-out error), `logistic`, `svm` (Gaussian kernel) or `trees` (gradient
            boosting).
    """

    def __init__(self, config: Any, stream: nn.Module, method: str) -> None:
        super().__init__(config, stream)
        self.method = method

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Fit normalisation and head to all training images at once; 4 bytes a feature and image are held.

        Args:
            batches: images, (B, 3, H, W), and labels, (B,); each image once.

        Returns:
            What was fitted: n, and ridge's `alpha`, or the number of `support_vectors` or `trees`.

        Raises:
            UserError: not both classes are there.
        """
        stream: Any = self.streams["peer"]
        parts, answers = [], []
        for images, labels in batches:
            parts.append(stream.raw(self._pixels(images.to(self.device))).cpu())
            answers.append(labels.cpu())
        features, label = torch.cat(parts), torch.cat(answers).numpy() > 0.5
        if label.all() or not label.any():
            raise UserError(f"a fit needs images of both classes; all {len(label)} are of one: change --train-on")
        stream.standardise.set(features)
        stream.standardise.eval()
        standard = stream.standardise.to("cpu")(features).numpy()
        stream.standardise.to(self.device)
        return {"n": float(len(label)), **self._fit_head(standard, label)}

    def _fit_head(self, features: NDArray[Any], label: NDArray[Any]) -> dict[str, float]:
        stream: Any = self.streams["peer"]
        if self.method == "ridge":
            ridge = RidgeCV(alphas=10.0 ** np.arange(-1, 7)).fit(features, np.where(label, 1.0, -1.0))
            self._set_linear(ridge.coef_, float(ridge.intercept_))
            return {"alpha": float(ridge.alpha_)}
        if self.method == "logistic":
            logistic = LogisticRegression(max_iter=2000).fit(features, label)
            self._set_linear(logistic.coef_[0], float(logistic.intercept_[0]))
            return {}
        if self.method == "trees":
            # scikit-learn's defaults, but for the depth; fewer images than 80 leave room for smaller leaves.
            smallest = min(20, max(1, len(label) // 4))
            trees = HistGradientBoostingClassifier(
                max_depth=BoostedTrees.depth, min_samples_leaf=smallest, early_stopping=False
            ).fit(features, label)
            stream.machine.set(trees)
            self._set_linear(np.ones(1), 0.0)
            return {"trees": float(trees.n_iter_)}
        machine = SVC(kernel="rbf").fit(features, label)
        stream.machine.set(machine)
        self._set_linear(np.ones(1), 0.0)
        return {"support_vectors": float(len(machine.support_vectors_))}

    def _set_linear(self, weights: Floats, intercept: float) -> None:
        linear = next(module for module in self.head.modules() if isinstance(module, nn.Linear))
        linear.weight.copy_(torch.as_tensor(weights).reshape(1, -1))
        linear.bias.fill_(intercept)
