"""What the folders above an image say, read with all the other folders of the set in sight."""

import os
import re
from collections.abc import Iterable, Sequence

from fakefreq.data.index.names import Entry, Said, is_step, is_wrapper, looks_like_a_generator, read_name
from fakefreq.data.index.videos import Video, find_videos, group_videos
from fakefreq.errors import UserError

WORDS = ("real", "fake")
_BARE = frozenset({"real", "reals", "fake", "fakes"})


class Tree:
    """All folders of a set.

    Args:
        images: (folder relative to the root with `/`, file name), sorted.
        root: the folder's own name, with which groups begin: numbers in two sets are two photographs.
    """

    def __init__(self, images: Sequence[tuple[str, str]], root: str = "") -> None:
        self.root = f"{root}/" if root else ""
        places = {tuple(place.split("/")) for place in dict.fromkeys(place for place, _ in images) if place}
        # Depths at which folders are numbered on after 0 and 1, which then are numbers and no labels.
        self._counted = {at for parts in places for at, part in enumerate(parts) if _counts_on(part)}
        is_flat = any(not place for place, _ in images[:1])
        self.wrappers = frozenset() if is_flat else self._wrappers(places)
        self.videos = find_videos(images)
        found = {parts: video for parts in places if (video := self._video(parts)) is not None}
        groups = group_videos(dict.fromkeys(found.values()))
        self.video_groups = {parts: groups[video] for parts, video in found.items()}
        self._places = places

    @property
    def says_labels(self) -> bool:
        """Whether any folder says real or fake."""
        return any(one.label is not None for parts in self._places for one in self.read(parts))

    def class_names(self) -> list[str]:
        """Return the names of all folders but those of splits and wrappers."""
        names = {part for parts in self._places for part in self.without_splits(parts)}
        return sorted(names)

    def level_of(self, names: Sequence[str]) -> int:
        """Return how deep the folders of some names lie, splits and wrappers not counted.

        Raises:
            UserError: they lie at several depths.
        """
        levels = {
            at for parts in self._places for at, part in enumerate(self.without_splits(parts)) if part in set(names)
        }
        if len(levels) != 1:
            raise UserError(
                f"the folders of --real-classes {' '.join(names)} lie at several depths; index each by itself"
            )
        return levels.pop()

    def without_splits(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Return a path without the folders of splits and those that say nothing."""
        return tuple(part for part in parts if part not in self.wrappers and not _is_split(part))

    def _wrappers(self, places: Iterable[tuple[str, ...]]) -> frozenset[str]:
        """Return the names of the outermost folders that everything lies in and that say nothing."""
        wrappers = set[str]()
        rests = {tuple(part for part in parts if not _is_split(part)) for parts in places}
        while rests and len({rest[:1] for rest in rests}) == 1 and all(len(rest) > 1 for rest in rests):
            name = next(iter(rests))[0]
            below = {read_name(part).label for rest in rests for part in rest[1:]} - {None}
            if read_name(name).label is not None and not (is_wrapper(name) and len(below) == 2):
                break
            # `stylegan/{0_real,1_fake}` is how sets of generators are laid out, `my_set/{real,fake}` is not.
            is_plain = all(rest[1].lower() in _BARE for rest in rests) and not looks_like_a_generator(name)
            if not below or not (is_wrapper(name) or is_plain):
                break
            wrappers.add(name)
            rests = {rest[1:] for rest in rests}
        return frozenset(wrappers)

    def read(self, parts: tuple[str, ...]) -> list[Said]:
        """Return what each folder of a path says."""
        said = []
        for at, part in enumerate(parts):
            one = read_name(part)
            if part in self.wrappers:
                one = Said(None, "", "")
            elif one.is_number and at in self._counted:
                one = Said(None, "", part)
            said.append(one)
        return said

    def label(self, parts: tuple[str, ...]) -> int | None:
        """Return what the folders say of the label: 0, 1, or None where they are silent.

        Raises:
            UserError: one says real and another one fake.
        """
        said = self.read(parts)
        labelled = [at for at, one in enumerate(said) if one.label is not None]
        for at in labelled[1:]:
            if said[at].label != said[labelled[0]].label:
                first, other = (f"{parts[i]}/ says {WORDS[said[i].label or 0]}" for i in (labelled[0], at))
                raise UserError(
                    f"the folder {first}, and {other}; rename one of them, or say what the images are with --list or "
                    "--label and --overrule folders"
                )
        return said[labelled[0]].label if labelled else None

    def split(self, parts: tuple[str, ...]) -> str:
        """Return the split that the folders say, or an empty text.

        Raises:
            UserError: they say two of them.
        """
        splits = list(dict.fromkeys(one.split for one in self.read(parts) if one.split))
        if len(splits) > 1:
            raise UserError(f"its folders say {' and '.join(splits)}, of which an image can only be one; rename one")
        return splits[0] if splits else ""

    def explain(self, parts: tuple[str, ...]) -> tuple[str, Entry] | None:
        """Return the layout and the meaning of the folders above an image, or None where they say nothing.

        A real directly below the root fits two layouts, so its layout is left empty: the fakes decide.

        Raises:
            UserError: two folders say what cannot both be.
        """
        label = self.label(parts)
        split = self.split(parts)
        if label is None:
            return None
        said = self.read(parts)
        at = next(i for i, one in enumerate(said) if one.label is not None)
        above, below = self.names(parts, said, at)
        group = self.video_groups.get(parts, "")
        about = {"split": split, "group": self.root + group if group else "", "pair": self.pair(parts, at)}
        named = said[at].name
        if named and label and said[at].name.lower() in ("celeb", "diff"):
            named = parts[at]  # Celeb-synthesis is a maker's name as a whole
        if above:
            layout = "genimage" if parts[at].lower() in ("ai", "nature") else "generators"
            subset, generator = above[0], named or above[0]
            if below and looks_like_a_generator(below[0]) and not looks_like_a_generator(above[0]):
                generator = below[0]  # the outer folder is a data set, the inner one what made the fakes
            return layout, Entry("", label, generator if label else "", subset, source="" if label else named, **about)
        maker = named or (below[0] if below else "")
        if not label:
            return "", Entry("", 0, "", "", source=maker, **about)
        return ("shared_reals" if maker else "two_classes"), Entry("", 1, maker or "unknown", "", **about)

    def names(self, parts: tuple[str, ...], said: list[Said], at: int) -> tuple[list[str], list[str]]:
        """Return the names above and below the folder of the class that may be of generators, sources or categories."""
        video = self.videos.first(parts, at) if parts in self.video_groups else None
        end = len(parts) if video is None else video
        above = [one.name for one in said[: min(at, end)] if one.name]
        below = [
            one.name or (part if one.label is not None and part.lower().startswith("deepfake") else "")
            for part, one in zip(parts[at + 1 : end], said[at + 1 : end], strict=True)
        ]
        return _of_makers(above), _of_makers(below)

    def pair(self, parts: tuple[str, ...], at: int | None) -> str:
        """Return where the same file name means a photograph and its fake: the path without the folder of the class."""
        kept = [part for i, part in enumerate(parts) if i != at]
        if at is not None:
            one = read_name(parts[at])
            kept[at:at] = [word for word in (one.split, one.name) if word]
        return self.root + "".join(f"{part}/" for part in kept)

    def _video(self, parts: tuple[str, ...]) -> Video | None:
        said = self.read(parts)
        at = next((i for i, one in enumerate(said) if one.label is not None), None)
        if at is None:
            return None
        video = self.videos.first(parts, at)
        if video is None:
            return None
        label = said[at].label or 0
        above = "".join(
            f"{one.split or one.name}/"
            for i, one in enumerate(said)
            if i != at and i < video and (one.split or (i < at and one.name))
        )
        within = "".join(f"{part}/" for i, part in enumerate(parts[:video]) if i != at and part not in self.wrappers)
        first = f"{said[at].split}/" if said[at].split else ""
        return Video(first + above, first + within, parts[video], label)


def root_name(folder: str | os.PathLike[str]) -> str:
    """Return a folder's own name, also where it is given as `.`; of a snapshot in the hub's cache that of the set.

    >>> root_name("hub/datasets--owner--faces/snapshots/0123456789abcdef0123456789abcdef01234567")
    'owner--faces'
    """
    whole = os.path.abspath(folder)  # noqa: PTH100 (resolve() would follow links)
    snapshot = re.search(r"datasets--([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}$", whole)
    return snapshot[1] if snapshot else os.path.basename(whole)  # noqa: PTH119 (likewise)


def _of_makers(names: list[str]) -> list[str]:
    return [name for name in names if name and not name.isdigit() and not is_step(name)]


def _is_split(part: str) -> bool:
    one = read_name(part)
    return bool(one.split) and not one.name and one.label is None


def _counts_on(name: str) -> bool:
    """Whether a folder's name goes on counting after 0 and 1, which then are numbers and no labels."""
    return name.isdecimal() and name not in ("0", "1") and str(int(name)) == name
