"""What is known of images from a former index, so that only changed files are read again."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakefreq.data.probe import Probed

# Changes with the facts that are kept: an older file is then left alone and a new one begun.
VERSION = 1
# SQLite commits this often; what an interruption loses is read again.
COMMIT_EVERY = 40


class IndexCache:
    """A small database, a hidden file beside the manifest. Where none can be kept, it is done without.

    Args:
        manifest_path: whose images it knows.
    """

    def __init__(self, manifest_path: str | Path) -> None:
        path = Path(manifest_path)
        self.path = path.with_name(f".{path.name}.cache-v{VERSION}.sqlite")
        self._stored = 0
        self._open = self._connect() or self._connect()

    def _connect(self) -> sqlite3.Connection | None:
        """Open the database; a damaged one is removed, so that a second call begins anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=5)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS images (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, "
                "status INTEGER, facts TEXT) WITHOUT ROWID"
            )
            return connection
        except sqlite3.OperationalError:  # locked by another process, or a folder that cannot be written
            return None
        except (sqlite3.DatabaseError, OSError):
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            return None

    def known(self, paths: Sequence[str]) -> "dict[str, Probed]":
        """Return what is known of some images of one chunk of the sorted list."""
        from fakefreq.data.probe import Probed

        if self._open is None or not paths:
            return {}
        wanted = set(paths)
        keys = [os.fsencode(paths[0]), os.fsencode(paths[-1])]
        found = {}
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError):
            query = "SELECT path, size, changed, status, facts FROM images WHERE path BETWEEN ? AND ?"
            for key, size, changed, status, facts in self._open.execute(query, (min(keys), max(keys))):
                path = os.fsdecode(key)
                if path in wanted:
                    found[path] = Probed(tuple(json.loads(facts)), "", (size, changed, status))
        return found

    def store(self, paths: Sequence[str], results: "list[tuple[Probed, bool]]") -> None:
        """Keep what was read; images that cannot be used are not kept, so that they are tried again."""
        if self._open is None:
            return
        rows = [
            (os.fsencode(path), *found.stamp, json.dumps(found.facts))
            for path, (found, is_new) in zip(paths, results, strict=True)
            if is_new and found.facts
        ]
        with contextlib.suppress(sqlite3.Error):
            if rows:
                self._open.executemany("INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?)", rows)
                self._stored += 1
                if self._stored % COMMIT_EVERY == 0:
                    self._open.commit()

    def close(self) -> None:
        """Commit and close."""
        if self._open is not None:
            with contextlib.suppress(sqlite3.Error):
                self._open.commit()
                self._open.close()
            self._open = None
