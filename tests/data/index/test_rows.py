"""Where a list, the folders' names, another column or a flag disagree about a label, nothing is indexed."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import pandas as pd
import pytest

from fakefreq.data.images.decode import read_image
from fakefreq.data.index.names import Columns, Hints
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from tests.helpers.made_sets import both, make_set, picture


def index(root: Path, hints: Hints | None = None, listed: Path | None = None) -> pd.DataFrame:
    return index_folder(root, root.parent / "m.csv", hints=hints, listed=listed, allow_one_class=True, jobs=1)[0]


def refused(root: Path, hints: Hints | None = None, listed: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        index(root, hints, listed)
    assert not (root.parent / "m.csv").exists()
    return str(caught.value)


def agrees(manifest: pd.DataFrame) -> bool:
    """No label contradicts the name of its folder."""
    folders = manifest["path"].str.lower().str.split("/").str[:-1]
    words = folders.map(lambda parts: {"real": 0, "fake": 1}[next(part for part in parts if part in ("real", "fake"))])
    return bool((words == manifest["label"]).all())


def write_list(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pd.DataFrame(rows).to_csv(path, index=False, sep={".csv": ",", ".tsv": "\t", ".txt": " "}[path.suffix])
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".json", ".jsonl"])
@pytest.mark.parametrize("form", ["train/{k}/{i}.png", "{k}/{i}.png", "set/{k}/cat/{i}.png"])
def test_kaggle_140k_where_1_is_real(tmp_path: Path, suffix: str, form: str) -> None:
    root = make_set(tmp_path / "d", both(form))
    rows = [{"label": int("real" in name), "path": name} for name in both(form)]
    listed = write_list(tmp_path / f"train{suffix}", rows)
    line = refused(root, None, listed)
    assert "says real" in line and " fake (label '1')" in line and "--real-values 1" in line
    assert agrees(index(root, Hints(columns=Columns(real_values=("1",))), listed))


@pytest.mark.parametrize(
    ("name", "values"), [("label_str", ("fake", "real")), ("is_fake", ("1", "0")), ("is_real", ("0", "1"))]
)
def test_a_second_column_that_disagrees(tmp_path: Path, name: str, values: tuple[str, str]) -> None:
    names = [f"{i}.png" for i in range(6)]
    root = make_set(tmp_path / "d", names)
    rows: list[dict[str, object]] = [{"path": p, "label": i % 2, name: values[i % 2]} for i, p in enumerate(names)]
    line = refused(root, None, write_list(tmp_path / "l.csv", rows))
    assert name in line and "--real-values 1" in line and "6 of 6" in line
    right = index(root, Hints(columns=Columns(real_values=("1",))), tmp_path / "l.csv")
    assert right["label"].tolist() == [1, 0] * 3
    wrong = index(root, Hints(overrule=("columns",)), tmp_path / "l.csv")
    assert wrong["label"].tolist() == [0, 1] * 3


def test_one_row_of_many_that_disagrees_and_the_flag_that_decides(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", both("{k}/{i}.png"))
    rows: list[dict[str, object]] = [
        {"path": p, "label": int(p.startswith("fake") or p == "real/2.png")} for p in both("{k}/{i}.png")
    ]
    listed = write_list(tmp_path / "l.csv", rows)
    line = refused(root, None, listed)
    assert "real/2.png" in line and "1 of 8" in line and "--overrule folders" in line and "--real-values" not in line
    assert index(root, Hints(overrule=("folders",)), listed)["label"].sum() == 5


@pytest.mark.parametrize(
    "folder", ["real", "0_real", "0", "REAL", "nature", "Celeb-real", "training_real", "original_sequences"]
)
def test_label_flag_against_a_folder(tmp_path: Path, folder: str) -> None:
    root = make_set(tmp_path / "d", [f"gan/{folder}/1.png", "gan/fake/1.png"])
    line = refused(root, Hints(label="fake"))
    assert f"/{folder}/1.png: its folders say real, --label says fake" in line and "--overrule folders" in line
    assert index(root, Hints(label="fake", overrule=("folders",)))["label"].tolist() == [1, 1]


def test_label_flag_against_the_folder_itself(tmp_path: Path) -> None:
    root = make_set(tmp_path / "fake", ["1.png", "2.png"])
    assert "is called fake, --label says real" in refused(root, Hints(label="real"))
    assert index(root, Hints(label="fake", generator="vae"))["generator"].tolist() == ["vae", "vae"]


def test_folders_that_contradict_each_other(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", ["real/1.png", "fake/real/2.png"])
    assert "fake/ says fake, and real/ says real" in refused(root)
    numbered = make_set(
        tmp_path / "n", ["real/0/a.png", "real/1/b.png", "real/2/c.png", "fake/0/d.png", "fake/1/e.png", "fake/2/f.png"]
    )
    assert agrees(index(numbered))


@pytest.mark.parametrize(("layout", "names"), [
    ("ffhq", ["00000/00012.png", "69000/69999.png"]),
    ("lfw", ["AJ_Cook/AJ_Cook_0001.png", "Al_Gore/Al_Gore_0002.png"]),
    ("celeba", ["000001.png", "000002.png"]),
])  # fmt: skip
def test_fakes_named_like_a_set_of_photographs(tmp_path: Path, layout: str, names: list[str]) -> None:
    root = make_set(tmp_path / "d", [f"{k}/{name}" for k in ("real", "fake") for name in names])
    (root / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n")
    assert agrees(index(root))
    (tmp_path / "m.csv").unlink()
    assert "says fake" in refused(root, Hints(layout=layout))


@pytest.mark.parametrize("given", [("ffhq", "CelebA"), ("ffhq", "celeb"), ("absent",), ("train",)])
def test_real_classes_that_no_folder_is_called(tmp_path: Path, given: tuple[str, ...]) -> None:
    root = make_set(tmp_path / "d", [f"train/{k}/{i}.png" for k in ("ffhq", "celeba", "pggan") for i in range(2)])
    line = refused(root, Hints(real_classes=given))
    assert given[-1] in line and "celeba, ffhq, pggan" in line


@pytest.mark.parametrize(
    "form", ["{k}/{s}/1.png", "{s}/{k}/1.png", "Dataset/{k}/{s}/1.png", "Dataset/{s}/{k}/1.png", "{k}/x/{s}/1.png"]
)
def test_real_classes_with_splits_at_any_level(tmp_path: Path, form: str) -> None:
    names = [form.format(k=k, s=s) for k in ("ffhq", "pggan") for s in ("train", "validation", "test")]
    manifest = index(make_set(tmp_path / "d", names), Hints(real_classes=("ffhq",)))
    assert set(manifest["split"]) == {"train", "val", "test"}
    assert (manifest["label"] == manifest["path"].str.contains("pggan")).all()
    assert set(manifest["generator"]) == {"", "pggan"} and set(manifest["source"]) == {"ffhq", ""}


@pytest.mark.parametrize("form", ["{c}/{k}/{i}.png", "{s}/{c}/{k}/{i}.png", "progan/{c}/{k}/{i}.png"])
def test_categories_are_of_the_generator_that_is_named(tmp_path: Path, form: str) -> None:
    names = [
        form.format(c=c, k=k, s=s, i=i)
        for c in ("car", "cat", "chair") for k in ("0_real", "1_fake") for s in ("train", "test") for i in range(2)
    ]  # fmt: skip
    manifest = index(make_set(tmp_path / "d", dict.fromkeys(names)), Hints(generator="progan"))
    assert set(manifest["generator"]) == {"", "progan"} and set(manifest["subset"]) == {"progan"}


def dropped(tmp_path: Path, kind: str) -> tuple[Path, Hints]:
    plain = both("{k}/{i}.png")
    named = [f"fake/{g}/{i}.png" for g in ("stylegan", "pggan") for i in range(2)] + ["real/ffhq/1.png"]
    names, hints = {
        "generator": (named, Hints(generator="stylegan")),
        "no fakes": (["real/1.png"], Hints(generator="stylegan")),
        "source": (named, Hints(source="flickr")),
        "column": (plain, Hints(columns=Columns(label="target"))),
        "values": (plain, Hints(columns=Columns(real_values=("1",)))),
        "classes": (plain, Hints(label="fake", real_classes=("real",))),
        "fake class": (plain, Hints(real_classes=("fake",))),
    }[kind]
    return make_set(tmp_path / "d", names), hints


@pytest.mark.parametrize("kind", ["generator", "no fakes", "source", "column", "values", "classes", "fake class"])
def test_a_flag_that_nothing_would_obey_is_refused(tmp_path: Path, kind: str) -> None:
    assert "--" in refused(*dropped(tmp_path, kind))


def test_flags_of_a_list_that_nothing_would_obey(tmp_path: Path) -> None:
    root = make_set(tmp_path / "d", ["1.png", "2.png"])
    listed = write_list(tmp_path / "l.csv", [{"path": "1.png", "label": "x"}, {"path": "2.png", "label": "fake"}])
    assert "--real-values names 'photo'" in refused(root, Hints(columns=Columns(real_values=("photo",))), listed)
    assert "no column 'maker'" in refused(root, Hints(columns=Columns(generator="maker")), listed)
    assert "--layout means nothing" in refused(root, Hints(layout="ffhq"), listed)
    assert index(root, Hints(columns=Columns(real_values=("*",))), listed)["label"].tolist() == [0, 1]


@pytest.mark.parametrize("beside", ["cls", "json"])
@pytest.mark.parametrize("key", ["{i}", "a.b{i}", "v1.{i}.x"])
def test_tar_members_with_dots_and_labels_against_their_folders(tmp_path: Path, beside: str, key: str) -> None:
    (tmp_path / "d").mkdir()
    for name, where in (("plain", ""), ("folders", "{k}/")):
        with tarfile.open(tmp_path / "d" / f"{name}.tar", "w") as archive:
            for i in range(4):
                member = where.format(k="real" if i % 2 else "fake") + key.format(i=i)
                about = str(i % 2).encode() if beside == "cls" else json.dumps({"label": i % 2}).encode()
                for end, content in (
                    (beside, about),
                    ("png", cv2.imencode(".png", picture(i + 9 * len(name)))[1].tobytes()),
                ):
                    info = tarfile.TarInfo(f"{member}.{end}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    line = refused(tmp_path / "d")
    assert "folders.tar::" in line and "its folder says" in line and "-values" in line
    assert "--label says" in refused(tmp_path / "d" / "plain.tar", Hints(label="real"))
    (tmp_path / "d" / "folders.tar").unlink()
    assert index(tmp_path / "d")["label"].tolist() == [0, 1, 0, 1]


def test_a_parquet_table_in_a_folder_that_says_the_contrary(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    cells = [cv2.imencode(".png", picture(i))[1].tobytes() for i in range(4)]
    for folder in ("mixed", "real"):
        (tmp_path / folder / folder).mkdir(parents=True)
        parquet.write_table(pa.table({"image": cells, "label": [0, 0, 0, 1]}), tmp_path / folder / folder / "0.parquet")
    assert "its folder says real" in refused(tmp_path / "real")
    assert index(tmp_path / "mixed")["label"].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("form", ["list.json", "list.jsonl", "d/metadata.jsonl"])
def test_rows_of_json_leave_out_what_they_do_not_say(tmp_path: Path, form: str) -> None:
    root = make_set(tmp_path / "d", both("{k}/{i}.png"))
    rows: list[dict[str, object]] = [
        {"path": name, "label": name.partition("/")[0], **({"generator": "biggan", "split": "test"} if fake else {})}
        for name in both("{k}/{i}.png")
        for fake in (name.startswith("fake"),)
    ]
    del rows[-1]["generator"]
    listed = write_list(tmp_path / form, rows)
    manifest = index(root, listed=None if form.startswith("d/") else listed)
    assert manifest["generator"].tolist() == ["biggan"] * 3 + ["unknown"] + [""] * 4
    assert manifest["split"].tolist() == ["test"] * 4 + [""] * 4
    assert set(manifest["subset"]) == {""}


def test_a_column_that_the_first_row_lacks_can_be_named_and_speaks_of_labels(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(6)]
    root = make_set(tmp_path / "d", names)
    rows: list[dict[str, object]] = [
        {"path": name, "label": i % 2, **({"maker": "biggan"} if i % 2 else {})} for i, name in enumerate(names)
    ]
    listed = write_list(tmp_path / "l.json", rows)
    assert set(index(root, Hints(columns=Columns(generator="maker")), listed)["generator"]) == {"", "biggan"}
    (tmp_path / "m.csv").unlink()
    for i, row in enumerate(rows[1:]):
        row["label_str"] = ("real", "fake")[i % 2]
    line = refused(root, None, write_list(tmp_path / "l.json", rows))
    assert "label_str" in line and "5 of 5" in line


def test_folders_name_what_made_a_fake_where_its_row_does_not(tmp_path: Path) -> None:
    names = ["real/0.png", "real/1.png", "fake/vqgan/2.png", "fake/sdxl/3.png"]
    root = make_set(tmp_path / "d", names)
    rows: list[dict[str, object]] = [{"path": name, "label": int("fake" in name)} for name in names]
    rows[2]["generator"] = "vqgan2"
    made = index(root, None, write_list(tmp_path / "l.json", rows)).set_index("path")["generator"]
    assert made["d/fake/vqgan/2.png"] == "vqgan2" and made["d/fake/sdxl/3.png"] == "sdxl"


@pytest.mark.parametrize(("column", "values"), [("generator", ("biggan", "vqgan")), ("split", ("train", "test"))])
def test_one_file_twice_with_two_values_stops(tmp_path: Path, column: str, values: tuple[str, str]) -> None:
    root = make_set(tmp_path / "d", ["a.png", "b.png"])
    rows: list[dict[str, object]] = [{"path": "./a.png", "label": "fake", column: value} for value in values]
    rows.append({"path": "b.png", "label": "fake", column: values[0]})
    listed = write_list(tmp_path / "l.csv", rows)
    line = refused(root, None, listed)
    assert f"a.png: row 1 has the {column} '{values[0]}', row 2 '{values[1]}'" in line
    write_list(listed, [rows[0], rows[0], rows[2]])
    assert len(index(root, None, listed)) == 2


@pytest.mark.parametrize(("columns", "message"), [
    (Columns(real_values=("cat",)), "--real-values names 'cat', which no label of .* is; there are 0, 1"),
    (Columns(fake_values=("dog",)), "--fake-values names 'dog'"),
    (Columns(label="zzz"), "no .json in the shards of .* has 'zzz'; --label-column takes one of label, person"),
    (Columns(group="who"), "has 'who'; --group-column takes one of label, person"),
    (Columns(path="file"), "--path-column is about a list, and shards hold their images"),
])  # fmt: skip
def test_flags_that_no_sample_of_a_shard_obeys_are_refused(tmp_path: Path, columns: Columns, message: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(4):
            named = {"png": cv2.imencode(".png", picture(number))[1].tobytes()}
            named |= {"json": json.dumps({"label": number % 2, "person": str(number)}).encode()}
            for end, content in named.items():
                info = tarfile.TarInfo(f"{number}.{end}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    index_folder(tmp_path / "a.tar", tmp_path / "good.csv", hints=Hints(columns=Columns(group="person")), jobs=1)
    with pytest.raises(UserError, match=message):
        index_folder(tmp_path / "a.tar", tmp_path / "m.csv", hints=Hints(columns=columns), jobs=1)


@pytest.mark.parametrize("given", ["", "A.TAR"])
def test_a_shard_in_capitals_is_found_and_read(tmp_path: Path, given: str) -> None:
    (tmp_path / "d").mkdir()
    with tarfile.open(tmp_path / "d" / "A.TAR", "w") as archive:
        for number, name in enumerate(both("{k}/{i}.png")):
            content = cv2.imencode(".png", picture(number))[1].tobytes()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    manifest = index(tmp_path / "d" / given)
    assert (manifest["path"].str.contains("::fake/") == (manifest["label"] == 1)).all() and len(manifest) == 8
    root = tmp_path / "d" if given else tmp_path
    assert read_image(root / manifest["path"][0]).shape == (32, 32, 3)
