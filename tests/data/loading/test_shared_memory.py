"""Batches in shared memory: never overwritten while they are kept. Chance: no process decides about it."""

import gc
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.samples import NO_SLOT, SharedSlots, Twins
from fakefreq.data.loading.sampling import ImageStreams

COUNT = 40


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """Pictures of one value each, the number of their row, and two that are none."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        assert cv2.imwrite(str(root / f"{number}.png"), np.full((20, 20, 3), number, np.uint8))
    (root / "7.png").write_bytes(b"no picture")
    (root / "38.png").write_bytes(b"")
    return pd.DataFrame({"path": [f"{number}.png" for number in range(COUNT)], "label": [0, 1] * (COUNT // 2)}), root


@pytest.mark.slow
def test_a_slot_is_free_again_only_when_nothing_looks_at_it() -> None:
    slots = SharedSlots(2, images=3, crop=4)
    first, second = slots.take(), slots.take()
    assert {first, second} == {0, 1} and slots.take() == NO_SLOT
    slots.pixels(first)[:] = 5
    batch = torch.from_numpy(slots.hand_on(first, 2)).permute(0, 3, 1, 2)
    part = batch[1, :, 2:]
    del batch
    gc.collect()
    assert slots.take() == NO_SLOT and (part == 5).all()
    beside = part.numpy()[0]
    del part
    gc.collect()
    assert slots.take() == NO_SLOT and (beside == 5).all()
    del beside
    gc.collect()
    assert slots.take() == first and slots.take() == NO_SLOT


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_kept_stay_as_they_were(rows: tuple[pd.DataFrame, Path], workers: int) -> None:
    """More batches than there are slots, all kept: each image still has its row's value at the end."""
    batches = make_batches(*rows, 16, 2, False, workers=workers, on_error="skip")
    for _ in range(2):
        kept = list(batches)
        seen = [int(row) for batch in kept for row in batch.index]
        assert seen == [number for number in range(COUNT) if number not in (7, 38)]
        for batch in kept:
            expected = batch.index[:, None, None, None].expand(-1, 3, 16, 16)
            assert torch.equal(batch.images.long(), expected)
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert [path for path, _ in batches.skipped] == ["7.png", "38.png"]


@pytest.mark.slow
def test_an_iteration_that_was_broken_off_leaves_the_next_one_alone(rows: tuple[pd.DataFrame, Path]) -> None:
    batches = make_batches(*rows, 16, 3, False, workers=2, on_error="skip")
    begun = iter(batches)
    first = next(begun).images
    for batch in batches:
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.index)
    assert first[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert next(begun).images[:, 0, 0, 0].tolist() == [3, 4, 5]


class Brighter:
    """A twin that tells its parent."""

    def __call__(self, image: np.ndarray, row: int, random: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        return image + np.uint8(100)


@pytest.mark.parametrize("workers", [0, 2])
def test_twins_come_last_and_beside_bad_images(rows: tuple[pd.DataFrame, Path], workers: int) -> None:
    batches = make_batches(*rows, 16, 8, True, workers=workers, on_error="skip", twins=Twins(Brighter(), 1.0))
    batches.set_epoch(1)
    for batch in batches:
        parents = batch.index[~batch.is_twin]
        assert batch.index[batch.is_twin].tolist() == parents[parents % 2 == 0].tolist()
        assert torch.equal(batch.images[:, 1, 3, 3].long(), batch.index + 100 * batch.is_twin)
        assert batch.labels.tolist() == [1.0 if twin else float(row % 2) for row, twin in zip(
            batch.index.tolist(), batch.is_twin.tolist(), strict=True)]  # fmt: skip


def test_a_stream_is_its_key_s_alone() -> None:
    streams = ImageStreams()
    first = streams.at(1, 2, 3, 4).random(5)
    streams.at(9, 9, 9, 9).integers(0, 2**31, 3, dtype=np.uint32)  # leaves half a word over
    np.testing.assert_array_equal(streams.at(1, 2, 3, 4).random(5), first)
    np.testing.assert_array_equal(ImageStreams().at(1, 2, 3, 4).random(5), first)
    keys = [(1, 2, 3, 4, 1), (0, 2, 3, 4, 0), (1, 3, 3, 4, 0), (1, 2, 4, 4, 0), (1, 2, 3, 5, 0), (1, 2, 4, 3, 0)]
    drawn = [tuple(streams.at(*key).random(5)) for key in keys]
    assert len({tuple(first), *drawn}) == 7


def test_streams_of_neighbours_are_even_and_unrelated() -> None:
    streams = ImageStreams()
    drawn = np.array([streams.at(0, 1, number, number).random(4) for number in range(20_000)])
    # Five standard errors: of a mean 0.289 / sqrt(n), of a correlation 1 / sqrt(n).
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 5 * 0.289 / np.sqrt(len(drawn))
    assert np.abs(np.bincount((drawn * 20).astype(int).ravel()) / drawn.size - 0.05).max() < 0.002
    related = np.corrcoef(np.hstack([drawn[:-1], drawn[1:]]).T)
    assert np.abs(related - np.eye(8)).max() < 5 / np.sqrt(len(drawn))
