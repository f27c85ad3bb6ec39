"""A benchmark runs both tracks, or the one that is asked for."""

from pathlib import Path

import pytest

from fakefreq.errors import UserError
from tests.protocols.conftest import tiny_plan


def test_both_tracks_run_unless_one_is_named(small_manifest: Path) -> None:
    assert list(tiny_plan(small_manifest, aligned=small_manifest).tracks) == ["raw", "aligned"]
    assert list(tiny_plan(small_manifest, aligned=small_manifest, only=["aligned"]).tracks) == ["aligned"]


@pytest.mark.parametrize(("track", "said"), [("aligned", "--aligned"), ("alined", "--tracks")])
def test_a_track_without_a_manifest_is_refused(small_manifest: Path, track: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_plan(small_manifest, only=[track])
