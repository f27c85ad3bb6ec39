"""What the lattice stream reads: other periods, another residual, no fields, chroma, flat areas, a crop of the image.

For each reading the curves of the detector `lattice` are fitted anew, to the training photographs of a benchmark, and
its images are scored. Written is a score table with a detector for each reading; `fakefreq report` makes the tables.

Example:
    python benchmarks/lattice_readings.py runs/benchmark/scores.parquet --manifest native/manifest.csv --out readings
    fakefreq report readings/scores.parquet --out readings --metrics auc found_at_5 false_alarms_at_5
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import tyro
from numpy.typing import NDArray

from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import crop_image
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.scores import CELL_COLUMNS, load_scores, write_scores
from fakefreq.models.streams.lattice import QUIET, LatticeStream, read_lattice_of_image
from fakefreq.models.streams.lattice_of_image import fields_of_image
from fakefreq.progress import track
from fakefreq.spectra import lattice_frequencies, rgb_to_ycbcr, studio_range_trace
from fakefreq.spectra.lattice import scores_of_segments, segment_side
from fakefreq.spectra.lattice_fields import FIELDS
from fakefreq.spectra.lattice_residual import scale_residual
from fakefreq.train.fit_lattice import LatticeFit, Read, fit_lattice

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
_NEIGHBOURS = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=np.float32) / 8


def median(plane: Floats) -> Floats:
    """The plane less its 3x3 median: what the detector reads."""
    return np.asarray(plane - cv2.medianBlur(plane, 3))


def laplacian(plane: Floats) -> Floats:
    """The plane less the mean of its eight neighbours."""
    return np.asarray(cv2.filter2D(plane, -1, _NEIGHBOURS))


def reading(
    period: int, residual: Callable[[Floats], Floats], planes: int = 1, quiet: float = QUIET, fields: int = len(FIELDS)
) -> Read:
    """Return what reads the lattice scores of a period, the trace and the side; all are 0 below two periods.

    Args:
        period: in pixels.
        residual: of a plane.
        planes: luma, or luma and both planes of chroma.
        quiet: in 8-bit steps, see `fakefreq.spectra.lattice_residual`.
        fields: which weigh luma, the first of `FIELDS`; chroma has none.
    """
    chosen = lattice_frequencies(period).flatten()

    def read(image: Image) -> Floats:
        height, width = image.shape[:2]
        if min(height, width) < 2 * period:
            return np.zeros((fields + planes - 1) * int(chosen.sum()) + 2, np.float32)
        side = segment_side(height, width, period)
        down, across, blocks = height // side, width // side, side // period
        pixels = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
        weights = [np.ones((1, 1), np.float32), *fields_of_image(image.astype(np.float32), period)][:fields]
        tiles = []
        for number, plane in enumerate(255 * rgb_to_ycbcr(pixels)[0, :planes].numpy()):
            scaled = scale_residual(residual(plane), quiet)[: height // period * period, : width // period * period]
            for weight in weights if number == 0 else weights[:1]:
                weighted = (scaled * weight)[: down * side, : across * side]
                parts = weighted.reshape(down, blocks, period, across, blocks, period).mean(axis=(1, 4))
                tiles.append(parts.swapaxes(1, 2).reshape(-1, period, period))
        with torch.inference_mode():
            scores = scores_of_segments(torch.from_numpy(np.stack(tiles)).unsqueeze(0), period)
            read = torch.cat([scores.flatten(2)[0, :, chosen].flatten(), studio_range_trace(pixels)])
        return np.concatenate([read.numpy(), [math.sqrt(height * width)]], dtype=np.float32)

    return read


def _centre(image: Image, side: int) -> Image:
    """The square in the middle; of a smaller image all of it."""
    return crop_image(image, side, 0.5, 0.5) if min(image.shape[:2]) > side else image


# With the period of the scores.
READINGS: dict[str, tuple[int, Read]] = {
    "lattice": (8, read_lattice_of_image),
    "period 4": (4, reading(4, median)),
    "period 16": (16, reading(16, median)),
    "laplacian": (8, reading(8, laplacian)),
    "without fields": (8, reading(8, median, fields=1)),
    "with chroma": (8, reading(8, median, planes=3)),
    "with flat areas": (8, reading(8, median, quiet=0.0)),
    "crop of 128": (8, lambda image: read_lattice_of_image(_centre(image, 128))),
}


@dataclass
class Config:
    """What to read and to write.

    Args:
        scores: of a benchmark: its images are scored, its training sets and seeds are taken.
        manifest: of the track that `track` names.
        track: of the benchmark's tracks, one.
        readings: names of `READINGS`.
        seeds: of the benchmark's seeds, those to take.
        pairs: that the curves are fitted to.
        out: folder of scores.parquet.
    """

    scores: tyro.conf.Positional[Path]
    manifest: Path
    track: str = "native"
    readings: tuple[str, ...] = tuple(READINGS)
    seeds: tuple[int, ...] = (0, 1)
    pairs: int = 2000
    out: Path = Path("runs/lattice_readings")


def fitted(read: Read, period: int, photographs: pd.DataFrame, root: Path, fit: LatticeFit) -> LatticeStream:
    """Return a stream whose curves are those of a reading."""
    stream = LatticeStream(len(read(np.zeros((64, 64, 3), np.uint8))) - 2)
    fit_lattice(stream, photographs, root, fit, read=read, period=period)
    return stream


def score(config: Config) -> Iterator[pd.DataFrame]:
    """Yield the score rows of each reading, training set and seed."""
    scores = load_scores(config.scores).astype({name: str for name in CELL_COLUMNS if name != "seed"})
    scores = scores[(scores["track"] == config.track) & scores["seed"].isin(config.seeds)]
    if scores.empty:
        raise UserError(f"{config.scores} has no scores of track {config.track} and seeds {config.seeds}")
    manifest, root = read_manifest(config.manifest), config.manifest.parent
    cells = scores[scores["detector"] == scores["detector"].iloc[0]].groupby(["train_on", "seed"], sort=False)
    paths = sorted(scores["path"].unique())
    for name in config.readings:
        period, read = READINGS[name]
        with ThreadPoolExecutor(2) as pool:
            found = track(pool.map(lambda path: read(read_image(root / path)), paths), f"read: {name}", len(paths))  # noqa: B023
            read_of = dict(zip(paths, found, strict=True))
        for (train_on, seed), cell in cells:
            is_real = manifest["subset"].isin(str(train_on).split("+")) & (manifest["label"] == 0)
            photographs = manifest[is_real & (manifest["split"] == "train")]
            stream = fitted(read, period, photographs, root, LatticeFit(pairs=config.pairs, seed=int(seed)))
            said = stream.judge(torch.from_numpy(np.stack([read_of[path] for path in cell["path"]])))
            threshold = float(torch.quantile(stream.null.double(), 0.95))
            yield cell.assign(detector=name, logit=said.squeeze(1).double().numpy(), threshold=threshold)
            print(f"{name}, seed {seed}: {len(cell)} images", flush=True)


def main(config: Config) -> None:
    """Fit and score all readings, write the table whole."""
    unknown = sorted(set(config.readings) - set(READINGS))
    if unknown:
        raise UserError(f"unknown readings {', '.join(unknown)}; --readings takes {', '.join(READINGS)}")
    cv2.setNumThreads(1)
    config.out.mkdir(parents=True, exist_ok=True)
    write_scores(pd.concat(score(config), ignore_index=True), config.out / "scores.parquet")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
