"""Degradations as text: `jpeg:60`, chains such as `resize:0.5:area+jpeg:60..95`, and augmentations with probabilities.

The same words serve training and robustness sweeps. `a..b` is drawn anew for each image, evenly (whole numbers for
qualities); `any` draws a kernel or a subsampling. `WORDS` says what there is.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from fakefreq.data.degrade import distortions
from fakefreq.data.degrade.distortions import Image
from fakefreq.data.degrade.history import SUBSAMPLINGS
from fakefreq.data.images.resample import KERNELS, Kernel
from fakefreq.errors import UserError, choose

ANY = "any"
FLAG = "a degradation"


@dataclass(frozen=True)
class _Number:
    """A numeric argument: its name, its allowed range, what stands where it is left out (None: it must be given)."""

    name: str
    low: float
    high: float
    default: tuple[float, float] | None = None
    whole: bool = False


@dataclass(frozen=True)
class _Choice:
    """An argument that is one of some words; the first is the default."""

    name: str
    words: tuple[str, ...]


def _double_jpeg(image: Image, rng: np.random.Generator, first: Any, second: Any, subsampling: Any) -> Image:
    # Every place of the grid but its own.
    down, right = divmod(int(rng.integers(1, 64)), 8)
    return distortions.double_jpeg(image, first, second, down, right, subsampling)


def _social(image: Image, rng: np.random.Generator, factor: float, quality: int) -> Image:
    kernel = cast(Kernel, KERNELS[int(rng.integers(len(KERNELS)))])
    return distortions.jpeg(distortions.rescale(image, factor, kernel), quality)


_QUALITY = _Number("quality", 1, 100, whole=True)
_SUBSAMPLING = _Choice("subsampling", ("4:2:0", *(word for word in SUBSAMPLINGS if word != "4:2:0"), ANY))
_FACTOR = _Number("factor", 0.01, 16)
_KERNEL = _Choice("kernel", ("bicubic", *(word for word in KERNELS if word != "bicubic"), ANY))
_Function = Callable[..., Image]

_OPERATIONS: dict[str, tuple[_Function, tuple[_Number | _Choice, ...]]] = {
    "jpeg": (lambda image, rng, *given: distortions.jpeg(image, *given), (_QUALITY, _SUBSAMPLING)),
    "double_jpeg": (_double_jpeg, (_QUALITY, _QUALITY, _SUBSAMPLING)),
    "webp": (lambda image, rng, quality: distortions.webp(image, quality), (_QUALITY,)),
    "avif": (lambda image, rng, quality: distortions.avif(image, quality), (_QUALITY,)),
    "blur": (lambda image, rng, sigma: distortions.blur(image, sigma), (_Number("sigma", 0, 100),)),
    "resize": (lambda image, rng, *given: distortions.resize(image, *given), (_FACTOR, _KERNEL)),
    "rescale": (lambda image, rng, *given: distortions.rescale(image, *given), (_FACTOR, _KERNEL)),
    "noise": (lambda image, rng, sigma: distortions.noise(image, sigma, rng), (_Number("sigma", 0, 255),)),
    "sharpen": (lambda image, rng, amount: distortions.sharpen(image, amount), (_Number("amount", 0, 10),)),
    "gamma": (lambda image, rng, power: distortions.gamma(image, power), (_Number("exponent", 0.01, 100),)),
    "social": (
        _social,
        (_Number("factor", 0.01, 16, (0.5, 1.0)), _Number("quality", 1, 100, (70, 90), whole=True)),
    ),
    "mask": (lambda image, rng, share: distortions.mask(image, share, rng), (_Number("fraction", 0, 1),)),
    "freqmask": (
        lambda image, rng, share, band: distortions.mask_frequencies(image, share, band, rng),
        (_Number("fraction", 0, 1), _Choice("band", tuple(distortions.FREQUENCY_BANDS))),
    ),
    "rotate": (lambda image, rng, degrees: distortions.rotate(image, degrees), (_Number("degrees", -180, 180),)),
    "crop": (
        lambda image, rng, share: distortions.crop(image, share, *rng.random(2)),
        (_Number("fraction", 0.01, 1),),
    ),
    "grayscale": (lambda image, rng: distortions.grayscale(image), ()),
}
WORDS: dict[str, str] = {
    name: ":".join((name, *(f"[{part.name}]" if _optional else part.name for part, _optional in parts)))
    for name, parts in (
        (name, [(part, isinstance(part, _Choice) or part.default is not None) for part in parameters])
        for name, (_, parameters) in _OPERATIONS.items()
    )
}
"""Each degradation and its arguments; those in brackets may be left out."""


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    whole: bool

    def draw(self, rng: np.random.Generator) -> float | int:
        if self.whole:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        return float(rng.uniform(self.low, self.high)) if self.high > self.low else self.low

    def __str__(self) -> str:
        low, high = (repr(value).removesuffix(".0") for value in (float(self.low), float(self.high)))
        return low if self.low == self.high else f"{low}..{high}"


@dataclass(frozen=True)
class _Word:
    word: str
    words: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> str:
        others = [word for word in self.words if word != ANY]
        return others[int(rng.integers(len(others)))] if self.word == ANY else self.word

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True)
class _Step:
    name: str
    arguments: tuple[_Range | _Word, ...]

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        return _OPERATIONS[self.name][0](image, rng, *(argument.draw(rng) for argument in self.arguments))

    def __str__(self) -> str:
        return ":".join((self.name, *map(str, self.arguments)))


@dataclass(frozen=True)
class Degradation:
    """A chain of distortions, applied in order; made by `parse_degradation`, and `str` gives its text with nothing
    left to a default."""

    steps: tuple[_Step, ...]

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Distort an image; the same image and state of `rng` give the same pixels.

        Args:
            image: RGB, of any size.
            rng: draws what is a range; `image_rng` makes one from a seed and an image.

        Shape: (H, W, 3) uint8 -> the same, but for `rescale`, `social` and `crop`, which change the size.
        """
        _check_image(image)
        for step in self.steps:
            image = step.apply(image, rng)
        return image

    def __str__(self) -> str:
        return "+".join(map(str, self.steps)) or "none"


@dataclass(frozen=True)
class Augmentation:
    """Degradations that happen at random, each independently, in the order given; made by `parse_augmentation`.

    Attributes:
        entries: probability and alternatives of each, one of which is drawn evenly.
    """

    entries: tuple[tuple[float, tuple[Degradation, ...]], ...] = ()

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Distort an image, or leave it; see `Degradation.apply`."""
        _check_image(image)
        for probability, alternatives in self.entries:
            if rng.random() < probability:
                image = alternatives[int(rng.integers(len(alternatives)))].apply(image, rng)
        return image

    def __str__(self) -> str:
        words = [
            (f"{repr(share).removesuffix('.0')}*" if share < 1 else "") + "|".join(map(str, alternatives))
            for share, alternatives in self.entries
        ]
        return " ".join(words)


def parse_degradation(text: str) -> Degradation:
    """Read a degradation or a chain joined with `+`; an empty text or `none` leaves images as they are.

    Raises:
        UserError: an unknown word, or a value out of range.

    >>> str(parse_degradation("resize:0.5+jpeg:60..95"))
    'resize:0.5:bicubic+jpeg:60..95:4:2:0'
    >>> parse_degradation("jpeg:60").apply(np.zeros((5, 3, 3), np.uint8), np.random.default_rng(0)).shape
    (5, 3, 3)
    """
    text = text.strip()
    if text in ("", "none"):
        return Degradation(())
    return Degradation(tuple(_step(part.strip()) for part in text.split("+")))


def parse_augmentation(text: str) -> Augmentation:
    """Read an augmentation: entries parted by spaces, each `PROBABILITY*DEGRADATION`.

    `|` parts alternatives of an entry, one of which is drawn; without a probability the entry always happens.

    Raises:
        UserError: as `parse_degradation`, or a probability outside [0, 1].

    >>> str(parse_augmentation("0.5*jpeg:50..95|webp:50..95 0.3*blur:0.5..2"))
    '0.5*jpeg:50..95:4:2:0|webp:50..95 0.3*blur:0.5..2'
    """
    entries = []
    for entry in text.split() if text.strip() != "none" else []:
        share, star, chains = entry.rpartition("*")
        probability = _number(share, entry) if star else 1.0
        if not 0 <= probability <= 1:
            raise UserError(
                f"the probability {share} of {entry!r} is out of range; {FLAG} takes 0 to 1, as 0.5*jpeg:60"
            )
        entries.append((probability, tuple(parse_degradation(chain) for chain in chains.split("|"))))
    return Augmentation(tuple(entries))


def image_rng(seed: int, key: str) -> np.random.Generator:
    """Return the random generator of one image: the same for the same seed and key (its sha256) everywhere."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _step(text: str) -> _Step:
    name, _, rest = text.partition(":")
    choose(name, list(_OPERATIONS), "degradation", FLAG)
    if name == "avif" and not distortions.has_avif():
        raise UserError("this OpenCV writes no AVIF; leave avif out, or install an opencv-python that has it")
    # A subsampling has colons of its own.
    given = re.findall(r"\d:\d:\d(?![\d.])|[^:]+", rest)
    parameters = _OPERATIONS[name][1]
    usage = f"write it as {WORDS[name]}"
    if len(given) > len(parameters):
        raise UserError(f"{text!r} has more arguments than {name} takes; {usage}")
    arguments: list[_Range | _Word] = []
    for position, parameter in enumerate(parameters):
        word = given[position] if position < len(given) else None
        if isinstance(parameter, _Choice):
            chosen = parameter.words[0] if word is None else word
            arguments.append(_Word(choose(chosen, list(parameter.words), parameter.name, text), parameter.words))
        elif word is not None:
            arguments.append(_range(word, parameter, text, usage))
        elif parameter.default is not None:
            arguments.append(_Range(*parameter.default, parameter.whole))
        else:
            raise UserError(f"{text!r} lacks its {parameter.name}; {usage}")
    return _Step(name, tuple(arguments))


def _range(word: str, parameter: _Number, text: str, usage: str) -> _Range:
    first, dots, last = word.partition("..")
    low = _number(first, text)
    high = _number(last, text) if dots else low
    if not parameter.low <= low <= high <= parameter.high:
        allowed = f"{parameter.low:g} to {parameter.high:g}, a range as low..high"
        raise UserError(f"the {parameter.name} {word} in {text!r} is out of range; {FLAG} takes {allowed}")
    if parameter.whole and (low != int(low) or high != int(high)):
        raise UserError(f"the {parameter.name} {word} in {text!r} is not a whole number; {usage}")
    return _Range(low, high, parameter.whole)


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise UserError(f"{word!r} in {text!r} is not a number; write it as jpeg:60 or blur:0.5..2") from error


def _check_image(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise UserError(f"expected an RGB image of bytes, (H, W, 3), got {image.dtype} {image.shape}")
