"""Engines: a killed process is told and takes no other task with it, and none outlives the command."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.engines import Engine
from fakefreq.errors import UserError

# A process that a shell started in the background ignores SIGINT, and so do those that it starts.
PARENT = """
import signal
import sys
from pathlib import Path
from fakefreq.engines import Engine
from tests.test_engines import wait
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    list(Engine(jobs=2).run(wait, [Path(sys.argv[1]), Path(sys.argv[2])]))
"""


def end_as_asked(task: str) -> str:
    if task == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def wait(place: Path) -> str:
    place.write_text(str(os.getpid()))
    time.sleep(600)
    return ""


@pytest.mark.slow
def test_a_killed_process_is_told_and_the_other_tasks_are_done(logged: pytest.LogCaptureFixture) -> None:
    names = ["the first", "the second", "the third"]
    ended = dict(Engine(jobs=2).run(end_as_asked, ["kill", "", "no room"], names))
    assert ended[1] == "" and ended[2] == "no room"
    assert "its process was killed" in ended[0] and "lower --jobs" in ended[0]
    assert "failed: the first: its process was killed" in logged.text
    assert "done: the second" in logged.text and "failed: the third: no room" in logged.text


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    places = [tmp_path / "one", tmp_path / "other"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), *map(str, places)], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not all(place.exists() and place.read_text() for place in places):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(number)
    parent.wait(timeout=60)
    for place in places:
        while Path(f"/proc/{place.read_text()}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_flags_of_the_other_engine_are_refused() -> None:
    ray = Engine(engine="ray")
    for engine, message in (
        (Engine(jobs=0), "--jobs takes 1 or more; got 0"),
        (Engine(gpus_each=1.0), "--gpus-each is for --engine ray"),
        (Engine(ray_address="auto"), "--ray-address is for --engine ray"),
        (replace(ray, jobs=2), "--jobs is for --engine local"),
        (replace(ray, cpus_each=0), "--cpus-each takes 1 or more"),
        (replace(ray, retries=-1), "--retries takes 0 or more"),
    ):
        with pytest.raises(UserError, match=message):
            list(engine.run(end_as_asked, [""]))


def test_ray_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'fakefreq\[ray\]'"):
        list(Engine(engine="ray").run(end_as_asked, [""]))
