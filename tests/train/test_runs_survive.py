"""Kills, full disks and dead workers: what is saved stays good, and the end is the same to the bit."""

import errno
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.data.manifest import index_folder, write_manifest
from fakefreq.data.splits import split_manifest
from fakefreq.errors import UserError
from fakefreq.train.checkpoint import RunFolder
from fakefreq.train.experiment import TrainConfig
from fakefreq.train.loop import train
from fakefreq.train.run import Run

# All that a state has to hold is switched on: dropout, averages, mixing, moments, a schedule.
CONFIG = TrainConfig(
    detector="two_stream",
    backbone="test_efficientnet",
    pretrained="none",
    train_on=("alpha",),
    crop=64,
    epochs=2,
    batch_size=8,
    mixup=0.3,
    ema=0.9,
    dropout=0.3,
    degrade="0.5*jpeg:60..95",
    workers=0,
    device="cpu",
    log_every=1,
    checkpoint_steps=1,
)
STEPS = 6  # an epoch: 24 + 24 images in batches of 8


@pytest.fixture(scope="module")
def manifest_path(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("survival") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    write_manifest(split_manifest(manifest, (0.6, 0.2, 0.2), seed=0), path)
    return path


class Processes:
    """Starts trainings in processes of their own, cheaply: torch is imported once for all of them."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["fakefreq.train.loop"])

    def start(self, manifest: Path, out: Path, config: TrainConfig) -> BaseProcess:
        process = self.context.Process(target=train, args=(manifest, out, config), kwargs={"resume": True})
        process.start()
        return process

    def finish(self, manifest: Path, out: Path, config: TrainConfig) -> None:
        process = self.start(manifest, out, config)
        process.join(120)
        assert process.exitcode == 0


@pytest.fixture(scope="module", autouse=True)
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
    processes.finish(manifest_path, out, CONFIG)
    return out


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries and lists."""
    if isinstance(value, dict):
        return {key: leaf for k, v in value.items() for key, leaf in leaves(v, f"{name}.{k}").items()}
    if isinstance(value, list | tuple):
        return {key: leaf for k, v in enumerate(value) for key, leaf in leaves(v, f"{name}.{k}").items()}
    return {name: value}


def assert_same_end(out: Path, whole: Path) -> None:
    assert (out / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    a, b = (leaves(torch.load(run / "last.pt", weights_only=True)) for run in (out, whole))
    assert a.keys() == b.keys()
    differing = [
        name
        for name, value in a.items()
        if not (torch.equal(value, b[name]) if isinstance(value, torch.Tensor) else value == b[name])
    ]
    assert differing == [".progress.seconds"]
    logs = [pd.read_csv(run / "log.csv").drop(columns="seconds") for run in (out, whole)]
    pd.testing.assert_frame_equal(logs[0], logs[1])
    assert [path.name for path in out.iterdir() if ".part" in path.name] == []


def test_killed_again_and_again_at_random_moments_a_run_ends_in_the_same_bits(
    manifest_path: Path, whole: Path, processes: Processes, tmp_path: Path
) -> None:
    chance = random.Random(0)
    out = tmp_path / "run"
    for _ in range(3):
        process = processes.start(manifest_path, out, CONFIG)
        wanted = lines(out) + chance.randint(2, 3)
        while lines(out) < wanted:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert not (out / "summary.json").exists()
    processes.finish(manifest_path, out, CONFIG)
    assert_same_end(out, whole)


def test_killed_while_a_worker_decodes_a_run_ends_in_the_same_bits(
    manifest_path: Path, whole: Path, processes: Processes, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    # A plain process: in a forkserver's child the loader would start workers in another way than users' runs do.
    code = (
        "import sys; from pathlib import Path; from fakefreq.train.experiment import TrainConfig as C; "
        "from fakefreq.train.loop import train; "
        f"train(Path(sys.argv[1]), Path(sys.argv[2]), C.from_dict({replace(CONFIG, workers=1).to_dict()!r}))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", code, str(manifest_path), str(out)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment) as process:
        while lines(out) < STEPS + 3:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    assert not (out / "summary.json").exists()
    processes.finish(manifest_path, out, CONFIG)
    assert_same_end(out, whole)


def lines(out: Path) -> int:
    log = out / "log.csv"
    return len(log.read_text().splitlines()) if log.exists() else 0


class Killed(BaseException):
    """Stands for a kill at a chosen line; nothing in the package catches it."""


@pytest.mark.parametrize("number", [1, STEPS + 3])
def test_a_kill_in_the_middle_of_a_write_leaves_the_state_before(
    manifest_path: Path, whole: Path, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    replaced, calls = Path.replace, 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += Path(target).name == "last.pt"
        if calls == number:
            raise Killed
        return replaced(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        # A killed process tidies nothing up.
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        with pytest.raises(Killed):
            train(manifest_path, tmp_path / "run", CONFIG, resume=True)
    assert len(list((tmp_path / "run").glob(".last.*.part.pt"))) == 1
    processes.finish(manifest_path, tmp_path / "run", CONFIG)
    assert_same_end(tmp_path / "run", whole)


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
from fakefreq.train.experiment import TrainConfig
from fakefreq.train.loop import train
from fakefreq.train.run import Run

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
