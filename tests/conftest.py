"""Pictures that the tests draw themselves: procedural photographs, and fakes with a real upsampling artefact."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import index_folder, write_manifest


def draw_photo(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return an RGB picture with a photograph's 1/f spectrum and a face-like blob, uint8, (side, side, 3)."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    frequency[0, 0] = 1.0
    noise = rng.standard_normal((side, side)) + 1j * rng.standard_normal((side, side))
    luma = np.fft.ifft2(noise / frequency).real
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    centre = rng.uniform(-0.1, 0.1, 2)
    blob = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / 0.04)
    luma = 110 + 25 * luma / luma.std() + 60 * blob
    tint = rng.uniform(0.8, 1.1, 3)
    picture: np.ndarray = np.clip(luma[..., None] * tint, 0, 255).round().astype(np.uint8)
    return picture


def draw_fake(rng: np.random.Generator, side: int, kernel: np.ndarray) -> np.ndarray:
    """Return a picture at half size brought up by a stride-2 transposed convolution, uint8, (side, side, 3)."""
    small = draw_photo(rng, side // 2).astype(np.float64)
    sparse = np.zeros((side, side, 3))
    sparse[::2, ::2] = small
    return np.clip(cv2.filter2D(sparse, -1, kernel), 0, 255).round().astype(np.uint8)


# The sums over the four phases of the output grid differ: that is the checkerboard of a transposed convolution.
KERNELS = {
    "alpha": np.outer([0.6, 1.0, 0.6], [0.6, 1.0, 0.6]),
    "beta": np.outer([0.5, 0.9, 0.5], [0.4, 1.0, 0.4]),
}


def draw_set(folder: Path, count: int, side: int = 64, seed: int = 0) -> Path:
    """Write `alpha` and `beta` with `count` reals and fakes each, and the reals-only `control`, all JPEG q95."""
    rng = np.random.default_rng(seed)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95]

    def write(path: Path, picture: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture[..., ::-1], options)

    for generator, kernel in KERNELS.items():
        for number in range(count):
            write(folder / generator / "0_real" / f"{generator}_real_{number:04d}.jpg", draw_photo(rng, side))
            write(folder / generator / "1_fake" / f"{generator}_fake_{number:04d}.jpg", draw_fake(rng, side, kernel))
    for number in range(count // 2):
        photo = draw_photo(rng, side)
        half = cv2.resize(photo, (side // 2, side // 2), interpolation=cv2.INTER_CUBIC)
        write(
            folder / "control" / "0_real" / f"control_{number:04d}.jpg",
            cv2.resize(half, (side, side), interpolation=cv2.INTER_CUBIC),
        )
    return folder


def draw_pixels(seed: int, height: int = 80, width: int = 72) -> NDArray[np.uint8]:
    """Smooth noise, its colour smoother than its luma: enough like a photo for crop, resize and codec."""
    rng = np.random.default_rng(seed)
    luma = cv2.GaussianBlur(rng.normal(0, 150, (height, width)), (0, 0), 1.5)
    colour = cv2.GaussianBlur(rng.normal(0, 300, (height, width, 3)), (0, 0), 5.0)
    image: NDArray[np.uint8] = np.clip(128 + luma[..., None] + colour, 0, 255).astype(np.uint8)
    return image


@pytest.fixture
def pixels() -> Callable[..., NDArray[np.uint8]]:
    """`draw_pixels`."""
    return draw_pixels


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Holds what fakefreq logs for the user during a test."""
    caplog.set_level(logging.INFO, "fakefreq")
    return caplog


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the `<generator>/{0_real,1_fake}` layout with 40 + 40 pictures of two generators and a control."""
    return draw_set(tmp_path_factory.mktemp("tiny_set"), count=40)


@pytest.fixture(scope="session")
def facebench() -> Path:
    """The folder of real and GAN faces that FAKEFREQ_FACEBENCH names."""
    value = os.environ.get("FAKEFREQ_FACEBENCH")
    if not value:
        pytest.skip("FAKEFREQ_FACEBENCH is unset: no real faces to test on")
    return Path(value)


@pytest.fixture(scope="module")
def manifest_path(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn set as a manifest with splits, a new one for each test module."""
    path = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    write_manifest(split_manifest(manifest, (0.6, 0.2, 0.2), seed=0), path)
    return path
