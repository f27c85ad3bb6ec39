"""Commands that must fail."""

import pytest

from fakefreq.cli import main


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must end with 2; return its only line of error."""
    capsys.readouterr()
    assert main(list(words)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]
