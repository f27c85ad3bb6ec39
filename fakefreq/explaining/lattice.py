"""The lattice's picture: tile, z-scores, and what each frequency adds to l."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fakefreq.evaluate.sight import Sight
from fakefreq.models.streams.lattice import PERIOD, SMALLEST, LatticeStream, lattice_map
from fakefreq.spectra import lattice_frequencies, lattice_tile, rgb_to_ycbcr

PLANES = ("Y", "Cb", "Cr")


@dataclass(frozen=True)
class LatticeSeen:
    """What the lattice stream reads in a whole image; planes are Y, Cb and Cr.

    Args:
        tile: (3, 8, 8), `fakefreq.spectra.lattice_tile`; 0 where the image is below 16 pixels a side.
        scores: (99,), z of the independent multiples of 1/8 cycles/pixel, as `read_lattice` orders them.
        added: (99,), what each adds to l.
        constant: what no frequency adds.
        likelihood: l, the sum of these.
        pvalue: how often a photograph's l is as large; None before the fit.
    """

    tile: NDArray[np.float64]
    scores: NDArray[np.float64]
    added: NDArray[np.float64]
    constant: float
    likelihood: float
    pvalue: float | None

    @property
    def places(self) -> list[tuple[str, int, int]]:
        """Plane, vertical and horizontal frequency of each of the 99 values, in eighths of a cycle a pixel."""
        rows, columns = lattice_frequencies(PERIOD).nonzero(as_tuple=True)
        vertical = torch.where(rows > PERIOD // 2, rows - PERIOD, rows)
        pairs = list(zip(vertical.tolist(), columns.tolist(), strict=True))
        return [(plane, *pair) for plane in PLANES for pair in pairs]

    def as_planes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lay 99 values out as (3, 8, 5), rows of vertical frequency as `torch.fft.fftfreq`; NaN at frequency 0."""
        return np.asarray(lattice_map(torch.from_numpy(values)).numpy(), dtype=np.float64)


def explain_lattice(stream: LatticeStream, sight: Sight) -> LatticeSeen:
    """Return tile, z, p-value and contributions of an image.

    Args:
        stream: of the detector.
        sight: of the image; its `lattice` is there.
    """
    assert sight.lattice is not None
    scores = sight.lattice[:1]
    tile = torch.zeros(3, PERIOD, PERIOD)
    if min(sight.image.shape[:2]) >= SMALLEST:
        picture = torch.from_numpy(sight.image).permute(2, 0, 1).unsqueeze(0)
        tile = lattice_tile(rgb_to_ycbcr(picture), PERIOD)[0]
    with torch.no_grad():
        likelihood = stream.judge(scores).squeeze(1)
        added, constant = stream.contributions(scores)
        pvalue = float(stream.pvalue(likelihood)) if stream.is_fitted else None
    return LatticeSeen(
        np.asarray(tile.double().numpy()),
        np.asarray(scores[0].double().cpu().numpy()),
        np.asarray(added[0].double().cpu().numpy()),
        float(constant),
        float(likelihood),
        pvalue,
    )
