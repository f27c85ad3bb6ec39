"""Near-duplicates are found without comparing all pairs; manifests are merged, sampled, checked and sealed."""

import itertools
import json
import os
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data import header, manifest_table, probe
from fakefreq.data.duplicates import count_bits, find_pairs, hash_numbers, merge_groups, perceptual_hash
from fakefreq.data.images import read_image
from fakefreq.data.manifest import check_same_manifest, index_folder, manifest_digest, read_manifest, write_manifest
from fakefreq.data.splits import check_splits, split_manifest
from fakefreq.errors import UserError
from tests.conftest import draw_photo


def photo(seed: int, side: int = 96) -> np.ndarray:
    return draw_photo(np.random.default_rng(seed), side)


def save(path: Path, picture: np.ndarray, quality: int = 95) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def small_set(root: Path, count: int = 6) -> Path:
    for kind, number in itertools.product(("0_real", "1_fake"), range(count)):
        save(root / "gan" / kind / f"{kind}{number}.jpg", photo(number + 100 * (kind == "1_fake")))
    return root


def distance(a: np.ndarray, b: np.ndarray) -> int:
    numbers = hash_numbers(pd.Series([perceptual_hash(a), perceptual_hash(b)]))
    return int(count_bits(numbers[0] ^ numbers[1]).sum())


def test_a_hash_survives_resizing_codecs_and_brightness_and_tells_pictures_apart() -> None:
    pictures = [photo(seed, 128) for seed in range(12)]
    for picture in pictures:
        coded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
        assert coded is not None
        assert distance(picture, coded) <= 24
        assert distance(picture, cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)) <= 24
        assert distance(picture, (picture * 0.8).astype(np.uint8)) <= 24
    for one, other in itertools.combinations(pictures, 2):
        assert distance(one, other) > 48


@pytest.mark.parametrize("radius", [0, 1, 3, 6])
def test_the_search_finds_just_what_comparing_all_pairs_finds(radius: int) -> None:
    rng = np.random.default_rng(radius)
    # Few different words with few bits changed: crowded buckets, equal first words and equal hashes too.
    words = rng.integers(0, 2**64, (12, 2), dtype=np.uint64)[rng.integers(0, 12, 600)]
    flips = rng.integers(0, 64, (600, 2, 5))
    for row, word in itertools.product(range(600), range(2)):
        for bit in flips[row, word, : rng.integers(0, 6)]:
            words[row, word] ^= np.uint64(1) << np.uint64(bit)
    differing = count_bits(words[:, None, :] ^ words[None, :, :])
    near = (differing[..., 0] <= radius) & (differing.sum(axis=2) <= 9)
    wanted = {(i, j) for i, j in np.argwhere(near) if i < j}
    found = {(int(i), int(j)) for i, j in find_pairs(words, radius, 9)}
    equal = {pair for pair in wanted if differing[pair].sum() == 0}
    assert found - wanted == set()
    assert {pair for pair in wanted if pair not in equal} - found <= equal | transitive(found, wanted)
    # Equal hashes are chained: one step for each copy, and the chain joins all of them.
    groups = pd.Series([str(i) for i in range(600)])
    joined = merge_groups(groups, groups.map(lambda _: ""), find_pairs(words, radius, 9))
    assert all(joined[i] == joined[j] for i, j in wanted)


def transitive(found: set[tuple[int, int]], wanted: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Pairs whose one end has an equal hash that stands for it in the search."""
    ends = {end for pair in found for end in pair}
    return {pair for pair in wanted if set(pair) <= ends}


def test_the_search_does_not_compare_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    from fakefreq.data import duplicates

    hashes = np.random.default_rng(0).integers(0, 2**64, (20_000, 4), dtype=np.uint64)
    compared = 0

    def counting(values: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(values)
        return count_bits(values)

    monkeypatch.setattr(duplicates, "count_bits", counting)
    assert len(find_pairs(hashes, 6, 24)) == 0
    assert compared < 0.001 * 20_000 * 19_999 / 2


def test_near_duplicates_of_one_class_become_one_group_and_stay_on_one_side(tmp_path: Path) -> None:
    root = small_set(tmp_path / "set")
    half = cv2.resize(photo(0), (48, 48), interpolation=cv2.INTER_AREA)
    save(root / "gan" / "0_real" / "again.jpg", half, 60)
    manifest, _ = index_folder(root, tmp_path / "m.csv", phash=True)
    group = dict(zip((Path(path).stem for path in manifest["path"]), manifest["group"], strict=True))
    assert group["again"] == group["0_real0"]
    assert manifest["group"].nunique() == 12
    split = split_manifest(manifest, (0.5, 0.2, 0.3))
    check_splits(split)
    # The groups taken away, the check still knows by the hashes.
    parted = split.assign(group=split["path"])
    parted.loc[parted["path"].str.contains("again"), "split"] = "test"
    parted.loc[parted["path"].str.contains("0_real0"), "split"] = "train"
    with pytest.raises(UserError, match=r"0_real0\.jpg \(train\) and .*again\.jpg \(test\) look the same"):
        check_splits(parted)


def test_near_duplicates_across_labels_name_both_unless_one_group_joins_them(tmp_path: Path) -> None:
    root = small_set(tmp_path / "set")
    save(root / "gan" / "1_fake" / "stolen.jpg", photo(0), 70)
    with pytest.raises(UserError, match=r"0_real0\.jpg: is labelled real, but .*stolen\.jpg looks the same"):
        index_folder(root, tmp_path / "m.csv", phash=True)
    manifest, skipped = index_folder(root, tmp_path / "m.csv", phash=True, on_error="skip")
    assert {Path(path).stem for path, _ in skipped} == {"stolen", "0_real0"}
    assert len(manifest) == 11
    (root / "gan" / "1_fake" / "stolen.jpg").rename(root / "gan" / "1_fake" / "0_real0.jpg")  # now a declared pair
    assert len(index_folder(root, tmp_path / "m.csv", phash=True)[0]) == 13


def test_a_second_index_reads_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_set(tmp_path / "set")
    read: list[str] = []
    original = header.read_file_and_stamp

    def counting(path: str | Path) -> tuple[bytes, tuple[int, int, int]]:
        read.append(Path(path).name)
        return original(path)

    monkeypatch.setattr(probe, "read_file_and_stamp", counting)
    bad = root / "gan" / "1_fake" / "zz.jpg"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        index_folder(root, tmp_path / "m.csv", jobs=1)
    assert len(read) == 13
    bad.unlink()
    read.clear()
    first, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    assert read == []  # what the stopped run had read is known
    save(root / "gan" / "0_real" / "0_real1.jpg", photo(77))
    save(root / "gan" / "0_real" / "new.jpg", photo(78))
    second, _ = index_folder(root, tmp_path / "m.csv", jobs=1)
    assert sorted(read) == ["0_real1.jpg", "new.jpg"]
    fresh, _ = index_folder(root, tmp_path / "m.csv", jobs=1, fresh=True)
    pd.testing.assert_frame_equal(second, fresh)
    assert len(first) == 12
    (tmp_path / ".m.csv.cache-v2.sqlite").write_bytes(b"rubbish" * 1000)
    pd.testing.assert_frame_equal(index_folder(root, tmp_path / "m.csv", jobs=1)[0], fresh)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_known_is_found_also_when_files_come_and_go_and_an_index_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    root, path = small_set(tmp_path / "set", 12), tmp_path / "m.csv"
    monkeypatch.setattr(probe, "CHUNK", 5)
    monkeypatch.setattr(probe, "WORTH_A_POOL", 0)
    index_folder(root, path, jobs=jobs)
    # All chunks shift by a new file at the front; one more is gone, and the last one stops the index.
    save(root / "gan" / "0_real" / "0_new.jpg", photo(300))
    (root / "gan" / "0_real" / "0_real3.jpg").unlink()
    bad = root / "gan" / "1_fake" / "zz.jpg"
    bad.write_bytes(b"")
    with pytest.raises(UserError, match="empty"):
        index_folder(root, path, jobs=jobs)
    bad.unlink()
    read: list[str] = []
    original = header.read_file_and_stamp

    def counting(path: str | Path) -> tuple[bytes, tuple[int, int, int]]:
        read.append(Path(path).name)
        return original(path)

    monkeypatch.setattr(probe, "read_file_and_stamp", counting)
    again, _ = index_folder(root, path, jobs=1)
    assert read == []
    fresh, _ = index_folder(root, path, jobs=1, fresh=True)
    pd.testing.assert_frame_equal(again, fresh)
    with sqlite3.connect(tmp_path / ".m.csv.cache-v2.sqlite") as database:
        kept = [name for (stamps,) in database.execute("SELECT stamps FROM chunks") for name in json.loads(stamps)[0]]
        assert len(kept) == len(set(kept)) == 24  # what is gone is forgotten, nothing is kept twice
        database.execute("UPDATE chunks SET columns = '{\"format\": [1]}'")
    database.close()
    read.clear()
    pd.testing.assert_frame_equal(index_folder(root, path, jobs=1)[0], fresh)
    assert len(read) == 24  # damaged entries are read anew


def test_ascending_is_found_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_table, "_PIECE", 3)
    for texts, ascends, strictly in (
        (["a", "b", "c", "d", "e"], True, True),
        (["a", "b", "c", "c", "e"], True, False),
        (["a", "b", "c", "b", "e"], False, False),
        (["a", "a"], True, False),
        (["b", "a"], False, False),
        ([], True, True),
    ):
        column = pd.Series(texts, dtype="str")
        assert manifest_table.is_ascending(column) is ascends
        assert manifest_table.is_ascending(column, strictly=True) is strictly


def die(*_: object) -> None:
    os._exit(9)


def test_a_killed_worker_is_one_line_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small_set(tmp_path / "set")
    monkeypatch.setattr(probe, "WORTH_A_POOL", 0)
    monkeypatch.setattr(probe, "CHUNK", 4)
    monkeypatch.setattr(probe, "probe_chunk", die)
    with pytest.raises(UserError, match="a reading process was killed"):
        index_folder(root, tmp_path / "m.csv", jobs=2)
    assert not (tmp_path / "m.csv").exists()


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


def test_merging_manifests_that_contradict_each_other_names_the_image(tmp_path: Path) -> None:
    from fakefreq.data.manifest_work import merge_manifests

    manifest, _ = index_folder(small_set(tmp_path / "set"), tmp_path / "a.csv")
    write_manifest(manifest.assign(label=1 - manifest["label"]), tmp_path / "b.csv")
    with pytest.raises(UserError, match="two values of label"):
        merge_manifests([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "c.csv")


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
