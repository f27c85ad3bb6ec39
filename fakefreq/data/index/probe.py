"""Header facts and hashes of many images, by worker processes, reading only what changed since the last time."""

import bisect
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from fakefreq.data.images.decode import check_image, decode_image, read_bytes
from fakefreq.data.images.headers.formats import HeaderFacts, ImageError
from fakefreq.data.images.headers.header import read_file_and_stamp
from fakefreq.data.images.shards import MEMBER, split_member
from fakefreq.errors import UserError
from fakefreq.progress import ProgressBar

# Changes with the facts that are kept and with what is refused: an older file is then left alone and a new one begun.
VERSION = 3
# SQLite commits after this many chunks; what an interruption loses is read again.
COMMIT_EVERY = 8


class Kept(NamedTuple):
    """What was found of a chunk of images, in JSON: a row an image in the database would take as long as reading it.

    Args:
        stamps: the paths, and for each the size and the times of last change and last status change (ns) of its file.
        columns: of `fakefreq.data.index.probe.FACTS`, a list of values or the one value of all.
    """

    stamps: str
    columns: str


class _Place(NamedTuple):
    """Which row of the database holds which part of the sorted paths."""

    first: bytes
    last: bytes
    number: int


class IndexCache:
    """A small database, a hidden file beside the manifest. Where none can be kept, it is done without.

    What was there at the beginning stays until an index is through: a stopped one loses neither what it had read nor
    what was known before.

    Args:
        manifest_path: whose images it knows.
    """

    def __init__(self, manifest_path: str | Path) -> None:
        path = Path(manifest_path)
        self.path = path.with_name(f".{path.name}.cache-v{VERSION}.sqlite")
        self._stored, self._current = 0, set[int]()
        self._places: list[_Place] = []
        self._open = self._connect() or self._connect()
        # The furthest end of all places up to each: before the first that ends too early, none reaches far enough.
        self._reach = list(itertools.accumulate((place.last for place in self._places), max))

    def _connect(self) -> sqlite3.Connection | None:
        """Open the database; a damaged one is removed, so that a second call begins anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS chunks (number INTEGER PRIMARY KEY, first BLOB, last BLOB, stamps TEXT, "
                "columns TEXT)"
            )
            rows = connection.execute("SELECT first, last, number FROM chunks ORDER BY first, number")
            self._places = [_Place(*row) for row in rows]
            return connection
        except sqlite3.OperationalError:  # locked by another process, or a folder that cannot be written
            return None
        except (sqlite3.DatabaseError, OSError):
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            return None

    def known(self, paths: Sequence[str]) -> list[Kept]:
        """Return what is known of some images, among others; what was found last comes last."""
        if self._open is None or not self._places or not paths:
            return []
        first, last = _range(paths)
        numbers = []
        at = bisect.bisect_right(self._places, last, key=lambda place: place.first)
        while at and self._reach[at - 1] >= first:
            at -= 1
            if self._places[at].last >= first:
                numbers.append(self._places[at].number)
        found = []
        with contextlib.suppress(sqlite3.Error):
            for number in sorted(numbers):
                row = self._open.execute("SELECT stamps, columns FROM chunks WHERE number = ?", (number,)).fetchone()
                if row is not None:
                    found.append(Kept(*row))
        return found

    def store(self, paths: Sequence[str], kept: Kept) -> None:
        """Keep what was found; images that cannot be used are not in it, so that they are tried again."""
        if self._open is None or not paths:
            return
        first, last = _range(paths)
        with contextlib.suppress(sqlite3.Error):
            at = bisect.bisect_left(self._places, first, key=lambda place: place.first)
            for place in itertools.takewhile(
                lambda place: place.first == first, itertools.islice(self._places, at, None)
            ):
                query = "SELECT 1 FROM chunks WHERE number = ? AND stamps = ? AND columns = ?"
                if self._open.execute(query, (place.number, *kept)).fetchone():
                    self._current.add(place.number)
                    return
            query = "INSERT INTO chunks (first, last, stamps, columns) VALUES (?, ?, ?, ?)"
            self._current.add(self._open.execute(query, (first, last, *kept)).lastrowid or 0)
            self._stored += 1
            if self._stored % COMMIT_EVERY == 0:
                self._open.commit()

    def forget_former(self) -> None:
        """Delete what was not found again by an index that is through."""
        if self._open is not None:
            former = [(place.number,) for place in self._places if place.number not in self._current]
            with contextlib.suppress(sqlite3.Error):
                self._open.executemany("DELETE FROM chunks WHERE number = ?", former)

    def close(self) -> None:
        """Commit and close."""
        if self._open is not None:
            with contextlib.suppress(sqlite3.Error):
                self._open.commit()
                self._open.close()
            self._open = None


def _range(paths: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the first and the last path as bytes: what is sorted as text may lie otherwise as bytes."""
    ends = os.fsencode(min(paths)), os.fsencode(max(paths))
    return min(ends), max(ends)


# Images that are handed to a process at once: as few as keep the handing over small beside the reading.
CHUNK = 512
# Perceptual hashes take a thousand times as long, so the bar would stand still and the last process work alone.
CHUNK_DECODED = 64
# Fewer images are read before a process has started.
WORTH_A_POOL = 1500
FACTS = [*HeaderFacts._fields, "sha256", "phash"]
Stamp = tuple[int, int, int]


class Probed(NamedTuple):
    """What is found of a chunk of images.

    Args:
        images: their number.
        columns: for each of `FACTS` the values of the images that can be used, in order, or one value where all have
            the same; empty where no image can be used.
        reasons: position in the chunk -> why that image cannot be used.
    """

    images: int
    columns: dict[str, str | int | list[str] | list[int]]
    reasons: dict[int, str]


def probe_paths(
    paths: Sequence[str], want_phash: bool, jobs: int, cache: IndexCache | None, progress: str = "index"
) -> Generator[Probed, None, None]:
    """Yield what is found of the images, chunk by chunk, in the order of `paths`.

    Args:
        paths: files, or members of shards, sorted.
        want_phash: also decode each image for its perceptual hash.
        jobs: processes; -1 is one a core.
        cache: of a former call; an image whose file has the same size and times is not read again.
        progress: the bar's label.

    Raises:
        UserError: a worker process was killed.
    """
    size = CHUNK_DECODED if want_phash else CHUNK
    chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
    workers = min((os.cpu_count() or 1) if jobs < 1 else jobs, len(chunks))
    results = _results(chunks, want_phash, workers, len(paths) >= WORTH_A_POOL, cache)
    try:
        with contextlib.closing(results), ProgressBar(progress, len(paths)) as bar:
            for chunk, (kept, reasons) in zip(chunks, results, strict=True):
                if cache is not None:
                    cache.store(chunk, kept)
                bar.update(len(chunk))
                yield Probed(len(chunk), json.loads(kept.columns), reasons)
        if cache is not None:
            cache.forget_former()
    finally:
        if cache is not None:
            cache.close()


_Result = tuple[Kept, dict[int, str]]


def _results(
    chunks: list[Sequence[str]], want_phash: bool, workers: int, pool_pays: bool, cache: IndexCache | None
) -> Generator[_Result, None, None]:
    known: Callable[[Sequence[str]], list[Kept]] = (lambda paths: []) if cache is None else cache.known
    if workers < 2 or not pool_pays:
        for chunk in chunks:
            yield probe_chunk(chunk, want_phash, known(chunk))
        return
    # Forked workers start at once and need no importable main module; elsewhere the platform decides.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    waiting: deque[Future[_Result]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(probe_chunk, chunk, want_phash, known(chunk)))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a reading process was killed, perhaps for want of memory; the same command again goes on, "
                "--jobs 1 needs least memory"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def probe_chunk(paths: Sequence[str], want_phash: bool, known: Sequence[Kept]) -> _Result:
    """Return what is found of some images, as text that is passed on and kept as it is, and what is wrong with others.

    Args:
        paths: of the images.
        want_phash: also decode each for its perceptual hash.
        known: what former calls found of images among which these may be.
    """
    if want_phash:
        import cv2

        cv2.setNumThreads(1)  # a forked process inherits a pool without its threads and would wait for ever
    before = _by_path(known)
    good, stamps, facts, reasons = list[str](), list[Stamp](), list[tuple[str | int, ...]](), dict[int, str]()
    for position, path in enumerate(paths):
        if path in before:
            stamp, found = before[path]
            if (found[-1] or not want_phash) and stamp == _stamp(path):
                good.append(path)
                stamps.append(stamp)
                facts.append(found)
                continue
        try:
            stamp, found = _probe(path, want_phash)
        except ImageError as error:
            reasons[position] = error.reason
            continue
        good.append(path)
        stamps.append(stamp)
        facts.append(found)
    columns = dict(zip(FACTS, map(_shortest, zip(*facts, strict=True)), strict=True)) if facts else {}
    return Kept(json.dumps([good, stamps]), json.dumps(columns)), reasons


def _shortest(values: tuple[str | int, ...]) -> str | int | tuple[str | int, ...]:
    """Return one value where all are the same."""
    is_constant = values[0] == values[-1] and values.count(values[0]) == len(values)
    return values[0] if is_constant else values


def _by_path(known: Sequence[Kept]) -> dict[str, tuple[Stamp, tuple[str | int, ...]]]:
    """Return path -> stamp and facts; of two for one path the later in `known`. What is damaged is not known."""
    found = {}
    for kept in known:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            paths, stamps = json.loads(kept.stamps)
            values = json.loads(kept.columns)
            columns = [
                values[name] if isinstance(values[name], list) else [values[name]] * len(paths) for name in FACTS
            ]
            for path, stamp, facts in zip(paths, stamps, zip(*columns, strict=True), strict=True):
                found[path] = (tuple(stamp), facts)
    return found


def _probe(path: str, want_phash: bool) -> tuple[Stamp, tuple[str | int, ...]]:
    """Read an image; return the stamp of its file and the values of `FACTS`."""
    if MEMBER in path and split_member(path):
        stamp, content = _stamp(path), read_bytes(path)
    else:
        content, stamp = read_file_and_stamp(path)
    facts = check_image(path, content)
    phash = ""
    if want_phash:
        from fakefreq.data.manifest.duplicates import perceptual_hash

        phash = perceptual_hash(decode_image(path, content))
    return stamp, (*facts, hashlib.sha256(content).hexdigest(), phash)


def _stamp(path: str) -> tuple[int, int, int]:
    """Size and times of the file that holds an image; -1 where it cannot be asked."""
    parts = split_member(path) if MEMBER in path else None
    try:
        about = os.stat(parts[0] if parts else path)  # noqa: PTH116 (a Path an image is slow)
    except (OSError, ValueError):
        return (-1, -1, -1)
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns
