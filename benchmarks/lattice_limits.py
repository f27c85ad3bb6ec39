"""Where the evidence of the lattice ends: detection by image side, JPEG quality, amplitude and period.

Lattices of one period are planted on photographs that no training has seen: validation photographs, several side by
side where the image is larger. A run of the detector `lattice` scores photographs and fakes of one quality; found and
alarms are shares above the thresholds that its own null gives for 5 % and 1 %. Beside them stand the strongest z of the
planted frequencies in luma, measured (median over images), and what theory says: z^2 - 1 grows with the number of
pixels, so one measured z, that of 256 pixels, gives those of all other sides.

Example: python benchmarks/lattice_limits.py faces/manifest.csv --run runs/lattice --out runs/lattice_limits.csv
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import torch
import tyro
from numpy.typing import NDArray

from fakefreq.data.degrade.distortions import jpeg
from fakefreq.data.degrade.language import image_rng
from fakefreq.data.images.decode import read_image
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.models import load_detector
from fakefreq.models.streams.lattice import FREQUENCIES, PERIOD, LatticeStream, read_lattice_of_image
from fakefreq.progress import track
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.spectra import lattice_frequencies

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Image = NDArray[np.uint8]
# The side whose measured z is theory's starting point.
ANCHOR = 256


@dataclass
class Given:
    """What is judged, and on which photographs.

    Args:
        manifest: the one that the run was trained with; of it the validation photographs are used.
        run: a run of the detector `lattice`, or of `two_stream` with the lattice.
        generator: the manifest's subset that the run trained on.
        count: photographs, of each cell of a grid.
    """

    manifest: tyro.conf.Positional[Path]
    run: Path
    generator: str = "stylegan"
    count: int = 50

    def photographs(self) -> list[Image]:
        """Validation photographs of the subset, decoded."""
        rows = read_manifest(self.manifest)
        rows = rows[(rows["subset"] == self.generator) & (rows["split"] == "val") & (rows["label"] == 0)]
        return [read_image(self.manifest.parent / path) for path in rows.sort_values("path")["path"]]

    def stream(self) -> LatticeStream:
        """The run's lattice stream.

        Raises:
            UserError: the run has none.
        """
        stream = load_detector(self.run).lattice
        if stream is None:
            raise UserError(f"{self.run} reads no lattice; give a run of --detector lattice or two_stream")
        return stream


@dataclass
class Config(Given):
    """What to run.

    Args:
        sides: of square images in pixels.
        qualities: of the JPEG that photograph and fake go through; 0 is none.
        amplitudes: standard deviation of the planted pattern in grey levels of 255.
        periods: of the planted pattern in pixels.
        out: the table; a figure of the same name lies beside it.
    """

    sides: tuple[int, ...] = (64, 128, 256, 512, 1024)
    qualities: tuple[int, ...] = (0, 95, 85, 75, 60)
    amplitudes: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    periods: tuple[int, ...] = (2, 4, 8, 16)
    out: Path = Path("runs/lattice_limits.csv")


def of_side(pictures: list[Image], number: int, side: int) -> Image:
    """A crop of a photograph from off its JPEG grid, or several crops side by side."""
    smallest = min(min(picture.shape[:2]) for picture in pictures) - 3
    across = math.ceil(side / smallest)
    part = math.ceil(side / across)
    parts = [pictures[(number + k) % len(pictures)][3 : 3 + part, 3 : 3 + part] for k in range(across * across)]
    rows = [np.concatenate(parts[k : k + across], axis=1) for k in range(0, across * across, across)]
    return np.ascontiguousarray(np.concatenate(rows)[:side, :side])


def strongest(scores: NDArray[np.float32], period: int) -> float:
    """Largest z of luma at the frequencies that a pattern of this period has and the detector reads."""
    chosen = lattice_frequencies(PERIOD)
    rows = torch.arange(PERIOD).view(-1, 1)
    columns = torch.arange(PERIOD // 2 + 1)
    has = ((rows * period) % PERIOD == 0) & ((columns * period) % PERIOD == 0)
    return float(scores[:FREQUENCIES][has[chosen].numpy()].max())


def measure(config: Config) -> pd.DataFrame:
    """A row a cell of the grid."""
    if ANCHOR not in config.sides:
        raise UserError(f"--sides takes {ANCHOR} among others: theory starts from what is measured there")
    stream = config.stream()
    thresholds = [float(torch.quantile(stream.null.double(), 1 - rate)) for rate in (0.05, 0.01)]
    pictures = config.photographs()

    def read(images: list[Image], quality: int) -> NDArray[np.float32]:
        return np.stack([read_lattice_of_image(jpeg(image, quality) if quality else image) for image in images])

    def above(scores: NDArray[np.float32]) -> list[float]:
        said = stream.judge(torch.from_numpy(scores)).squeeze(1).numpy()
        return [float((said > threshold).mean()) for threshold in thresholds]

    rows = []
    grid = list(itertools.product(config.sides, config.qualities))
    for side, quality in track(grid, "side and quality"):
        photos = [of_side(pictures, number, side) for number in range(config.count)]
        alarms = above(read(photos, quality))
        for amplitude, period in itertools.product(config.amplitudes, config.periods):
            planted = PlantedLattice(periods=(period,), amplitude=(amplitude, amplitude), follow=False)
            fakes = [planted.plant(photo, image_rng(0, f"limits/{number}")) for number, photo in enumerate(photos)]
            scores = read(fakes, quality)
            found = above(scores)
            rows.append({
                "side": side, "quality": quality, "amplitude": amplitude, "period": period, "n": len(photos),
                "found_at_5%": found[0], "found_at_1%": found[1], "alarms_at_5%": alarms[0], "alarms_at_1%": alarms[1],
                "z": float(np.median([strongest(z, period) for z in scores])),
            })  # fmt: skip
    table = pd.DataFrame(rows)
    keys = ["quality", "amplitude", "period"]
    anchor = table[table["side"] == ANCHOR].set_index(keys)["z"].rename("anchor")
    table = table.join(anchor, on=keys)
    excess = (table.pop("anchor") ** 2 - 1).clip(lower=0)
    table["z_theory"] = np.sqrt(1 + excess * (table["side"] / ANCHOR) ** 2)
    return table


def draw(table: pd.DataFrame, path: Path) -> None:
    """Share found at 5 % by side: a panel a quality and period, a line an amplitude."""
    qualities, periods = table["quality"].unique(), table["period"].unique()
    figure, axes = plt.subplots(
        len(periods), len(qualities), figsize=(2.5 * len(qualities), 2.1 * len(periods)), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for (row, period), (column, quality) in itertools.product(enumerate(periods), enumerate(qualities)):
        axis = axes[row, column]
        part = table[(table["period"] == period) & (table["quality"] == quality)]
        for amplitude, line in part.groupby("amplitude"):
            axis.plot(line["side"], line["found_at_5%"], marker="o", markersize=3, label=f"{amplitude:g} grey levels")
        alarms = part.groupby("side")["alarms_at_5%"].first()
        axis.plot(alarms.index, alarms, color="0.5", linestyle=":", label="photographs")
        axis.set_xscale("log", base=2, subs=[])
        axis.set_xticks(sorted(table["side"].unique()), labels=[str(side) for side in sorted(table["side"].unique())])
        axis.set_ylim(-0.03, 1.03)
        if row == 0:
            axis.set_title(f"JPEG {quality}" if quality else "no JPEG", fontsize=10)
        if column == 0:
            axis.set_ylabel(f"period {period}\nfound at 5 %")
        if row == len(periods) - 1:
            axis.set_xlabel("side (pixels)")
    axes[0, 0].legend(fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def main(config: Config) -> None:
    """Measure, write the table whole, draw it."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    table = measure(config)
    with atomic_path(config.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, config.out.with_suffix(".png"))
    print(table.groupby(["quality", "side"])[["found_at_5%", "alarms_at_5%"]].mean().unstack().round(2).to_string())


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
