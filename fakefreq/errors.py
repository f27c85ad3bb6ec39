"""The exceptions that speak to users."""


class UserError(Exception):
    """A mistake that the user can mend: the command line prints its one line and exits with 2, no traceback.

    The message says what was given, what is allowed, and which flag or argument to change.
    """


class ToldElsewhere(UserError):
    """What went wrong in another process of the same job, which tells it: this one ends with 2 and without a line."""


def at_least(number: int, least: int, flag: str) -> None:
    """Refuse a number below what a flag takes.

    Raises:
        UserError: names the flag, the number and the least one.
    """
    if number < least:
        raise UserError(f"{flag} is {number}; it takes {least} or more")


def choose(given: str, allowed: list[str], what: str, flag: str) -> str:
    """Return `given` if it is one of `allowed`.

    Args:
        given: what the user wrote.
        allowed: every accepted value.
        what: what is being chosen, as in "unknown <what>".
        flag: the flag or argument to change.

    Raises:
        UserError: names the value, the nearest allowed ones and the flag.

    >>> choose("fft", ["fft", "block_dct"], "spectrum", "--spectrum")
    'fft'
    """
    import difflib

    if given in allowed:
        return given
    near = difflib.get_close_matches(given, allowed, n=3)
    hint = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    listed = ", ".join(allowed) if len(allowed) <= 20 else ", ".join(allowed[:20]) + ", ..."
    raise UserError(f"unknown {what} {given!r}; {hint}{flag} takes: {listed}")
