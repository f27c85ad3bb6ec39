"""What a small classifier learns of headers alone, and of pixels that show no face: cross-validated AUCs."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.audit.probe import Probe, probe
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.formats import ImageError

FACTS = ["format", "mode", "width", "height", "jpeg_quality", "subsampling", "progressive", "software", "icc"]
FILE_SIZE = "bytes"
LIMIT = 20_000  # images; an AUC of so many has an interval of +-.01


def header_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the header facts that a manifest has, and `bytes`, as the audit's features."""
    names = [name for name in FACTS if name in manifest]
    table = manifest[names].copy()
    for name in names:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype(str)
    return table.assign(**{FILE_SIZE: manifest[FILE_SIZE].astype(np.float64)})


def sample_rows(manifest: pd.DataFrame, limit: int, seed: int = 0) -> pd.DataFrame:
    """Return at most `limit` rows, in their order: as many of each label, and of each subset and generator of a label.

    What has fewer rows is there with all of them, and the others have more.
    """
    if len(manifest) <= limit:
        return manifest
    random = np.random.default_rng(seed)
    chosen = []
    classes = [np.flatnonzero(manifest["label"] == label) for label in sorted(set(manifest["label"]))]
    for rows, number in zip(classes, _even_counts(classes, limit, random), strict=True):
        parts = manifest.iloc[rows].groupby(["subset", "generator"], sort=True).indices
        strata = [np.asarray(places, dtype=np.int64) for places in parts.values()]
        for places, count in zip(strata, _even_counts(strata, number, random), strict=True):
            chosen.append(random.choice(rows[places], count, replace=False))
    return manifest.iloc[np.sort(np.concatenate(chosen))]


def _even_counts(parts: Sequence[NDArray[np.int64]], total: int, random: np.random.Generator) -> list[int]:
    """Return how many to take of each part, `total` in all: the same number, or all of a part that has fewer."""
    counts = [0] * len(parts)
    # The small ones first, equal ones in any order: what they lack, and what does not divide, falls to the others.
    order = sorted(random.permutation(len(parts)).tolist(), key=lambda number: len(parts[number]))
    for done, number in enumerate(order):
        counts[number] = min(len(parts[number]), total // (len(parts) - done))
        total -= counts[number]
    return counts


def header_probe(
    manifest: pd.DataFrame, limit: int = LIMIT, seed: int = 0, explain_above: float = 0.0
) -> tuple[Probe | None, Probe | None]:
    """Return the probe of all header facts, file size among them, and of the facts without the file size.

    Single features are judged, which takes several times longer, where the AUC is above `explain_above`.
    """
    rows = sample_rows(manifest, limit, seed)
    table = header_table(rows)
    labels, groups = rows["label"].to_numpy(dtype=np.int64), rows["group"].to_numpy()
    whole = probe(table, labels, groups, seed, explain=False)
    if whole is not None and whole.auc > explain_above:
        whole = probe(table, labels, groups, seed)
    return whole, probe(table.drop(columns=FILE_SIZE), labels, groups, seed, explain=False)


def header_reasons(manifest: pd.DataFrame, whole: Probe, without_size: Probe) -> list[str]:
    """Say in words what the strongest header facts are and how the classes differ in them."""
    lines = [
        f"header facts alone tell real from fake with AUC {whole}; without the file size "
        f"{without_size.auc:.3f} [{without_size.low:.3f}, {without_size.high:.3f}]"
    ]
    for feature in [feature for feature in whole.features if feature.alone > 0.55 or feature.drop > 0.02][:4]:
        parts = [describe(manifest[manifest["label"] == label], feature.name) for label in (0, 1)]
        lines.append(f"{feature.name} alone: AUC {feature.alone:.3f}; real {parts[0]}; fake {parts[1]}")
    if whole.auc - without_size.auc > 0.05:
        spread = _by_subset(manifest)
        lines.append(
            "the file size tells because the pixels of the classes compress unlike: other processing before this "
            "encoding, or other content" + (f"; bits a pixel, real / fake: {spread}" if spread else "")
        )
    return lines


def describe(rows: pd.DataFrame, name: str) -> str:
    """Return the commonest values of a fact, or its quartiles where there are many."""
    column = rows[name]
    if name == FILE_SIZE or (pd.api.types.is_numeric_dtype(column) and column.nunique() > 12):
        low, middle, high = (f"{value:.0f}" for value in np.percentile(column.astype(float), [25, 50, 75]))
        return f"{middle} ({low} to {high})"
    counts = column.astype(str).value_counts(normalize=True)[:3]
    return ", ".join(f"{value or '(none)'} {share:.0%}" for value, share in counts.items())


def _by_subset(manifest: pd.DataFrame) -> str:
    """Where the classes' bits a pixel differ by more than a tenth."""
    pixels = (manifest["width"] * manifest["height"]).clip(lower=1)
    medians: Any = (manifest["bytes"] * 8 / pixels).groupby([manifest["subset"], manifest["label"]]).median().unstack()
    if 0 not in medians or 1 not in medians:
        return ""
    unlike = medians[(medians[0] / medians[1] - 1).abs() > 0.1]
    return ", ".join(f"{name or 'all'} {row[0]:.2f} / {row[1]:.2f}" for name, row in list(unlike.iterrows())[:5])


# Side to which the spectrum of part (f) is cut: the largest power of two that common sets of faces have.
PATCH = 64
BINS = 24


def pixel_statistics(image: NDArray[np.uint8]) -> dict[str, float]:
    """Return mean colour, spread, saturation, clipping, border and blockiness of one image.

    Border: how much the outermost two pixels of each side differ from the two next to them, relative to steps inside.
    Blockiness: how much larger steps are across 8-pixel lines, and at which phase they are largest, for columns
    and rows (0 is the phase of a JPEG that was not cropped since). Aspect is in the header facts, and here again.

    Shape:
        - image: (H, W, 3), RGB
    """
    values = image.astype(np.float32)
    red, green, blue = values.reshape(-1, 3).mean(axis=0)
    luma = values @ np.array([0.299, 0.587, 0.114], np.float32)
    highest, lowest = values.max(axis=2), values.min(axis=2)
    found = {
        "red": red,
        "green": green,
        "blue": blue,
        "contrast": luma.std(),
        "saturation": ((highest - lowest) / np.maximum(highest, 1)).mean(),
        "clipped_dark": (luma < 4).mean(),
        "clipped_light": (luma > 251).mean(),
        "aspect": image.shape[1] / image.shape[0],
    }
    for name, plane in (("columns", luma), ("rows", luma.T)):
        found |= {f"{key}_{name}": value for key, value in _grid(plane).items()}
    return {name: float(value) for name, value in found.items()}


def _grid(luma: NDArray[np.float32]) -> dict[str, float]:
    """Blockiness and border along the second axis."""
    if luma.shape[1] < 24:
        return {"blockiness": 1.0, "grid_phase": 0.0, "border": 1.0}
    steps = np.abs(np.diff(luma, axis=1)).mean(axis=0)
    inside = steps[4:-4].mean() + 1e-3
    phases = np.array([steps[phase::8].mean() for phase in range(8)])
    return {
        "blockiness": float(phases[7] / (phases[:7].mean() + 1e-3)),
        # Phase 7 is the step between pixels 7 and 8: a grid that starts at the image's edge.
        "grid_phase": float((phases.argmax() + 1) % 8),
        "border": float((steps[:2].mean() + steps[-2:].mean()) / 2 / inside),
    }


def spectral_profile(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the log power of luma by spatial frequency, over Hann-windowed tiles; the level is taken out.

    Tiles of 64 pixels (smaller only where the image is) make images of different size comparable by frequency in
    cycles a pixel, which is what resampling and codecs change.

    Shape:
        - image: (H, W, 3)
        - output: (24,)
    """
    luma = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float64)
    side = min(PATCH, *luma.shape)
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])
    power = np.zeros((side, side))
    tiles = 0
    for top in range(0, luma.shape[0] - side + 1, side):
        for left in range(0, luma.shape[1] - side + 1, side):
            tile = luma[top : top + side, left : left + side]
            power += np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
            tiles += 1
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    ring = np.minimum((radius / np.sqrt(0.5) * BINS).astype(int), BINS - 1)
    counts = np.bincount(ring.ravel(), minlength=BINS)
    sums = np.bincount(ring.ravel(), power.ravel() / max(tiles, 1), minlength=BINS)
    profile = np.log(np.where(counts > 0, sums / np.maximum(counts, 1), 0) + 1.0)
    result: NDArray[np.float64] = profile - profile.mean()
    return result


class Measured(NamedTuple):
    """What was measured of images.

    Args:
        statistics: of each image that decodes, a row.
        profiles: of each such image, (N, 24).
        positions: which rows of those given they are, (N,).
        skipped: path and reason of each image that does not decode.
    """

    statistics: pd.DataFrame
    profiles: NDArray[np.float64]
    positions: NDArray[np.int64]
    skipped: list[tuple[str, str]]


def measure_images(
    rows: pd.DataFrame, root: str | Path, progress: Callable[[Iterator[object], int], Iterator[object]] | None = None
) -> Measured:
    """Decode images and return their statistics and spectral profiles, and the images that do not decode.

    Args:
        rows: of a manifest.
        root: the folder that their paths are relative to.
        progress: wraps the iteration, given the number of rows.
    """

    def one(path: str) -> tuple[dict[str, float], NDArray[np.float64]] | str:
        try:
            image = read_image(Path(root) / path)
        except ImageError as error:
            return error.reason
        return pixel_statistics(image), spectral_profile(image)

    with ThreadPoolExecutor(2) as pool:
        found: Iterator[object] = pool.map(one, rows["path"])
        measured = list(progress(found, len(rows)) if progress else found)
    kept = [(number, result) for number, result in enumerate(measured) if isinstance(result, tuple)]
    skipped = [(path, result) for path, result in zip(rows["path"], measured, strict=True) if isinstance(result, str)]
    table = pd.DataFrame([result[0] for _, result in kept])
    profiles = np.array([result[1] for _, result in kept]).reshape(-1, BINS)
    return Measured(table, profiles, np.array([number for number, _ in kept], dtype=np.int64), skipped)
