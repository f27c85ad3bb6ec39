"""Fakes of our own making: a photo's twin that went through a simulated upsampler and then through its codec."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.degrade.distortions import jpeg, webp
from fakefreq.data.degrade.history import SUBSAMPLINGS, Codec, History, Subsampling, draw_quality
from fakefreq.data.loading.samples import Twins
from fakefreq.errors import choose
from fakefreq.simulated.families import UPSAMPLERS, SimulatedFamily, draw_family
from fakefreq.threads import one_torch_thread

# Generators are drawn once and used often: a new one costs a fit of a fraction of a second, in each worker.
POOL = 48
SMALLEST = 16  # pixels a side that a simulated family takes


@dataclass(frozen=True)
class UpsampledTwin:
    """Makes the twin of a photo.

    What the simulator returns has lost the photo's codec: without it, a detector would learn to see that. So the twin
    is encoded with its parent's codec, quality and chroma subsampling before anything else happens to the two.

    Args:
        families: the simulated families, with the seed of each one's weights.
        quality: at which each row's image was encoded last; 0 where without loss.
        subsampling: its chroma subsampling, such as `4:2:0`.
        codec: of all images.
    """

    families: tuple[tuple[SimulatedFamily, int], ...]
    quality: tuple[int, ...]
    subsampling: tuple[str, ...]
    codec: Codec = "jpeg"

    def __call__(self, image: NDArray[np.uint8], row: int, random: np.random.Generator) -> NDArray[np.uint8] | None:
        """Return the twin of `image`, the picture of row `row`; none where it is too small for the simulator."""
        from fakefreq.simulated.upsamplers import simulate

        family, seed = self.families[int(random.integers(len(self.families)))]
        if min(image.shape[:2]) < SMALLEST:
            return None
        with one_torch_thread():
            twin: NDArray[np.uint8] = simulate(np.ascontiguousarray(image)[None], family, seed)[0]
        if not self.quality[row]:
            return twin
        if self.codec == "webp":
            return webp(twin, self.quality[row])
        subsampling = self.subsampling[row]
        return jpeg(twin, self.quality[row], cast(Subsampling, subsampling if subsampling in SUBSAMPLINGS else "4:4:4"))


def read_families(text: str) -> tuple[tuple[SimulatedFamily, int], ...]:
    """Return a pool of simulated generators: families with the seed of each one's weights.

    Args:
        text: upsamplers to draw families of, separated by commas; empty: all.

    Raises:
        UserError: an upsampler that the zoo does not know.

    >>> sorted({family.upsampler for family, _ in read_families("nearest, transposed4")})
    ['nearest', 'transposed4']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        choose(name, UPSAMPLERS, "upsampler", "--simulate-families")
    pool = []
    for member in range(POOL):
        random = np.random.default_rng(member)
        family = draw_family(random)
        while names and family.upsampler not in names:
            family = draw_family(random)
        pool.append((family, member))
    return tuple(pool)


def make_fake_of(families: str) -> Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8] | None]:
    """Return what makes a simulated fake of a photograph, without any codec; none where it is too small.

    Args:
        families: as `read_families` takes them.
    """
    from fakefreq.simulated.upsamplers import simulate

    pool = read_families(families)

    def make(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8] | None:
        family, seed = pool[int(random.integers(len(pool)))]
        if min(image.shape[:2]) < SMALLEST:
            return None
        return np.asarray(simulate(np.ascontiguousarray(image)[None], family, seed)[0], dtype=np.uint8)

    return make


def make_twins(rows: pd.DataFrame, probability: float, families: str, history: History | None = None) -> Twins | None:
    """Return what makes twins of some manifest rows; None where none is wanted.

    Args:
        rows: of the training images.
        probability: that a real gets a twin, each time that it is read.
        families: as `read_families` takes them.
        history: what every image goes through on its way in; its codec is then the last that a parent has seen.
    """
    if probability == 0:
        return None
    if history is not None:
        lossless = history.codec == "png"
        drawn = tuple(0 if lossless else draw_quality(history, str(sha256), 0) for sha256 in rows["sha256"])
        maker = UpsampledTwin(read_families(families), drawn, (history.subsampling,) * len(rows), history.codec)
        return Twins(maker, probability)
    qualities = tuple(int(value) for value in rows["jpeg_quality"])
    return Twins(UpsampledTwin(read_families(families), qualities, tuple(rows["subsampling"])), probability)
