"""The manifest, the table of images: made from a folder, read and written whole. All of it under one name."""

from fakefreq.data.index.index import fill_headers, index_folder
from fakefreq.data.manifest.edit import move_paths, rewrite_split
from fakefreq.data.manifest.table import (
    COLUMNS,
    NEEDED,
    NUMBERS,
    check_same_manifest,
    manifest_digest,
    read_manifest,
    write_manifest,
    write_skipped,
)

__all__ = [
    "COLUMNS",
    "NEEDED",
    "NUMBERS",
    "check_same_manifest",
    "fill_headers",
    "index_folder",
    "manifest_digest",
    "move_paths",
    "read_manifest",
    "rewrite_split",
    "write_manifest",
    "write_skipped",
]
