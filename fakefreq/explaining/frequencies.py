"""Which frequencies decided: gradients integrated over a spectrum's values, and the logit without each band."""

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

from fakefreq.explaining.layouts import distances, layout_of
from fakefreq.explaining.terms import learnt_logit
from fakefreq.models import Detector, FrequencyStream
from fakefreq.models.streams.base import SpectrumStream

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
        axes: what the last two axes of the arrays are; see `fakefreq.explaining.layouts.Layout`.
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

    Shape: (1, 3, H, W), (1, 99)
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
