"""A benchmark of one cell, its run, and a hub on this machine."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.benchmarking.run import benchmark
from fakefreq.cli import main
from tests.benchmarking.conftest import TINY, make_small_manifest, tiny_plan
from tests.helpers.hub_server import Hub, serve_hub
from tests.helpers.publishing import NAME, commit_of, publish, run_of


@pytest.fixture(scope="session")
def small_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_manifest(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="session")
def benchmarked(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of one cell, whose run was evaluated too."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    config = replace(TINY, train_on=("alpha",), cache=str(out.parent / "cache"))
    benchmark(tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel"], config=config), out)
    words = ["evaluate", str(run_of(out)), str(small_manifest), "--draws", "100", "--workers", "0"]
    assert main(words) == 0
    return out


@pytest.fixture
def run(benchmarked: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(run_of(benchmarked), tmp_path / "run"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serve_hub(tmp_path / "cache") as served:
        yield served


@pytest.fixture
def published(run: Path, hub: Hub) -> str:
    """The name of the published run with its commit."""
    assert publish(run) == 0
    return f"hf://{NAME}@{commit_of(hub)}"
