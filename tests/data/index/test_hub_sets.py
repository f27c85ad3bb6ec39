"""Data sets on the hub: folders of images and Parquet shards, fetched from a hub on this machine, or snapshots."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.images.decode import read_image
from fakefreq.data.index.index import index_folder
from fakefreq.data.index.names import Columns, Hints
from fakefreq.data.index.photo_sets import class_names
from fakefreq.errors import UserError
from tests.helpers.hub_server import Hub, serve_hub
from tests.helpers.made_sets import picture

NAME = "owner/faces"


def png(seed: int) -> bytes:
    content: bytes = cv2.imencode(".png", picture(seed))[1].tobytes()
    return content


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serve_hub(tmp_path / "cache") as served:
        yield served


def table(
    rows: dict[str, list[Any]], classes: dict[str, list[str]] | None = None, paths: list[str] | None = None
) -> bytes:
    """The bytes of a Parquet table as `datasets` writes it: pictures of a seed each in a struct, classes named."""
    pa = pytest.importorskip("pyarrow", reason="Parquet needs the extra large")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra large")
    seeds = rows.pop("seed")
    cells = [{"bytes": png(seed), "path": paths[at] if paths else None} for at, seed in enumerate(seeds)]
    made = pa.table({"image": cells, **rows})
    if classes:
        features = {name: {"names": names, "_type": "ClassLabel"} for name, names in classes.items()}
        made = made.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    sink = pa.BufferOutputStream()
    parquet.write_table(made, sink, row_group_size=2)
    return bytes(sink.getvalue().to_pybytes())


def snapshot(root: Path, files: dict[str, bytes], name: str = NAME) -> Path:
    """The folder of a revision as the hub's cache has it: links to blobs."""
    there = root / f"datasets--{name.replace('/', '--')}"
    folder = there / "snapshots" / hashlib.sha1(repr(sorted(files)).encode()).hexdigest()
    for place, content in files.items():
        blob = there / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).symlink_to(blob)
    return folder


def index(folder: str | Path, out: Path, hints: Hints | None = None, **flags: Any) -> pd.DataFrame:
    return index_folder(folder, out / "m.csv", hints=hints, jobs=1, **flags)[0].sort_values("path")


def refused(folder: str | Path, out: Path, hints: Hints | None = None, **flags: Any) -> str:
    with pytest.raises(UserError) as error:
        index(folder, out, hints, **flags)
    assert not (out / "m.csv").exists()
    return str(error.value)


IMAGES = {f"{split}/{name}/{i}.png": png(10 * at + i) for at, (split, name) in enumerate(
    [("train", "real"), ("train", "fake"), ("test", "real"), ("test", "fake")]) for i in range(2)}  # fmt: skip
CARD = b"---\nlicense: cc-by-4.0\n---\n# Faces\n"


def test_folders_of_images(hub: Hub, tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    repository = hub.add(
        NAME, {**IMAGES, "README.md": CARD, "weights/a.bin": b"large", ".gitattributes": b""}, "dataset"
    )
    commit = next(iter(repository.commits))
    manifest = index(f"hf://datasets/{NAME}", tmp_path)
    assert manifest["label"].tolist() == [1, 1, 0, 0] * 2
    assert set(manifest["split"]) == {"train", "test"}
    assert all(f"datasets--owner--faces/snapshots/{commit}/" in path for path in manifest["path"])
    assert manifest["group"].str.startswith("owner--faces/").all()
    assert read_image(tmp_path / manifest["path"].iloc[0]).shape == (32, 32, 3)
    assert f"hf://datasets/{NAME}@{commit}: 9 files, licence cc-by-4.0" in logged.text
    assert not [one for one in hub.asked if one.endswith("a.bin")]
    # A second time only what is new is fetched; an old revision stays what it was.
    hub.asked.clear()
    hub.add(NAME, {"test/fake/9.png": png(99)}, "dataset")
    assert len(index(f"hf://datasets/{NAME}", tmp_path)) == 9
    assert [one for one in hub.asked if one.startswith("GET") and "/resolve/" in one and "9.png" not in one] == []
    assert len(index(f"hf://datasets/{NAME}@{commit}", tmp_path)) == 8


def test_patterns_choose_what_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, {**IMAGES, "README.md": CARD}, "dataset")
    words = ["index", f"hf://datasets/{NAME}", "--out", str(tmp_path / "m.csv"), "--allow", "test/*", "--jobs", "1"]
    assert main(words) == 0
    manifest = pd.read_csv(tmp_path / "m.csv")
    assert len(manifest) == 4 and set(manifest["split"]) == {"test"}
    assert not [one for one in hub.asked if "/resolve/" in one and "train" in one]


@pytest.mark.parametrize("where", ["hub", "snapshot"])
def test_parquet_with_named_classes(hub: Hub, where: str, tmp_path: Path) -> None:
    files = {
        # The number 0 means fake: names decide. A name may also say the generator, as a folder's does.
        "data/train-00000-of-00001.parquet": table(
            {"seed": [1, 2, 3], "label": [1, 0, 2]}, {"label": ["FAKE", "REAL", "stylegan_fake"]}
        ),
        "data/validation-00000-of-00001.parquet": table(
            {"seed": [4, 5], "label": [1, 2]}, {"label": ["FAKE", "REAL", "stylegan_fake"]}
        ),
    }
    if where == "hub":
        hub.add(NAME, files, "dataset")
    folder = f"hf://datasets/{NAME}" if where == "hub" else snapshot(tmp_path, files)
    manifest = index(folder, tmp_path)
    assert manifest["label"].tolist() == [0, 1, 1, 0, 1]
    assert manifest["generator"].fillna("").tolist() == ["", "unknown", "stylegan", "", "stylegan"]
    assert manifest["split"].tolist() == ["train"] * 3 + ["val"] * 2
    assert manifest["path"].iloc[0].endswith("/data/train-00000-of-00001.parquet::0")
    assert read_image(tmp_path / manifest["path"].iloc[4]).tolist() == picture(5)[..., ::-1].tolist()


def test_a_card_names_classes_that_the_table_does_not(tmp_path: Path) -> None:
    card = """---
dataset_info:
- config_name: small
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': FAKE
          '1': REAL
---
"""
    files = {"small/test-00000-of-00001.parquet": table({"seed": [1, 2], "label": [0, 1]}), "README.md": card.encode()}
    assert index(snapshot(tmp_path, files), tmp_path)["label"].tolist() == [1, 0]
    features = [{"name": "label", "dtype": {"class_label": {"names": {"0": "a", "1": "b"}}}}]
    other = [{"name": "label", "dtype": {"class_label": {"names": {"0": "b", "1": "a"}}}}]
    both = [{"config_name": "x", "features": features}, {"config_name": "y", "features": other}]
    assert class_names({"dataset_info": both}, "label", "data") == []  # two answers are none
    assert class_names({"dataset_info": both}, "label", "y/train") == ["b", "a"]
    for nothing in ({}, {"dataset_info": "x"}, {"dataset_info": [{"features": [{"name": "label", "dtype": "int64"}]}]}):
        assert class_names(nothing, "label", "") == []


def test_rows_of_two_tables_of_one_name_are_two_photographs(tmp_path: Path) -> None:
    # Configurations of a set have files of the same names; their rows were one group before.
    files = {
        f"{config}/train-00000-of-00001.parquet": table({"seed": [at, at + 1], "label": ["real", "fake"]})
        for at, config in ((1, "a"), (3, "b"))
    }
    manifest = index(snapshot(tmp_path, files), tmp_path)
    assert manifest["group"].nunique() == 4


def test_classes_of_generators_need_a_word(tmp_path: Path) -> None:
    names = {"label": ["ffhq", "stylegan2", "sdxl"]}
    folder = snapshot(tmp_path, {"train.parquet": table({"seed": [1, 2, 3], "label": [0, 1, 2]}, names)})
    line = refused(folder, tmp_path)
    assert "'ffhq' (of ffhq, stylegan2, sdxl) means neither real nor fake; see --real-values" in line
    hints = Hints(columns=Columns(real_values=("ffhq",), fake_values=("*",)))
    manifest = index(folder, tmp_path, hints)
    assert manifest["label"].tolist() == [0, 1, 1]
    assert manifest["generator"].fillna("").tolist() == ["", "stylegan2", "sdxl"]
    assert manifest["source"].fillna("").tolist() == ["ffhq", "", ""]
    (tmp_path / "m.csv").unlink()
    # The number says nothing where names are there: the flag would be dropped.
    line = refused(folder, tmp_path, Hints(columns=Columns(real_values=("0",), fake_values=("*",))))
    assert "--real-values names '0', which no label of" in line and "there are ffhq, sdxl, stylegan2" in line


def contradicting(kind: str) -> tuple[dict[str, bytes], str, Hints]:
    """Files that speak of a label twice, what the message says, and the flags that decide."""
    named = {"label": ["REAL", "FAKE"]}
    if kind == "folder":
        files = {"real/train.parquet": table({"seed": [1, 2], "label": [0, 1]}, named)}
        return files, "its folder says real", Hints(overrule=("folders",))
    if kind == "class":
        rows: dict[str, list[Any]] = {"seed": [1, 2], "label": [0, 1], "kind": [1, 0]}
        files = {"train.parquet": table(rows, {**named, "kind": ["real", "fake"]})}
        return files, "its column kind ('fake') says fake", Hints(overrule=("columns",))
    if kind == "text":
        rows = {"seed": [1, 2], "label": [1, 0], "label_str": ["real", "fake"], "caption": ["a man", "a woman"]}
        return (
            {"train.parquet": table(rows)},
            "its column label_str ('real') says real",
            Hints(columns=Columns(real_values=("1",))),
        )
    if kind == "flag":
        rows = {"seed": [1, 2], "label": [0, 1], "is_real": [False, True]}
        return {"train.parquet": table(rows)}, "its column is_real ('False') says fake", Hints(overrule=("columns",))
    files = {"train.parquet": table({"seed": [1, 2], "label": [0, 1]}, named, ["x/fake/1.png", "x/real/2.png"])}
    return files, "the path beside its bytes ('x/fake/1.png') says fake", Hints(overrule=("folders",))


@pytest.mark.parametrize("kind", ["folder", "class", "text", "flag", "path"])
def test_what_contradicts_a_label_stops(kind: str, tmp_path: Path) -> None:
    files, needle, mended = contradicting(kind)
    folder = snapshot(tmp_path, files)
    line = refused(folder, tmp_path)
    assert needle in line and ".parquet::" in line
    assert "-values" in line or "--overrule" in line
    assert sorted(index(folder, tmp_path, mended)["label"]) == [0, 1]


def test_what_agrees_is_taken(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"seed": [1, 2], "label": [0, 1], "label_str": ["real", "fake"], "height": [0, 1]}
    paths = ["real/1.png", "fake/2.png"]
    folder = snapshot(tmp_path, {"train.parquet": table(rows, {"label": ["REAL", "FAKE"]}, paths)})
    assert index(folder, tmp_path)["label"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "needle"),
    [
        ("hf://datasets/owner/absent", "the hub has no data set owner/absent"),
        ("hf://datasets/owner/faces@v9", "the data set owner/faces has no revision 'v9'"),
        ("hf://datasets/faces", "hf://datasets/faces is no name on the hub; it is hf://datasets/owner/name[@revision]"),
        ("hf://owner/faces", "names a model; a data set is due here"),
        ("hf://datasets/owner/fa ces", "is no name on the hub"),
        ("hf://datasets/owner/zips", "holds no file that is an image or a .parquet or .tar shard, but 2 .zip, 1 .md"),
    ],
)
def test_what_is_no_data_set_is_named(
    hub: Hub, name: str, needle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add(NAME, IMAGES, "dataset")
    hub.add("owner/zips", {"a.zip": b"1", "b.zip": b"2", "README.md": CARD}, "dataset")
    assert main(["index", name, "--out", str(tmp_path / "m.csv")]) == 2
    error = capsys.readouterr().err
    assert needle in error and error.count("\n") == 1 and not (tmp_path / "m.csv").exists()


def test_no_network_and_flags_that_nothing_obeys(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, IMAGES, "dataset")
    folder = snapshot(tmp_path / "own", IMAGES)
    assert "--allow is of what is fetched from the hub" in refused(folder, tmp_path, allow=["*.png"])
    assert "holds no file that matches --allow, but 8 .png" in refused(
        f"hf://datasets/{NAME}", tmp_path, allow=["*.gif"]
    )
    address = hub.address
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    line = refused(f"hf://datasets/{NAME}", tmp_path)
    assert "cannot be reached" in line or "holds no file" in line
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert len(index(f"hf://datasets/{NAME}", tmp_path)) == 8
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert len(index(f"hf://datasets/{NAME}", tmp_path)) == 8  # it is in the cache
