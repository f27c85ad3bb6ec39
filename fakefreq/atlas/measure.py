"""Make the atlas: measure every generator of a manifest, folder or list of images, and write tables and the page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.atlas.accumulate import PERMUTATIONS, Array, ImageSet, Shuffles, Spectrograph, as_tensor, pooled_variance
from fakefreq.data.degrade.history import History
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.headers.header import probe_header
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError, at_least
from fakefreq.files import atomic_path, sha256_file
from fakefreq.progress import ProgressBar
from fakefreq.spectra import spectral_peaks

logger = logging.getLogger(__name__)

LARGEST_TILE, SMALLEST_TILE = 128, 16


@dataclass(frozen=True)
class Peak:
    """One peak of a generator's mean spectrum.

    Attributes:
        vertical: cycles/pixel, -1/2 to 1/2.
        horizontal: cycles/pixel, 0 to 1/2.
        z: its height above the frequencies around it, in standard deviations of theirs.
        z_real: the same of the reals' spectrum, at this frequency or next to it; 0 where they have no peak there.
        difference: log power of the fakes less that of the reals; nan without reals.
    """

    vertical: float
    horizontal: float
    z: float
    z_real: float
    difference: float


@dataclass(frozen=True)
class Fingerprint:
    """What was measured of one generator (or of one set of images without reals).

    Attributes:
        name: of the generator.
        tile: side of the tiles; maps are (tile, tile // 2 + 1), rows from 0 up and then from -1/2 up.
        fakes: the generator's images.
        reals: the reals that stand against them; None where there are none.
        z: fakes less reals over the standard error, a map; None without reals.
        limit: |z| beyond which less than 5 % of shuffled labelings go anywhere on the map.
        peaks: of the fakes' mean power, highest first.
    """

    name: str
    tile: int
    fakes: ImageSet
    reals: ImageSet | None
    z: Array | None
    limit: float
    peaks: list[Peak] = field(default_factory=list)


def measure_generator(
    name: str,
    rows: pd.DataFrame,
    root: str | Path,
    history: History | None = None,
    tile: int = 0,
    *,
    crop: int = 0,
    workers: int = -1,
    seed: int = 0,
) -> Fingerprint:
    """Measure a generator's fakes beside their reals, in memory that does not depend on their number.

    Args:
        name: of the generator.
        rows: its fakes and the reals that stand against them; all of one label, and there is nothing to compare.
        root: the folder that their paths are relative to.
        history: brings both classes through one history first (the aligned track); None: the images as they are.
        tile: side in pixels, even, 16 or more; 0: as large as the smallest image allows, at most 128.
        crop: side of the centre crop; 0: as large as the smallest image allows, at most 512.
        workers: processes that decode.
        seed: of the shuffles.

    Raises:
        UserError: images smaller than a tile.
    """
    smallest = int(rows[["width", "height"]].to_numpy().min()) if history is None or not history.size else history.size
    crop = crop or min(smallest, 512)
    tile = tile or min(LARGEST_TILE, crop - crop % 2)
    if tile % 2 or tile < SMALLEST_TILE or tile > crop:
        raise UserError(
            f"{name}: a tile of {tile} pixels does not fit a crop of {crop} (smallest image: {smallest}); "
            f"--tile takes even numbers from {SMALLEST_TILE} to the crop"
        )
    # Reals and fakes alternate, so that an interrupted look at a long run sees both; the order changes no result.
    rows = rows.sample(frac=1.0, random_state=0).reset_index(drop=True)
    labels = rows["label"].to_numpy()
    spectrograph, sets = Spectrograph(tile), {0: ImageSet(), 1: ImageSet()}
    both = 0 < labels.sum() < len(labels)
    shuffles = Shuffles(float(labels.mean()), PERMUTATIONS, seed) if both else None
    batches = make_batches(
        rows, root, crop=crop, batch_size=32, train=False, workers=workers, history=history, on_error="skip"
    )
    with ProgressBar(f"spectra of {name}", len(rows)) as progress:
        for batch in batches:
            found = spectrograph.measure(batch.images)
            for label in (0, 1):
                chosen = batch.labels == label
                if chosen.any():
                    sets[label].add(type(found)(*(value[chosen] for value in vars(found).values())))
            if shuffles is not None:
                shuffles.add(found.power.log1p())
            progress.update(len(batch.images))
    for path, reason in batches.skipped:
        logger.warning(f"skipped {path}: {reason}")
    fakes = sets[1] if labels.sum() else sets[0]
    if shuffles is None or not (sets[0].n and sets[1].n):
        return Fingerprint(name, tile, fakes, None, None, float("nan"), find_peaks(fakes, None))
    reals = sets[0]
    spread = np.sqrt(fakes.log_power.standard_error**2 + reals.log_power.standard_error**2)
    z = (fakes.log_power.mean - reals.log_power.mean) / np.maximum(spread, 1e-9)
    variance = pooled_variance(fakes.log_power, reals.log_power)
    limit = float(np.quantile(shuffles.largest_z(variance), 0.95))
    return Fingerprint(name, tile, fakes, reals, z, limit, find_peaks(fakes, reals))


def find_peaks(fakes: ImageSet, reals: ImageSet | None, count: int = 12, least_z: float = 4.0) -> list[Peak]:
    """Return the peaks of the fakes' mean power that stand at least `least_z` above their surroundings."""
    tile = fakes.power.mean.shape[0]  # square: half of its plane alone would leave the width's last pixel open

    def peaks_of(images: ImageSet, number: int) -> list[tuple[float, float, float]]:
        found = spectral_peaks(as_tensor(images.power.mean)[None, None], count=number, width=tile)
        places, heights = found.frequency[0, 0].tolist(), found.z[0, 0].tolist()
        return [(v, h, z) for (v, h), z in zip(places, heights, strict=True) if np.isfinite(z)]

    known = peaks_of(reals, 64) if reals else []
    result = []
    for vertical, horizontal, z in peaks_of(fakes, count):
        if z < least_z:
            continue
        # A frequency and its opposite are one, and frequencies are modulo 1.
        near = [
            height
            for v, h, height in known
            if any(max(_apart(sign * v, vertical), _apart(sign * h, horizontal)) <= 1.5 / tile for sign in (1, -1))
        ]
        place = (round(vertical * tile) % tile, round(horizontal * tile))
        difference = (
            float(fakes.log_power.mean[place] - reals.log_power.mean[place]) if reals is not None else float("nan")
        )
        result.append(Peak(vertical, horizontal, z, max(near, default=0.0), difference))
    return result


def _apart(first: float, second: float) -> float:
    """Distance of two frequencies modulo 1, in cycles/pixel."""
    return abs((first - second + 0.5) % 1 - 0.5)


def check_numbers(tile: int, crop: int, limit: int, workers: int, seed: int) -> None:
    """Refuse numbers out of range; of the first three 0 is no number of its own."""
    for flag, number in (("--tile", tile), ("--crop", crop), ("--limit", limit), ("--seed", seed)):
        at_least(number, 0, flag)
    at_least(workers, -1, "--workers")


def measure_manifest(
    manifest: pd.DataFrame,
    root: str | Path,
    history: History | None = None,
    generators: Sequence[str] = (),
    tile: int = 0,
    *,
    crop: int = 0,
    limit: int = 0,
    workers: int = -1,
    seed: int = 0,
) -> list[Fingerprint]:
    """Measure every generator beside the reals of its subsets, and every set without fakes, such as a control, alone.

    Args:
        manifest: the table of images.
        root: the folder that its paths are relative to.
        history: as in `measure_generator`.
        generators: names of generators and controls; empty: all.
        tile: as in `measure_generator`.
        crop: as in `measure_generator`.
        limit: images of each class a generator, at most, evenly spread; 0: all.
        workers: processes that decode.
        seed: of the shuffles.

    Raises:
        UserError: an unknown name, a number out of range, or nothing to measure.
    """
    check_numbers(tile, crop, limit, workers, seed)
    parts = {
        str(name): pd.concat(
            [fakes, manifest[(manifest["label"] == 0) & manifest["subset"].isin(set(fakes["subset"]))]]
        )
        for name, fakes in manifest[manifest["label"] == 1].groupby("generator")
    }
    with_fakes = set(manifest.loc[manifest["label"] == 1, "subset"])
    for name, reals in manifest[~manifest["subset"].isin(with_fakes)].groupby("subset"):
        parts[str(name) or "reals"] = reals
    unknown = sorted(set(generators) - set(parts))
    if unknown:
        raise UserError(f"no generator or control is called {', '.join(unknown)}; there are {', '.join(sorted(parts))}")
    chosen = {name: part for name, part in sorted(parts.items()) if not generators or name in generators}
    if not chosen:
        raise UserError("there is no image to measure")
    result = []
    for name, part in chosen.items():
        logger.info(f"{name}: {int((part['label'] == 1).sum())} fake, {int((part['label'] == 0).sum())} real")
        kept = pd.concat([_spread(group, limit) for _, group in part.groupby("label")]) if limit else part
        result.append(measure_generator(name, kept, root, history, tile, crop=crop, workers=workers, seed=seed))
    return result


def _spread(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    return rows if len(rows) <= limit else rows.iloc[np.linspace(0, len(rows) - 1, limit).astype(int)]


def write_tables(fingerprints: Sequence[Fingerprint], out: Path) -> None:
    """Write peaks.csv, radial.csv, angular.csv, blocks.csv and spectra.npz."""
    peaks = [{"generator": found.name, **vars(peak)} for found in fingerprints for peak in found.peaks]
    radial, angular, blocks, arrays = [], [], [], dict[str, Array]()
    for found in fingerprints:
        for kind, images in (("fake", found.fakes), ("real", found.reals)):
            if images is None:
                continue
            first = {"generator": found.name, "images": kind, "n": images.n}
            for number, (mean, error) in enumerate(zip(images.radial.mean, images.radial.standard_error, strict=True)):
                radial.append({**first, "cycles_per_pixel": number / found.tile, "log_power": mean,
                               "low": mean - 1.96 * error, "high": mean + 1.96 * error})  # fmt: skip
            for number, mean in enumerate(images.angular.mean):
                angular.append({**first, "degrees": number * 180 / len(images.angular.mean), "log_power": mean})
            for (vertical, horizontal), mean in np.ndenumerate(images.blocks.mean):
                blocks.append({**first, "vertical": vertical, "horizontal": horizontal, "log_magnitude": mean})
            arrays[f"{found.name}/{kind}/log_power"] = images.log_power.mean
            arrays[f"{found.name}/{kind}/lattice_tile"] = images.lattice.mean
            arrays[f"{found.name}/{kind}/lattice_z2"] = images.evidence.mean
        if found.z is not None:
            arrays[f"{found.name}/z"] = found.z
    columns = ["generator", "vertical", "horizontal", "z", "z_real", "difference"]
    for name, rows in (("radial", radial), ("angular", angular), ("blocks", blocks)):
        _write(pd.DataFrame(rows), out / f"{name}.csv")
    _write(pd.DataFrame(peaks, columns=columns), out / "peaks.csv")
    with atomic_path(out / "spectra.npz") as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read_inputs(inputs: Sequence[Path], out: Path) -> tuple[pd.DataFrame, Path]:
    """Return the table of images and the folder that its paths are relative to.

    Args:
        inputs: one manifest, one folder (indexed into `out`/manifest.csv), or image files, which become one set.
        out: folder of the atlas.

    Raises:
        UserError: a mixture of these, or a file that is no image.
    """
    first = inputs[0]
    if len(inputs) == 1 and first.is_dir():
        manifest = out / "manifest.csv"
        index_folder(first, manifest, allow_one_class=True, on_error="skip")
        return read_manifest(manifest), out
    if len(inputs) == 1 and first.suffix.lower() in (".csv", ".parquet"):
        return read_manifest(first), first.parent
    rows = []
    for path in inputs:
        if path.is_dir() or path.suffix.lower() in (".csv", ".parquet"):
            raise UserError(f"{path} is no image: give one manifest, or one folder, or image files only")
        try:
            header = probe_header(path)
        except ImageError as error:
            raise UserError(f"{path}: {error.reason}") from error
        rows.append(
            {"path": str(path.absolute()), "label": 0, "generator": "", "subset": "images", "group": path.stem,
             "width": header.width, "height": header.height, "sha256": sha256_file(path)}
        )  # fmt: skip
    return pd.DataFrame(rows), Path("/")
