"""The documents: links point to files, commands and flags are there, and the README stays short."""

import contextlib
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from fakefreq.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "results" / "README.md",
    ROOT / "data" / "README.md",
    ROOT / "notebooks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
GROUPS = {"zoo", "manifest"}
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(text: str) -> str:
    return FENCE.sub("", text)


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def help_text(*command: str) -> str:
    """What `fakefreq COMMAND --help` prints, asked once."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0, command
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())


def fenced_commands(text: str) -> list[list[str]]:
    """The words after `fakefreq` of every command in a fence."""
    lines = "\n".join(FENCE.findall(text)).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fakefreq ")]


@each_document
def test_relative_links_point_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(slug, headings), f"{document.name} links to {target}"


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


@each_document
def test_lines_of_prose_are_short(document: Path) -> None:
    lines = prose(document.read_text(encoding="utf-8")).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith(("|", "!["))] == []


@each_document
def test_named_commands_are_commands(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`fakefreq ([a-z][a-z-]*)\b", prose(text)) + [words[0] for words in fenced_commands(text)]
    for command in named:
        assert command in COMMANDS, f"{document.name} names `fakefreq {command}`"


@pytest.mark.slow
@each_document
def test_flags_of_fenced_commands_are_accepted(document: Path) -> None:
    for words in fenced_commands(document.read_text(encoding="utf-8")):
        command = words[: 2 if words[0] in GROUPS else 1]
        known = help_text(*command)
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert re.search(rf"(?<![\w-]){flag}(?![\w-])", known), f"{document.name}: {' '.join(command)} {flag}"


def test_the_documents_show_commands() -> None:
    shown = {words[0] for document in DOCUMENTS for words in fenced_commands(document.read_text(encoding="utf-8"))}
    assert {"index", "split", "compare", "train", "benchmark", "audit", "align", "zoo"} <= shown
