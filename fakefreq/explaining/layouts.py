"""Where in a spectrum which frequency stands, and how the spectrum is laid out to be looked at."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fakefreq.models.streams.base import SpectrumStream
from fakefreq.models.streams.dct import BlockDCTStream, DCTStream
from fakefreq.models.streams.fft import FFTStream, ProfileStream
from fakefreq.models.streams.lattice import PERIOD, LatticeFeatures, lattice_map


@dataclass(frozen=True)
class Layout:
    """How the spectrum of one kind of stream is read.

    Args:
        axes: what the last two axes of (C, h, w) are: `half-plane` (vertical frequency as `torch.fft.fftfreq`,
            horizontal 0 to 1/2), `cells` (both 0 to 1/2), `blocks` (coefficients of 8x8 blocks), `profiles` (33 rings,
            then 16 sectors) or `picture` (rows and columns).
        unit: of what is shown.
        radii: distance from frequency 0 in cycles/pixel of each of an image's values, of a shape that broadcasts to
            theirs, NaN where a value has none; None of a residual, whose values are pixels.
        show: an image's values -> (C, h, w).
        add: what an image's values add to the logit -> (C, h, w), the sum kept but for frequencies shown twice.
        show_mean: the training images' mean values -> (C, h, w); None where they mean nothing.
    """

    axes: str
    unit: str
    radii: Tensor | None
    show: Callable[[Tensor], Tensor]
    add: Callable[[Tensor], Tensor]
    show_mean: Callable[[Tensor], Tensor] | None


def layout_of(branch: SpectrumStream) -> Layout:
    """Return the layout of a branch of the frequency stream."""
    if isinstance(branch, FFTStream):
        radii = distances(torch.fft.fftfreq(branch.tile), torch.fft.rfftfreq(branch.tile))
        return Layout("half-plane", "log power", radii, _same, _same, _same)
    if isinstance(branch, DCTStream):
        places = (torch.arange(branch.cells) + 0.5) / (2 * branch.cells)
        return Layout("cells", "log magnitude", distances(places, places), _same, _same, _same)
    if isinstance(branch, BlockDCTStream):
        return _layout_of_blocks(branch)
    if isinstance(branch, ProfileStream):
        rings = torch.arange(branch.tile // 2 + 1) / branch.tile
        radii = torch.cat([rings, torch.full((branch.sectors,), math.nan)]).expand(3, -1)
        return Layout("profiles", "log power", radii, _as_rows, _as_rows, _as_rows)
    if isinstance(branch, LatticeFeatures):
        return Layout(
            "half-plane", "log(z + 0.3)", _radii_of_lattice(branch.width), lattice_map, lattice_map, lattice_map
        )
    return Layout("picture", "mean magnitude", None, _magnitude, lambda values: values.sum(dim=0, keepdim=True), None)


def distances(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Return the distance from frequency 0 over a plane of frequencies."""
    return torch.hypot(*torch.meshgrid(vertical, horizontal, indexing="ij"))


def _same(values: Tensor) -> Tensor:
    return values


def _as_rows(values: Tensor) -> Tensor:
    return values.unsqueeze(1)


def _magnitude(values: Tensor) -> Tensor:
    return values.abs().mean(dim=0, keepdim=True)


def _layout_of_blocks(branch: BlockDCTStream) -> Layout:
    side, norm = branch.block, branch.normalise
    places = torch.arange(side) / (2 * side)
    radii = distances(places, places).flatten().repeat(1 if branch.colour == "gray" else 3).view(-1, 1, 1)
    variance: Any = norm.running_var

    def size(values: Tensor) -> Tensor:
        """Root mean square over the blocks: of the signed coefficients the mean is next to 0."""
        return values.square().mean(dim=(1, 2)).sqrt().view(-1, side, side)

    def size_of_mean(values: Tensor) -> Tensor:
        return torch.sqrt(values[:, 0, 0].square() + variance).view(-1, side, side)

    return Layout(
        "blocks", "log coefficient, root mean square", radii, size,
        lambda values: values.sum(dim=(1, 2)).view(-1, side, side), size_of_mean,
    )  # fmt: skip


def _radii_of_lattice(width: int) -> Tensor:
    plane = distances(torch.fft.fftfreq(PERIOD), torch.fft.rfftfreq(PERIOD)).expand(3, -1, -1)
    number = lattice_map(torch.arange(width).float())  # of each frequency, at its places
    known = ~number.isnan()
    radii = torch.empty(width)
    radii[number[known].long()] = plane[known]
    return radii
