"""Fakes of our own making: a photo's twin that went through a simulated upsampler and then through its codec."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from fakefreq.data.distortions import jpeg
from fakefreq.data.history import SUBSAMPLINGS, Subsampling
from fakefreq.data.loader import Twins
from fakefreq.errors import choose

# Generators are drawn once and used often: a new one costs a fit of a fraction of a second, in each worker.
POOL = 48


@dataclass(frozen=True)
class UpsampledTwin:
    """Makes the twin of a photo.

    What the simulator returns has lost the photo's codec: without it, a detector would learn to see that. So the twin
    of a JPEG is encoded with its parent's quality and chroma subsampling before anything else happens to the two.

    Args:
        families: upsamplers to draw from; empty: all.
        quality: JPEG quality of each row's file; 0 where it is no JPEG.
        subsampling: its chroma subsampling, such as `4:2:0`.
    """

    families: tuple[str, ...]
    quality: tuple[int, ...]
    subsampling: tuple[str, ...]

    def __call__(self, image: np.ndarray, row: int, random: np.random.Generator) -> np.ndarray:
        """Return the twin of `image`, the picture of row `row`."""
        from fakefreq.zoo.families import draw_family
        from fakefreq.zoo.simulated import simulate

        member = int(random.integers(POOL))
        chance = np.random.default_rng(member)
        family = draw_family(chance)
        while self.families and family.upsampler not in self.families:
            family = draw_family(chance)
        twin: np.ndarray = simulate(image[None], family, member)[0]
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
    from fakefreq.zoo.families import UPSAMPLERS

    names = tuple(name.strip() for name in families.split(",") if name.strip())
    for name in names:
        choose(name, UPSAMPLERS, "upsampler", "--simulate-families")
    qualities = tuple(int(value) for value in rows["jpeg_quality"])
    return Twins(UpsampledTwin(names, qualities, tuple(rows["subsampling"])), probability)
