"""Which frequencies decided: gradients integrated over a spectrum, the logit without each band, and the lattice."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.evaluate.sight import Sight
from fakefreq.explaining.terms import learnt_logit
from fakefreq.models import Detector, FrequencyStream
from fakefreq.models.streams.base import SpectrumStream
from fakefreq.models.streams.dct import BlockDCTStream, DCTStream
from fakefreq.models.streams.fft import FFTStream, ProfileStream
from fakefreq.models.streams.lattice import (
    FREQUENCIES,
    PERIOD,
    QUIET,
    SCORES,
    SIDE,
    SMALLEST,
    TRACE,
    LatticeFeatures,
    LatticeStream,
    lattice_map,
)
from fakefreq.spectra import lattice_frequencies, lattice_tile, rgb_to_ycbcr


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


STEPS, AT_ONCE = 64, 16
# Limits of the bands in cycles/pixel; the last band is what lies in the plane's corners.
EDGES = (*(step / 16 for step in range(9)), math.sqrt(0.5))


@dataclass(frozen=True)
class Band:
    """What is left without a band of frequencies.

    Args:
        low: its lower limit, cycles/pixel.
        high: its upper limit, which lies outside but for the last band.
        learnt: the learnt logit without it.
        logit: the detector's logit without it.
    """

    low: float
    high: float
    learnt: float
    logit: float


@dataclass(frozen=True)
class SpectrumSeen:
    """What one branch of the frequency stream saw, and what it made of it.

    Args:
        name: of the branch, as `--spectrum` has it.
        axes: what the last two axes of the arrays are; see `fakefreq.explaining.figures.Layout`.
        unit: of `seen` and `mean`.
        seen: (C, h, w), C colour planes or 1.
        mean: the same of the training images, as the branch's batch norm keeps it; None for a picture.
        added: what each value adds to the learnt logit, positive towards fake, against a spectrum that is the mean.
        learnt: the learnt logit.
        learnt_of_mean: the learnt logit of the mean spectrum.
        bands: the logits without each band, in order; a band in which the spectrum has nothing is left out.
    """

    name: str
    axes: str
    unit: str
    seen: NDArray[np.float64]
    mean: NDArray[np.float64] | None
    added: NDArray[np.float64]
    learnt: float
    learnt_of_mean: float
    bands: tuple[Band, ...]


def explain_spectra(detector: Detector, pixels: Tensor, lattice: Tensor | None) -> list[SpectrumSeen]:
    """Explain each branch of the frequency stream; a detector without that stream has none.

    A band is removed where its values are set to the mean of the training images; in a residual, which has no values
    by frequency, where its frequencies are set to 0. All else that the detector sees stays as it is.

    Args:
        detector: in evaluation mode.
        pixels: one crop, floats in [0, 1].
        lattice: what the lattice stream read in the whole image.

    Shape: (1, 3, H, W), (1, 34)
    """
    stream = dict(detector.streams.items()).get("frequency")
    if not isinstance(stream, FrequencyStream):
        return []
    with torch.no_grad():
        features = detector.features(pixels, lattice)
        branches = {name: branch(pixels) for name, branch in stream.branches.items()}

    def replaced(name: str, values: Tensor) -> dict[str, Tensor]:
        count = len(values)
        parts = [values if key == name else seen.expand(count, -1) for key, seen in branches.items()]
        joined = stream.join(parts, pixels.expand(count, -1, -1, -1))
        return {key: joined if key == "frequency" else seen.expand(count, -1) for key, seen in features.items()}

    found = []
    for name, branch in stream.branches.items():
        assert isinstance(branch, SpectrumStream)

        def see(spectrum: Tensor, name: str = name, branch: SpectrumStream = branch) -> dict[str, Tensor]:
            return replaced(name, branch.read(spectrum))

        found.append(_explain(detector, name, branch, pixels, see))
    return found


def _explain(
    detector: Detector,
    name: str,
    branch: SpectrumStream,
    pixels: Tensor,
    see: Callable[[Tensor], dict[str, Tensor]],
) -> SpectrumSeen:
    with torch.no_grad():
        spectrum = branch.spectrum(pixels)
    mean, layout = _mean_of_training(branch, spectrum), layout_of(branch)
    gradients = IntegratedGradients(lambda values: learnt_logit(detector, see(values)))
    added = gradients.attribute(spectrum, mean, n_steps=STEPS, internal_batch_size=AT_ONCE)
    with torch.no_grad():
        learnt, of_mean = (float(learnt_logit(detector, see(values))) for values in (spectrum, mean))
        kept = {edges: _without(layout.radii, spectrum, mean, *edges) for edges in itertools.pairwise(EDGES)}
        removed = {edges: values for edges, values in kept.items() if values is not None}
        left = see(torch.cat(list(removed.values())))
        pairs = zip(learnt_logit(detector, left).tolist(), detector.head(left).tolist(), strict=True)
        bands = tuple(Band(*edges, *pair) for edges, pair in zip(removed, pairs, strict=True))
    return SpectrumSeen(
        name,
        layout.axes,
        layout.unit,
        _array(layout.show(spectrum[0])),
        None if layout.show_mean is None else _array(layout.show_mean(mean[0])),
        _array(layout.add(added[0])),
        learnt,
        of_mean,
        bands,
    )


def _mean_of_training(branch: SpectrumStream, spectrum: Tensor) -> Tensor:
    """The training images' mean spectrum: (1, ...), of the spectrum's shape."""
    means: Any = branch.normalise.running_mean
    if means.numel() == spectrum[0].numel():
        return means.view_as(spectrum)  # type: ignore[no-any-return]
    return means.view(1, -1, 1, 1).expand_as(spectrum).contiguous()  # type: ignore[no-any-return]


def _without(radii: Tensor | None, spectrum: Tensor, mean: Tensor, low: float, high: float) -> Tensor | None:
    """The spectrum without a band; None where it has no value in it."""
    if radii is None:
        rows, columns = spectrum.shape[-2:]
        plane = distances(torch.fft.fftfreq(rows), torch.fft.rfftfreq(columns)).to(spectrum.device)
        kept = torch.fft.rfft2(spectrum).masked_fill(_is_in(plane, low, high), 0)
        without: Tensor = torch.fft.irfft2(kept, s=(rows, columns))
        return without
    inside = _is_in(radii.to(spectrum.device), low, high)
    return torch.where(inside, mean, spectrum) if inside.any() else None


def _is_in(radii: Tensor, low: float, high: float) -> Tensor:
    return (radii >= low) & (radii < (math.inf if high == EDGES[-1] else high))


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().double().cpu().numpy(), dtype=np.float64)


PLANES = ("Y", "Cb", "Cr")


@dataclass(frozen=True)
class LatticeSeen:
    """What the lattice stream reads in the luma of a whole image.

    Args:
        tile: (8, 8), `fakefreq.spectra.lattice_tile`; 0 where the image is below 16 pixels a side.
        scores: (5, 33), z by field (`fakefreq.spectra.lattice_fields.FIELDS`) at the independent multiples of 1/8
            cycles/pixel, as `read_lattice` orders them.
        studio_range: the trace that chooses between the two sets of curves, see `fakefreq.spectra.studio_range_trace`.
        side: of the image in pixels, the root of its area; it chooses among the curves of a set.
        added: (5, 33), what each adds to l.
        constant: what no z adds.
        likelihood: l, the sum of these.
        pvalue: how often a photograph's l is as large; None before the fit.
    """

    tile: NDArray[np.float64]
    scores: NDArray[np.float64]
    studio_range: float
    side: float
    added: NDArray[np.float64]
    constant: float
    likelihood: float
    pvalue: float | None

    @property
    def places(self) -> list[tuple[int, int]]:
        """Vertical and horizontal frequency of each of the 33 values, in eighths of a cycle a pixel."""
        rows, columns = lattice_frequencies(PERIOD).nonzero(as_tuple=True)
        vertical = torch.where(rows > PERIOD // 2, rows - PERIOD, rows)
        return list(zip(vertical.tolist(), columns.tolist(), strict=True))

    def as_plane(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lay 33 values out as (8, 5), rows of vertical frequency as `torch.fft.fftfreq`; NaN at frequency 0."""
        return np.asarray(lattice_map(torch.from_numpy(values))[0].numpy(), dtype=np.float64)


def explain_lattice(stream: LatticeStream, sight: Sight) -> LatticeSeen:
    """Return tile, z, p-value and contributions of an image.

    Args:
        stream: of the detector.
        sight: of the image; its `lattice` is there.
    """
    assert sight.lattice is not None
    scores = sight.lattice[:1]
    tile = torch.zeros(PERIOD, PERIOD)
    if min(sight.image.shape[:2]) >= SMALLEST:
        picture = torch.from_numpy(sight.image).permute(2, 0, 1).unsqueeze(0)
        tile = lattice_tile(rgb_to_ycbcr(picture)[:, :1], PERIOD, QUIET)[0, 0]
    with torch.no_grad():
        likelihood = stream.judge(scores).squeeze(1)
        added, constant = stream.contributions(scores)
        pvalue = float(stream.pvalue(likelihood)) if stream.is_fitted else None
    return LatticeSeen(
        np.asarray(tile.double().numpy()),
        np.asarray(scores[0, :SCORES].reshape(-1, FREQUENCIES).double().cpu().numpy()),
        float(scores[0, TRACE]),
        float(scores[0, SIDE]),
        np.asarray(added[0].reshape(-1, FREQUENCIES).double().cpu().numpy()),
        float(constant),
        float(likelihood),
        pvalue,
    )
