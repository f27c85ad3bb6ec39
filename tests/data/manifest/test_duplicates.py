"""Near-duplicates are found without comparing all pairs, and stay on one side."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fakefreq.data.manifest.duplicates import count_bits, find_pairs, hash_numbers, merge_groups, perceptual_hash
from fakefreq.data.manifest.edit import check_manifest
from fakefreq.data.manifest.splits import check_splits, split_manifest
from fakefreq.data.manifests import index_folder
from fakefreq.errors import UserError
from tests.helpers.made_sets import both, make_set
from tests.helpers.photo_files import photo, save, small_set


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


@pytest.mark.slow
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
    from fakefreq.data.manifest import duplicates

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


@pytest.mark.parametrize("bits", [-5, 0, 23, 257])
def test_bits_at_which_other_commands_would_refuse_the_manifest_are_refused(tmp_path: Path, bits: int) -> None:
    make_set(tmp_path / "set", both("{k}/{k}{i}.png"))
    with pytest.raises(UserError, match=f"--near-bits takes 24 to 256; got {bits}"):
        index_folder(tmp_path / "set", tmp_path / "m.csv", phash=True, near_bits=bits, jobs=1)
    assert not (tmp_path / "m.csv").exists()


def test_more_bits_join_more_and_check_accepts_them(tmp_path: Path) -> None:
    make_set(tmp_path / "set", both("{k}/{k}{i}.png"))
    index_folder(tmp_path / "set", tmp_path / "m.csv", phash=True, near_bits=40, jobs=1)
    check_manifest(tmp_path / "m.csv")
