"""A small published run: how it is sent, and what a refusal looks like."""

from pathlib import Path

import pytest

from fakefreq.cli import main
from tests.helpers.hub_server import Hub

NAME = "owner/detector"


def run_of(benchmarked: Path) -> Path:
    return next((benchmarked / "cells").glob("pixel-*")) / "run"


def publish(run: Path, *words: str, name: str = NAME, licence: str = "apache-2.0") -> int:
    return main(["publish", str(run), name, "--license", licence, *words])


def commit_of(hub: Hub, name: str = NAME) -> str:
    return next(reversed(hub.repositories["model", name].commits))


def refused(capsys: pytest.CaptureFixture[str], status: int) -> str:
    error = capsys.readouterr().err
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1, error
    return error
