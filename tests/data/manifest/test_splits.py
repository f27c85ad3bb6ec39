"""Each wanted split has both classes, or the command says what is missing and which flag mends it."""

import pandas as pd
import pytest

from fakefreq.data.manifest.splits import split_manifest
from fakefreq.errors import UserError


def table(images: dict[str, int], per_group: int = 1) -> pd.DataFrame:
    """Rows of `label:generator:source` with their numbers."""
    rows = []
    for key, count in images.items():
        label, generator, source = key.split(":")
        rows += [
            {"path": f"{key}/{i}.png", "label": int(label), "generator": generator, "source": source, "subset": "",
             "group": f"{key}-{i // per_group}", "split": "", "sha256": ""}
            for i in range(count)
        ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.slow
@pytest.mark.parametrize("count", range(3, 21))
@pytest.mark.parametrize("generators", [1, 3])
def test_few_images_fill_every_split(count: int, generators: int) -> None:
    images = {"0::a": count} | {f"1:g{i}:": count for i in range(generators)}
    for seed in range(5):
        split = split_manifest(table(images), seed=seed)
        assert (split.groupby(["label", "generator"])["split"].nunique() == 3).all()


def test_strata_of_one_group_are_counted_with_others() -> None:
    images = {"0::a": 40} | {f"1:maker{i}:": 5 for i in range(40)}
    split = split_manifest(table(images, per_group=5))
    counts = split[split["label"] == 1]["split"].value_counts()
    assert counts.to_dict() == {"train": 140, "test": 40, "val": 20}


@pytest.mark.parametrize(("fractions", "groups"), [((0.7, 0.1, 0.2), 2), ((0.5, 0.0, 0.5), 1), ((0.9, 0.1, 0.0), 1)])
def test_what_cannot_be_filled_is_an_error(fractions: tuple[float, float, float], groups: int) -> None:
    manifest = table({"0::a": 5 * groups, "1:g:": 50}, per_group=5)
    with pytest.raises(
        UserError, match=rf"split would have no real image.*in {groups} groups.*--group-by.*--fractions"
    ):
        split_manifest(manifest, fractions)


def test_a_split_that_is_not_wanted_may_be_empty() -> None:
    manifest = table({"0::a": 4, "1:g:": 4})
    assert set(split_manifest(manifest, (0.8, 0.0, 0.2))["split"]) == {"train", "test"}
    assert set(split_manifest(table({"0::a": 9}))["split"]) == {"train", "val", "test"}


def official(*splits: str) -> pd.DataFrame:
    manifest = table({"0::a": 30, "1:g:": 30, "1:h:": 30})
    return manifest.assign(split=[splits[i % len(splits)] for i in range(len(manifest))])


def test_val_is_drawn_from_train_by_group_and_the_message_says_so() -> None:
    manifest = official("train", "test")
    manifest["group"] = manifest["split"] + (manifest.index // 6).astype(str)
    with pytest.raises(UserError, match=r"val split would have no real image.*--val-from-train 0\.1"):
        split_manifest(manifest)
    split = split_manifest(manifest, val_from_train=0.2)
    assert split["split"][manifest["split"] == "test"].eq("test").all()
    assert split["split"][manifest["split"] == "train"].isin(["train", "val"]).all()
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert 6 <= (split["split"] == "val").sum() <= 12
    assert split.groupby(["label", "generator"])["split"].nunique().eq(3).all()


def test_train_and_val_only_names_both_ways_out() -> None:
    manifest = official("train", "val")
    with pytest.raises(UserError, match="--val-is-test .*--val-from-train.*--fractions 0.5 0.5 0"):
        split_manifest(manifest)
    assert set(split_manifest(manifest, (0.9, 0.1, 0.0))["split"]) == {"train", "val"}
    split = split_manifest(manifest, val_from_train=0.1, val_is_test=True)
    assert (split["split"] == "test").sum() == (manifest["split"] == "val").sum()


@pytest.mark.parametrize(("manifest", "flags", "message"), [
    (official("train", "val", "test"), {"val_from_train": 0.1}, "there is a val"),
    (official(""), {"val_from_train": 0.1}, "there is none"),
    (official("train", "test"), {"val_from_train": 1.5}, "a share between 0 and 1"),
    (official("train", "test"), {"val_is_test": True}, "there must be a val, and no test yet"),
])  # fmt: skip
def test_flags_that_do_not_fit_are_refused(manifest: pd.DataFrame, flags: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_manifest(manifest, **flags)  # type: ignore[arg-type]


def test_holding_out_what_takes_all_groups_along_says_so() -> None:
    manifest = table({"0::a": 12, "1:g:": 12, "1:h:": 12})
    manifest["group"] = (manifest.index % 12).astype(str)
    with pytest.raises(UserError, match="the train split would have no real image.*held out take all others along"):
        split_manifest(manifest, hold_out=["generator=g"])
