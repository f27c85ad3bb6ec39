"""A manifest of drawn images, and a run on it that nothing disturbed."""

from pathlib import Path

import pytest

from fakefreq.data.manifest import index_folder, write_manifest
from fakefreq.data.splits import split_manifest
from fakefreq.train.loop import train
from tests.small_runs import CONFIG


@pytest.fixture(scope="module")
def manifest_path(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    write_manifest(split_manifest(manifest, (0.6, 0.2, 0.2), seed=0), path)
    return path


@pytest.fixture(scope="module")
def finished(manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(manifest_path, out, CONFIG)
    return out
