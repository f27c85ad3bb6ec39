"""Fits the lattice stream to photographs with and without planted lattices.

Each pair, a photograph and its fake, goes through one history: most photographs are processed first, the lattice
is planted after that, and both are saved by one codec. So what tells them apart is the lattice alone.
"""

import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, QuantileRegressor

from fakefreq.data.degrade.distortions import jpeg, webp
from fakefreq.data.degrade.history import History
from fakefreq.data.degrade.language import image_rng, parse_augmentation
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.loading.samples import bring
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.models.streams.lattice import (
    KNOTS,
    NULL_QUANTILES,
    PERIOD,
    SIDES,
    SMALLEST,
    LatticeStream,
    has_nothing_to_see,
    read_lattice_of_image,
)
from fakefreq.progress import track
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.spectra import lattice_frequencies
from fakefreq.threads import one_torch_thread

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
# Makes a fake of a photograph, or none where it cannot.
MakeFake = Callable[[Image, np.random.Generator], Image | None]
# Lattice scores of an image.
Read = Callable[[Image], Floats]

# Benign processing: what happens to photographs and leaves no lattice. Reducing and enlarging by two is the hardest: it
# moves JPEG's own period to 4, so more photographs go through it. What WebP leaves is there after a JPEG, too.
PROCESSING = (
    "0.7*resize:0.5:any|resize:0.5:any|resize:0.5:any|resize:0.5:bicubic|resize:0.5:bicubic|resize:0.4..0.95:any|"
    "rescale:0.3..1.5:any|"
    "rescale:0.3..0.9:any+sharpen:0.3..1.5|sharpen:0.3..1.5|blur:0.4..1.2|jpeg:50..95|double_jpeg:60..95:60..95|"
    "noise:1..5|grayscale|gamma:0.6..1.6|webp:50..95|webp:50..95"
)
# Share of JPEG as the last codec, which photograph and fake go through alike; the rest is saved without loss. WebP has
# pairs of its own, so many to each of the others.
_JPEG, _WEBP_PAIRS = 0.78, 1 / 2
_JPEG_QUALITY, _WEBP_QUALITY = (60, 97), (40, 97)
# The share of photographs above which the two sets of curves raise equally many alarms.
_EQUAL_ALARMS = 0.05
# So many of them at least say what the share of a side is.
_ENOUGH = 20
# Which z falls to which knot of a curve: the edges lie between the knots.
_EDGES = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0)
# Which side falls to which of `SIDES`.
_SIDE_EDGES = tuple(math.sqrt(first * second) for first, second in itertools.pairwise(SIDES))
_TREES = 200
_SMALLEST_CROP = 64
# Fewer photographs cannot stand for others.
LEAST = 4
# One photograph in so many is kept out of the fit: what it says of these is the null.
_HELD_OUT = 4


@dataclass(frozen=True)
class LatticeFit:
    """How the lattice stream is fitted.

    Args:
        pairs: photographs with a fake beside each, about; half as many again are saved as WebP.
        photographs: of these at most, chosen by the hash of their bytes.
        planted: the lattices.
        processing: in the words of `fakefreq.data.degrade.language.parse_augmentation`.
        mosaics: share of the pairs that are made of four or nine photographs side by side: z grows with the side of
            an image, of JPEG's lattice too.
        seed: of all that is drawn.
    """

    pairs: int = 2000
    photographs: int = 600
    planted: PlantedLattice = field(default_factory=PlantedLattice)
    processing: str = PROCESSING
    mosaics: float = 0.15
    seed: int = 0


def fit_lattice(
    stream: LatticeStream,
    photographs: pd.DataFrame,
    root: str | Path,
    fit: LatticeFit | None = None,
    history: History | None = None,
    *,
    make_fake: MakeFake | None = None,
    simulated: float = 0.0,
    read: Read = read_lattice_of_image,
    period: int = PERIOD,
    jobs: int = -1,
) -> dict[str, Any]:
    """Fit curves, calibration and null of a stream.

    Args:
        stream: is changed.
        photographs: rows of a manifest, reals only.
        root: the folder that their paths are relative to.
        fit: how.
        history: what every image goes through on its way in.
        make_fake: of simulated fakes, such as `fakefreq.simulated.fakes` gives.
        simulated: share of the pairs whose fake it makes, instead of a planted lattice, in [0, 1].
        read: what reads an image: as many scores as the stream has curves, and what chooses among these.
        period: of these scores, each of whose planes or fields has all independent frequencies.
        jobs: threads; -1 is one a core. They do not change the result.

    Returns:
        What was fitted: numbers of photographs and pairs, the AUC on pairs of photographs that were kept out, and the
        mean of l over photographs.

    Raises:
        UserError: fewer than 4 photographs of at least 16 pixels, or one that does not decode.
    """
    fit = fit or LatticeFit()
    rows = _choose(photographs, fit.photographs)
    pictures = _decode(rows, Path(root), history, jobs)
    if len(pictures) < LEAST:
        raise UserError(
            f"the lattice stream is fitted to photographs, and {len(pictures)} of at least {SMALLEST} pixels a side "
            f"are there; it takes {LEAST} or more: give more real images, or a spectrum without it, such as "
            "--spectrum block_dct"
        )
    maker = _PairMaker(pictures, fit, make_fake, simulated, read)
    held = [number for number in range(len(pictures)) if number % _HELD_OUT == 0]
    fitted = [number for number in range(len(pictures)) if number % _HELD_OUT]

    def pairs_of(numbers: list[int], share: float, name: str, in_webp: bool) -> tuple[Floats, Floats]:
        return maker.make(numbers, max(1, round(share * fit.pairs / len(numbers))), name, in_webp, jobs)

    sets, count = [], 0
    for in_webp, share, suffix in ((False, 1.0, ""), (True, _WEBP_PAIRS, " in WebP")):
        train = pairs_of(fitted, share, f"fit{suffix}", in_webp)
        test = pairs_of(held, share / 2, f"test{suffix}", in_webp)
        sets.append(_fit_set(train, test, period, fit.seed))
        count += len(train[0])
    plain = sets[0]
    # What is so much likelier of a fake would raise another share of alarms among WebP photographs, and among small
    # ones, which say little: their l is shifted.
    calibration = [[(of.scale, of.offset + plain.limit - found) for found in of.limits] for of in sets]
    stream.curves.copy_(torch.from_numpy(np.stack([of.curves for of in sets])))
    stream.calibration.copy_(torch.tensor(calibration))
    # The null: whole photographs that were kept out, as they are, and the processed crops of the test.
    whole = np.stack(_in_threads(lambda number: read(pictures[number]), held, "null", jobs))
    stream.null.fill_(math.inf)  # that of an earlier fit has no part in it
    null = torch.from_numpy(np.concatenate([_says(stream, part) for part in (whole, plain.test[0])]))
    # Photographs with nothing to see have the lowest of the others, as the stream says of them.
    silent = has_nothing_to_see(torch.from_numpy(np.concatenate([whole, plain.test[0]])))
    null[silent] = (null if silent.all() else null[~silent]).min()
    stream.null.copy_(torch.quantile(null, torch.linspace(0, 1, NULL_QUANTILES, dtype=torch.float64)))
    photos, fakes = null[len(whole) :].numpy(), _says(stream, plain.test[1])
    labels = np.repeat([0, 1], [len(photos), len(fakes)])
    return {
        "photographs": len(pictures),
        "pairs": count,
        "held_out_pairs": len(fakes),
        "held_out_auc": auc(labels, np.concatenate([photos, fakes])),
        "mean_of_photographs": float(null.mean()),
    }


@dataclass(frozen=True)
class _Set:
    """One set of curves, and what calibrates it.

    Attributes:
        curves: (S, 165, K).
        scale, offset: of its sum, for a log likelihood ratio.
        limit: what the share `_EQUAL_ALARMS` of photographs that were kept out exceeds.
        limits: the same by side.
        test: what was read in these photographs and in their fakes, two of (N, 167).
    """

    curves: Floats
    scale: float
    offset: float
    limit: float
    limits: list[float]
    test: tuple[Floats, Floats]


def _fit_set(train: tuple[Floats, Floats], test: tuple[Floats, Floats], period: int, seed: int) -> _Set:
    photos, fakes = (_turned(part, period) for part in train)
    curves = _fit_curves(photos, fakes, seed)
    # For both ranges: a WebP image's trace, by which a stream chooses, does not always show.
    alone = LatticeStream(curves.shape[1])
    alone.curves.copy_(torch.from_numpy(curves).expand_as(alone.curves))
    totals = [_says(alone, part) for part in test]
    labels = np.repeat([0, 1], [len(part) for part in totals])
    logistic = LogisticRegression(C=1e6).fit(np.concatenate(totals)[:, None], labels)
    scale, offset = max(float(logistic.coef_[0, 0]), 1e-3), float(logistic.intercept_[0])
    photographs = scale * totals[0] + offset
    limit = float(np.quantile(photographs, 1 - _EQUAL_ALARMS))
    return _Set(curves, scale, offset, limit, _limits(photographs, test[0][:, -1], limit), test)


def _limits(said: NDArray[np.float64], sides: Floats, limit: float) -> list[float]:
    """What the share `_EQUAL_ALARMS` exceeds, by side: linear between `SIDES`, by quantile regression.

    Koenker and Bassett 1978, "Regression quantiles". Sides with fewer than 20 photographs have the limit of all.
    """
    place = np.interp(np.log2(np.maximum(sides, 1)), np.log2(SIDES), np.arange(len(SIDES)))
    near = np.clip(1 - np.abs(place[:, None] - np.arange(len(SIDES))), 0, 1)
    shifts = np.zeros(len(SIDES))
    enough = near.sum(axis=0) >= _ENOUGH
    if enough.any():
        model = QuantileRegressor(quantile=1 - _EQUAL_ALARMS, alpha=0.0, fit_intercept=False)
        shifts[enough] = model.fit(near[:, enough], said - limit).coef_
    return [limit + float(shift) for shift in shifts]


def _says(stream: LatticeStream, scores: Floats) -> NDArray[np.float64]:
    with torch.no_grad():
        said = stream.judge(torch.from_numpy(scores).to(stream.knots.device)).squeeze(1)
    return np.asarray(said.double().cpu().numpy())


def _choose(photographs: pd.DataFrame, count: int) -> pd.DataFrame:
    """The same photographs for any order of the table: those whose bytes' hashes come first."""
    return photographs.sort_values(_key(photographs)).head(count)


def _key(photographs: pd.DataFrame) -> str:
    """The column that tells photographs apart: their bytes' hashes, or their paths where a hash is missing."""
    return "sha256" if "sha256" in photographs and (photographs["sha256"] != "").all() else "path"


def _decode(rows: pd.DataFrame, root: Path, history: History | None, jobs: int) -> list[Image]:
    keys = rows[_key(rows)].astype(str)

    def one(task: tuple[str, str]) -> Image:
        image = read_image(root / task[0])
        return image if history is None else bring(image, history, task[1])

    try:
        images = _in_threads(one, list(zip(rows["path"], keys, strict=True)), "photographs", jobs)
    except ImageError as error:
        raise UserError(f"{error}; mend it, or take it out of the manifest") from error
    return [image for image in images if min(image.shape[:2]) >= SMALLEST]


class _PairMaker:
    """Photographs and their fakes, as lattice scores."""

    def __init__(
        self, pictures: list[Image], fit: LatticeFit, make_fake: MakeFake | None, simulated: float, read: Read
    ) -> None:
        self.pictures, self.fit, self.make_fake, self.simulated, self.read = pictures, fit, make_fake, simulated, read
        self.processing = parse_augmentation(fit.processing)

    def make(self, numbers: list[int], times: int, name: str, in_webp: bool, jobs: int) -> tuple[Floats, Floats]:
        """Return what is read in photographs and in their fakes, two of (N, 167)."""
        tasks = [(number, time) for number in numbers for time in range(times)]

        def pair(task: tuple[int, int]) -> tuple[Floats, Floats]:
            return self._pair(numbers, *task, name, in_webp)

        pairs = _in_threads(pair, tasks, f"lattice: {name}", jobs)
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    def _pair(self, numbers: list[int], number: int, time: int, name: str, in_webp: bool) -> tuple[Floats, Floats]:
        random = image_rng(self.fit.seed, f"lattice/{name}/{number}/{time}")
        photo = self.pictures[number]
        if random.random() < self.fit.mosaics:
            photo = self._mosaic(photo, numbers, random)
        photo = _crop(self.processing.apply(photo, random), random)
        fake = None
        if self.make_fake is not None and random.random() < self.simulated:
            fake = self.make_fake(photo, random)
        if fake is None:
            fake = self.fit.planted.plant(photo, random)
        if in_webp:
            quality = int(random.integers(*_WEBP_QUALITY))
            photo, fake = webp(photo, quality), webp(fake, quality)
        elif random.random() < _JPEG:
            quality = int(random.integers(*_JPEG_QUALITY))
            subsampling = "4:2:0" if random.random() < 0.7 else "4:4:4"
            photo, fake = jpeg(photo, quality, subsampling), jpeg(fake, quality, subsampling)  # type: ignore[arg-type]
        return self.read(photo), self.read(fake)

    def _mosaic(self, photo: Image, numbers: list[int], random: np.random.Generator) -> Image:
        """Four or nine photographs side by side, the smallest of them deciding the side of each."""
        count = int(random.integers(2, 4))
        others = [self.pictures[numbers[int(random.integers(len(numbers)))]] for _ in range(count * count - 1)]
        parts = [photo, *others]
        side = min(min(part.shape[:2]) for part in parts)
        cut = [part[:side, :side] for part in parts]
        return np.concatenate([np.concatenate(cut[k * count : (k + 1) * count], axis=1) for k in range(count)], axis=0)


def _crop(photo: Image, random: np.random.Generator) -> Image:
    """A square of 64 pixels up to the photograph's side, its logarithm even, anywhere; in three of ten the largest."""
    largest = min(photo.shape[:2])
    smallest = min(_SMALLEST_CROP, largest)
    side = largest if random.random() < 0.3 else round(smallest * (largest / smallest) ** random.random())
    top, left = (int(random.integers(length - side + 1)) for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def _turned(read: Floats, period: int) -> Floats:
    """What would be read in the images, in their mirror images, and in both turned on their side.

    The frequencies change places, and nothing else does: four times as many images, so that fits differ less.

    Shape: (N, K) -> (4 N, K)
    """
    places: list[tuple[int, int]] = [(row, column) for row, column in lattice_frequencies(period).nonzero().tolist()]
    number = {place: count for count, place in enumerate(places)}
    number |= {(-row % period, -column % period): count for count, (row, column) in enumerate(places)}
    scores = read[:, :-2].reshape(len(read), -1, len(places))
    parts = []
    for sign in (1, -1):
        mirrored = [number[sign * row % period, column] for row, column in places]
        on_its_side = [number[sign * column % period, row] for row, column in places]
        parts += [scores[:, :, order].reshape(len(read), -1) for order in (mirrored, on_its_side)]
    return np.concatenate([np.concatenate([part, read[:, -2:]], axis=1) for part in parts])


def _fit_curves(photos: Floats, fakes: Floats, seed: int) -> Floats:
    """Boosted trees of one z and the side are a table of step functions: read them off.

    Of each tree the splits are in one z and in the side (Friedman 2001, "Greedy function approximation"). The last
    column but one, which chooses between the sets of curves, has no part in it.

    Shape: two of (N, 167) -> (S, 165, K)
    """
    read = np.concatenate([photos, fakes])
    width, knots, sides = read.shape[1] - 2, len(KNOTS), len(SIDES)
    features = np.column_stack([np.digitize(read[:, :width], _EDGES), np.digitize(read[:, -1], _SIDE_EDGES)])
    labels = np.repeat([0, 1], [len(photos), len(fakes)])
    model = HistGradientBoostingClassifier(
        max_depth=2,
        max_iter=_TREES,
        learning_rate=0.1,
        interaction_cst=[{number, width} for number in range(width)],
        random_state=seed,
    )
    model.fit(features.astype(np.float32), labels)
    # A block of probes for each side: each z at each knot while the others are 0, and all at 0.
    probes = np.zeros((sides, width * knots + 1, width + 1), np.float32)
    probes[..., -1] = np.arange(sides)[:, None]
    for number in range(width):
        probes[:, number * knots : (number + 1) * knots, number] = np.arange(knots)
    values = model.decision_function(probes.reshape(-1, width + 1)).reshape(sides, -1)
    base = values[:, -1:]
    curves = (values[:, :-1] - base).reshape(sides, width, knots)
    # The constant is shared among the curves, so that their sum is the model's.
    return np.asarray(curves + base[..., None] / width, dtype=np.float32)


def _in_threads(work: Callable[[Any], Any], tasks: list[Any], name: str, jobs: int) -> list[Any]:
    count = (os.cpu_count() or 1) if jobs < 1 else jobs
    with one_torch_thread(), ThreadPoolExecutor(count) as pool:
        return list(track(pool.map(work, tasks), name, len(tasks)))
