"""Fakes of our own making: a photo's twin that went through a simulated upsampler and then through its codec."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from fakefreq.data.distortions import jpeg
from fakefreq.data.history import SUBSAMPLINGS, Subsampling
from fakefreq.data.loader import Twins


@dataclass(frozen=True)
class UpsampledTwin:
    """Makes the twin of a photo.

    What the simulator returns has lost the photo's codec: without it, a detector would learn to see that. So the twin
    of a JPEG is encoded with its parent's quality and chroma subsampling before anything else happens to the two.

    Args:
        families: names of simulated families to draw from; empty: all.
        quality: JPEG quality of each row's file; 0 where it is no JPEG.
        subsampling: its chroma subsampling, such as `4:2:0`.
    """

    families: tuple[str, ...]
    quality: tuple[int, ...]
    subsampling: tuple[str, ...]

    def __call__(self, image: np.ndarray, row: int, random: np.random.Generator) -> np.ndarray:
        """Return the twin of `image`, the picture of row `row`."""
        from fakefreq.zoo.simulated import draw_family, simulate

        family = draw_family(random)
        twin = simulate(image[None], family, int(random.integers(2**31)))[0]
        if not self.quality[row]:
            return twin
        subsampling = self.subsampling[row]
        return jpeg(twin, self.quality[row], cast(Subsampling, subsampling if subsampling in SUBSAMPLINGS else "4:4:4"))


def make_twins(rows: pd.DataFrame, probability: float, families: str) -> Twins | None:
    """Return what makes twins of some manifest rows; None where none is wanted.

    Args:
        rows: of the training images.
        probability: that a real gets a twin, each time that it is read.
        families: names of simulated families, separated by commas; empty: all.
    """
    if probability == 0:
        return None
    names = tuple(name.strip() for name in families.split(",") if name.strip())
    qualities = tuple(int(value) for value in rows["jpeg_quality"])
    return Twins(UpsampledTwin(names, qualities, tuple(rows["subsampling"])), probability)
