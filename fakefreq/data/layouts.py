"""Recognise how a folder of real and fake images is laid out."""

import os
from dataclasses import dataclass
from pathlib import Path

from fakefreq.errors import UserError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
REAL_NAMES = frozenset({"0_real", "real", "reals", "0"})
FAKE_NAMES = frozenset({"1_fake", "fake", "fakes", "1"})
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

LAYOUTS = {
    "generators": "<generator>[/<class>]/{0_real,1_fake}/*",
    "shared_reals": "real/* beside fake/<generator>/*",
    "two_classes": "{real,fake}/* (also {0,1} and {0_real,1_fake})",
}


@dataclass(frozen=True)
class Entry:
    """One image file and what its folders say of it.

    Args:
        path: the file.
        label: 0 real, 1 fake.
        generator: its maker; empty for reals.
        subset: which reals stand against which fakes; empty where all generators share the reals.
        split: `train`, `val`, `test`, or empty where no folder says.
    """

    path: Path
    label: int
    generator: str
    subset: str
    split: str


def list_images(folder: Path) -> tuple[list[Path], int]:
    """Return all image files below a folder, sorted, and the number of other files; links to folders are not followed.

    Raises:
        UserError: the folder is missing, or no folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give the folder that holds the images")
    found, others = [], 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "contact_sheets"]
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in SUFFIXES:
                found.append(Path(place) / name)
            else:
                others += 1
    return sorted(found, key=lambda path: path.as_posix()), others


def read_layout(folder: str | Path) -> tuple[str, list[Entry], int]:
    """Recognise a folder's layout and list its images. A `train|val|test` level above any layout fills the split.

    Args:
        folder: the folder that holds the images.

    Returns:
        The layout's name (a key of `LAYOUTS`), the images in sorted order, and the number of other files.

    Raises:
        UserError: missing or empty folder, or an image that no layout explains; the message shows all layouts.
    """
    folder = Path(folder)
    images, others = list_images(folder)
    if not images:
        raise UserError(f"{folder} holds no image ({', '.join(sorted(SUFFIXES))}) but {others} other files")
    entries: list[Entry] = []
    names = set()
    for path in images:
        name, entry = _explain(path, path.relative_to(folder).parts[:-1], folder)
        if name:
            names.add(name)
        entries.append(entry)
    if names <= {"generators"} and any(not entry.subset for entry in entries):
        names.add("two_classes")  # reals below the root, and no fakes there to say more
    if len(names) > 1:
        raise UserError(f"{folder} mixes the layouts {' and '.join(sorted(names))}; index each part by itself")
    return names.pop(), entries, others


def _explain(path: Path, parts: tuple[str, ...], folder: Path) -> tuple[str, Entry]:
    """Return the layout and the meaning of one file by the folders between the root and it.

    A real directly below the root fits two layouts, so its layout is left empty: the fakes decide.
    """
    folded = [part.lower() for part in parts]
    split = SPLIT_NAMES[folded[0]] if folded and folded[0] in SPLIT_NAMES else ""
    if split:
        parts, folded = parts[1:], folded[1:]
    for position, name in enumerate(folded):
        label = 0 if name in REAL_NAMES else 1 if name in FAKE_NAMES else None
        if label is None:
            continue
        if position == 0 and label == 1 and len(parts) > 1:
            return "shared_reals", Entry(path, 1, parts[1], "", split)
        if position == 0:
            return "two_classes" if label else "", Entry(path, label, "unknown" if label else "", "", split)
        generator = parts[0]
        return "generators", Entry(path, label, generator if label else "", generator, split)
    shown = ", ".join(sorted(child.name + ("/" if child.is_dir() else "") for child in _children(folder))[:8])
    known = "; ".join(LAYOUTS.values())
    raise UserError(
        f"the layout of {folder} is unknown: {path.relative_to(folder)} lies in no folder named real or fake. "
        f"Looked for: {known}; each also below train|val|test. Found: {shown}"
    )


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if not child.name.startswith(".")] if folder.is_dir() else []
