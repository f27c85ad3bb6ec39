"""What is known of images from a former index, so that only changed files are read again."""

import bisect
import contextlib
import itertools
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
