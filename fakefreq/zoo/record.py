"""What a build writes beside its images: the recipe, the manifest, and where every image is from.

`manifest.csv` has the columns of `fakefreq.data.manifests`, so every command reads it; `zoo.csv` adds, by the
same `path`, how each image was made; `zoo.json` is the recipe by which an interrupted build goes on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.degrade.history import History, draw_quality
from fakefreq.data.manifests import COLUMNS, fill_headers, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import atomic_path, read_json, write_json
from fakefreq.zoo.registry import Origin

RECIPE = "zoo.json"
MANIFEST = "manifest.csv"
PROVENANCE = "zoo.csv"


@dataclass(frozen=True)
class Row:
    """One image to be: where it goes, what the manifest says of it, and how it is made.

    Attributes:
        path: in the build's folder.
        label: 0 real, 1 fake.
        generator: what made a fake; empty for reals.
        source: the set of photos that a real, or a fake's parent, is from.
        subset: the generator or control that it belongs to.
        group: the photo (or its person); a fake has its parent's, or its own.
        parent: the photo's name; empty for a fake that has none.
        processing: a control's name.
        seed: of the build.
        index: of a sampled image among the seed's; -1 elsewhere.
        package: what the generator is from, with `version`, `package_sha256`.
        before_resize: the generator worked on the photo before the history's resize.
        history: all that was done after generator or camera, one text for all.
        quality: of the codec, drawn by the history's law.
    """

    path: str
    label: int
    generator: str
    source: str
    subset: str
    group: str
    parent: str
    processing: str
    seed: int
    index: int
    package: str
    version: str
    package_sha256: str
    before_resize: bool
    history: str
    quality: int


def plan_row(
    subset: str,
    label: int,
    name: str,
    history: History,
    seed: int,
    *,
    group: str,
    source: str = "",
    parent: str = "",
    processing: str = "",
    index: int = -1,
    origin: Origin | None = None,
    before_resize: bool = False,
) -> Row:
    """The row of one image; its file's name follows from the subset, the label and the history's codec."""
    path = f"{subset}/{'1_fake' if label else '0_real'}/{name}{history.suffix}"
    origin = origin or Origin("")
    return Row(
        path,
        label,
        subset if label else "",
        source,
        subset,
        group,
        parent,
        processing,
        seed,
        index,
        origin.name,
        origin.version,
        origin.sha256,
        before_resize,
        str(history),
        # The same law for both classes, but a draw of its own for each image.
        draw_quality(history, path, seed),
    )


def check_recipe(folder: Path, recipe: dict[str, Any], write: bool) -> None:
    """A folder holds one build: images of another history or seed must never mix with it unseen.

    Args:
        folder: of the build.
        recipe: what is to be made.
        write: write it, where there is none yet.

    Raises:
        UserError: the folder holds another build, or something else.
    """
    path = folder / RECIPE
    if path.exists():
        found = read_json(path, "the recipe of the build")
        if found != recipe:
            changed = [key for key in recipe if not isinstance(found, dict) or found.get(key) != recipe[key]]
            raise UserError(f"{folder} holds a build with other {', '.join(changed)}; choose another --out")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty and holds no build of the zoo; choose another --out")
    if write:
        write_json(path, recipe)


def write_tables(folder: Path, rows: Sequence[Row]) -> Path:
    """Write `manifest.csv` and `zoo.csv`; a split that the manifest had already stays.

    Returns:
        The manifest's path.
    """
    table = pd.DataFrame([asdict(row) for row in rows]).sort_values("path", ignore_index=True)
    with atomic_path(folder / PROVENANCE) as temporary:
        table.drop(columns=["label", "generator", "source", "subset", "group"]).to_csv(temporary, index=False)
    manifest = table.reindex(columns=COLUMNS, fill_value="")
    if (folder / MANIFEST).exists():
        splits = read_manifest(folder / MANIFEST).set_index("path")["split"]
        manifest["split"] = manifest["path"].map(splits).fillna("")
    write_manifest(fill_headers(manifest, folder), folder / MANIFEST)
    return folder / MANIFEST
