"""How far something long has come: a bar on a terminal or in a notebook, else a line in the log now and then."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TypeVar

logger = logging.getLogger(__name__)

LINE_SECONDS = 30.0
"""Seconds between two lines of one `ProgressBar`; those that come sooner are for `--verbose`."""

T = TypeVar("T")


class ProgressBar:
    """Something countable under way, as a context manager.

    Where standard error is a terminal, and in a notebook, it is a bar that vanishes at the end. Elsewhere each tenth is
    a line of the log: `INFO` where it took `LINE_SECONDS` or more, else `DEBUG`. A logger `fakefreq` whose level is
    above `INFO` has no bars either.

    Args:
        what: what is done, in a few words.
        total: how much there is, if that is known; without it there are no lines, and of 1 there is no bar.
        unit: what is counted, in the singular.
        done: how much of it was done before.
        lines: log lines where there is no bar; not where what it is a part of logs its own.

    >>> with ProgressBar("scoring", total=3) as progress:
    ...     for _ in range(3):
    ...         progress.update()
    """

    def __init__(
        self, what: str, total: int | None = None, unit: str = "image", done: int = 0, lines: bool = True
    ) -> None:
        self.what, self.total, self.unit, self.done, self.lines = what, total, unit, done, lines
        self._bar: Any = None
        if bars_are_shown() and total != 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, initial=done, desc=what, unit=unit, leave=False)
        self._told = time.perf_counter()

    def update(self, count: int = 1, **notes: str) -> None:
        """Count on.

        Args:
            count: how many are done since the last call, 0 or more.
            notes: what a bar shows beside it, such as a loss.
        """
        before, self.done = self.done, self.done + count
        if self._bar is not None:
            if notes:
                self._bar.set_postfix(notes, refresh=False)
            self._bar.update(count)
        elif self.lines and self.total and 10 * self.done // self.total > 10 * before // self.total:
            self._tell(self.total)

    def _tell(self, total: int) -> None:
        now = time.perf_counter()
        is_due = now - self._told >= LINE_SECONDS
        if is_due:
            self._told = now
        level = logging.INFO if is_due else logging.DEBUG
        logger.log(level, f"{self.what}: {100 * self.done // total} % ({self.unit} {self.done} of {total})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "image") -> Iterator[T]:
    """Go through some items under a `ProgressBar`.

    Args:
        items: what is gone through.
        what: what is done, in a few words.
        total: how many there are; by default their length, if they have one.
        unit: what is counted, in the singular.

    >>> sum(track([1, 2, 3], "adding", unit="number"))
    6
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with ProgressBar(what, total, unit) as progress:
        for item in items:
            yield item
            progress.update()


def bars_are_shown() -> bool:
    """Say whether there are bars here: on a terminal or in a notebook, unless the logger `fakefreq` is quiet."""
    # Packages import ipykernel outside of notebooks too, so the shell itself is asked.
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    is_seen = sys.stderr.isatty() or hasattr(shell, "kernel")
    return is_seen and logging.getLogger("fakefreq").level <= logging.INFO


def write_line(line: str) -> None:
    """Print a line to standard output at once, above the bars that there are."""
    if bars_are_shown():
        from tqdm import tqdm

        tqdm.write(line, file=sys.stdout)
    else:
        print(line)
    sys.stdout.flush()
