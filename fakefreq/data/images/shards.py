"""Images inside other files: `faces.tar::00012.jpg` is a member of a shard, `faces.parquet::12` a row of a table."""

import functools
import os
import posixpath
import re
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.errors import UserError

# Parts a shard from what lies in it: faces.tar::00012.jpg, faces.parquet::12.
MEMBER = "::"
TAR_SUFFIX, PARQUET_SUFFIX = ".tar", ".parquet"
_PARTS = [re.compile(re.escape(suffix + MEMBER), re.IGNORECASE) for suffix in (TAR_SUFFIX, PARQUET_SUFFIX)]


class TarMember(NamedTuple):
    """Where a member's bytes lie in its shard."""

    offset: int
    size: int


def split_member(path: str) -> tuple[str, str] | None:
    """Part `shard.tar::member` or `table.parquet::row`; None where a path is a plain file's.

    >>> split_member("a/faces.tar::00/1.jpg")
    ('a/faces.tar', '00/1.jpg')
    >>> split_member("A.TAR::1.jpg")
    ('A.TAR', '1.jpg')
    >>> split_member("a/odd::name.jpg")
    """
    for part in _PARTS:
        found = part.search(path)
        if found:
            return path[: found.end() - len(MEMBER)], path[found.end() :]
    return None


def read_member(shard: str, member: str) -> bytes:
    """Return the bytes of a tar member, or of the image in a row of a Parquet table.

    Raises:
        ImageError: the shard or what is wanted of it is not there or damaged.
    """
    path = f"{shard}{MEMBER}{member}"
    if shard.lower().endswith(PARQUET_SUFFIX):
        return _parquet_bytes(path, shard, member)
    try:
        members, _ = tar_members(shard)
        place = members.get(member)
        if place is None:
            raise ImageError(path, "there is no such member in the shard")
        with open(shard, "rb", buffering=0) as file:  # noqa: PTH123 (faster than a Path's)
            content = os.pread(file.fileno(), place.size, place.offset)
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from error
    except UserError as error:
        raise ImageError(path, str(error)) from error
    if len(content) < place.size:
        raise ImageError(path, "the shard is cut: the member's end is missing")
    return content


def tar_members(shard: str | Path) -> tuple[dict[str, TarMember], list[ImageError]]:
    """Return the files of an uncompressed tar by name, in the order in which they lie, and the members refused.

    A member with an absolute name or with `..` is refused: nothing here unpacks one, but whoever does would write
    outside the folder. Links and devices are passed over.

    Raises:
        UserError: missing, compressed, or not a tar.
    """
    try:
        about = Path(shard).stat()
    except OSError as error:
        raise UserError(f"the shard {shard} cannot be read ({error.strerror})") from error
    return _tar_members(str(shard), about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _tar_members(shard: str, _size: int, _changed: int) -> tuple[dict[str, TarMember], list[ImageError]]:
    """As `tar_members`; size and time of change are there so that a shard written anew is read anew."""
    members: dict[str, TarMember] = {}
    refused = []
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                name = info.name
                if name.startswith("/") or ".." in name.split("/"):
                    refused.append(ImageError(f"{shard}{MEMBER}{name}", "an absolute name or '..' in a tar is refused"))
                elif info.isreg():
                    members[posixpath.normpath(name)] = TarMember(info.offset_data, info.size)
    except tarfile.TarError as error:
        raise UserError(
            f"{shard} is not an uncompressed tar ({error}); unpack it, or pack it again without gz"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"the shard {shard} cannot be read ({error})") from error
    return members, refused


def need_pyarrow() -> Any:
    """Return pyarrow's Parquet module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError("Parquet needs pyarrow: pip install 'fakefreq[large]'") from error
    return parquet


@functools.lru_cache(maxsize=16)
def open_parquet(table: str) -> Any:
    """Return an open Parquet file.

    Raises:
        UserError: missing, or not Parquet.
    """
    parquet = need_pyarrow()
    try:
        return parquet.ParquetFile(table, memory_map=True)
    except FileNotFoundError as error:
        raise UserError(f"there is no table {table}") from error
    except damaged() as error:
        raise UserError(f"{table} is not a readable Parquet table ({str(error).splitlines()[0]})") from error


def damaged() -> tuple[type[Exception], ...]:
    """What pyarrow raises at a damaged table."""
    import pyarrow

    return OSError, ValueError, pyarrow.ArrowException


def read_columns(table: str, columns: list[str], row_groups: int = 0) -> list[dict[str, Any]]:
    """Return some columns of a Parquet table as rows; no columns give empty rows.

    Args:
        table: the file.
        columns: their names; `image.path` is a field of a struct.
        row_groups: read no more than so many of its row groups; 0 reads all.

    Raises:
        UserError: a damaged table.
    """
    opened = open_parquet(table)
    try:
        if not columns:
            return [{} for _ in range(opened.metadata.num_rows)]
        if row_groups:
            first = list(range(min(row_groups, opened.metadata.num_row_groups)))
            return list(opened.read_row_groups(first, columns=columns).to_pylist())
        return list(opened.read(columns=columns).to_pylist())
    except damaged() as error:
        raise UserError(f"{table} is damaged ({str(error).splitlines()[0]})") from error


def image_column(table: str) -> str:
    """Return the column that holds images, by its type: binary, or a struct with `bytes` as Hugging Face writes it.

    Raises:
        UserError: no column, or several of which none is called `image`.
    """
    import pyarrow

    found = []
    for field in open_parquet(table).schema_arrow:
        kind = field.type
        if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            found.append(str(field.name))
    if len(found) > 1 and "image" in found:
        return "image"
    if len(found) != 1:
        raise UserError(f"{table} has {len(found)} columns of image bytes; one, or one called image, is needed")
    return found[0]


@functools.lru_cache(maxsize=2)
def _row_group(table: str, number: int) -> Any:
    return open_parquet(table).read_row_group(number, columns=[image_column(table)]).column(0)


@functools.lru_cache(maxsize=16)
def _row_group_starts(table: str) -> list[int]:
    about = open_parquet(table).metadata
    starts = [0]
    for number in range(about.num_row_groups):
        starts.append(starts[-1] + about.row_group(number).num_rows)
    return starts


def _parquet_bytes(path: str, table: str, member: str) -> bytes:
    import bisect

    if not member.isdecimal():
        raise ImageError(path, "after :: a row number of the table is due")
    row = int(member)
    try:
        starts = _row_group_starts(table)
        if row >= starts[-1]:
            raise ImageError(path, f"the table has {starts[-1]} rows")
        group = bisect.bisect_right(starts, row) - 1
        value = _row_group(table, group)[row - starts[group]].as_py()
    except UserError as error:
        raise error if isinstance(error, ImageError) else ImageError(path, str(error)) from error
    except damaged() as error:
        raise ImageError(path, f"cannot be read ({str(error).splitlines()[0]})") from error
    content = value.get("bytes") if isinstance(value, dict) else value
    if not content:
        raise ImageError(path, "the row holds no image bytes")
    return bytes(content)
