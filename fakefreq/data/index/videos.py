"""Folders of frames: which folders are videos, and which videos may never be parted."""

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fakefreq.data.index.names import holds_videos, is_video, looks_like_a_generator, read_name

_PAIR = re.compile(r"(\d+)_(\d+)")
_PERSON = re.compile(r"(id\d+)_.*|(\d+)(?:_\d+)?__.*", re.IGNORECASE)
# DFDC calls its videos by ten letters.
_LETTERS = re.compile(r"[a-z]{10}")
_FRAME = re.compile(r"(frame|img|image)?[-_ ]?\d+(_\d+)?\.\w+|frame.*\d\.\w+", re.IGNORECASE)
# Fewer folders of files called frame_... may as well be generators.
_MANY = 4


class Videos(NamedTuple):
    """How the videos of a set are called.

    Args:
        numbers: whether folders called by a bare number are videos: their files have the same names again and again.
        letters: whether folders of ten small letters are, as in DFDC.
        parents: folders (relative to the root) each of whose folders is a video.
    """

    numbers: bool = False
    letters: bool = False
    parents: frozenset[str] = frozenset()

    def first(self, parts: Sequence[str], labelled: int) -> int | None:
        """Return which of the folders above an image is its video, the outermost one if several are.

        Args:
            parts: of the folder's path.
            labelled: which of them says real or fake.
        """
        for at, part in enumerate(parts):
            if at == labelled or (part.lower() in ("0", "1") and at < labelled):
                continue
            if is_video(part) and not _is_size(part):
                return at
            if (self.numbers and part.isdigit()) or (self.letters and _LETTERS.fullmatch(part)):
                return at
            below = at > labelled and (holds_videos(parts[at - 1]) or "/".join(parts[:at]) in self.parents)
            if below and read_name(part).label is None:
                return at
        return None


def find_videos(images: Iterable[tuple[str, str]]) -> Videos:
    """Return how videos are called.

    Args:
        images: (folder relative to the root, file name), sorted by folder.
    """
    of_numbers: dict[str, set[str]] = defaultdict(set)
    frames, letters, is_sure = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list), False
    for place, there in itertools.groupby(images, operator.itemgetter(0)):
        parts = place.split("/")
        numbers = [part for part in parts if part.isdigit()]
        number = next((part for part in numbers if part not in ("0", "1")), numbers[-1] if numbers else None)
        first = next(there)[1]
        is_sure |= any(is_video(part) and not _is_size(part) for part in parts)
        if number is not None:
            # The same names in the same number's folder of either class are photographs and their fakes, no videos.
            of_numbers[number].update([first, *(name for _, name in there)])
        parent, _, last = place.rpartition("/")
        if parent and _LETTERS.fullmatch(last) and _FRAME.fullmatch(first):
            letters[parent].append(last)
        if parent and first.lower().startswith("frame") and read_name(last) == (None, "", last, False):
            frames[parent].append(last)
    names = set[str]().union(*of_numbers.values()) if of_numbers else set[str]()
    repeats = len(of_numbers) > 1 and len(names) < sum(map(len, of_numbers.values()))
    parents = frozenset(
        parent
        for parent, folders in frames.items()
        if len(folders) >= _MANY and not any(looks_like_a_generator(folder) for folder in folders)
    )
    of_letters = any(
        len(folders) > 1 and not any(looks_like_a_generator(folder) for folder in folders)
        for folders in letters.values()
    )
    return Videos(repeats or (is_sure and bool(of_numbers)), of_letters, parents)


def _is_size(part: str) -> bool:
    """Whether a name is `256_256`, a size and no pair of videos."""
    found = _PAIR.fullmatch(part)
    return found is not None and found[1] == found[2]


class Video(NamedTuple):
    """One folder of frames.

    Args:
        above: folders above the class, and the split: videos of two of these are never the same.
        within: the path with the folder of the class left out, up to the video.
        name: of the video.
        label: 0 real, 1 fake.
    """

    above: str
    within: str
    name: str
    label: int


def group_videos(videos: Iterable[Video]) -> dict[Video, str]:
    """Return the group of each video.

    A fake that is called after two videos (`000_003`: FaceForensics++) is in the group of the first, whose frames it
    shows, and where there is also `003_000` in that of both. Where names begin with a person (`id0_id16_0001`:
    Celeb-DF, `01_02__outside`: DFD) the person whose video was changed is the group.
    """
    videos = list(videos)
    real = {(video.above, video.name) for video in videos if not video.label}
    fake = {(video.above, video.name) for video in videos if video.label}
    partner = dict[tuple[str, str], str]()
    for above, name in fake:
        pair = _PAIR.fullmatch(name)
        if pair and (above, f"{pair[2]}_{pair[1]}") in fake:
            partner[above, pair[1]] = pair[2]
    groups = dict[Video, str]()
    for video in videos:
        above, name = video.above, video.name
        pair, person = _PAIR.fullmatch(name), _PERSON.fullmatch(name)
        target = pair[1] if pair and video.label and (above, pair[1]) in real else name
        if person:
            groups[video] = above + (person[1] or person[2])
        elif (above, target) in real and (not video.label or target != name):
            groups[video] = above + min(target, partner.get((above, target), target))
        else:
            groups[video] = video.within + name
    return groups
