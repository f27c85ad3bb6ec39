"""Test images select nothing, and nothing that resembles a training image is tested on."""

import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.train.selection import select_evaluation, select_training, take_share


def table(rows: list[tuple[str, int, str, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "label", "generator", "subset", "group", "split"])


MANIFEST = table(
    [
        (f"{generator}/{label}/{split}{number}", label, generator if label else "", generator, group, split)
        for generator in ("alpha", "beta")
        for label in (0, 1)
        for split in ("train", "val", "test")
        for number, group in [(0, f"{generator}{label}{split}")]
    ]
    + [("control/0", 0, "", "control", "c", "train")]
)


def test_training_sees_only_the_train_and_val_rows_of_its_generators() -> None:
    selection = select_training(MANIFEST, ("alpha",))
    assert selection.train["path"].tolist() == ["alpha/0/train0", "alpha/1/train0"]
    assert selection.val["path"].tolist() == ["alpha/0/val0", "alpha/1/val0"]


def test_no_name_means_all_generators() -> None:
    assert len(select_training(MANIFEST, ()).train) == 4


def test_evaluation_takes_the_test_split_of_seen_and_all_of_unseen_subsets() -> None:
    paths = select_evaluation(MANIFEST, ("alpha",))["path"].tolist()
    assert [path for path in paths if path.startswith("alpha")] == ["alpha/0/test0", "alpha/1/test0"]
    assert len([path for path in paths if path.startswith("beta")]) == 6
    assert "control/0" in paths


def test_an_unseen_image_that_shares_a_group_with_training_is_not_tested_on() -> None:
    manifest = MANIFEST.copy()
    manifest.loc[manifest["path"] == "beta/0/test0", "group"] = "alpha0train"
    assert "beta/0/test0" not in select_evaluation(manifest, ("alpha",))["path"].tolist()


def test_shared_reals_are_tested_only_in_the_test_split() -> None:
    manifest = MANIFEST.assign(subset="")
    paths = select_evaluation(manifest, ("alpha",))["path"].tolist()
    assert [path for path in paths if "/0/" in path] == ["alpha/0/test0", "beta/0/test0"]
    assert len([path for path in paths if path.startswith("beta/1")]) == 3


def test_a_part_without_a_class_says_which() -> None:
    with pytest.raises(UserError, match="val split has 1 real and 0 fake images for alpha; .*fakefreq split"):
        select_training(MANIFEST[MANIFEST["path"] != "alpha/1/val0"], ("alpha",))


def test_an_unknown_generator_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown generator 'alfa'.*'alpha'"):
        select_training(MANIFEST, ("alfa",))


def test_a_share_is_of_each_stratum_and_part_of_every_larger_one() -> None:
    rows = table(
        [
            (f"{generator}{label}{number}", label, generator if label else "", generator, f"g{number}", "train")
            for generator, count in (("alpha", 40), ("beta", 10), ("rare", 1))
            for label in (0, 1)
            for number in range(count)
        ]
    )
    rows["sha256"] = [f"{number:064x}" for number in range(len(rows))]
    shares = {share: take_share(rows, share) for share in (0.1, 0.3, 0.5, 1.0)}
    counts = shares[0.3].groupby(["subset", "label"]).size().to_dict()
    assert counts == {(name, label): n for name, n in (("alpha", 12), ("beta", 3), ("rare", 1)) for label in (0, 1)}
    for small, large in ((0.1, 0.3), (0.3, 0.5), (0.5, 1.0)):
        assert set(shares[small]["path"]) < set(shares[large]["path"])
    # The bytes choose, not the order of the table.
    shuffled = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    assert set(take_share(shuffled, 0.3)["path"]) == set(shares[0.3]["path"])
