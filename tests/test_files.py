"""Locks: one process works in a folder, also where the file system has no locks; what a dead one left is told."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fakefreq import files
from fakefreq.errors import UserError
from fakefreq.files import LOCK, SOFT_LOCK, hold

KILLED = """
import os, sys
from pathlib import Path
from fakefreq.files import hold
if sys.argv[2] == "soft":
    import fcntl
    def flock(*_): raise OSError(38, "Function not implemented")
    fcntl.flock = flock
with hold(Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_SECONDS", 0.0)


def no_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A file system whose flock answers with an error."""

    def flock(descriptor: int, operation: int) -> None:
        del descriptor, operation
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_folder_is_held_once_and_then_free(tmp_path: Path) -> None:
    with (
        hold(tmp_path / "new"),
        pytest.raises(UserError, match="another process works in .*new; wait"),
        hold(tmp_path / "new"),
    ):
        pass
    with hold(tmp_path / "new"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_another_process(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_locks(monkeypatch, number)
    with hold(tmp_path):
        assert (tmp_path / SOFT_LOCK).exists()
        with (
            pytest.raises(UserError, match=f"made by process {os.getpid()} of the machine .*delete that file"),
            hold(tmp_path),
        ):
            pass
    assert not (tmp_path / SOFT_LOCK).exists()
    with hold(tmp_path):
        pass


def test_a_folder_that_is_soon_free_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAIT_SECONDS", 5.0)
    holder = contextlib.ExitStack()
    holder.enter_context(hold(tmp_path))
    threading.Timer(0.2, holder.close).start()
    with hold(tmp_path):
        pass


def test_other_errors_of_a_lock_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_locks(monkeypatch, errno.EIO)
    with pytest.raises(UserError, match="cannot lock .*Input/output error"), hold(tmp_path):
        pass
    assert not (tmp_path / SOFT_LOCK).exists()


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_killed_process_of_this_machine_holds_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), kind]).returncode == -9
    assert (tmp_path / (SOFT_LOCK if kind == "soft" else LOCK)).exists()
    if kind == "soft":
        no_locks(monkeypatch, errno.ENOSYS)
    with hold(tmp_path):
        pass


def test_what_another_machine_left_is_told_with_the_file_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_locks(monkeypatch, errno.ENOSYS)
    (tmp_path / SOFT_LOCK).write_text("4711\nnode7\n123\n")
    with pytest.raises(UserError, match=r"process 4711 of the machine node7.*delete that file"), hold(tmp_path):
        pass
    (tmp_path / SOFT_LOCK).unlink()
    with hold(tmp_path):
        pass
