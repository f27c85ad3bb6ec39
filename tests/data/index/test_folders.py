"""Folders become the table that they mean, or an error that says what was looked for."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fakefreq.data.index.folders import read_layout
from fakefreq.data.manifests import (
    COLUMNS,
    index_folder,
    manifest_digest,
    read_manifest,
    rewrite_split,
    write_manifest,
)
from fakefreq.errors import UserError


def make(root: Path, *names: str) -> Path:
    """Write one small picture of its own content for each name."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((4, 4, 3), number % 256, np.uint8)
        pixels[0, 0] = len(name)
        assert cv2.imwrite(str(path), pixels)
    return root


def meaning(root: Path) -> tuple[str, list[tuple[str, int, str, str, str]]]:
    listing = read_layout(root)
    return listing.layout, [
        (Path(e.path).relative_to(root).as_posix(), e.label, e.generator, e.subset, e.split) for e in listing.entries
    ]


def test_generators_with_and_without_classes(tmp_path: Path) -> None:
    root = make(tmp_path, "gan/0_real/a.png", "gan/1_fake/b.png", "pro/cat/0_real/c.png", "pro/cat/1_fake/d.png")
    assert meaning(root) == (
        "generators",
        [
            ("gan/0_real/a.png", 0, "", "gan", ""),
            ("gan/1_fake/b.png", 1, "gan", "gan", ""),
            ("pro/cat/0_real/c.png", 0, "", "pro", ""),
            ("pro/cat/1_fake/d.png", 1, "pro", "pro", ""),
        ],
    )


@pytest.mark.parametrize("names", [("real", "fake"), ("0", "1"), ("0_real", "1_fake"), ("Real", "FAKES")])
def test_two_plain_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    root = make(tmp_path, f"{names[0]}/a.png", f"{names[1]}/b.png")
    layout, rows = meaning(root)
    assert layout == "two_classes"
    assert {row[1:] for row in rows} == {(0, "", "", ""), (1, "unknown", "", "")}


def test_reals_shared_by_generators(tmp_path: Path) -> None:
    root = make(tmp_path, "real/a.png", "fake/gan/b.png", "fake/vae/c.png")
    assert meaning(root) == (
        "shared_reals",
        [
            ("fake/gan/b.png", 1, "gan", "", ""),
            ("fake/vae/c.png", 1, "vae", "", ""),
            ("real/a.png", 0, "", "", ""),
        ],
    )


def test_shared_reals_are_known_by_their_fakes_in_any_spelling(tmp_path: Path) -> None:
    layout, rows = meaning(make(tmp_path, "Real/a.png", "FAKES/gan/b.png"))
    assert layout == "shared_reals"
    assert [row[2] for row in rows] == ["gan", ""]


def test_two_layouts_in_one_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mixes the layouts"):
        read_layout(make(tmp_path / "a", "real/a.png", "fake/b.png", "fake/gan/c.png"))
    with pytest.raises(UserError, match="mixes the layouts generators and two_classes"):
        read_layout(make(tmp_path / "b", "gan/0_real/a.png", "gan/1_fake/b.png", "real/c.png"))


def test_a_large_folder_is_listed_once_not_once_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path, *(f"{kind}/{number}.png" for kind in ("real", "fake") for number in range(50)))
    listings = []
    original = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: listings.append(self) or original(self))  # type: ignore[func-returns-value]
    assert len(read_layout(root)[1]) == 100
    assert len(listings) < 5


def test_a_level_of_splits_above_any_layout(tmp_path: Path) -> None:
    for layout, files in {
        "generators": ("gan/0_real/a.png", "gan/1_fake/b.png"),
        "two_classes": ("real/a.png", "fake/b.png"),
        "shared_reals": ("real/a.png", "fake/gan/b.png"),
    }.items():
        root = tmp_path / layout
        for number, split in enumerate(("train", "valid", "test")):
            make(root, *(f"{split}/{Path(f).parent}/{number}{Path(f).name}" for f in files))
        name, rows = meaning(root)
        assert name == layout
        assert [row[4] for row in rows].count("val") == 2
        assert {row[4] for row in rows} == {"train", "val", "test"}


def test_an_unknown_layout_shows_what_was_looked_for_and_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)0_real,1_fake.*fake/<generator>.*Found: photos/"):
        read_layout(make(tmp_path, "photos/a.png"))


def test_a_missing_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        read_layout(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match="holds no image .* but 1 other files"):
        read_layout(tmp_path)


def test_a_link_that_loops_does_not_hang(tmp_path: Path) -> None:
    root = make(tmp_path, "real/a.png", "fake/b.png")
    (root / "real" / "loop").symlink_to(root, target_is_directory=True)
    assert len(meaning(root)[1]) == 2


def test_the_manifest_holds_facts_and_survives_its_file(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "gan/0_real/00001.png", "gan/1_fake/00002.png")
    manifest, skipped = index_folder(root, tmp_path / "out" / "manifest.csv", sources={"gan": "ffhq"})
    assert skipped == []
    assert manifest.columns.tolist() == COLUMNS
    assert manifest["path"].tolist() == ["../set/gan/0_real/00001.png", "../set/gan/1_fake/00002.png"]
    assert manifest["source"].tolist() == ["ffhq", ""]
    assert manifest["group"].tolist() == ["ffhq:set/00001", "ffhq:set/00002"]
    assert manifest[["format", "width", "height"]].drop_duplicates().to_numpy().tolist() == [["png", 4, 4]]
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "out" / "manifest.csv"), manifest)


def test_the_same_stem_of_one_generator_or_the_same_bytes_is_one_group_in_chains(tmp_path: Path) -> None:
    root = make(
        tmp_path / "set", "a/0_real/x.png", "a/1_fake/x.png", "a/1_fake/y.png", "b/0_real/x.png", "b/0_real/z.png"
    )
    (root / "b/0_real/z.png").write_bytes((root / "a/0_real/x.png").read_bytes())
    manifest, _ = index_folder(root, tmp_path / "m.csv")
    group = dict(zip(manifest["path"], manifest["group"], strict=True))
    assert group["set/a/0_real/x.png"] == group["set/a/1_fake/x.png"] == group["set/b/0_real/z.png"]
    assert group["set/a/0_real/x.png"] != group["set/b/0_real/x.png"]
    assert group["set/a/1_fake/y.png"] != group["set/a/0_real/x.png"]


def test_a_source_for_an_unknown_subset_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "a/0_real/x.png", "a/1_fake/y.png")
    with pytest.raises(UserError, match="--source names the subsets b"):
        index_folder(root, tmp_path / "m.csv", sources={"b": "ffhq"})


def test_indexing_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *(f"a/{kind}/{n}.png" for kind in ("0_real", "1_fake") for n in range(30)))
    one, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    many, _ = index_folder(root, tmp_path / "m.csv", jobs=4)
    pd.testing.assert_frame_equal(one, many)


def test_a_split_written_elsewhere_still_finds_its_images(tmp_path: Path) -> None:
    root = make(tmp_path / "set", *(f"a/{kind}/{n}.png" for kind in ("0_real", "1_fake") for n in range(10)))
    index_folder(root, tmp_path / "m.csv")
    rewrite_split(tmp_path / "m.csv", tmp_path / "deep" / "er" / "m.csv", (0.5, 0.2, 0.3), 0)
    there = read_manifest(tmp_path / "deep" / "er" / "m.csv")
    assert all((tmp_path / "deep" / "er" / path).is_file() for path in there["path"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.drop(columns="label"), "lacks the columns label"),
        (lambda m: m.assign(label=2), "it is 0"),
        (lambda m: pd.concat([m, m]), "twice"),
    ],
)
def test_a_manifest_that_was_edited_wrongly_says_where(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    root = make(tmp_path / "set", "a/0_real/x.png", "a/1_fake/y.png")
    manifest, _ = index_folder(root, tmp_path / "m.csv")
    change(manifest).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_the_digest_knows_labels_and_splits_but_not_the_order(tmp_path: Path) -> None:
    root = make(tmp_path / "set", "a/0_real/x.png", "a/1_fake/y.png")
    manifest, _ = index_folder(root, tmp_path / "m.csv")
    assert manifest_digest(manifest.iloc[::-1]) == manifest_digest(manifest)
    assert manifest_digest(manifest.assign(split="test")) != manifest_digest(manifest)
    write_manifest(manifest, tmp_path / "again.csv")
    assert manifest_digest(read_manifest(tmp_path / "again.csv")) == manifest_digest(manifest)
