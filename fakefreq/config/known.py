"""What a detector's training and validation knew, as plain data, and what of an image lies outside of it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fakefreq.errors import UserError

CLASSES, NOUNS = ("real", "fake"), ("photographs", "fakes")
NEITHER = "neither"
"""The conformal set of a logit that is unlike those of both classes."""
Range = tuple[int, int]


@dataclass(frozen=True)
class Conformal:
    """Sets of labels that hold the true one with a stated probability, class by class.

    That holds for images exchangeable with those of validation: for generators that training has seen. For others
    it is a promise that must be checked.

    Args:
        coverage: stated, in (0, 1).
        lowest_fake: `fake` is in the set of logits at or above this.
        highest_real: `real` is in the set of logits at or below this.
    """

    coverage: float
    lowest_fake: float
    highest_real: float

    def name(self, logit: float) -> str:
        """Return the set of a logit in words: `real`, `fake`, `real or fake` or `neither`.

        >>> [Conformal(0.9, 1.0, 2.0).name(logit) for logit in (0, 1.5, 3)], Conformal(0.9, 2.0, 1.0).name(1.5)
        (['real', 'real or fake', 'fake'], 'neither')
        """
        held = (logit <= self.highest_real, logit >= self.lowest_fake)
        return " or ".join(kind for kind, is_held in zip(CLASSES, held, strict=True) if is_held) or NEITHER

    def covers(self, labels: npt.ArrayLike, logits: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each image's set holds its label."""
        fake, given = np.asarray(labels) == 1, np.asarray(logits, dtype=np.float64)
        return np.where(fake, given >= self.lowest_fake, given <= self.highest_real)

    def answers(self, logits: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return 0 or 1 where the set holds one label alone, else -1: no answer."""
        given = np.asarray(logits, dtype=np.float64)
        fake, real = given >= self.lowest_fake, given <= self.highest_real
        return np.where(fake == real, -1, fake.astype(np.int64))


@dataclass(frozen=True)
class Known:
    """What training and validation knew; it is stored beside the weights.

    Args:
        trained_on: `real` and `fake` -> name of the source or generator -> number of training images.
        validated: `real` and `fake` -> number of validation images.
        formats: format -> numbers of real and of fake validation images that have it.
        sides: smallest and largest side of the validation images, in pixels; None where the manifest has no sizes.
        qualities: smallest and largest JPEG quality of those that are JPEG, 1 to 100; None where none is.
        conformal: the sets of labels that validation's logits give.
        audit: what the audit of the training images' header facts said: `pass`, `warn`, `fail` or `skipped`.
    """

    trained_on: Mapping[str, Mapping[str, int]]
    validated: Mapping[str, int]
    formats: Mapping[str, tuple[int, int]]
    sides: Range | None
    qualities: Range | None
    conformal: Conformal
    audit: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON stores it."""
        limits = {name: value if math.isfinite(value) else None for name, value in asdict(self.conformal).items()}
        return {**asdict(self), "conformal": limits}

    @classmethod
    def from_dict(cls, stored: Any) -> Self:
        """From what `to_dict` gave.

        Raises:
            UserError: something else.
        """
        try:
            limits = {"lowest_fake": -math.inf, "highest_real": math.inf}
            limits |= {str(name): float(value) for name, value in stored["conformal"].items() if value is not None}
            return cls(
                {kind: {str(name): int(n) for name, n in stored["trained_on"][kind].items()} for kind in CLASSES},
                {kind: int(stored["validated"][kind]) for kind in CLASSES},
                {str(name): (int(real), int(fake)) for name, (real, fake) in stored["formats"].items()},
                _range(stored["sides"]),
                _range(stored["qualities"]),
                Conformal(**limits),
                str(stored["audit"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"what the detector's validation knew is damaged in its file: {error!r}") from error

    def describe(self) -> str:
        """Return on what the detector was trained, in a line.

        >>> names = {"real": {"ffhq": 90}, "fake": {"gan": 80}}
        >>> Known(names, {}, {}, None, None, Conformal(0.9, 0.0, 0.0), "fail").describe()
        '90 photographs of ffhq and 80 fakes of gan; the audit of their files: fail'
        """
        parts = []
        for kind, noun in zip(CLASSES, NOUNS, strict=True):
            names = self.trained_on[kind]
            known = ", ".join(name for name in names if name)
            parts.append(f"{sum(names.values()) or 'no'} {noun}" + (f" of {known}" if known else ""))
        told = "" if self.audit in ("pass", "skipped") else f"; the audit of their files: {self.audit}"
        return " and ".join(parts) + told

    def outside(self, format: str, width: int, height: int, jpeg_quality: int) -> list[str]:
        """Return in plain words what of an image's file is outside of what validation knows.

        Args:
            format: as `fakefreq.data.images.headers.header.HeaderFacts` has it.
            width: in pixels.
            height: in pixels.
            jpeg_quality: 1 to 100; 0 where it is no JPEG.
        """
        found = []
        if self.formats:
            counts, shown = self.formats.get(format, (0, 0)), _shown(format)
            lacking = [
                noun
                for noun, kind, count in zip(NOUNS, CLASSES, counts, strict=True)
                if self.validated[kind] and not count
            ]
            if not any(counts):
                known = " and ".join(_shown(name) for name in self.formats)
                found.append(f"a {shown} file, and validation knows {known}")
            elif lacking:
                found.append(f"a {shown} file, and none of validation's {lacking[0]} is one: the codec may decide")
        if self.sides and not self.sides[0] <= min(width, height) <= max(width, height) <= self.sides[1]:
            found.append(f"{width}x{height} pixels, and validation knows sides of {_to(self.sides)}")
        if self.qualities and jpeg_quality and not self.qualities[0] <= jpeg_quality <= self.qualities[1]:
            found.append(f"JPEG quality {jpeg_quality}, and validation knows {_to(self.qualities)}")
        return found


def _range(stored: Any) -> Range | None:
    if stored is None:
        return None
    low, high = stored
    return int(low), int(high)


def _to(limits: Range) -> str:
    return str(limits[0]) if limits[0] == limits[1] else f"{limits[0]} to {limits[1]}"


def _shown(format: str) -> str:
    return {"jpeg": "JPEG", "webp": "WebP", "jpeg2000": "JPEG 2000"}.get(format, format.upper())
