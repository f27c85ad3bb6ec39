"""Kept pixels and readings: the same scores, and no image is decoded, or its lattice read, a second time."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.data.loading import samples
from fakefreq.data.loading.cache import ReadingCache
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate import predict
from fakefreq.evaluate.predict import score_rows
from fakefreq.models.streams import lattice
from tests.explaining.test_explanation import make


def test_a_second_detector_reads_no_image(manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, root = read_manifest(manifest_path).head(30), manifest_path.parent
    detectors = [make("two_stream", crop=48, spectrum="lattice"), make("lattice")]
    plain = [score_rows(detector, rows, root, workers=0)[0] for detector in detectors]
    read: list[tuple[int, ...]] = []
    read_lattice = lattice.read_lattice_of_image

    def read_lattice_of_image(image: Any) -> Any:
        read.append(image.shape)
        return read_lattice(image)

    monkeypatch.setattr(predict, "read_lattice_of_image", read_lattice_of_image)
    first, _ = score_rows(detectors[0], rows, root, workers=0, cache=str(tmp_path))
    assert len(read) == 30 + 1  # and one picture that tells how many numbers there are
    monkeypatch.setattr(samples, "read_image", None)
    for detector, expected in zip(detectors, plain, strict=True):
        again, _ = score_rows(detector, rows, root, workers=0, cache=str(tmp_path))
        pd.testing.assert_frame_equal(again, expected)
    pd.testing.assert_frame_equal(first, plain[0])
    assert len(read) == 30 + 3
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"pixels", "readings"}


def test_readings_of_worker_processes_are_those_of_one(manifest_path: Path, tmp_path: Path) -> None:
    rows, root = read_manifest(manifest_path).head(40), manifest_path.parent
    detector = make("lattice")
    plain, _ = score_rows(detector, rows, root, workers=0)
    for _ in range(2):
        found, _ = score_rows(detector, rows, root, batch_size=8, workers=2, cache=str(tmp_path))
        pd.testing.assert_frame_equal(found, plain)


def test_readings_of_other_code_are_not_taken(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, root, detector = read_manifest(manifest_path).head(8), manifest_path.parent, make("lattice")
    score_rows(detector, rows, root, workers=0, cache=str(tmp_path))
    read_lattice = lattice.read_lattice_of_image
    monkeypatch.setattr(predict, "read_lattice_of_image", lambda image: 0.5 * read_lattice(image))
    changed, _ = score_rows(detector, rows, root, workers=0)
    kept, _ = score_rows(detector, rows, root, workers=0, cache=str(tmp_path))
    pd.testing.assert_frame_equal(kept, changed)


def test_a_damaged_reading_is_none(tmp_path: Path) -> None:
    cache = ReadingCache(3, 5, tmp_path, "a")
    values = np.arange(5, dtype=np.float32)
    cache.put(1, values)
    assert cache.get(0) is None and cache.get(2) is None
    np.testing.assert_array_equal(cache.get(1), values)
    path = tmp_path / "readings-a.bin"
    content = bytearray(path.read_bytes())
    content[28 + 12] ^= 1  # an entry has 28 bytes, of which 8 come before its values
    path.write_bytes(content)
    assert ReadingCache(3, 5, tmp_path, "a").get(1) is None


def test_no_room_names_the_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--cache"):
        ReadingCache(3, 5, tmp_path / "file", "a")
