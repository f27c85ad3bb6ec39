"""How well a few numbers tell two sets of images apart: a classifier, cross-validated by group, with an interval."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
DRAWS = 400  # of the bootstrap: the ends of a 95 % interval then move by a tenth of its width from seed to seed
_CATEGORIES = 64  # of one feature; rarer values count as one


@dataclass(frozen=True)
class Feature:
    """What one feature does.

    Attributes:
        name: its column.
        alone: cross-validated AUC of a classifier that sees nothing else.
        drop: by how much the AUC of all falls when its values are shuffled in the held-out images (permutation
            importance; Breiman, "Random forests", 2001). Features that say the same hide each other here.
    """

    name: str
    alone: float
    drop: float


@dataclass(frozen=True)
class Probe:
    """A cross-validated AUC.

    Attributes:
        auc: mean over folds of the AUC in the fold, so that folds of unlike balance do no harm; .5 is chance.
        low: lower end of the 95 % interval, by bootstrap over groups within folds. The classifiers stand as trained.
        high: upper end.
        negatives: images of the first set.
        positives: images of the second.
        groups: units of folds and bootstrap.
        features: the strongest first; empty where not asked for.
    """

    auc: float
    low: float
    high: float
    negatives: int
    positives: int
    groups: int
    features: list[Feature] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.auc:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.negatives} + {self.positives})"


def probe(
    table: pd.DataFrame,
    labels: Ints,
    groups: NDArray[Any],
    seed: int = 0,
    explain: bool = True,
    model: Literal["boosting", "linear"] = "boosting",
) -> Probe | None:
    """Train a classifier on a table of features and return how well it does on groups that it has not seen.

    Args:
        table: a row an image; columns of text are taken as categories (gradient boosting only).
        labels: 0 and 1.
        groups: what may not be parted.
        seed: of folds, shuffles and bootstrap.
        explain: also judge each feature.
        model: `boosting`, histogram gradient boosting of scikit-learn; or `linear`, ridge logistic regression on
            standardised values.

    Returns:
        None where a class has fewer than two groups of four images: nothing can be said then.
    """
    codes = np.unique(groups.astype(str), return_inverse=True)[1].astype(np.int64)
    folds = _folds(labels, codes, seed)
    if not folds:
        return None
    values, categorical = _numbers(table)
    if np.all(values == values[:1]):
        # A classifier of constants is a coin; training would only find that out slowly.
        fitted: list[Any] = []
        scores = np.zeros(len(labels))
    else:
        fitted = [_fit(values[train], labels[train], categorical, seed, model) for train, _ in folds]
        scores = _held_out(fitted, values, folds)
    area = _mean_area(scores, labels, folds)
    low, high = _interval(scores, labels, codes, folds, seed)
    features = []
    if explain:
        features = _features(
            table, values, categorical, labels, folds, fitted=fitted, area=area, seed=seed, model=model
        )
    reals = int((labels == 0).sum())
    return Probe(area, low, high, reals, len(labels) - reals, int(codes.max()) + 1, features)


def _folds(labels: Ints, codes: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    """Pairs of training and held-out rows: groups of the same make-up are dealt out in turn, in random order."""
    counts = np.zeros((int(codes.max(initial=-1)) + 1, 2), dtype=np.int64)
    np.add.at(counts, (codes, labels), 1)
    fewest = int((counts > 0).sum(axis=0).min(initial=len(counts)))
    if fewest < 2 or counts.sum(axis=0).min() < 4:
        return []
    folds = min(FOLDS, fewest)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.lexsort((counts[order, 1], counts[order, 0]))]
    fold = np.empty(len(counts), dtype=np.int64)
    fold[order] = np.arange(len(counts)) % folds
    pairs = [(np.flatnonzero(fold[codes] != k), np.flatnonzero(fold[codes] == k)) for k in range(folds)]
    return [pair for pair in pairs if all(len(set(labels[part].tolist())) == 2 for part in pair)]


def _numbers(table: pd.DataFrame) -> tuple[Floats, list[bool]]:
    """Texts as codes, the most frequent first."""
    columns, categorical = [], []
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            columns.append(column.to_numpy(dtype=np.float64))
        else:
            ranks = {value: rank for rank, value in enumerate(column.astype(str).value_counts().index)}
            columns.append(
                np.array([min(ranks[value], _CATEGORIES - 1) for value in column.astype(str)], dtype=np.float64)
            )
        categorical.append(not pd.api.types.is_numeric_dtype(column))
    return np.column_stack(columns), categorical


def _fit(values: Floats, labels: Ints, categorical: list[bool], seed: int, model: str, trees: int = 60) -> Any:
    if model == "linear":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(values, labels)
    from sklearn.ensemble import HistGradientBoostingClassifier

    booster = HistGradientBoostingClassifier(
        max_iter=trees,
        max_leaf_nodes=15,
        # The default of 20 makes no split at all in a set of some dozens.
        min_samples_leaf=max(2, min(20, len(labels) // 20)),
        categorical_features=categorical if any(categorical) else None,
        early_stopping=False,
        random_state=seed,
    )
    return booster.fit(values, labels)


def _held_out(fitted: list[Any], values: Floats, folds: list[tuple[Ints, Ints]]) -> Floats:
    scores = np.zeros(len(values))
    for model, (_, test) in zip(fitted, folds, strict=True):
        scores[test] = model.decision_function(values[test])
    return scores


def _mean_area(scores: Floats, labels: Ints, folds: list[tuple[Ints, Ints]]) -> float:
    ones = np.ones((1, len(labels)))
    return float(np.mean([weighted_areas(scores[test], labels[test], ones[:, test])[0] for _, test in folds]))


def weighted_areas(scores: Floats, labels: Ints, weights: Floats) -> Floats:
    """AUC of the same scores under several weightings, ties counted half.

    Args:
        scores: of each image.
        labels: 0 and 1.
        weights: a row a weighting; .5 is returned where a class has no weight.

    Shape: (N,), (N,), (W, N) -> (W,)

    >>> weighted_areas(np.array([0.0, 1.0, 1.0]), np.array([0, 0, 1]), np.array([[1.0, 1.0, 1.0]])).tolist()
    [0.75]
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(scores[order]) > 0]))
    sums = [
        np.add.reduceat(np.where(labels[order] == label, weights[:, order], 0.0), starts, axis=1) for label in (0, 1)
    ]
    below = np.cumsum(sums[0], axis=1) - sums[0] / 2
    pairs = sums[0].sum(axis=1) * sums[1].sum(axis=1)
    areas: Floats = np.where(pairs > 0, (sums[1] * below).sum(axis=1) / np.where(pairs > 0, pairs, 1), 0.5)
    return areas


def _interval(
    scores: Floats, labels: Ints, codes: Ints, folds: list[tuple[Ints, Ints]], seed: int
) -> tuple[float, float]:
    """Poisson bootstrap: each group counts a random number of times of mean 1."""
    random = np.random.default_rng(seed)
    times = random.poisson(1.0, (DRAWS, int(codes.max()) + 1)).astype(np.float64)
    areas = np.mean([weighted_areas(scores[test], labels[test], times[:, codes[test]]) for _, test in folds], axis=0)
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def _features(
    table: pd.DataFrame,
    values: Floats,
    categorical: list[bool],
    labels: Ints,
    folds: list[tuple[Ints, Ints]],
    *,
    fitted: list[Any],
    area: float,
    seed: int,
    model: str,
) -> list[Feature]:
    random = np.random.default_rng(seed)
    found = []
    for number, name in enumerate(table.columns):
        column = values[:, number : number + 1]
        if np.all(column == column[0]):
            found.append(Feature(str(name), 0.5, 0.0))
            continue
        single = [_fit(column[train], labels[train], [categorical[number]], seed, model, 20) for train, _ in folds]
        alone = _mean_area(_held_out(single, column, folds), labels, folds)
        shuffled = values.copy()
        for _, test in folds:
            shuffled[test, number] = random.permutation(shuffled[test, number])
        drop = area - _mean_area(_held_out(fitted, shuffled, folds), labels, folds)
        found.append(Feature(str(name), alone, drop))
    return sorted(found, key=lambda feature: (-max(feature.drop, feature.alone - 0.5), feature.name))
