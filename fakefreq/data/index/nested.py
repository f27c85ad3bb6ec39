"""Nested JSON lists: DeepfakeBench's videos with their frames, and images by path."""

import re
from collections.abc import Iterator
from typing import Any

from fakefreq.data.index.names import read_name
from fakefreq.data.index.values import SPLIT_NAMES, Columns
from fakefreq.data.index.videos import Video, group_videos
from fakefreq.data.index.walk import SUFFIXES

# What DeepfakeBench calls the parts of FaceForensics++.
_FORENSICS = {
    "df": "Deepfakes", "f2f": "Face2Face", "fs": "FaceSwap", "nt": "NeuralTextures", "sh": "FaceShifter",
    "fh": "FaceShifter", "dfd": "DeepFakeDetection",
}  # fmt: skip


def nested_rows(content: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    """Return one row a frame, or an empty list where the JSON is not of these forms.

    Args:
        content: objects in objects; the innermost hold a `label` and a list of `frames`, or are an image each, by path;
            instead of an object it may have its label alone.
        columns: how the columns of the rows are to be called.

    >>> video = {"label": "FF-DF", "frames": ["a/000_003/1.png"]}
    >>> nested_rows({"FaceForensics++": {"FF-DF": {"train": {"c23": {"000_003": video}}}}}, Columns())
    [{'path': 'a/000_003/1.png', 'label': '1', 'split': 'train', 'generator': 'Deepfakes', 'group': 'train/000_003'}]
    """
    rows: list[dict[str, Any]] = []
    videos: list[Video | None] = []
    for above, name, inner in _innermost(content, ()):
        split = next((SPLIT_NAMES[key.lower()] for key in above if key.lower() in SPLIT_NAMES), "")
        given = str(inner.get(columns.label, inner.get("label", "")))
        label = columns.parse_label(given)
        label = _label(given) if label is None else label
        frames = inner.get("frames")
        about = {columns.label: given if label is None else str(label), columns.split: str(inner.get("split", split))}
        if isinstance(frames, list):
            # The outermost object is the data set: numbers of videos in two of them are two videos.
            where = f"{split}/" if split else ""
            video = Video(where, where, name, label or 0)
            maker = _maker(given, above) if label else ""
            for frame in frames:
                rows.append({columns.path: str(frame), **about, columns.generator: maker})
                videos.append(video)
        elif _is_image(name):
            rows.append(
                {columns.path: name, **{k: v for k, v in inner.items() if isinstance(v, str | int | float)}, **about}
            )
            videos.append(None)
    groups = group_videos(dict.fromkeys(video for video in videos if video))
    return [
        row if video is None else {**row, columns.group: groups[video]} for row, video in zip(rows, videos, strict=True)
    ]


def _innermost(
    content: dict[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    for name, inner in content.items():
        if isinstance(inner, dict):
            if "label" in inner and not isinstance(inner["label"], dict):
                yield above, str(name), inner
            else:
                yield from _innermost(inner, (*above, str(name)))
        elif isinstance(inner, str | int) and _is_image(str(name)):
            yield above, str(name), {"label": inner}


def _is_image(name: str) -> bool:
    return name[name.rfind(".") :].lower() in SUFFIXES


def _label(text: str) -> int | None:
    """Return the label of a name such as FF-real, FF-DF, CelebDFv2_fake or DFDCP_FakeA."""
    label = read_name(text).label
    if label is None:
        words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
        if len(words) > 1 and words[0] == "ff" and words[-1] in _FORENSICS:
            return 1
        if words and re.fullmatch(r"fake[a-z]", words[-1]):
            return 1
    return label


def _maker(text: str, above: tuple[str, ...]) -> str:
    """Return what made the fakes: a part of FaceForensics++, or the name of the class or the data set."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    if len(words) > 1 and words[0].lower() == "ff":
        return _FORENSICS.get(words[-1].lower(), text)
    return text if read_name(text).name or len(words) > 1 else (above[0] if above else "unknown")
