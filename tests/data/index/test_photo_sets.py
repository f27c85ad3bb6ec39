"""A group is a photograph with its fake, or a video, and never more: over the layouts of public sets."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.data.index.names import Hints
from fakefreq.data.manifest.edit import check_manifest
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError
from tests.helpers.made_sets import both, make_set


def index(root: Path, phash: bool = False, hints: Hints | None = None) -> pd.DataFrame:
    return index_folder(root, root.parent / "m.csv", phash=phash, hints=hints, jobs=1)[0]


def frames(form: str, videos: Sequence[str], count: int = 5) -> list[str]:
    return [form.format(v=video, i=number) for video in videos for number in range(count)]


NUMBERS = [f"{i:03d}" for i in range(12)]
CHAIN = [f"{i:03d}_{(i + 1) % 12:03d}" for i in range(12)]
PAIRS = [f"{i:03d}_{i ^ 1:03d}" for i in range(12)]
LETTERS = [f"{letter * 5}vnbtw" for letter in "abcdefghij"]
PEOPLE = [f"id{i}_{clip:04d}" for i in range(6) for clip in range(2)]
SWAPPED = [f"id{i}_id{(i + 3) % 6}_{clip:04d}" for i in range(6) for clip in range(2)]
SCENES = [f"{i:02d}__walking" for i in range(1, 9)]
CHANGED = [f"{i:02d}_{i % 8 + 1:02d}__walking__ABCD{i}" for i in range(1, 9)]
# Set -> (folders of frames of photographs, of fakes, number of groups).
VIDEOS = {
    "issue": (frames("real/{v}/{i:03d}.png", NUMBERS), frames("fake/{v}/{i:03d}.png", CHAIN), 12),
    "FaceForensics++": (
        frames("FF/original_sequences/youtube/c23/frames/{v}/{i:03d}.png", NUMBERS),
        frames("FF/manipulated_sequences/Deepfakes/c23/frames/{v}/{i:03d}.png", PAIRS)
        + frames("FF/manipulated_sequences/Face2Face/c23/frames/{v}/{i:03d}.png", PAIRS),
        6,
    ),
    "Celeb-DF": (frames("Celeb-real/{v}/{i:05d}.png", PEOPLE), frames("Celeb-synthesis/{v}/{i:05d}.png", SWAPPED), 6),
    "DFD": (frames("real/{v}/{i}.png", SCENES), frames("fake/{v}/{i}.png", CHANGED), 8),
    "DFDC": (frames("real/{v}/{i:03d}.png", LETTERS[:5]), frames("fake/{v}/{i:03d}.png", LETTERS[5:]), 10),
    "WildDeepfake": (
        frames("real_train/{v}/real/1/{i}.png", ["3", "4", "5", "6"])
        + frames("real_train/{v}/real/2/{i}.png", ["3", "4"]),
        frames("fake_train/{v}/fake/7/{i}.png", ["13", "14", "15", "16"]),
        8,
    ),
    "above": (frames("{v}/real/{i}.png", NUMBERS), frames("{v}/fake/{i}.png", NUMBERS), 12),
    "nested": (frames("real/{v}/crop/clip_1/{i}.png", NUMBERS), frames("fake/{v}/crop/clip_1/{i}.png", CHAIN), 12),
    "frames": (frames("real/{v}/frame_{i}.png", list("abcdef")), frames("fake/{v}/frame_{i}.png", list("ghijkl")), 12),
}


@pytest.mark.slow
@pytest.mark.parametrize("phash", [False, True])
@pytest.mark.parametrize("name", sorted(VIDEOS))
def test_a_video_is_one_group_and_lies_in_one_split(name: str, phash: bool, tmp_path: Path) -> None:
    real, fake, groups = VIDEOS[name]
    manifest = index(make_set(tmp_path / "d", [*real, *fake], near=True), phash)
    assert manifest["group"].nunique() == groups
    # The real videos of DFDC keep no label and generators are no videos.
    assert set(manifest["generator"]) <= {"", "unknown", "Deepfakes", "Face2Face", "Celeb-synthesis"}
    folder = manifest["path"].str.rpartition("/")[0]
    assert (manifest.groupby(folder)["group"].nunique() == 1).all()
    split = split_manifest(manifest.assign(split=""))
    assert (split.groupby(folder)["split"].nunique() == 1).all()
    assert (split.groupby("label")["split"].nunique() == 3).all()


def test_two_swaps_of_one_pair_are_with_both_photographs_and_a_chain_is_with_its_target(tmp_path: Path) -> None:
    names = frames("real/{v}/{i}.png", ["000", "003", "007"], 2) + frames(
        "fake/{v}/{i}.png", ["000_003", "003_000", "007_000"], 2
    )
    manifest = index(make_set(tmp_path / "d", names))
    group = manifest.set_index(manifest["path"].str.split("/").str[2])["group"].to_dict()
    assert len({group[v] for v in ("000", "003", "000_003", "003_000")}) == 1
    assert group["007"] == group["007_000"] != group["000"]


@pytest.mark.parametrize("by", ["folder", "file"])
def test_fakes_of_videos_are_in_every_split_however_grouped(tmp_path: Path, by: str) -> None:
    real, fake, _ = VIDEOS["issue"]
    root = make_set(tmp_path / "d", [*real, *fake], near=True)
    manifest, _ = index_folder(root, tmp_path / "m.csv", group_by=by, jobs=1)  # type: ignore[arg-type]
    assert set(manifest["generator"]) == {"", "unknown"}
    assert not manifest["group"].str.startswith("/").any()
    assert (split_manifest(manifest).groupby("label")["split"].nunique() == 3).all()


# Sets of single images -> pairs of names that are one group, and pairs that are not.
STEMS = {
    "within a generator": (["gan/0_real/1.png", "gan/1_fake/1.png"], ["gan/0_real/1.png", "vae/0_real/1.png"]),
    "within a category": (
        ["gan/cat/0_real/1.png", "gan/cat/1_fake/1.jpg"],
        ["gan/cat/0_real/1.png", "gan/dog/1_fake/1.png"],
    ),
    "two classes": (["real/1.png", "fake/1.jpg"], ["real/1.png", "fake/2.png"]),
    "official splits": (["train/REAL/1.png", "train/FAKE/1.png"], ["train/REAL/1.png", "test/FAKE/1.png"]),
    "splits in names": (["real_train/1.png", "fake_train/1.png"], ["real_train/1.png", "fake_test/1.png"]),
    "chunks": (["real/00000/1.png", "fake/00000/1.png"], ["real/00000/1.png", "fake/00001/01.png"]),
    "shared reals": ([], ["real/1.png", "fake/sg/1.png", "fake/dc/1.png"]),
    "sources": ([], ["real/ffhq/1.png", "fake/sg/1.png", "real/celeba/1.png"]),
}


@pytest.mark.parametrize("name", sorted(STEMS))
def test_a_stem_pairs_a_photograph_and_its_fake_within_one_generator(name: str, tmp_path: Path) -> None:
    same, apart = STEMS[name]
    manifest = index(make_set(tmp_path / "d", [*dict.fromkeys([*same, *apart])]), hints=Hints())
    group = dict(zip(manifest["path"].str.removeprefix("d/"), manifest["group"], strict=True))
    assert len({group[path] for path in same}) == min(1, len(same))
    assert len({group[path] for path in apart}) == len(apart)


GENERATORS = ("sg", "sg2", "dc")


@pytest.mark.slow
@pytest.mark.parametrize("names", [
    [f"real/{i:03d}.png" for i in range(20)] + [f"fake/{g}/{i:03d}.png" for g in GENERATORS for i in range(20)],
    [f"{g}/{k}/{i:03d}.png" for g in ("sg", "sg2", "dc") for k in ("0_real", "1_fake") for i in range(20)],
    [f"{g}/{i:03d}.png" for g in ("ffhq_real", "sg_fake", "sg2_fake", "dc_fake") for i in range(20)],
])  # fmt: skip
def test_a_generator_is_held_out_without_the_others(tmp_path: Path, names: list[str]) -> None:
    index(make_set(tmp_path / "d", names))
    split = rewrite_split(tmp_path / "m.csv", tmp_path / "m.csv", (0.7, 0.1, 0.2), 0, hold_out=["generator=dc"])
    assert set(split["split"][split["generator"] == "dc"]) == {"test"}
    rest = split[~split["path"].str.contains("dc")]
    assert (rest.groupby("label")["split"].nunique() == 3).all()
    assert (rest["split"] == "train").mean() > 0.6


def test_photographs_of_one_source_in_two_generators_folders_are_the_same(tmp_path: Path) -> None:
    root = make_set(
        tmp_path / "d",
        [f"{g}/{k}/{i}.png" for g in ("sg", "vae", "dc") for k in ("0_real", "1_fake") for i in range(3)],
    )
    sources = {"sg": "ffhq", "vae": "ffhq", "dc": "celeba"}
    manifest, _ = index_folder(root, tmp_path / "m.csv", sources=sources, jobs=1)
    group = manifest.set_index("path")["group"]
    assert group["d/sg/0_real/1.png"] == group["d/vae/0_real/1.png"] == group["d/vae/1_fake/1.png"]
    assert group["d/sg/0_real/1.png"] != group["d/dc/0_real/1.png"] and group.nunique() == 6


def test_sets_of_the_same_numbers_are_merged_as_strangers(tmp_path: Path) -> None:
    from fakefreq.data.manifest.edit import merge_manifests

    for name in ("one", "two"):
        index_folder(make_set(tmp_path / name, both("{k}/{i}.png")), tmp_path / f"{name}.csv", jobs=1)
    merged = merge_manifests([tmp_path / "one.csv", tmp_path / "two.csv"], tmp_path / "m.csv")
    assert merged["group"].nunique() == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["{s}/{k}/{i:04d}.png", "CIFAKE/{s}/{k}/{i:04d}.png", "{k}/{s}/{i:04d}.png", "{s}_{k}/{i:04d}.png"]
)
def test_an_official_split_whose_names_repeat_is_kept(tmp_path: Path, form: str) -> None:
    names = [form.format(s=s, k=k, i=i) for s in ("train", "test") for k in ("REAL", "FAKE") for i in range(20)]
    manifest = index(make_set(tmp_path / "d", names))
    with pytest.raises(UserError, match="--val-from-train 0.1"):
        rewrite_split(tmp_path / "m.csv", tmp_path / "m.csv", (0.7, 0.1, 0.2), 0)
    split = rewrite_split(tmp_path / "m.csv", tmp_path / "m.csv", val_from_train=0.1)
    assert split["path"][split["split"] == "test"].tolist() == manifest["path"][manifest["split"] == "test"].tolist()
    assert split[split["split"] != "test"].groupby(["label", "split"]).size().tolist() == [18, 2, 18, 2][::1] or (
        sorted(split[split["split"] != "test"].groupby(["label", "split"]).size()) == [2, 2, 18, 18]
    )
    check_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("phash", [False, True])
def test_true_leaks_between_official_splits_are_still_refused(tmp_path: Path, phash: bool) -> None:
    root = make_set(
        tmp_path / "d",
        [f"{s}/{k}/{i}.png" for s in ("train", "val", "test") for k in ("real", "fake") for i in range(4)],
    )
    (root / "test/real/9.png").write_bytes((root / "train/real/0.png").read_bytes())
    index(root, phash)
    with pytest.raises(UserError, match="the result would be leaked; take one of them out") as caught:
        rewrite_split(tmp_path / "m.csv", tmp_path / "m.csv", (0.7, 0.1, 0.2), 0)
    assert "9.png" in str(caught.value) and "0.png" in str(caught.value)


def test_groups_are_shown_before_they_decide(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    real, fake, _ = VIDEOS["issue"]
    index_folder(make_set(tmp_path / "d", [*real, *fake]), tmp_path / "m.csv", jobs=1)
    shown = next(line for line in logged.messages if "groups" in line)
    assert "12 of 2 to 10 images" in shown and "d/fake/000_001/000.png" in shown and "--group-by" in shown
