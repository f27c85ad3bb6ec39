"""Rows that have a split keep it, which is said; a flag that they contradict is refused, never ignored."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fakefreq.data.manifests import index_folder, read_manifest, rewrite_split, write_manifest
from fakefreq.errors import UserError
from tests.helpers.made_sets import make_set

GENERATORS = ("biggan", "gan", "vqgan")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three generators of 20 reals and 20 fakes each, not split."""
    names = [f"{g}/{k}/{g}{i:03d}.png" for g in GENERATORS for k in ("0_real", "1_fake") for i in range(20)]
    index_folder(make_set(tmp_path / "d", names), tmp_path / "m.csv", jobs=1)
    return tmp_path / "m.csv"


def split(path: Path, **flags: Any) -> pd.DataFrame:
    return rewrite_split(path, path, **flags)


def held(manifest: pd.DataFrame) -> set[str]:
    in_test = (manifest["split"] == "test").groupby(manifest["subset"]).all()
    return set(in_test.index[in_test])


def refused(path: Path, **flags: Any) -> str:
    """The command must stop and leave the manifest: return its one line, which names the way out."""
    before = path.read_bytes()
    with pytest.raises(UserError, match="--overwrite") as caught:
        split(path, **flags)
    assert path.read_bytes() == before
    return str(caught.value)


def test_another_generator_held_out_does_not_come_on_top_of_the_first(path: Path) -> None:
    assert held(split(path, hold_out=["generator=biggan"])) == {"biggan"}
    assert "add generator=biggan to --hold-out" in refused(path, hold_out=["generator=vqgan"])
    assert held(split(path, hold_out=["generator=biggan"])) == {"biggan"}
    assert held(split(path, hold_out=["generator=biggan", "generator=vqgan"])) == {"biggan", "vqgan"}
    assert held(split(path, hold_out=["generator=vqgan"], keep=False)) == {"vqgan"}


@pytest.mark.parametrize(("flags", "named"), [
    ({"fractions": (0.4, 0.3, 0.3)}, "which --fractions would not change"),
    ({"seed": 9}, "which --seed would not change"),
    ({"fractions": (0.4, 0.3, 0.3), "seed": 9}, "which --fractions and --seed would not change"),
    ({"fractions": (0.8, 0.0, 0.2)}, "leaves val out, but 12 images have that split already"),
])  # fmt: skip
def test_other_shares_or_another_seed_are_refused_where_all_is_split(
    path: Path, flags: dict[str, Any], named: str
) -> None:
    split(path)
    assert named in refused(path, **flags)
    drawn = split(path, **flags, keep=False)
    pd.testing.assert_frame_equal(split(path, **flags), drawn)


def test_the_same_command_again_changes_nothing_and_says_how_many_are_kept(
    path: Path, logged: pytest.LogCaptureFixture
) -> None:
    first = split(path)
    assert not any("keep the split" in line for line in logged.messages)
    pd.testing.assert_frame_equal(split(path), first)
    assert "120 of 120 images keep the split that they had; --overwrite draws all anew" in logged.messages


def test_an_official_split_is_kept_and_the_rest_is_drawn_by_the_flags(
    path: Path, logged: pytest.LogCaptureFixture
) -> None:
    rows = read_manifest(path)
    official = rows["subset"] == "gan"
    write_manifest(rows.assign(split=["test" if kept else "" for kept in official]), path)
    assert "leaves test out, but 40 images" in refused(path, fractions=(0.8, 0.2, 0.0), seed=3)
    found = split(path, fractions=(0.5, 0.25, 0.25), seed=3, hold_out=["generator=vqgan"])
    assert held(found) == {"gan", "vqgan"}
    assert any(line.startswith("40 of 120 images keep the split that they had") for line in logged.messages)


def test_what_is_said_of_an_official_split_without_a_test_part_is_accepted(path: Path) -> None:
    rows = read_manifest(path)
    write_manifest(rows.assign(split=["val" if number % 5 == 0 else "train" for number in range(len(rows))]), path)
    with pytest.raises(UserError, match=r"leave test out with --fractions 0\.8 0\.2 0"):
        split(path)
    assert set(split(path, fractions=(0.8, 0.2, 0.0))["split"]) == {"train", "val"}
