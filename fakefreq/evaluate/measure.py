"""Scores of the same test images by several detectors and seeds, and what is measured of each of them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.bootstrap import Draws, wilson_interval
from fakefreq.evaluate.metrics import Array, Thresholds, choose_thresholds
from fakefreq.evaluate.ranking import ALL_METRICS, BINS, FALSE_ALARMS, FOUND, RankedScores
from fakefreq.evaluate.scores import check_table, group_names, split_names
from fakefreq.evaluate.test_sets import MEANS, UNNAMED, TestSet, test_sets

Key = tuple[str, int]
"""Label of a detector, seed."""
OF_REALS = ("fpr", *FALSE_ALARMS)
"""Metrics of photographs alone: all that a control has."""
OF_FAKES = ("tpr", *FOUND)
"""Metrics of fakes alone."""
RATES = (*OF_REALS, *OF_FAKES)
"""Shares of images above a threshold, with Wilson's interval."""


@dataclass(frozen=True)
class ScoreSet:
    """Scores of the same test images by the detectors and seeds of one training set of one protocol on one track.

    Args:
        protocol: its name.
        track: its name.
        train_on: the training set, joined by `+`.
        keys: the test images, sorted by path.
        test_sets: their rows are positions in `keys`.
        logits: (detector, seed) -> one logit an image of `keys`.
        val: (detector, seed) -> label and logit of the validation images.
        thresholds: (detector, seed) -> logits chosen on validation.
        draws: of the track.
        columns: each image's column of the draws.
    """

    protocol: str
    track: str
    train_on: str
    keys: pd.DataFrame
    test_sets: Sequence[TestSet]
    logits: Mapping[Key, Array]
    val: Mapping[Key, pd.DataFrame]
    thresholds: Mapping[Key, Thresholds]
    draws: Draws
    columns: npt.NDArray[np.int64]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """0 for real, 1 for fake."""
        return self.keys["label"].to_numpy().astype(np.int64)

    @property
    def groups(self) -> npt.NDArray[np.str_]:
        """Name of each image's group."""
        return self.keys["group"].to_numpy()

    @property
    def detectors(self) -> list[str]:
        """Labels in the order given."""
        return list(dict.fromkeys(label for label, _ in self.logits))

    def seeds(self, detector: str) -> list[int]:
        """The seeds that a detector has."""
        return sorted(seed for label, seed in self.logits if label == detector)


def make_score_set(
    protocol: str,
    track: str,
    train_on: Sequence[str],
    scores: Mapping[Key, pd.DataFrame],
    draws: Draws,
    thresholds: Mapping[Key, float] | None = None,
) -> ScoreSet:
    """Bring the scores of all detectors and seeds onto the same test images, row for row.

    Args:
        protocol: its name.
        track: its name.
        train_on: generators of the training set.
        scores: (detector, seed) -> its validation and test rows, told apart by `role`.
        draws: of the track.
        thresholds: (detector, seed) -> logit chosen on validation; of those that are not given it is chosen here.

    Raises:
        UserError: tables that cannot be measured or are of different images, no test image, an image that the draws do
            not know, or a threshold that cannot be chosen because validation lacks a class.
    """
    tables, val, chosen = {}, {}, {}
    for key, table in scores.items():
        who = f"{key[0]}, seed {key[1]}, trained on {'+'.join(train_on)}"
        val[key] = table.loc[table["role"] == "val", ["label", "logit"]].reset_index(drop=True)
        test = table[table["role"] == "test"]
        if test.empty:
            raise UserError(f"the protocol {protocol} tests on no image: the manifest's test split is empty")
        try:
            check_table(test)
        except UserError as error:
            raise UserError(f"{who}: {error}") from error
        given = (thresholds or {}).get(key)
        if given is None and val[key]["label"].nunique() < 2:
            raise UserError(f"{who}: it has no validation scores of both classes, so there is no threshold")
        chosen[key] = choose_thresholds(val[key]["label"], val[key]["logit"], given)
        tables[key] = test.sort_values("path", kind="stable").reset_index(drop=True)
    keys = next(iter(tables.values())).drop(columns="logit")
    first = next(iter(tables))
    for key, table in tables.items():
        for name in ("path", "label", "generator", "subset"):
            if len(table) != len(keys) or (table[name].astype(str) != keys[name].astype(str)).any():
                raise UserError(
                    f"the scores of {key[0]}, seed {key[1]}, trained on {'+'.join(train_on)} are of other images than "
                    f"those of {first[0]}, seed {first[1]}, or tell another {name} of them; score both on one manifest"
                )
    for name in ("path", "generator", "source", "subset", "split", "group"):
        keys[name] = keys[name].astype(str)
    keys.loc[(keys["label"] == 1) & (keys["generator"] == ""), "generator"] = UNNAMED
    keys["group"] = group_names(keys)
    return ScoreSet(
        protocol,
        track,
        "+".join(train_on),
        keys,
        test_sets(keys, train_on),
        {key: table["logit"].to_numpy(dtype=np.float64) for key, table in tables.items()},
        val,
        chosen,
        draws,
        draws.columns(keys["group"].tolist()),
    )


def score_sets(
    scores: pd.DataFrame,
    protocol: str = "",
    test_split_only: bool = False,
    draws: int = DEFAULT_DRAWS,
    detectors: Sequence[str] = (),
) -> Iterator[ScoreSet]:
    """Yield a score set for each track and training set of a table of several cells.

    Test images that not all cells of a set score are left out.

    Args:
        scores: as `fakefreq.load_scores` returns them. A cell without a threshold gets that of its validation scores.
        protocol: for the tables.
        test_split_only: report on the test split alone, not on all images of unseen generators.
        draws: of the bootstrap, by group, the same for all sets of a track.
        detectors: only these, in this order; all by default.

    Raises:
        UserError: an unknown detector, or scores that cannot be measured.
    """
    names = list(detectors) or list(dict.fromkeys(scores["detector"].astype(str)))
    for track, of_track in scores.groupby("track", observed=True, sort=False):
        drawn = Draws.of(of_track.drop_duplicates("path"), draws)
        for train_on, part in of_track.groupby("train_on", observed=True, sort=True):
            cells: dict[Key, pd.DataFrame] = {}
            thresholds: dict[Key, float] = {}
            for name in names:
                of_detector = part[part["detector"] == name]
                for seed in sorted(set(of_detector["seed"])):
                    cell = of_detector[of_detector["seed"] == seed]
                    is_reported = (cell["role"] == "val") | ~np.bool_(test_split_only) | (cell["split"] == "test")
                    cells[name, int(seed)] = cell[is_reported]
                    if "threshold" in cell and np.isfinite(cell["threshold"].iloc[0]):
                        thresholds[name, int(seed)] = float(cell["threshold"].iloc[0])
            if not cells:
                raise UserError(f"there are no scores of {', '.join(names)} trained on {train_on}")
            shared = set.intersection(*(set(cell.loc[cell["role"] == "test", "path"]) for cell in cells.values()))
            alike = {key: cell[(cell["role"] == "val") | cell["path"].isin(shared)] for key, cell in cells.items()}
            seen = split_names(str(train_on), set(part["generator"].astype(str)))
            yield make_score_set(protocol, str(track), seen, alike, drawn, thresholds)


@dataclass(frozen=True)
class Measured:
    """The metrics of one test set of one cell.

    Args:
        test_set: what they are of.
        values: metric -> value; absent where the images are too few.
        samples: metric -> its bootstrap draws.
        notes: metric -> why there is no value, or what to mind.
        limits: metric of `RATES` -> Wilson's interval over the groups of its class.
    """

    test_set: TestSet
    values: dict[str, float] = field(default_factory=dict)
    samples: dict[str, Array] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)


OfCell = dict[tuple[str, str], Measured]
"""Kind and name of a test set -> what was measured of it."""


def measure(
    test_set: TestSet,
    labels: npt.NDArray[np.int64],
    logits: Array,
    columns: npt.NDArray[np.int64],
    thresholds: Thresholds,
    *,
    draws: Draws,
    prevalence: float = 0.01,
    metrics: Sequence[str] = ALL_METRICS,
) -> Measured:
    """Measure one test set of one cell.

    Args:
        test_set: its rows are positions in the following arrays.
        labels: 0 for real, 1 for fake.
        logits: one for each label.
        columns: each image's column of the draws.
        thresholds: chosen on validation.
        draws: of the track.
        prevalence: that `precision` is stated for.
        metrics: which; those of a class that is missing are left out.
    """
    result = Measured(test_set)
    names = []
    for name in asked(test_set, metrics):
        reason = too_few(name, test_set.n_real, test_set.n_fake) or _no_threshold(name, thresholds)
        if reason:
            result.notes[name] = reason
        else:
            names.append(name)
    if not names:
        return result
    at = test_set.rows
    classes = tuple(label for label, count in ((0, test_set.n_real), (1, test_set.n_fake)) if count)
    scores = RankedScores(labels[at], logits[at], thresholds.balanced, prevalence, classes, thresholds.alarms)
    plain = scores.metrics(np.ones((1, len(at))), names)
    samples = scores.resampled(draws.counts, columns[at], names)
    for name in names:
        value = float(plain[name][0])
        if name == "precision" and plain.get("fpr", np.ones(1))[0] == 0:
            result.notes[name] = f"no false positive among {test_set.n_real} reals: not determined"
            continue
        result.values[name], result.samples[name] = value, samples[name]
        if name in RATES:
            groups = test_set.groups_real if name in OF_REALS else test_set.groups_fake
            result.limits[name] = wilson_interval(value * groups, groups)
        if test_set.groups < 2:
            result.notes[name] = "only one independent group of a class: no interval"
            result.samples[name] = np.full(len(samples[name]), np.nan)
        elif test_set.groups < 10:
            result.notes[name] = f"only {test_set.groups} independent groups of a class"
        elif name == "auc" and value in (0.0, 1.0):
            result.notes[name] = "the classes are perfectly separated, which leaves the bootstrap no spread"
    return result


def asked(test_set: TestSet, metrics: Sequence[str] = ALL_METRICS) -> list[str]:
    """Return which of some metrics a test set is measured by."""
    return [name for name in metrics if test_set.kind != "control" or name in OF_REALS]


def too_few(metric: str, n_real: int, n_fake: int) -> str:
    """Return why a metric has no meaning on this few images; empty where it has.

    >>> too_few("tpr_at_fpr_01", 400, 400)
    'needs 1000 reals, there are 400'
    """
    reals = {"tpr_at_fpr_1": 100, "tpr_at_fpr_01": 1000, "partial_auc": 20}.get(metric, 0 if metric in OF_FAKES else 1)
    fakes = 0 if metric in OF_REALS else 1
    if n_real < reals:
        return f"needs {reals} reals, there are {n_real}"
    if n_fake < fakes:
        return "needs fakes, there are none"
    if metric == "ece" and n_real + n_fake < BINS * 10:
        return f"needs {BINS * 10} images, there are {n_real + n_fake}"
    return ""


def _no_threshold(metric: str, thresholds: Thresholds) -> str:
    rate = metric.rpartition("_")[2]
    if metric in (*FOUND, *FALSE_ALARMS) and rate not in thresholds.alarms:
        return f"needs {100 // int(rate)} validation photographs, there are {thresholds.photographs}"
    return ""


def measure_all(
    scores: ScoreSet,
    prevalence: float = 0.01,
    threads: int = 1,
    metrics: Sequence[str] = ALL_METRICS,
    logits: Mapping[Key, Array] | None = None,
    kinds: Sequence[str] = ("generator", "source", "pooled", "control"),
) -> dict[Key, OfCell]:
    """Measure all cells of a score set on all test sets, and the means over its seen and over its unseen generators.

    Args:
        scores: the score set.
        prevalence: that `precision` is stated for.
        threads: that share the work; numpy leaves the interpreter's lock.
        metrics: which.
        logits: instead of the score set's, such as those of degraded images.
        kinds: of the test sets to measure.
    """
    labels, given = scores.labels, scores.logits if logits is None else logits
    items = [(key, entry) for key in given for entry in scores.test_sets if entry.kind in kinds]

    def one(item: tuple[Key, TestSet]) -> Measured:
        key, entry = item
        chosen, draws = scores.thresholds[key], scores.draws
        return measure(
            entry, labels, given[key], scores.columns, chosen, draws=draws, prevalence=prevalence, metrics=metrics
        )

    found: dict[Key, OfCell] = {key: {} for key in given}
    with ThreadPoolExecutor(threads) as pool:
        for (key, entry), measured in zip(items, pool.map(one, items), strict=True):
            found[key][entry.key] = measured
    for seen, name in MEANS.items():
        sets = [entry for entry in scores.test_sets if entry.kind == "generator" and entry.seen == seen]
        if len(sets) < 2 and not (sets and not seen):
            continue
        rows = np.unique(np.concatenate([entry.rows for entry in sets]))
        fakes = int(labels[rows].sum())
        mean = TestSet(name, "mean", seen, rows, len(rows) - fakes, fakes, *_fewest(sets))
        for of_cell in found.values():
            of_cell[mean.key] = average(mean, [of_cell[entry.key] for entry in sets])
    return found


def average(test_set: TestSet, several: Sequence[Measured]) -> Measured:
    """Return the plain mean of some test sets' metrics; a metric that one of them lacks has no mean.

    Limits are the mean of the parts' limits: the parts may share their photographs.
    """
    found = Measured(test_set)
    for metric in ALL_METRICS:
        lacking = [one.test_set.name for one in several if metric not in one.values]
        if lacking:
            found.notes[metric] = f"no value on {', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}"
        else:
            found.values[metric] = float(np.mean([one.values[metric] for one in several]))
            found.samples[metric] = np.mean([one.samples[metric] for one in several], axis=0)
            noted = [f"{one.test_set.name}: {one.notes[metric]}" for one in several if metric in one.notes]
            if noted:
                found.notes[metric] = noted[0]
            if metric in RATES:
                low, high = np.mean([one.limits[metric] for one in several], axis=0)
                found.limits[metric] = float(low), float(high)
    return found


def _fewest(sets: Sequence[TestSet]) -> tuple[int, int]:
    """Groups of reals and of fakes of the set that has fewest."""
    return min(entry.groups_real for entry in sets), min(entry.groups_fake for entry in sets)


def unseen_generators(measured: Mapping[Key, OfCell]) -> dict[Key, list[Measured]]:
    """Return what was measured of each generator that training has not seen; of the cells that have such."""
    found = {
        key: [one for one in of_cell.values() if one.test_set.kind == "generator" and one.test_set.seen is False]
        for key, of_cell in measured.items()
    }
    return {key: several for key, several in found.items() if several}


def over_training_sets(of_sets: Mapping[str, Mapping[Key, list[Measured]]]) -> dict[Key, OfCell]:
    """Return the mean over all pairs of a training set and a generator unseen by it, as `EACH` rows have it.

    Args:
        of_sets: training set -> (detector, seed) -> what was measured on each generator that it does not hold.

    Returns:
        Nothing where there are fewer than two training sets that every detector and seed has been trained on.
    """
    cells = list(dict.fromkeys(key for of_set in of_sets.values() for key in of_set))
    whole = [name for name, of_set in of_sets.items() if all(of_set.get(key) for key in cells)]
    if len(whole) < 2 or not cells:
        return {}
    several = [one for name in whole for one in of_sets[name][cells[0]]]
    sets = [one.test_set for one in several]
    # Images that several training sets are tested on count once for each.
    n_real, n_fake = (sum(getattr(entry, count) for entry in sets) for count in ("n_real", "n_fake"))
    mean = TestSet(MEANS[False], "mean", False, np.zeros(0, dtype=np.int64), n_real, n_fake, *_fewest(sets))
    found: dict[Key, OfCell] = {}
    for key in cells:
        one = average(mean, [one for name in whole for one in of_sets[name][key]])
        if len(whole) < len(of_sets):
            for metric in ALL_METRICS:
                one.notes.setdefault(metric, f"{len(whole)} of {len(of_sets)} training sets")
        found[key] = {mean.key: one}
    return found
