"""A full disk, a dead worker, a loss that is not finite: one line says so, and what is saved stays good."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakefreq.errors import UserError
from fakefreq.train.checkpoint import RunFolder
from fakefreq.train.loop import Run
from fakefreq.train.train import train
from tests.helpers.surviving_runs import CONFIG, STEPS, Processes, assert_same_end

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def test_a_full_disk_is_said_and_the_last_good_state_resumes(
    manifest_path: Path, whole: Path, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, out = RunFolder.save_state, tmp_path / "run"
    # The real thing, from the kernel: no file may grow beyond this.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    saved = 0

    def limited(self: RunFolder, *args: Any) -> None:
        nonlocal saved
        saved += 1
        if saved == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        save(self, *args)

    monkeypatch.setattr(RunFolder, "save_state", limited)
    try:
        with pytest.raises(
            UserError, match=r"cannot write .*last\.pt: File too large.*--resume: the last good state is"
        ):
            train(manifest_path, out, CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.load(out / "last.pt", weights_only=True)["progress"]["total"] == 3
    processes.finish(manifest_path, out, CONFIG)
    assert_same_end(out, whole)


@pytest.mark.parametrize("file", ["best", "log"])
def test_no_space_for_weights_or_log_is_said_too(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    opened = Path.open

    def full(self: Path, *args: Any, **options: Any) -> Any:
        mode = args[0] if args else options.get("mode", "r")
        if file in self.name and mode in ("a", "wb"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=f"cannot write .*{file}.*: No space left on device"):
        train(manifest_path, tmp_path / "run", replace(CONFIG, epochs=1))


# In a process of its own: a loader whose workers are killed raises from a signal handler, wherever its process is just
# then, and inside the test runner that may be the runner's own code.
KILL_WORKERS = """
import json, multiprocessing, sys
from pathlib import Path
from fakefreq.errors import UserError
from fakefreq.config.run import TrainConfig
from fakefreq.train.train import train
from fakefreq.train.loop import Run

step = Run._take_step

def killing(self, *args):
    step(self, *args)
    if self.state.progress.total == 8:
        for worker in multiprocessing.active_children():
            worker.kill()

Run._take_step = killing
try:
    train(Path(sys.argv[1]), Path(sys.argv[2]), TrainConfig.from_dict(json.loads(sys.argv[3])))
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_worker_that_dies_is_said_and_the_run_goes_on_later(
    manifest_path: Path, whole: Path, processes: Processes, tmp_path: Path
) -> None:
    out, config = tmp_path / "run", json.dumps(replace(CONFIG, workers=1).to_dict())
    command = [sys.executable, "-c", KILL_WORKERS, str(manifest_path), str(out), config]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r"process that decodes images died .*--resume and fewer --workers", ended.stdout)
    assert torch.load(out / "last.pt", weights_only=True)["progress"]["total"] >= STEPS
    processes.finish(manifest_path, out, CONFIG)
    assert_same_end(out, whole)


def test_a_loss_that_is_not_finite_names_the_batch_and_keeps_both_states(
    manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, out = Run._take_step, tmp_path / "run"

    def poisoned(self: Run, *args: Any) -> None:
        if self.state.progress.total == 7:
            with torch.no_grad():
                list(self.state.detector.parameters())[-1].fill_(np.nan)
        step(self, *args)

    monkeypatch.setattr(Run, "_take_step", poisoned)
    with pytest.raises(UserError, match=r"loss is nan at epoch 2, step 2.*failed\.pt.*alpha_(real|fake)_\d+\.jpg"):
        train(manifest_path, out, CONFIG)
    failed, last = (torch.load(out / name, weights_only=True) for name in ("failed.pt", "last.pt"))
    assert failed["progress"]["total"] == last["progress"]["total"] == 7
    assert any(torch.isnan(value).any() for value in failed["detector"].values())
    assert all(torch.isfinite(value).all() for value in last["detector"].values())
