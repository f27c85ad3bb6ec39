"""List the files below a folder: in order, links followed once, loops never."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.errors import UserError


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# HEIC and AVIF are listed, so that they are refused by name and not passed over in silence.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
    | {".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm"}
)
# Files of these endings are no images, and are not opened to see.
OTHER_SUFFIXES = word_set(
    ".txt .csv .tsv .json .jsonl .md .rst .html .htm .xml .yaml .yml .log .pdf .py .ipynb .sh .npy .npz .pkl "
    ".pickle .pt .pth .h5 .hdf5 .mat .mp4 .avi .mov .mkv .webm .wav .mp3 .zip .gz .7z .rar .tgz .db .sqlite .ini "
    ".tmp .part .bak .sha256 .md5 .lock"
)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
# Tables beside images that may say what they are: ArtiFact, Hugging Face's imagefolder.
TABLES = frozenset({"metadata.csv", "metadata.jsonl"})
SHARD_SUFFIXES = frozenset({".tar", ".parquet"})


class Found(NamedTuple):
    """What lies below a folder.

    Args:
        images: (folder relative to the root with `/`, file name), sorted.
        shards: tar and Parquet files, likewise.
        others: number of other files; hidden ones are not counted.
        problems: folders that cannot be listed and names that no table can hold.
        tables: files called metadata.csv or .jsonl, as images.
        endings: of the other files, with their numbers.
    """

    images: list[tuple[str, str]]
    shards: list[tuple[str, str]]
    others: int
    problems: list[ImageError]
    tables: list[tuple[str, str]]
    endings: Counter[str]


# Folders beside images that hold pictures of them: what `fakefreq zoo build` draws to be looked at.
PASSED_OVER = frozenset({"contact_sheets"})


def walk(root: str | Path) -> Found:
    """List all files below a folder.

    A link to a folder is followed if that folder has not been listed by another way: real folders come first, then
    the links nearest to the root, so a loop ends where it began and no image is listed twice.

    Raises:
        UserError: the folder is missing, or no folder.
    """
    if not Path(root).is_dir():
        raise UserError(f"there is no folder {root}; give the folder that holds the images")
    found = Found([], [], 0, [], [], Counter())
    images, others, seen = found.images, 0, set()
    folders, links = [(os.fspath(root), "")], list[tuple[str, str]]()
    while folders or links:
        is_link = not folders
        place, relative = links.pop(0) if is_link else folders.pop()
        try:
            about = os.stat(place)  # noqa: PTH116 (a Path a folder is slow)
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            is_text = _is_text(place)
            with os.scandir(place) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") or name in PASSED_OVER:
                        continue
                    if name.isascii() and is_text and entry.is_file(follow_symlinks=False):
                        # What nearly all of a million entries are, as quick as can be.
                        if name[name.rfind(".") :].lower() in SUFFIXES:
                            images.append((relative, name))
                        else:
                            others += _sort_in(found, entry, relative)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{relative}/{name}" if relative else name))
                    elif _is_folder_link(entry):
                        links.append((entry.path, f"{relative}/{name}" if relative else name))
                    else:
                        others += _sort_in(found, entry, relative)
        except OSError as error:
            found.problems.append(ImageError(place, f"the folder cannot be listed ({error.strerror})"))
        links.sort(key=lambda link: (link[1].count("/"), link[1]))
    found.images.sort()
    found.shards.sort()
    found.tables.sort()
    return found._replace(others=others)


def _is_folder_link(entry: "os.DirEntry[str]") -> bool:
    """Whether a link leads to a folder; one that leads to itself leads nowhere, and reading it will say so."""
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False


def _sort_in(found: Found, entry: "os.DirEntry[str]", relative: str) -> int:
    """Put a file where it belongs; return 1 if it is of no kind that is known here."""
    name, path = entry.name, entry.path
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    is_image = suffix in SUFFIXES
    if not is_image and suffix not in SHARD_SUFFIXES:
        is_image = suffix not in OTHER_SUFFIXES and _begins_as_image(entry)
        if not is_image:
            if name.lower() in TABLES:
                found.tables.append((relative, name))
            found.endings[suffix] += 1
            return 1
    problem = _problem(entry)
    if problem:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        found.problems.append(ImageError(shown, problem))
    else:
        (found.images if is_image else found.shards).append((relative, name))
    return 0


def _begins_as_image(entry: "os.DirEntry[str]") -> bool:
    """Whether a file of no known ending begins as images do."""
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file:  # noqa: PTH123 (a Path a file is slow)
            start, size = file.read(16), entry.stat().st_size
    except OSError:
        return False
    is_bmp = start[:2] == b"BM" and int.from_bytes(start[2:6], "little") == size
    is_boxed = start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"avif")
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return start.startswith(_MAGIC) or is_bmp or is_boxed or is_webp


def _problem(entry: "os.DirEntry[str]") -> str:
    """Why a file cannot be an image, before it is opened: opening a pipe would wait for ever."""
    try:
        is_file = entry.is_file()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not is_file:
        return "is a link that leads to no file" if entry.is_symlink() else "is no regular file but a pipe or a device"
    return "" if _is_text(entry.path) else "its name is not UTF-8, so no table can hold it; rename it"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_images(inputs: Iterable[str | Path]) -> tuple[list[str], list[ImageError]]:
    """Return the image files that files, folders and patterns mean, in their order.

    Args:
        inputs: a folder means all images in it and below, a pattern such as `photos/**/*.jpg` what it matches. What
            else is given is taken for a file, whether it is there or not.

    Returns:
        Paths as given or below what was given, and what cannot be listed.

    Raises:
        UserError: nothing given; a folder or a pattern without an image.
    """
    files: list[str] = []
    problems: list[ImageError] = []
    for text in map(str, inputs):
        several = [text]
        # Those of os.path, unlike a Path's, take a name that is too long for one that is not there.
        if glob.has_magic(text) and not os.path.exists(text):  # noqa: PTH110
            several = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (an absolute pattern is no Path.glob)
            if not several:
                raise UserError(f"no file matches {text}")
        for path in several:
            if not os.path.isdir(path):  # noqa: PTH112
                files.append(path)
                continue
            found = walk(path)
            if not found.images and not found.problems:
                others = f"; it holds {found.others + len(found.shards)} other files" if found.endings else ""
                raise UserError(f"the folder {path} holds no image{others}")
            files += [os.path.join(path, *filter(None, item)) for item in found.images]  # noqa: PTH118
            problems += found.problems
    if not files and not problems:
        raise UserError("there is no image to predict; give files, folders or patterns")
    return files, problems
