"""Bars on a terminal, lines elsewhere."""

import io
import logging
import sys

import pytest

from fakefreq import progress
from fakefreq.messages import shown_messages
from fakefreq.progress import ProgressBar, bars_are_shown, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; in the test itself, because pytest puts its own there after the fixtures."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # imported, as some packages do, but no notebook


def levels(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def test_each_tenth_is_a_line_where_it_takes_long(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert list(track(range(40), "score")) == list(range(40))
    assert levels(logged) == [
        (logging.INFO, f"score: {10 * tenth} % (image {4 * tenth} of 40)") for tenth in range(1, 11)
    ]
    assert capsys.readouterr().err == ""


def test_what_is_quick_is_a_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fakefreq")
    with ProgressBar("score", 4, "batch", done=2) as bar:
        bar.update(loss="0.5")
        bar.update(0)
        bar.update()
    assert levels(caplog) == [
        (logging.DEBUG, "score: 75 % (batch 3 of 4)"),
        (logging.DEBUG, "score: 100 % (batch 4 of 4)"),
    ]


def test_a_part_of_something_that_logs_itself_has_no_lines(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with ProgressBar("epoch 1/2", 3, "batch", lines=False) as bar:
        bar.update(3)
    assert list(track(iter("ab"), "unknown length")) == ["a", "b"]
    assert logged.records == []


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture) -> None:
    terminal = open_terminal(monkeypatch)
    for _ in track(range(3), "score"):
        pass
    assert "score: " in terminal.getvalue() and "\r" in terminal.getvalue()
    assert logged.records == []


def test_a_single_step_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    for _ in track(["one"], "score"):
        pass
    assert terminal.getvalue() == ""


def test_messages_and_bars_do_not_write_over_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = open_terminal(monkeypatch)
    with shown_messages():
        for number in track(range(2), "score"):
            logging.getLogger("fakefreq.x").info(f"image {number}")
    assert capsys.readouterr().out == "image 0\nimage 1\n"
    assert terminal.getvalue()


def test_quiet_has_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)
    assert bars_are_shown()
    with shown_messages(logging.WARNING):
        assert not bars_are_shown()
