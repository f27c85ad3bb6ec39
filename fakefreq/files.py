"""Files that are whole or absent, folders that one process holds, hashes and the cache folder."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakefreq.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

LOCK, SOFT_LOCK = "lock", "lock.soft"
"""Files in a folder that is held: of the system's lock, and of the one that stands for it where there is none."""
# What flock answers where the file system has no locks: those of some clusters, NFS without its lock daemon.
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
# The processes that decode for a killed one hold its lock until they see that it is gone, at the latest after five.
WAIT_SECONDS = 7.0


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on failure.

    Args:
        path: the file to write; its folder is made where missing. The temporary name keeps the
            suffix, because image and table writers choose their format by it.

    Raises:
        UserError: the folder cannot be made or written (no permission, disk full).
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:60]}.", suffix=f".part{target.suffix}", dir=target.parent
        )
        os.close(handle)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask; reading it means setting it, so it is put back at once."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder, so that no second process works in it.

    The system lets go of it if this process dies. Where the file system has no locks (`flock`), a file names the
    process and its machine instead; what a dead process of this machine has left is taken over. A folder that another
    process holds is waited for, for a few seconds.

    Args:
        folder: made where missing.

    Raises:
        UserError: another process holds it, or one of another machine has left its file; it cannot be written.
    """
    from filelock import FileLock, SoftFileLock, Timeout  # takes longer than all else that this module needs

    lock: BaseFileLock = FileLock(folder / LOCK, timeout=WAIT_SECONDS, fallback_to_soft=False)
    is_soft = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logger.debug(f"{folder} has no locks of its file system ({error.strerror}): {SOFT_LOCK} stands for one")
            lock, is_soft = SoftFileLock(folder / SOFT_LOCK, timeout=WAIT_SECONDS), True
            lock.acquire()
    except Timeout as error:
        raise UserError(_holder(folder, is_soft)) from error
    except OSError as error:
        raise UserError(f"cannot lock {folder}: {error.strerror or error}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def _holder(folder: Path, is_soft: bool) -> str:
    """Say who holds a folder, and what to do."""
    if not is_soft:
        return f"another process works in {folder}; wait for it, or end it"
    path = folder / SOFT_LOCK
    try:
        process, machine, *_ = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        process, machine = "(unknown)", "(unknown)"
    return (
        f"another process works in {folder}: {path} was made by process {process} of the machine {machine}. Wait for "
        "it, or end it; if it is gone (a killed one cannot tidy up), delete that file"
    )


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically, indented, in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path, what: str) -> Any:
    """Read a JSON file; `what` names it in the error ("the run's configuration").

    Raises:
        UserError: missing, unreadable, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{what} is missing: {path}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {what} {path}: {error}") from error


def sha256_file(path: str | Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(*parts: str) -> Path:
    """Where downloads and built images are kept: `FAKEFREQ_CACHE`, else the user's cache folder.

    Args:
        parts: subfolders below it; they are made where missing.
    """
    root = os.environ.get("FAKEFREQ_CACHE")
    base = (
        Path(root).expanduser()
        if root
        else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fakefreq"
    )
    folder = base.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the cache folder {folder}: {error.strerror}; set FAKEFREQ_CACHE to a writable folder"
        ) from error
    return folder
