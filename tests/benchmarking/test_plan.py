"""A benchmark runs the tracks that have a manifest, or those of them that are asked for."""

from pathlib import Path

import pytest

from fakefreq.errors import UserError
from tests.benchmarking.conftest import tiny_plan


def test_all_tracks_run_unless_one_is_named(small_manifest: Path) -> None:
    assert list(tiny_plan(small_manifest, aligned=small_manifest).tracks) == ["raw", "aligned"]
    assert list(tiny_plan(small_manifest, aligned=small_manifest, only=["aligned"]).tracks) == ["aligned"]
    three = tiny_plan(small_manifest, native=small_manifest, aligned=small_manifest)
    assert list(three.tracks) == ["raw", "native", "aligned"]


@pytest.mark.parametrize(("track", "said"), [("aligned", "--aligned"), ("native", "--native"), ("alined", "--tracks")])
def test_a_track_without_a_manifest_is_refused(small_manifest: Path, track: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_plan(small_manifest, only=[track])
