"""Killed with -9 at any moment, a run goes on and ends in the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.train.train import train
from tests.helpers.surviving_runs import CONFIG, STEPS, Processes, assert_same_end, lines

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


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
        "import sys; from pathlib import Path; from fakefreq.config.run import TrainConfig as C; "
        "from fakefreq.train.train import train; "
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
