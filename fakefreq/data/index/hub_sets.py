"""Data sets on the Hugging Face hub: what is fetched of one, and what its card says."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from fakefreq.data.index.walk import SHARD_SUFFIXES, SUFFIXES
from fakefreq.errors import UserError
from fakefreq.hub import fetch, list_files, parse_hub_name

logger = logging.getLogger(__name__)

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
