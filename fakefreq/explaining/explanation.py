"""The explanation of one image: all parts together, and as JSON values."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fakefreq.evaluate.sight import Sight, see
from fakefreq.explaining.frequencies import LatticeSeen, SpectrumSeen, explain_lattice, explain_spectra
from fakefreq.explaining.pixels import HeatMap, map_pixels
from fakefreq.explaining.terms import learnt_logit, split_logit
from fakefreq.models import Detector
from fakefreq.models.fusion import EvidenceFusion
from fakefreq.models.streams.lattice import PERIOD
from fakefreq.spectra.lattice_fields import FIELDS
from fakefreq.version import __version__


@dataclass(frozen=True)
class Explanation:
    """Why a detector says what it says of one image.

    Args:
        sight: what it saw.
        detector: its configuration, crop, views, history and threshold, as JSON values.
        logit: the mean over the detector's crops, as `fakefreq.predict` gives it.
        threshold: above which an image is called fake.
        terms: name -> value; they add up to the logit.
        made_of: what the terms were computed of.
        learnt: whose parts the heat map and the spectra show: the learnt logit of the centre crop.
        heat: the heat map of the pixel stream, where there is one.
        spectra: the branches of the frequency stream.
        lattice: what the lattice stream reads, where there is one.
    """

    sight: Sight
    detector: dict[str, Any]
    logit: float
    threshold: float
    terms: dict[str, float]
    made_of: dict[str, float]
    learnt: float
    heat: HeatMap | None
    spectra: list[SpectrumSeen]
    lattice: LatticeSeen | None

    @property
    def probability(self) -> float:
        """Of fake, uncalibrated."""
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self.logit))))

    @property
    def label(self) -> int:
        """1 where the logit exceeds the threshold."""
        return int(self.logit > self.threshold)

    @property
    def crop(self) -> NDArray[np.uint8]:
        """The centre crop, (crop, crop, 3)."""
        pixels = (self.sight.pixels[0] * 255).round().to(torch.uint8).permute(1, 2, 0)
        return np.asarray(pixels.cpu().numpy(), dtype=np.uint8)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {
            "fakefreq": __version__,
            "path": self.sight.path,
            "sha256": self.sight.sha256,
            "width": self.sight.size[0],
            "height": self.sight.size[1],
            "detector": self.detector,
            "logit": self.logit,
            "probability": self.probability,
            "label": self.label,
            "threshold": self.threshold,
            "terms": self.terms,
            "terms_are_made_of": self.made_of,
            "learnt_logit_of_centre_crop": self.learnt,
            "pixels": None if self.heat is None else _of_pixels(self.heat),
            "spectra": {seen.name: _of_spectrum(seen) for seen in self.spectra},
            "lattice": None if self.lattice is None else _of_lattice(self.lattice),
        }


def explain_image(detector: Detector, path: str | Path) -> Explanation:
    """Explain one image.

    Args:
        detector: as `fakefreq.load_detector` returns it; put into evaluation mode for the while.
        path: of the image.

    Raises:
        ImageError: the file cannot be read or decoded.
        UserError: the image is too small for the detector's history.
    """
    sight = see(detector, path)
    was_training = detector.training
    detector.eval()
    try:
        centre, whole = sight.pixels[:1], None if sight.lattice is None else sight.lattice[:1]
        with torch.no_grad():
            features = detector.features(sight.pixels, sight.lattice)
            logit = float(detector.head(features).double().mean())
            terms, made_of = split_logit(detector.head, features)
            learnt = float(learnt_logit(detector, {name: value[:1] for name, value in features.items()}))
        return Explanation(
            sight,
            _facts(detector),
            logit,
            detector.threshold,
            {name: float(value.double().mean()) for name, value in terms.items()},
            {name: float(value.double().mean()) for name, value in made_of.items()},
            learnt,
            map_pixels(detector, centre, whole),
            explain_spectra(detector, centre, whole),
            None if detector.lattice is None else explain_lattice(detector.lattice, sight),
        )
    finally:
        detector.train(was_training)


def _facts(detector: Detector) -> dict[str, Any]:
    config = detector.config
    facts: dict[str, Any] = {"name": config.name}
    if "pixel" in detector.streams or "peer" in detector.streams:
        facts["backbone"] = config.backbone
    if "frequency" in detector.streams or detector.lattice is not None:
        facts["spectrum"] = config.spectrum
    facts["fusion"] = "evidence" if isinstance(detector.head, EvidenceFusion) else config.fusion
    if detector.revision:
        facts["revision"] = detector.revision
    return {**facts, **asdict(detector.input), "history": detector.input.history or "none"}


def _of_pixels(heat: HeatMap) -> dict[str, Any]:
    top, left, height, width = heat.box
    return {
        "method": heat.method,
        "layer": heat.layer,
        "box": {"top": top, "left": left, "height": height, "width": width},
        "values": as_json(heat.values),
    }


def _of_spectrum(seen: SpectrumSeen) -> dict[str, Any]:
    return {
        "axes": seen.axes,
        "unit": seen.unit,
        "seen": as_json(seen.seen),
        "mean_of_training": None if seen.mean is None else as_json(seen.mean),
        "added": as_json(seen.added),
        "learnt_logit_of_mean": seen.learnt_of_mean,
        "bands": [vars(band) for band in seen.bands],
    }


def _of_lattice(seen: LatticeSeen) -> dict[str, Any]:
    frequencies = [
        {"vertical": vertical / PERIOD, "horizontal": horizontal / PERIOD, "field": field, "z": z, "adds": adds}
        for field, scores, added in zip(FIELDS, seen.scores.tolist(), seen.added.tolist(), strict=True)
        for (vertical, horizontal), z, adds in zip(seen.places, scores, added, strict=True)
    ]
    return {
        "l": seen.likelihood,
        "pvalue": seen.pvalue,
        "constant": seen.constant,
        "frequencies": frequencies,
        "studio_range": seen.studio_range,
        "side": seen.side,
        "tile": as_json(seen.tile),
    }


def as_json(values: NDArray[np.float64]) -> Any:
    """Return an array as nested lists of 6 digits, with null for NaN."""
    if values.ndim:
        return [as_json(part) for part in values]
    return None if np.isnan(values) else float(f"{values:.6g}")
