"""What the atlas is made of: a manifest, a folder, or single image files."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.images.headers.header import probe_header
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError
from fakefreq.files import sha256_file


def read_inputs(inputs: Sequence[Path], out: Path) -> tuple[pd.DataFrame, Path]:
    """Return the table of images and the folder that its paths are relative to.

    Args:
        inputs: one manifest, one folder (indexed into `out`/manifest.csv), or image files, which become one set.
        out: folder of the atlas.

    Raises:
        UserError: a mixture of these, or a file that is no image.
    """
    first = inputs[0]
    if len(inputs) == 1 and first.is_dir():
        manifest = out / "manifest.csv"
        index_folder(first, manifest, allow_one_class=True, on_error="skip")
        return read_manifest(manifest), out
    if len(inputs) == 1 and first.suffix.lower() in (".csv", ".parquet"):
        return read_manifest(first), first.parent
    rows = []
    for path in inputs:
        if path.is_dir() or path.suffix.lower() in (".csv", ".parquet"):
            raise UserError(f"{path} is no image: give one manifest, or one folder, or image files only")
        try:
            header = probe_header(path)
        except ImageError as error:
            raise UserError(f"{path}: {error.reason}") from error
        rows.append(
            {"path": str(path.absolute()), "label": 0, "generator": "", "subset": "images", "group": path.stem,
             "width": header.width, "height": header.height, "sha256": sha256_file(path)}
        )  # fmt: skip
    return pd.DataFrame(rows), Path("/")
