"""Can a lattice that a later resize has moved be read? Detection with the scale unknown, known, and searched for.

Lattices are planted on validation photographs; photograph and fake are then reduced by the same factor and saved as
JPEG. The detector `lattice` reads the image as it is; enlarged back by the true factor; and enlarged back by each of
many factors, of which the largest l counts. For the photographs the search takes its largest l too, so its AUC pays for
the search. Expectation, written first: reducing averages most of a pattern of 2 pixels away, and a search multiplies
the chances of noise, so something is left at factors near 1 and with periods of 8 and more, and little else.

Example: python benchmarks/lattice_moved.py faces/manifest.csv --run runs/lattice --out runs/lattice_moved.csv
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import tyro
from lattice_limits import Given, Image
from numpy.typing import NDArray

from fakefreq.data.degrade.distortions import jpeg, rescale
from fakefreq.data.degrade.language import image_rng
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.files import atomic_path
from fakefreq.models.streams.lattice import LatticeStream, read_lattice_of_image
from fakefreq.simulated.planted import PlantedLattice


@dataclass
class Config(Given):
    """What to run.

    Args:
        factors: that images are reduced by.
        amplitude: standard deviation of the planted pattern in grey levels of 255.
        quality: of the JPEG that follows.
        steps: factors that the search tries, from .45 to 1.
        out: the table.
    """

    factors: tuple[float, ...] = (1.0, 0.9, 0.75, 0.6, 0.5)
    amplitude: float = 4.0
    quality: int = 90
    steps: int = 45
    out: Path = Path("runs/lattice_moved.csv")


def enlarged(image: Image, factor: float) -> Image:
    """Undo a reduction by a factor, bicubic."""
    height, width = (round(side / factor) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def judge(stream: LatticeStream, images: list[Image]) -> NDArray[np.float64]:
    """l of each image."""
    read = np.stack([read_lattice_of_image(image) for image in images])
    return stream.judge(torch.from_numpy(read)).squeeze(1).double().numpy()


def measure(config: Config) -> pd.DataFrame:
    """A row a factor and kind of period: AUC as it is, with the true factor, with the search; how the search ends."""
    stream = config.stream()
    photos = config.photographs()[: config.count]
    labels = np.repeat([0, 1], len(photos))
    tried = np.linspace(0.45, 1.0, config.steps)
    rows = []
    for periods in ((2, 4), (8, 16)):
        planted = PlantedLattice(periods, (config.amplitude, config.amplitude), follow=False)
        fakes = [planted.plant(photo, image_rng(0, f"moved/{number}")) for number, photo in enumerate(photos)]
        for factor in config.factors:
            images = [jpeg(rescale(image, factor), config.quality) for image in [*photos, *fakes]]
            searched = np.stack([judge(stream, [enlarged(image, one) for image in images]) for one in tried])
            found = tried[searched.argmax(axis=0)][labels == 1]
            rows.append({
                "periods": "/".join(map(str, periods)), "factor": factor, "n": len(photos),
                "auc_as_it_is": auc(labels, judge(stream, images)),
                "auc_factor_known": auc(labels, judge(stream, [enlarged(image, factor) for image in images])),
                "auc_searched": auc(labels, searched.max(axis=0)),
                "share_found_within_2%": float((np.abs(found / factor - 1) < 0.02).mean()),
            })  # fmt: skip
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1), flush=True)
    return pd.DataFrame(rows)


def main(config: Config) -> None:
    """Measure and write the table whole."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    table = measure(config)
    with atomic_path(config.out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
