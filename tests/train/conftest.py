"""A manifest of drawn images, and runs on it that nothing disturbed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fakefreq.train.train import train
from tests.helpers import surviving_runs
from tests.helpers.small_runs import CONFIG
from tests.helpers.surviving_runs import Processes


@pytest.fixture(scope="module")
def finished(manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(manifest_path, out, CONFIG)
    return out


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The same bits are promised for the same number of threads: one here, and in every process started from here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def processes(one_thread: None) -> Processes:
    del one_thread  # the environment that the processes inherit
    return Processes()


@pytest.fixture(scope="module")
def whole(manifest_path: Path, processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    processes.finish(manifest_path, out, surviving_runs.CONFIG)
    return out
