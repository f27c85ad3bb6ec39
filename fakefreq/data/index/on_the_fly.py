"""A folder (or shard) of images where a manifest is wanted: its manifest is made on the way."""

import logging
from pathlib import Path
from typing import Literal

from fakefreq.data.index.index import index_folder
from fakefreq.data.manifest.edit import rewrite_split
from fakefreq.data.manifest.table import read_manifest
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)


def manifest_or_index(
    given: Path,
    keep_in: Path,
    on_error: Literal["stop", "skip"] = "stop",
    split: bool = False,
) -> Path:
    """Return the manifest that is given, or that of a given folder, as `fakefreq index` (and `split`) make it.

    Args:
        given: a manifest, or a folder or .tar shard of images.
        keep_in: folder for the manifest that is made; it is called as the images' folder.
        on_error: at an image that cannot be used: `stop`, or `skip` it and list it.
        split: also fill the splits that no folder names, with the shares of `fakefreq split`.

    Raises:
        UserError: the folder cannot be indexed or split.
    """
    if not given.is_dir() and given.suffix.lower() != ".tar":
        return given
    manifest = keep_in / f"{given.resolve().name or 'images'}.csv"
    logger.info(f"{given} is no manifest: its images are indexed into {manifest}")
    try:
        index_folder(given, manifest, on_error=on_error, allow_one_class=True)
    except UserError as error:
        raise UserError(
            f"{error} To give flags, make the manifest first: `fakefreq index {given} --out {manifest}`; "
            "`fakefreq predict` needs no labels"
        ) from error
    if split and (read_manifest(manifest)["split"] == "").all():
        rewrite_split(manifest, manifest, (0.7, 0.1, 0.2), seed=0, keep=True)
    return manifest
