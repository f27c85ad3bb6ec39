"""Manifests are merged, sampled, checked and sealed."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.images.decode import read_image
from fakefreq.data.manifest.edit import filter_rows, sample_rows
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import check_same_manifest, index_folder, manifest_digest, read_manifest, write_manifest
from fakefreq.errors import UserError
from tests.helpers.photo_files import photo, save, small_set


def test_csv_and_parquet_hold_the_same_and_both_are_sealed(tmp_path: Path) -> None:
    manifest, _ = index_folder(small_set(tmp_path / "set"), tmp_path / "m.csv")
    write_manifest(manifest, tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "m.parquet"), manifest, check_dtype=False)
    assert manifest_digest(read_manifest(tmp_path / "m.parquet")) == manifest_digest(manifest)
    index_folder(tmp_path / "set", tmp_path / "auto")
    assert (tmp_path / "auto.csv").is_file()


def test_a_manifest_of_an_older_version_or_another_program_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,generator,subset,group\na.png,0,,,00001\nb.png,1,gan,,2\n")
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest["group"].tolist() == ["00001", "2"]
    assert manifest["phash"].tolist() == ["", ""] and manifest["progressive"].tolist() == [0, 0]


def test_a_hand_edit_is_found_and_can_be_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.csv"
    manifest, _ = index_folder(small_set(tmp_path / "set"), path)
    path.write_text(path.read_text().replace(",95,", ",75,", 1))
    with pytest.raises(UserError, match="was changed since fakefreq wrote it.*manifest seal"):
        read_manifest(path)
    assert main(["manifest", "seal", str(path)]) == 0
    assert main(["manifest", "check", str(path), "--files"]) == 0
    assert (read_manifest(path)["jpeg_quality"] == 75).sum() == 1
    save(tmp_path / "set" / "gan" / "0_real" / "0_real0.jpg", photo(55))
    assert main(["manifest", "check", str(path), "--files"]) == 2
    assert "its bytes changed" in capsys.readouterr().err
    shuffled = manifest.iloc[::-1]
    write_manifest(shuffled, path)
    assert len(read_manifest(path)) == 12


def test_scores_are_never_joined_to_another_version(tmp_path: Path) -> None:
    manifest, _ = index_folder(small_set(tmp_path / "set"), tmp_path / "m.csv")
    scores = manifest[["path", "label"]].assign(logit=0.0, manifest=manifest_digest(manifest))
    check_same_manifest(scores, manifest, "scores.csv")
    for column, value in (("label", 1), ("split", "test"), ("source", "ffhq"), ("group", "x")):
        other = manifest.copy()
        other[column] = value
        with pytest.raises(UserError, match="made of the manifest with digest"):
            check_same_manifest(scores, other, "scores.csv")
    check_same_manifest(scores, manifest.assign(phash="00"), "scores.csv")


@pytest.mark.slow
def test_merge_filter_and_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 0), ("b", 1000)):
        for kind, number in itertools.product(("0_real", "1_fake"), range(5)):
            picture = photo(seed + number + 100 * (kind == "1_fake"), 48)
            save(tmp_path / "set" / name / name / kind / f"{name}{kind}{number}.jpg", picture)
        assert main(["index", str(tmp_path / "set" / name), "--out", str(tmp_path / name / "m.csv")]) == 0
    words = [str(tmp_path / "a" / "m.csv"), str(tmp_path / "b" / "m.csv")]
    both = str(tmp_path / "both.csv")
    assert main(["manifest", "merge", *words, "--out", both]) == 0
    merged = read_manifest(both)
    assert len(merged) == 20
    assert all(read_image(tmp_path / path).shape == (48, 48, 3) for path in merged["path"])
    few = str(tmp_path / "deep" / "few.csv")
    assert main(["manifest", "filter", both, "--where", "generator=a,", "subset!=b", "width>=48", "--out", few]) == 0
    assert len(read_manifest(few)) == 10
    assert all((tmp_path / "deep" / path).is_file() for path in read_manifest(few)["path"])
    assert main(["manifest", "sample", both, "--count", "2", "--seed", "3", "--out", few]) == 0
    sample = read_manifest(few)
    assert sample.groupby(["subset", "label"]).size().tolist() == [2, 2, 2, 2]
    for words, message in (
        (["filter", both, "--where", "wide=3", "--out", few], "unknown column 'wide'"),
        (["filter", both, "--where", "generator>3", "--out", few], "compares numbers"),
        (["filter", both, "--where", "width=1", "--out", few], "no image is left"),
        (["sample", both, "--count", "0", "--out", few], "--count takes 1 or more"),
        (["merge", both, "--out", few], "two or more"),
    ):
        capsys.readouterr()
        assert main(["manifest", *words]) == 2
        assert message in capsys.readouterr().err


def test_filter_takes_a_value_with_a_comma_whole_and_warns_of_one_that_no_row_has(
    logged: pytest.LogCaptureFixture,
) -> None:
    table = pd.DataFrame({"path": ["a,b.png", "b.png", "c.png"], "generator": ["gan", "vae", ""]})
    assert filter_rows(table, ["path!=a,b.png"])["path"].tolist() == ["b.png", "c.png"]
    assert filter_rows(table, ["path=a,b.png"])["path"].tolist() == ["a,b.png"]
    assert filter_rows(table, ["path!=b.png, c.png", "generator=gan,vae,"])["path"].tolist() == ["a,b.png"]
    assert not logged.messages
    assert len(filter_rows(table, ["generator!=vea"])) == 3
    assert logged.messages == ["--where generator!=vea: no generator of the manifest is 'vea'"]


def test_merging_manifests_that_contradict_each_other_names_the_image(tmp_path: Path) -> None:
    from fakefreq.data.manifest.edit import merge_manifests

    manifest, _ = index_folder(small_set(tmp_path / "set"), tmp_path / "a.csv")
    write_manifest(manifest.assign(label=1 - manifest["label"]), tmp_path / "b.csv")
    with pytest.raises(UserError, match="two values of label"):
        merge_manifests([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "c.csv")


def test_a_negative_seed_is_refused() -> None:
    table = pd.DataFrame({"path": ["a"], "label": [0], "group": ["a"], "split": [""]})
    with pytest.raises(UserError, match="--seed is -1; it takes 0 or more"):
        split_manifest(table, seed=-1)
    with pytest.raises(UserError, match="--seed is -1; it takes 0 or more"):
        sample_rows(table, 1, -1)


def test_a_held_out_generator_or_source_is_never_trained_on() -> None:
    rows = []
    for number in range(240):
        generator = ("", "gan", "", "vae")[number % 4]
        subset = ("gan", "gan", "vae", "vae")[number % 4]
        source = ("ffhq", "celeba")[number % 8 // 4]
        rows.append((f"{number}.png", number % 2, generator, source, subset, str(number // 8), "", ""))
    table = pd.DataFrame(rows, columns=["path", "label", "generator", "source", "subset", "group", "split", "sha256"])
    table["group"] = table["path"]
    by_generator = split_manifest(table, hold_out=["generator=gan"])
    assert set(by_generator["split"][by_generator["subset"] == "gan"]) == {"test"}
    assert set(by_generator["split"][by_generator["subset"] == "vae"]) == {"train", "val", "test"}
    by_source = split_manifest(table, hold_out=["source=ffhq"], seed=4)
    assert set(by_source["split"][by_source["source"] == "ffhq"]) == {"test"}
    rest = by_source[by_source["source"] == "celeba"].groupby(["subset", "label"])["split"].value_counts().unstack()
    assert rest[["train", "val", "test"]].to_numpy().tolist() == [[21, 3, 6]] * 4
    paired = table.assign(group=[str(number // 2) for number in range(240)])  # 2 generators' images share a group
    held = split_manifest(paired, hold_out=["generator=vae"])
    assert not set(held["group"][held["generator"] == "vae"]) & set(held["group"][held["split"] == "train"])
    for term, message in (("generator=dalle", "unknown generator"), ("label=1", "--hold-out takes")):
        with pytest.raises(UserError, match=message):
            split_manifest(table, hold_out=[term])
