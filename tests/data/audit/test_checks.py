"""What the audit reads out of the manifest alone fails wherever `manifest check` refuses."""

import pandas as pd
import pytest

from fakefreq.data.audit.checks import duplicates
from fakefreq.data.manifest.splits import check_splits
from fakefreq.errors import UserError


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": list("abcd"),
            "label": [0, 0, 1, 1],
            "group": list("wxyz"),
            "split": ["train", "test", "train", "test"],
            "sha256": "",
            "phash": "",
        }
    )


def leak_of(manifest: pd.DataFrame) -> str:
    """Both must see a leak: return what the audit says of it."""
    with pytest.raises(UserError):
        check_splits(manifest)
    finding = duplicates(manifest)
    assert finding.verdict == "fail"
    return finding.reasons[0]


def test_a_manifest_without_leaks_passes() -> None:
    check_splits(table())
    assert duplicates(table()).verdict == "pass"


def test_near_duplicates_are_those_of_all_other_commands() -> None:
    """20 of 256 bits apart, none of them among the first 64: what JPEG at half the size does."""
    near = ["0" * 64, "0" * 16 + "fffff" + "0" * 43]
    assert "1 near-duplicates in different splits, such as a and b" in leak_of(table().assign(phash=[*near, "", ""]))


def test_a_parted_group_is_seen_without_hashes_of_files() -> None:
    assert "1 times the same group in several splits, such as a and b" in leak_of(table().assign(group=list("wwyz")))
    assert "1 times the same bytes in several splits, such as a and b" in leak_of(
        table().assign(sha256=[*list("ff"), "", ""])
    )
