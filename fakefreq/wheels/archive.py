"""Members of a fetched archive, read one by one and never unpacked, so no name in it can reach the disk."""

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fakefreq.errors import UserError

MEMBER_LIMIT = 256 * 2**20
"""Bytes that one member may unpack to; the largest that is read has 90 MB."""

# The high half of a ZIP member's attributes is the file's Unix mode, where the archiver wrote one.
_ZIP_MODE_SHIFT = 16


def read_member(path: str | Path, member: str, limit: int = MEMBER_LIMIT) -> bytes:
    """Read one member of a wheel, ZIP file or (compressed) tar archive.

    Args:
        path: the archive.
        member: the member's name, with `/` between folders.
        limit: bytes that it may unpack to.

    Raises:
        UserError: the name is absolute or climbs with `..`, the archive is damaged or lacks the member,
            or the member is a link, a folder or larger than `limit`.
    """
    for _, payload in iterate_members(path, [member], limit):
        return payload
    raise UserError(f"{Path(path).name} has no member {member}; fetch the file again")


def iterate_members(path: str | Path, members: list[str], limit: int = MEMBER_LIMIT) -> Iterator[tuple[str, bytes]]:
    """Read members of one archive, opened once, in the order asked for; the checks are `read_member`'s.

    Yields:
        (member name, its bytes).
    """
    for member in members:
        _check_name(member, path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in members:
                    yield member, _read_zip(archive, member, path, limit)
        else:
            with tarfile.open(path) as archive_tar:
                for member in members:
                    yield member, _read_tar(archive_tar, member, path, limit)
    except KeyError as error:
        raise UserError(f"{Path(path).name} has no such member: {error.args[0]}; fetch the file again") from error
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        tarfile.TarError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise UserError(f"cannot read {path} as an archive: {error}; delete it and fetch it again") from error


def list_members(path: str | Path, prefix: str = "", suffix: str = "") -> list[str]:
    """Names of the files in an archive that start with `prefix` and end with `suffix`, sorted.

    Raises:
        UserError: the archive cannot be read.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
        else:
            with tarfile.open(path) as archive_tar:
                names = [info.name for info in archive_tar.getmembers() if info.isfile()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError(f"cannot read {path} as an archive: {error}; delete it and fetch it again") from error
    return sorted(name for name in names if name.startswith(prefix) and name.endswith(suffix))


def _check_name(member: str, path: str | Path) -> None:
    parts = PurePosixPath(member).parts
    if not parts or member.startswith(("/", "\\")) or ".." in parts or "\\" in member or ":" in parts[0]:
        raise UserError(f"refused member {member!r} of {Path(path).name}: only plain relative names are read")


def _check_size(size: int, member: str, limit: int) -> None:
    if size > limit:
        raise UserError(f"refused member {member}: it unpacks to {size} bytes, more than the limit of {limit}")


def _read_zip(archive: zipfile.ZipFile, member: str, path: str | Path, limit: int) -> bytes:
    info = archive.getinfo(member)
    kind = stat.S_IFMT(info.external_attr >> _ZIP_MODE_SHIFT)
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        raise UserError(f"refused member {member} of {Path(path).name}: it is not a plain file")
    _check_size(info.file_size, member, limit)
    with archive.open(info) as file:
        payload = file.read(limit + 1)  # the header's size may lie
    _check_size(len(payload), member, limit)
    return payload


def _read_tar(archive: tarfile.TarFile, member: str, path: str | Path, limit: int) -> bytes:
    info = archive.getmember(member)
    file = archive.extractfile(info) if info.isreg() else None
    if file is None:
        raise UserError(f"refused member {member} of {Path(path).name}: it is not a plain file")
    _check_size(info.size, member, limit)
    with file:
        return file.read(limit + 1)
