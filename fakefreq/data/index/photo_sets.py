"""Published sets of photographs: CelebA, LFW and FFHQ with what their people are known by, and sets of the Hub."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from fakefreq.data.index.names import Entry
from fakefreq.data.index.walk import SHARD_SUFFIXES, SUFFIXES, Found
from fakefreq.errors import UserError
from fakefreq.hub import fetch, list_files, parse_hub_name

logger = logging.getLogger(__name__)


IDENTITIES, PARTITION = "identity_CelebA.txt", "list_eval_partition.txt"
_PARTS = {"0": "train", "1": "val", "2": "test"}
_NUMBERED = re.compile(r"\d{5}\.[A-Za-z]+")
_PERSON = re.compile(r"[A-Z][^_]*(_[A-Z0-9a-z][^_]*)+$")
_THOUSAND = re.compile(r"\d{2}000")


def _celeba_file(folder: Path, name: str) -> Path | None:
    """Where archives put the text files: beside the images, above them, in Anno or Eval."""
    places = (folder, folder / "Anno", folder / "Eval", folder.parent, folder.parent / "Anno", folder.parent / "Eval")
    return next((place / name for place in places if (place / name).is_file()), None)


def is_celeba(folder: Path, found: Found) -> bool:
    """Whether a CelebA text file is there."""
    return bool(found.images) and any(_celeba_file(folder, name) for name in (IDENTITIES, PARTITION))


def read_celeba(folder: Path, found: Found) -> list[Entry]:
    """Identity becomes the group, partition the split, where their files are there."""
    identity, partition = (_two_columns(_celeba_file(folder, name)) for name in (IDENTITIES, PARTITION))
    entries = []
    for place, name in found.images:
        # The aligned PNG set has the names of the JPEG set's text files.
        key = name if name in identity or name in partition else f"{Path(name).stem}.jpg"
        person = identity.get(key)
        split = partition.get(key, "")
        if split and split not in _PARTS:
            raise UserError(f"{PARTITION} gives {key} the partition {split!r}; 0, 1 and 2 are known")
        group = f"celeba-{person}" if person else ""
        entries.append(Entry(_path(folder, place, name), 0, "", "", _PARTS.get(split, ""), group, "celeba"))
    return entries


def _two_columns(path: Path | None) -> dict[str, str]:
    """Read `000001.jpg 2880` lines."""
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    table = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise UserError(f"{path}, line {number}: a file name and a number are due, such as `000001.jpg 2880`")
        table[words[0]] = words[1]
    return table


def is_lfw(_: Path, found: Found) -> bool:
    """Whether every image is called after its folder, with four digits, and most folders are a first and a last name.

    Generators' folders may be numbered likewise (`gan/gan_0001.png`): they are no people.
    """
    folders = {place.rsplit("/", 1)[-1] for place in {place for place, _ in found.images}}
    people = sum(_PERSON.match(folder) is not None for folder in folders)
    return 2 * people > len(folders) and all(
        place and re.fullmatch(r"_\d{4}\.[A-Za-z]+", name.removeprefix(place.rsplit("/", 1)[-1])) is not None
        for place, name in found.images
    )


def read_lfw(folder: Path, found: Found) -> list[Entry]:
    """The person becomes the group."""
    return [
        Entry(_path(folder, place, name), 0, "", "", "", f"lfw-{place.rsplit('/', 1)[-1]}", "lfw")
        for place, name in found.images
    ]


def is_ffhq(_: Path, found: Found) -> bool:
    """Whether every image is a number of five digits in the folder of its thousand.

    Flat numbered files are not taken for FFHQ: generators number their fakes too; --layout ffhq says it.
    """
    return bool(found.images) and all(
        _NUMBERED.fullmatch(name)
        and (last := place.rsplit("/", 1)[-1])
        and _THOUSAND.fullmatch(last)
        and last[:2] == name[:2]
        for place, name in found.images
    )


def read_ffhq(folder: Path, found: Found) -> list[Entry]:
    """The number becomes the group, so that crops and fakes of one photograph stay together."""
    for place, name in found.images:
        if not _NUMBERED.fullmatch(name):
            raise UserError(
                f"{_path(folder, place, name)} is not called as in FFHQ (00000.png); choose another --layout"
            )
    return [Entry(_path(folder, place, name), 0, "", "", "", name[:5], "ffhq") for place, name in found.images]


def _path(folder: Path, place: str, name: str) -> str:
    return f"{folder}/{place}/{name}" if place else f"{folder}/{name}"


# Name -> (whether it is this layout, its images).
DETECTORS: dict[str, tuple[Callable[[Path, Found], bool], Callable[[Path, Found], list[Entry]]]] = {
    "celeba": (is_celeba, read_celeba),
    "lfw": (is_lfw, read_lfw),
    "ffhq": (is_ffhq, read_ffhq),
}


CARD = "README.md"
# Images and shards, and beside them what layouts read: lists, identities, partitions, metadata.
_ENDINGS = sorted({*SUFFIXES, *SHARD_SUFFIXES, ".csv", ".tsv", ".txt", ".json", ".jsonl"})
PATTERNS = [CARD, *(f"*{ending}" for ending in _ENDINGS), *(f"*{ending.upper()}" for ending in _ENDINGS)]
"""What is fetched by default; in a pattern `*` also stands for `/`."""


def fetch_set(given: str | Path, allow: Sequence[str] = ()) -> Path:
    """Fetch a data set into the hub's cache, and return the folder of its revision.

    Args:
        given: `hf://datasets/owner/name[@revision]`.
        allow: patterns of the files to fetch; by default `PATTERNS`.

    Raises:
        UserError: no such set or revision, no network, or nothing in it that matches.
    """
    folder, name = fetch(parse_hub_name(given, "dataset"), [CARD, *allow] if allow else PATTERNS)
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if not any(path.name != CARD for path in files):
        there = Counter(PurePosixPath(path).suffix or path for path in list_files(name))
        held = ", ".join(f"{count} {ending}" for ending, count in there.most_common(6)) or "nothing"
        wanted = "matches --allow" if allow else "is an image or a .parquet or .tar shard"
        raise UserError(f"{name} holds no file that {wanted}, but {held}; --allow names others to fetch")
    licence = read_card(folder).get("license")
    told = f"licence {licence}" if licence else "no licence named"
    logger.info(f"{name}: {len(files)} files, {told}, in {folder}")
    return folder


def read_card(folder: Path) -> dict[str, Any]:
    """Return the front matter of a data set's card; empty where there is none that can be read."""
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
        about = yaml.safe_load(text.removeprefix("---").split("\n---", 1)[0]) if text.startswith("---") else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return about if isinstance(about, dict) else {}


def class_names(card: dict[str, Any], column: str, place: str) -> list[str]:
    """Return the names behind the numbers of a ClassLabel column, as a card says them.

    Args:
        card: its front matter.
        column: the column.
        place: the table's folder; where several configurations differ, the one that is called as a part of it counts.

    Returns:
        Empty where the card says none.

    >>> label = {"name": "label", "dtype": {"class_label": {"names": {"0": "FAKE", "1": "REAL"}}}}
    >>> class_names({"dataset_info": {"features": [label]}}, "label", "data")
    ['FAKE', 'REAL']
    """
    infos: Any = card.get("dataset_info")
    found: dict[str, list[str]] = {}
    for info in infos if isinstance(infos, list) else [infos]:
        try:
            feature = next(one for one in info["features"] if one["name"] == column)
            names = feature["dtype"]["class_label"]["names"]
            named = [str(names[key]) for key in sorted(names, key=int)]
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            continue
        found[str(info.get("config_name", "default"))] = named
    own = [names for name, names in found.items() if name in place.split("/")]
    several = own or list(found.values())
    return several[0] if several and all(names == several[0] for names in several) else []
