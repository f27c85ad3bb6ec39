"""The lattice of one image without tensors is the lattice of the tensors."""

import cv2
import numpy as np
import pytest
import torch

from fakefreq.data.degrade.distortions import webp
from fakefreq.models.streams.lattice import SCORES, STUDIO_RANGE, TRACE, read_lattice, read_lattice_of_image
from fakefreq.models.streams.lattice_of_image import fields_of_image, scores_and_trace
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.spectra import lattice_field_scores, lattice_fields, lattice_frequencies, studio_range_trace

SIZES = [(16, 16), (17, 40), (64, 64), (131, 97), (256, 256)]


def blurred_noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7), dtype=np.uint8)


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)


@pytest.mark.parametrize("size", SIZES)
def test_the_loaders_way_reads_the_same_as_the_tensors(size: tuple[int, int]) -> None:
    image = PlantedLattice().plant(blurred_noise(size), np.random.default_rng(1))
    expected = read_lattice(as_batch(image))[0].numpy()
    assert expected[:SCORES].max() > 2
    np.testing.assert_allclose(read_lattice_of_image(image), expected, rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize("period", [2, 3, 4, 16])
def test_other_periods_are_read_the_same_too(period: int) -> None:
    image = PlantedLattice().plant(blurred_noise((100, 130)), np.random.default_rng(1))
    expected = lattice_field_scores(as_batch(image), period, 0.5)[0, :, lattice_frequencies(period)].numpy().ravel()
    scores, trace = scores_and_trace(image, period, 0.5)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=3e-3)
    assert trace == pytest.approx(float(studio_range_trace(as_batch(image))), abs=1e-5)


def test_it_sees_studio_range_and_is_not_misled_by_full_or_empty_pixels() -> None:
    smooth = np.asarray(cv2.GaussianBlur(blurred_noise((128, 128)), (0, 0), 4), dtype=np.uint8)
    saved = webp(smooth, 80)
    assert read_lattice_of_image(saved)[TRACE] > STUDIO_RANGE > read_lattice_of_image(smooth)[TRACE]
    saved[:, :40], saved[:, 90:] = 0, 255
    expected = float(studio_range_trace(as_batch(saved)))
    assert read_lattice_of_image(saved)[TRACE] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_what_is_flat_has_scores_too(value: int) -> None:
    read = read_lattice_of_image(np.full((48, 64, 3), value, np.uint8))
    assert np.isfinite(read).all() and read[:SCORES].max() < 0.2


def test_it_multiplies_no_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked worker hung in MKL, which waited for a lock that a thread of the parent had held."""

    def refuse(*_: object) -> None:
        raise AssertionError("a matrix product")

    for library, names in (
        (torch.Tensor, ("__matmul__", "matmul", "mm")),
        (torch, ("matmul", "mm", "bmm", "einsum")),
        (np, ("matmul", "dot", "tensordot")),
        (cv2, ("gemm",)),
    ):
        for name in names:
            monkeypatch.setattr(library, name, refuse)
    read_lattice_of_image(blurred_noise((64, 64)))


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (131, 97)])
def test_fields_are_those_of_the_tensors(size: tuple[int, int]) -> None:
    image = blurred_noise(size)
    expected = lattice_fields(as_batch(image))[0].numpy()
    np.testing.assert_allclose(np.stack(list(fields_of_image(image.astype(np.float32), 8))), expected[1:], atol=1e-4)
