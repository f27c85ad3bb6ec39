"""What fakefreq logs, shown as plain lines: by the command line and by scripts, never by the library itself."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fakefreq.errors import UserError

LEVELS = {"--quiet": logging.WARNING, "--verbose": logging.DEBUG}
"""The flags that every command takes, and the lowest level that each lets through."""


class PlainLines(logging.Handler):
    """Prints each message as it is to standard output, above the bars.

    An error in printing, such as a closed pipe, is the caller's to see, as it is with `print`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        from fakefreq.progress import write_line

        write_line(self.format(record))


@contextmanager
def shown_messages(level: int = logging.INFO) -> Iterator[None]:
    """Show what fakefreq logs, for as long as the context lasts; also a decorator.

    Args:
        level: the lowest level that is shown. From `DEBUG` down, each line says which module logged it.

    >>> with shown_messages():
    ...     logging.getLogger("fakefreq.example").info("3 images scored")
    3 images scored
    """
    logger = logging.getLogger("fakefreq")
    before = logger.level
    handler = PlainLines()
    handler.setFormatter(logging.Formatter("%(message)s" if level > logging.DEBUG else "%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def take_level(words: Sequence[str]) -> tuple[int, list[str]]:
    """Return the level that the words of a command ask for, and the other words.

    Args:
        words: the command line, with `--quiet` or `--verbose` anywhere in it, or neither.

    Raises:
        UserError: both are there.

    >>> take_level(["train", "faces.csv", "--quiet"])
    (30, ['train', 'faces.csv'])
    """
    given = {word for word in words if word in LEVELS}
    if len(given) > 1:
        raise UserError("--quiet and --verbose are both given; leave one of them out")
    level = LEVELS[given.pop()] if given else logging.INFO
    return level, [word for word in words if word not in LEVELS]
