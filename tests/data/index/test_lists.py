"""Lists as people have them: text, tabs, semicolons, Windows' paths, DeepfakeBench's JSON, metadata beside images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.data.index.folders import read_layout
from fakefreq.data.index.names import Columns, Hints
from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError
from tests.helpers.made_sets import both, make_set

NAMES = both("{k}/{i}.png")
LABEL = [int(name.startswith("fake")) for name in NAMES]


def index(root: Path, listed: Path | None = None, hints: Hints | None = None) -> pd.DataFrame:
    return index_folder(root, root.parent / "m.csv", listed=listed, hints=hints, jobs=1)[0]


def lines(form: str, heading: str = "") -> str:
    rows = [form.format(p=name, l=label, w=("real", "fake")[label]) for name, label in zip(NAMES, LABEL, strict=True)]
    return "\n".join([heading, *rows] if heading else rows) + "\n"


# Text of a list -> its ending.
TEXTS = {
    "blank": (lines("{p} {l}"), ".txt"),
    "blank, label first": (lines("{l} {p}"), ".txt"),
    "blank, heading": (lines("{p} {w}", "path label"), ".txt"),
    "only paths": (lines("{p}"), ".txt"),
    "comma in text": (lines("{p},{w}"), ".txt"),
    "tab in text": (lines("{p}\t{l}"), ".txt"),
    "tab": (lines("{p}\t{w}", "path\tlabel"), ".tsv"),
    "tab, no heading": (lines("{p}\t{w}"), ".tsv"),
    "comma, no heading": (lines("{p},{l}"), ".csv"),
    "semicolon": (lines("{p};{w}", "path;label"), ".csv"),
    "upper case": (lines("{p},{w}", "path,label").replace("fake\n", "FAKE\n"), ".CSV"),
    "empty lines": (lines("{p} {l}").replace("\n", "\n\n"), ".txt"),
    "dots": (lines("./{p},{w}", "path,label"), ".csv"),
    "quoted": (lines('"{p}","{w}"', '"path","label"'), ".csv"),
}


@pytest.mark.slow
@pytest.mark.parametrize("windows", ["", "lines", "backslashes", "mark", "utf-16"])
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_tables_of_any_separator_with_and_without_a_heading(name: str, windows: str, tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", NAMES)
    text, suffix = TEXTS[name]
    if windows == "lines":
        text = text.replace("\n", "\r\n")
    elif windows == "backslashes":
        text = text.replace("/", "\\")
    listed = tmp_path / f"list{suffix}"
    listed.write_bytes(text.encode({"mark": "utf-8-sig", "utf-16": "utf-16"}.get(windows, "utf-8")))
    manifest = index(root, listed)
    assert manifest["label"].tolist() == [1] * 4 + [0] * 4
    assert manifest["path"].tolist() == [f"d/{name}" for name in sorted(NAMES)]


@pytest.mark.parametrize("row", [
    "{p},{i},{w}", "{i},{p},{l}", "{p},{w},stylegan2,train", "{p};{i};{w}", "{p}\t{i}\t{w}", "{p} {i} {w}",
    "{p},{w},{p}",
])  # fmt: skip
def test_more_than_a_path_and_a_label_need_a_heading(row: str, tmp_path: Path) -> None:
    names = [f"x{i}.png" for i in range(4)]
    root = make_set(tmp_path / "d", names)
    rows = [row.format(p=name, i=i, l=1, w=("fake", "real")[i % 2]) for i, name in enumerate(names)]
    (tmp_path / "l.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(UserError, match=r"more than a path and a label .*no heading; .*path, label, .*--path-column"):
        index(root, tmp_path / "l.csv")
    assert not (tmp_path / "m.csv").exists()


def test_a_last_empty_column_needs_no_heading(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", NAMES)
    (tmp_path / "l.csv").write_text(lines("{p},{w},"))
    assert index(root, tmp_path / "l.csv")["label"].tolist() == [1] * 4 + [0] * 4


def test_paths_with_blanks_and_a_list_that_is_no_list(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", ["a b/1 x.png", "a b/2 x.png"])
    (tmp_path / "l.txt").write_text("a b/1 x.png 0\na b/2 x.png 1\n")
    assert index(root, tmp_path / "l.txt")["label"].tolist() == [0, 1]
    for name, text in (
        ("l.json", '{"a": 1}'),
        ("l.json", "real/1.png 0"),
        ("l.csv", "what\never\n"),
        ("l.bin", "\0\1"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=name):
            index(root, tmp_path / name)


def bench(kind: str) -> tuple[list[str], dict[str, Any]]:
    """Files and nested JSON as DeepfakeBench's preprocessing writes it."""
    files: list[str] = []

    def video(label: str, folder: str) -> dict[str, object]:
        frames = [f"{folder}/{i:03d}.png" for i in (0, 9)]
        files.extend(frames)
        return {"label": label, "frames": frames}

    def part(label: str, folder: str, names: list[str], level: bool) -> dict[str, Any]:
        result = {}
        for split, some in (("train", names[:4]), ("val", names[4:6]), ("test", names[6:])):
            videos = {name: video(label, f"{folder}/{name}") for name in some}
            result[split] = {"c23": videos} if level else videos
        return result

    numbers, pairs = [f"{i:03d}" for i in range(8)], [f"{i:03d}_{i ^ 1:03d}" for i in range(8)]
    people, swapped = [f"id{i}_0000" for i in range(8)], [f"id{i}_id{(i + 1) % 8}_0000" for i in range(8)]
    if kind == "FaceForensics++":
        real = part("FF-real", "FaceForensics++/original_sequences/youtube/c23/frames", numbers, True)
        fakes = {
            f"FF-{short}": part(f"FF-{short}", f"FaceForensics++/manipulated_sequences/{name}/c23/frames", pairs, True)
            for short, name in (("DF", "Deepfakes"), ("NT", "NeuralTextures"))
        }
        return files, {kind: {"FF-real": real, **fakes}}
    if kind == "Celeb-DF-v2":
        real = part("CelebDFv2_real", "Celeb-DF-v2/Celeb-real/frames", people, False)
        fake = part("CelebDFv2_fake", "Celeb-DF-v2/Celeb-synthesis/frames", swapped, False)
        return files, {kind: {"CelebDFv2_real": real, "CelebDFv2_fake": fake}}
    real, fake = (
        part(label, f"DFDCP/{label}", [f"{label}{i}" for i in range(8)], False)
        for label in ("DFDCP_Real", "DFDCP_FakeA")
    )
    return files, {kind: {"DFDCP_Real": real, "DFDCP_FakeA": fake}}


@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("kind", ["FaceForensics++", "Celeb-DF-v2", "DFDCP"])
def test_nested_json_of_deepfakebench(kind: str, slash: str, tmp_path: Path) -> None:
    files, content = bench(kind)
    root = make_set(tmp_path / "d", files)
    (tmp_path / "list.json").write_text(json.dumps(content).replace("/", slash.replace("\\", "\\\\")))
    manifest = index(root, tmp_path / "list.json")
    assert len(manifest) == len(files)
    assert (manifest["label"] == (~manifest["path"].str.contains("original|real|Real")).astype(int)).all()
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert manifest["group"].nunique() == {"FaceForensics++": 4, "Celeb-DF-v2": 8, "DFDCP": 16}[kind]
    generators = set(manifest["generator"]) - {""}
    assert generators == {
        "FaceForensics++": {"Deepfakes", "NeuralTextures"}, "Celeb-DF-v2": {"CelebDFv2_fake"}, "DFDCP": {"DFDCP_FakeA"}
    }[kind]  # fmt: skip
    split = rewrite_split(tmp_path / "m.csv", tmp_path / "m.csv")
    assert split["split"].tolist() == manifest["split"].tolist()


def test_json_of_one_object_an_image(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", NAMES)
    rows = {
        name: {"label": ("REAL", "FAKE")[label], "split": "train"} for name, label in zip(NAMES, LABEL, strict=True)
    }
    (tmp_path / "l.json").write_text(json.dumps(rows))
    assert index(root, tmp_path / "l.json")["label"].tolist() == [1] * 4 + [0] * 4


@pytest.mark.parametrize("form", ["path and number", "path and word", "nested by split", "wrapped list"])
def test_json_of_paths_and_labels(form: str, tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", NAMES)
    plain = dict(zip(NAMES, LABEL, strict=True))
    content = {
        "path and number": plain,
        "path and word": {name: ("real", "fake")[label] for name, label in plain.items()},
        "nested by split": {"train": plain},
        "wrapped list": {"images": [{"path": name, "label": label} for name, label in plain.items()]},
    }[form]
    (tmp_path / "l.json").write_text(json.dumps(content))
    manifest = index(root, tmp_path / "l.json")
    assert manifest["label"].tolist() == [1] * 4 + [0] * 4
    assert set(manifest["split"]) == {"train" if form == "nested by split" else ""}


@pytest.mark.parametrize("relative_to", ["table", "root"])
def test_artifact_is_one_index(tmp_path: Path, relative_to: str) -> None:
    kinds = {"coco": 0, "ffhq": 0, "stylegan2": 6, "ddpm": 2}
    root = make_set(tmp_path / "d", [f"{g}/{g}-x/img{i:06d}.jpg" for g in kinds for i in range(4)])
    for name, target in kinds.items():
        before = f"{name}/" if relative_to == "root" else ""
        rows = [f"img{i:06d}.jpg,{before}{name}-x/img{i:06d}.jpg,{target},human" for i in range(4)]
        (root / name / "metadata.csv").write_text("\n".join(["filename,image_path,target,category", *rows]) + "\n")
    manifest = index(root)
    assert manifest.groupby("generator").size().to_dict() == {"": 8, "ddpm": 4, "stylegan2": 4}
    assert manifest.groupby("source").size().to_dict() == {"": 8, "coco": 4, "ffhq": 4}
    assert (manifest["label"] == manifest["path"].str.contains("stylegan2|ddpm")).all()
    make_set(root, ["unlisted/1.png"])
    with pytest.raises(UserError, match="unlisted/1.png: no metadata table lists it"):
        index(root)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_imagefolder_with_metadata_of_hugging_face(tmp_path: Path, suffix: str) -> None:
    root = make_set(tmp_path / "d", [f"{s}/{i}.jpg" for s in ("train", "test") for i in range(6)])
    for split in ("train", "test"):
        rows = [
            {"file_name": f"{i}.jpg", "label": ("real", "fake")[i % 2], "generator": ("", "sdxl")[i % 2]}
            for i in range(6)
        ]
        path = root / split / f"metadata{suffix}"
        path.write_text(
            "".join(json.dumps(r) + "\n" for r in rows)
            if suffix == ".jsonl"
            else pd.DataFrame(rows).to_csv(index=False)
        )
    manifest = index(root)
    assert manifest["label"].tolist() == [0, 1] * 6
    assert set(manifest["split"]) == {"train", "test"} and set(manifest["generator"]) == {"", "sdxl"}


def test_metadata_that_says_nothing_of_labels_is_passed_over_and_contradicting_one_stops(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", NAMES)
    (root / "metadata.csv").write_text("file_name,text\n" + "".join(f"{name},a face\n" for name in NAMES))
    assert index(root)["label"].sum() == 4
    (root / "metadata.csv").write_text(
        "file_name,label\n" + "".join(f"{n},{1 - label}\n" for n, label in zip(NAMES, LABEL, strict=True))
    )
    with pytest.raises(UserError, match="8 of 8 images disagree.*--real-values 1"):
        index(root)
    assert index(root, hints=Hints(columns=Columns(real_values=("1",))))["label"].sum() == 4


@pytest.mark.parametrize("ending", [".jfif", ".JFIF", ".jpe", "", ".jpg_large", ".png!d"])
def test_images_of_odd_endings_are_read_by_content(
    tmp_path: Path, logged: pytest.LogCaptureFixture, ending: str
) -> None:
    root = make_set(tmp_path / "d", [*NAMES, "real/odd.jpg", "fake/odd2.jpg"])
    for name in ("real/odd", "fake/odd2"):
        (root / f"{name}.jpg").rename(root / f"{name}{ending}")
    (root / "notes.txt").write_text("x")
    (root / "LICENSE").write_text("x")
    manifest, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    assert len(manifest) == 10 and set(manifest["format"]) == {"png", "jpeg"}
    assert any("1 without an ending, 1 .txt" in line for line in logged.messages)


@pytest.mark.parametrize(("form", "maker"), [
    ("Dataset/{s}/{k}/{i}.png", "unknown"), ("real_vs_fake/real-vs-fake/{s}/{k}/{i}.png", "unknown"),
    ("archive/140k-faces/{s}/{k}/{i}.png", "unknown"), ("my_photos/{k}/{i}.png", "unknown"),
    ("data/{s}/{k}/{i}.png", "unknown"), ("deepfakes/{s}/{k}/{i}.png", "unknown"),
    ("stylegan2/{s}/{k}/{i}.png", "stylegan2"), ("CNN_synth_testset/progan/{k}/{i}.png", "progan"),
])  # fmt: skip
def test_wrapper_folders_are_no_generators(tmp_path: Path, form: str, maker: str) -> None:
    names = [form.format(s=s, k=k, i=f"{s}{i}") for s in ("train", "test") for k in ("real", "fake") for i in range(2)]
    listing = read_layout(make_set(tmp_path / "d", names))
    assert {entry.generator for entry in listing.entries if entry.label} == {maker}
    wrappers = [part for part in form.split("/") if part.isascii() and "{" not in part and part != maker]
    assert all(any(part in note for note in listing.notes) for part in wrappers)
    assert np.mean([entry.label for entry in listing.entries]) == 0.5
