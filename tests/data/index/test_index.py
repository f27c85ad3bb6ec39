"""Each layout of the data guide is recognised, and says what it means."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakefreq.data.images.decode import decode_image, read_bytes, read_image
from fakefreq.data.index.folders import read_layout
from fakefreq.data.index.lists import read_list
from fakefreq.data.index.names import Columns, Entry, Hints
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError


def png(number: int, side: int = 16) -> bytes:
    """Return a small picture of its own content."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    done, data = cv2.imencode(".png", pixels)
    assert done
    return data.tobytes()


def make(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return root


def meaning(root: Path, hints: Hints | None = None) -> tuple[str, dict[str, Entry]]:
    listing = read_layout(root, hints)
    assert not listing.problems
    return listing.layout, {e.path.removeprefix(f"{root}/"): e._replace(path="", pair="") for e in listing.entries}


def real(**more: str) -> Entry:
    return Entry("", 0, "", **more)


def fake(generator: str, **more: str) -> Entry:
    return Entry("", 1, generator, **more)


def test_genimage_with_and_without_the_archives_own_folder(tmp_path: Path) -> None:
    names = [
        "BigGAN/imagenet_ai_biggan/train/ai/a.png",
        "BigGAN/imagenet_ai_biggan/val/nature/b.png",
        "ADM/val/ai/c.png",
    ]
    layout, found = meaning(make(tmp_path, *names))
    assert layout == "genimage"
    assert found[names[0]] == fake("BigGAN", subset="BigGAN", split="train")
    assert found[names[1]] == real(subset="BigGAN", split="val")
    assert found[names[2]] == fake("ADM", subset="ADM", split="val")


def test_splits_below_a_generator(tmp_path: Path) -> None:
    layout, found = meaning(make(tmp_path, "progan/train/cat/0_real/a.png", "progan/test/cat/1_fake/b.png"))
    assert layout == "generators"
    assert list(found.values()) == [
        fake("progan", subset="progan", split="test"),
        real(subset="progan", split="train"),
    ]


@pytest.mark.parametrize("where", ["", "Anno/", "Eval/"])
def test_celeba_takes_identity_as_group_and_partition_as_split(tmp_path: Path, where: str) -> None:
    root = make(tmp_path, "img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg", "img_align_celeba/000003.jpg")
    (root / where).mkdir(exist_ok=True)
    (root / f"{where}identity_CelebA.txt").write_text("000001.jpg 2880\n000002.jpg 7\n000003.jpg 2880\n")
    (root / f"{where}list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    layout, found = meaning(root)
    assert layout == "celeba"
    assert found["img_align_celeba/000001.jpg"] == real(split="train", group="celeba-2880", source="celeba")
    assert found["img_align_celeba/000002.jpg"] == real(split="val", group="celeba-7", source="celeba")
    assert found["img_align_celeba/000003.jpg"].group == "celeba-2880"


def test_celeba_without_identities_groups_by_file_and_bad_text_names_its_line(tmp_path: Path) -> None:
    root = make(tmp_path, "000001.jpg")
    (root / "list_eval_partition.txt").write_text("000001.jpg 2\n")
    assert meaning(root)[1]["000001.jpg"] == real(split="test", source="celeba")
    (root / "list_eval_partition.txt").write_text("000001.jpg 2\nrubbish\n")
    with pytest.raises(UserError, match="line 2"):
        read_layout(root)


def test_lfw_takes_the_person_as_group(tmp_path: Path) -> None:
    layout, found = meaning(
        make(tmp_path, "AJ_Cook/AJ_Cook_0001.jpg", "Abdullah/Abdullah_0002.jpg", "A_B/A_B_0001.jpg")
    )
    assert layout == "lfw"
    assert found["AJ_Cook/AJ_Cook_0001.jpg"] == real(group="lfw-AJ_Cook", source="lfw")


def test_numbered_fakes_are_not_taken_for_photographs(tmp_path: Path) -> None:
    for names in (["stylegan2/stylegan2_0001.png"], ["000000/000123.png"], ["00012.png"]):
        with pytest.raises(UserError, match="layout of .* is unknown"):
            read_layout(make(tmp_path / names[0].replace("/", "-"), *names))


@pytest.mark.parametrize("above", ["", "images1024x1024/", "thumbnails128x128/"])
def test_ffhq_takes_the_number_as_group(tmp_path: Path, above: str) -> None:
    layout, found = meaning(make(tmp_path, f"{above}00000/00012.png", f"{above}69000/69999.png"))
    assert layout == "ffhq"
    assert found[f"{above}00000/00012.png"] == real(group="00012", source="ffhq")
    flat = make(tmp_path / "flat", "00012.png", "00013.png")
    assert meaning(flat, Hints(layout="ffhq"))[1]["00013.png"].group == "00013"


def test_image_folder_needs_to_be_told_which_classes_are_photographs(tmp_path: Path) -> None:
    root = make(tmp_path, "train/ffhq/a.png", "train/biggan/b.png", "test/vqgan/c.png")
    layout, found = meaning(root, Hints(real_classes=("ffhq",)))
    assert layout == "image_folder"
    assert list(found.values()) == [
        fake("vqgan", split="test"),
        fake("biggan", split="train"),
        real(split="train", source="ffhq"),
    ]
    with pytest.raises(UserError, match="--real-classes"):
        read_layout(root)


def test_a_label_for_all_where_no_folder_says(tmp_path: Path) -> None:
    root = make(tmp_path, "any/where/a.png", "b.png")
    assert set(meaning(root, Hints(label="fake", generator="vae"))[1].values()) == {fake("vae")}
    assert set(meaning(root, Hints(label="real", source="flickr"))[1].values()) == {real(source="flickr")}


COLUMNS = Columns("file", "target", "made_by", "origin", "person", "fold", real_values=("photo",), fake_values=("GAN",))
ROWS: list[dict[str, Any]] = [
    {"file": "a.png", "target": "photo", "made_by": "", "origin": "lfw", "person": "7", "fold": "train"},
    {"file": "sub/b.png", "target": "gan", "made_by": "pggan", "origin": "", "person": "8", "fold": "valid"},
]


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "columns.json"])
def test_a_list_with_columns_named_by_the_user(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "a.png", "sub/b.png")
    text = io.StringIO()
    if kind == "csv":
        writer = csv.DictWriter(text, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    elif kind == "json":
        json.dump(ROWS, text)
    elif kind == "jsonl":
        text.writelines(json.dumps(row) + "\n" for row in ROWS)
    else:
        json.dump({name: [row[name] for row in ROWS] for name in ROWS[0]}, text)
    path = tmp_path / f"list.{kind}"
    path.write_text(text.getvalue())
    entries = read_list(tmp_path, path, Hints(columns=COLUMNS)).entries
    assert [entry._replace(path="", pair="") for entry in entries] == [
        real(split="train", group="7", source="lfw"),
        fake("pggan", split="val", group="8"),
    ]
    manifest, _ = index_folder(tmp_path, tmp_path / "m.csv", listed=path, hints=Hints(columns=COLUMNS))
    assert manifest["path"].tolist() == ["a.png", "sub/b.png"]
    with pytest.raises(UserError, match="no column 'path'; --path-column takes one of file"):
        read_list(tmp_path, path)


def test_rows_of_a_list_that_contradict_each_other_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\na.png,real\nb.png,fake\n./a.png,fake\nb.png,fake\nc.png,dog\n")
    listing = read_list(tmp_path, tmp_path / "list.csv")
    assert [Path(entry.path).name for entry in listing.entries] == ["b.png"]
    reasons = [str(problem) for problem in listing.problems]
    assert "row 1 calls it real, row 3 fake" in reasons[0]
    assert "'dog' means neither real nor fake" in reasons[1]


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_webdataset_shards_are_read_where_they_lie(tmp_path: Path) -> None:
    facts = json.dumps({"label": "fake", "generator": "vqgan", "group": 7}).encode()
    members = {"00.png": png(1), "00.cls": b"0", "01.png": png(2), "01.json": facts}
    write_tar(tmp_path / "set" / "train-000.tar", members)
    write_tar(tmp_path / "set" / "test" / "b.tar", {"gan/0_real/x.png": png(3), "gan/1_fake/y.png": png(4)})
    layout, found = meaning(tmp_path / "set")
    assert layout == "tar"
    assert list(found.values()) == [
        real(subset="gan", split="test"),
        fake("gan", subset="gan", split="test"),
        real(split="train"),
        fake("vqgan", split="train", group="7"),
    ]
    manifest, _ = index_folder(tmp_path / "set", tmp_path / "m.csv")
    assert manifest["path"].tolist()[2] == "set/train-000.tar::00.png"
    assert read_bytes(tmp_path / manifest["path"][2]) == png(1)
    images = [
        batch.images for batch in make_batches(read_manifest(tmp_path / "m.csv"), tmp_path, 16, 4, False, workers=0)
    ]
    expected = decode_image("01.png", png(2))
    assert np.array_equal(images[0][3].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("form", ["hugging face", "plain"])
def test_parquet_tables_with_image_bytes(tmp_path: Path, form: str) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures = [png(number) for number in range(5)]
    if form == "plain":
        table = pa.table({"image": pictures, "label": ["real", "fake", "real", "fake", "fake"]})
    else:
        # Here 0 means fake: the names in the metadata decide, not the numbers.
        about = {"info": {"features": {"label": {"names": ["FAKE", "REAL"], "_type": "ClassLabel"}}}}
        cells = [{"bytes": content, "path": None} for content in pictures]
        table = pa.table({"image": cells, "label": [1, 0, 1, 0, 0]})
        table = table.replace_schema_metadata({b"huggingface": json.dumps(about).encode()})
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "test-00000-of-00001.parquet", row_group_size=2)
    layout, found = meaning(tmp_path / "data")
    assert layout == "parquet"
    assert [entry.label for entry in found.values()] == [0, 1, 0, 1, 1]
    assert {entry.split for entry in found.values()} == {"test"}
    manifest, _ = index_folder(tmp_path / "data", tmp_path / "m.csv")
    assert manifest["group"].nunique() == 5
    for number, path in enumerate(manifest["path"]):
        assert read_bytes(tmp_path / path) == pictures[number]
        assert read_image(tmp_path / path).shape == (16, 16, 3)


def test_the_readme_shows_every_layout() -> None:
    from fakefreq.data.index.names import LAYOUTS

    guide = (Path(__file__).parents[3] / "data" / "README.md").read_text(encoding="utf-8")
    for name in LAYOUTS:
        assert f"`{name}`" in guide
