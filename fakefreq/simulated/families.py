"""Simulated families by name: which upsampler, kernel, activation and depth leave their traces; no torch needed."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from fakefreq.errors import UserError, choose

Upsampler = Literal[
    "nearest", "bilinear", "transposed2", "transposed3", "transposed4", "pixel_shuffle", "zero_insertion", "fourier"
]
Activation = Literal["relu", "leaky_relu", "tanh", "silu", "linear"]
UPSAMPLERS: list[str] = list(get_args(Upsampler))
ACTIVATIONS: list[str] = list(get_args(Activation))
KERNELS = (3, 5, 7)
MAX_DEPTH = 4


@dataclass(frozen=True)
class SimulatedFamily:
    """What sets one simulated generator apart from another.

    Attributes:
        upsampler: how each step doubles the size: `nearest`, `bilinear` or `fourier` (ideal low pass) before a
            convolution, `zero_insertion` before one, a transposed convolution 2x2, 3x3 or 4x4 with stride 2, or a
            convolution and `pixel_shuffle`.
        kernel: side of the convolutions, 3, 5 or 7.
        activation: between the two convolutions of a step.
        depth: steps of doubling, 1 to 4; traces of step d lie at multiples of 1 / 2**d cycles a pixel.
        width: channels between the convolutions, 8 to 128.
        noise: relative deviation of the last weights of a step from their optimum, in [0, 0.5]: a trained network
            is not at an optimum either.
    """

    upsampler: Upsampler = "transposed4"
    kernel: int = 3
    activation: Activation = "relu"
    depth: int = 1
    width: int = 16
    noise: float = 0.02

    def __post_init__(self) -> None:
        choose(self.upsampler, UPSAMPLERS, "upsampler", "--simulate upsampler=")
        choose(self.activation, ACTIVATIONS, "activation", "--simulate activation=")
        choose(str(self.kernel), [str(kernel) for kernel in KERNELS], "kernel", "--simulate kernel=")
        for value, low, high, word in (
            (self.depth, 1, MAX_DEPTH, "depth"),
            (self.width, 8, 128, "width"),
            (self.noise, 0.0, 0.5, "noise"),
        ):
            if not low <= value <= high:
                raise UserError(f"{word} {value} is out of range; --simulate {word}= takes {low} to {high}")

    def __str__(self) -> str:
        """The text that `parse_family` reads back, with nothing left to a default."""
        return (
            f"upsampler={self.upsampler},kernel={self.kernel},activation={self.activation},depth={self.depth},"
            f"width={self.width},noise={self.noise:g}"
        )

    @property
    def smallest(self) -> int:
        """Side in pixels of the smallest image that it takes."""
        return int(max(16, 2 ** (self.depth + 1)))

    @property
    def name(self) -> str:
        """A plain word for folders and tables; what has its default value is left out.

        >>> SimulatedFamily("nearest", kernel=5, noise=0.05).name
        'sim_nearest_k5_noise0p05'
        """
        default = SimulatedFamily()
        parts = ["sim", self.upsampler, f"k{self.kernel}"]
        parts += [self.activation] if self.activation != default.activation else []
        parts += [f"depth{self.depth}"] if self.depth != default.depth else []
        parts += [f"width{self.width}"] if self.width != default.width else []
        parts += [f"noise{self.noise:g}".replace(".", "p")] if self.noise != default.noise else []
        return "_".join(parts).replace("-", "m")


def parse_family(text: str) -> SimulatedFamily:
    """Read a family from text; what is left out keeps its default.

    Args:
        text: such as `upsampler=transposed4,kernel=3,activation=leaky_relu,depth=2,width=32,noise=0.05`; an
            upsampler's name alone will do.

    Raises:
        UserError: a part that is unknown, or out of range.

    >>> str(parse_family("nearest"))
    'upsampler=nearest,kernel=3,activation=relu,depth=1,width=16,noise=0.02'
    """
    family = SimulatedFamily()
    for part in filter(None, (part.strip() for part in text.split(","))):
        word, separator, value = part.partition("=")
        if not separator:
            word, value = "upsampler", part
        choose(word, ["upsampler", "kernel", "activation", "depth", "width", "noise"], "part of a family", "--simulate")
        try:
            if word in ("upsampler", "activation"):
                family = replace(family, **{word: value})  # type: ignore[arg-type]
            else:
                number = float(value) if word == "noise" else int(value)
                family = replace(family, **{word: number})  # type: ignore[arg-type]
        except ValueError as error:
            raise UserError(f"{part!r} is no number; write it like --simulate upsampler=nearest,kernel=3") from error
    return family


def draw_family(rng: np.random.Generator) -> SimulatedFamily:
    """A family at random: any upsampler and activation, kernel 3 or 5, depth 1 or 2, a width and a noise.

    Each new family with a new seed costs a fit of a fraction of a second, so draw a pool and use its members often.

    >>> draw_family(np.random.default_rng(0)) == draw_family(np.random.default_rng(0))
    True
    """
    return SimulatedFamily(
        upsampler=UPSAMPLERS[rng.integers(len(UPSAMPLERS))],  # type: ignore[arg-type]
        kernel=int(rng.choice([3, 3, 5])),
        activation=ACTIVATIONS[rng.integers(len(ACTIVATIONS))],  # type: ignore[arg-type]
        depth=int(rng.choice([1, 1, 2])),
        width=int(rng.choice([12, 16, 24])),
        noise=float(rng.choice([0.01, 0.02, 0.04])),
    )
