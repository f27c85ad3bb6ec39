"""How messages reach the user, and that a library leaves a program's logging alone."""

import logging
import subprocess
import sys

import pytest

from fakefreq.messages import shown_messages

logger = logging.getLogger("fakefreq.some.module")


@pytest.mark.slow
def test_importing_fakefreq_configures_no_logging() -> None:
    code = (
        "import logging, fakefreq, fakefreq.api, fakefreq.cli, fakefreq.train.train\n"
        "logger = logging.getLogger('fakefreq')\n"
        "assert logging.root.handlers == [] and logging.root.level == logging.WARNING\n"
        "assert [type(handler) for handler in logger.handlers] == [logging.NullHandler]\n"
        "assert logger.level == logging.NOTSET and logger.propagate\n"
        "logging.getLogger('fakefreq.some.module').warning('nobody asked')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_messages_are_shown_as_they_are_and_only_within_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    handlers, level = list(logging.getLogger("fakefreq").handlers), logging.getLogger("fakefreq").level
    with shown_messages():
        logger.info("100 % of {these} %s")
        logger.debug("a detail")
    logger.warning("too late")
    assert capsys.readouterr().out == "100 % of {these} %s\n"
    assert (logging.getLogger("fakefreq").handlers, logging.getLogger("fakefreq").level) == (handlers, level)


def test_the_handler_goes_away_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError), shown_messages(logging.DEBUG):
        logger.debug("a detail")
        raise ValueError
    logger.warning("too late")
    assert capsys.readouterr().out == "fakefreq.some.module: a detail\n"
