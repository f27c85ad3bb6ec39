"""A manifest of drawn images and the settings of a training that takes a second."""

from pathlib import Path
from typing import Any

import pytest

from fakefreq.benchmarking.plan import Plan, make_plan
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from tests.conftest import draw_set
from tests.helpers.small_runs import tiny_config

TINY = tiny_config(backbone="test_resnet", crop=32, batch_size=16, spectrum="lattice", train_on=())


@pytest.fixture(scope="session")
def small_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make_small_manifest`."""
    return make_small_manifest(tmp_path_factory.mktemp("small_set"))


def make_small_manifest(folder: Path) -> Path:
    """Two generators of 20 + 20 images and a control of 10, half of them for tests."""
    path = draw_set(folder, count=20, side=40) / "manifest.csv"
    index_folder(folder, path)
    write_manifest(split_manifest(read_manifest(path), (0.3, 0.2, 0.5), seed=0), path)
    return path


def tiny_plan(manifest: Path, **changes: object) -> Plan:
    """A plan of tiny trainings; the drawn fakes differ from the photographs in file size, which the audit sees."""
    tracks: dict[str, Any] = {name: changes.pop(name, None) for name in ("native", "aligned")}
    settings: dict[str, Any] = {
        "protocols": ["matrix"],
        "detectors": ["pixel", "two_stream"],
        "seeds": [0],
        "config": TINY,
        "draws": 100,
        "allow_biased": True,
        "spectra": 0,
    }
    return make_plan({"raw": manifest, **tracks}, **{**settings, **changes})
