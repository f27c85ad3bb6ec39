"""What a user's own generator is fed, and what it gives; no torch needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fakefreq.errors import UserError

if TYPE_CHECKING:  # numpy is imported where it is used: the command line reads these flags and answers at once
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Inputs:
    """What a generator is fed and what it gives.

    Attributes:
        latent: shape of one latent, without the batch: (512,) or (128, 1, 1).
        law: of its numbers: standard `normal`, or `uniform` in [-1, 1].
        truncation: numbers of a normal latent beyond this are drawn again (BigGAN's trick); None for none.
        value_range: what the generator writes for black and for white.
        layout: of its output.
        classes: number of classes of a class-conditional generator; 0 for none.
        class_index: the class of all images; None draws one for each.
        class_input: how the class is given: a number (`index`, int64) or a row of zeros and a one (`onehot`).
        extra: more inputs, each one number, after latent and class.
        batch: images at once, for a graph whose batch is fixed.
    """

    latent: tuple[int, ...] = (512,)
    law: Literal["normal", "uniform"] = "normal"
    truncation: float | None = None
    value_range: tuple[float, float] = (-1.0, 1.0)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    classes: int = 0
    class_index: int | None = None
    class_input: Literal["index", "onehot"] = "index"
    extra: tuple[float, ...] = ()
    batch: int = 16

    def __post_init__(self) -> None:
        if not self.latent or min(self.latent) < 1:
            raise UserError(f"latent shape {self.latent} is wrong; --latent takes one or more whole numbers above 0")
        low, high = self.value_range
        if not low < high:
            raise UserError(f"value range {low} {high} is empty; --value-range takes LOW HIGH, such as -1 1 or 0 255")
        if self.truncation is not None and not (self.truncation > 0 and self.law == "normal"):
            raise UserError(f"truncation {self.truncation} needs --law normal; --truncation takes a number above 0")
        if self.class_index is not None and not 0 <= self.class_index < self.classes:
            raise UserError(f"class {self.class_index} is out of range; --class-index takes 0 to --classes minus 1")
        if self.batch < 1:
            raise UserError(f"batch {self.batch} is wrong; --batch takes 1 or more")

    def draw(self, indices: Sequence[int], seed: int) -> "list[NDArray[Any]]":
        """The inputs of chosen images of a seed; each image has its own stream of numbers.

        Shape: -> latents (N, *latent) float32, then classes (N,) int64 or (N, classes) float32, then () float32.
        """
        import numpy as np

        rngs = [np.random.default_rng([seed, index]) for index in indices]
        latents = np.stack([self._latent(rng) for rng in rngs])
        inputs: list[NDArray[Any]] = [latents]
        if self.classes:
            given = self.class_index
            drawn = [int(rng.integers(self.classes)) if given is None else given for rng in rngs]
            numbers = np.array(drawn, np.int64)
            onehot = np.eye(self.classes, dtype=np.float32)
            inputs.append(numbers if self.class_input == "index" else onehot[numbers])
        return inputs + [np.array(value, np.float32) for value in self.extra]

    def _latent(self, rng: "np.random.Generator") -> "NDArray[np.float32]":
        import numpy as np

        if self.law == "uniform":
            return rng.uniform(-1.0, 1.0, self.latent).astype(np.float32)
        latent = rng.standard_normal(self.latent, dtype=np.float32)
        while self.truncation is not None and (far := np.abs(latent) > self.truncation).any():
            latent[far] = rng.standard_normal(int(far.sum()), dtype=np.float32)
        return latent
