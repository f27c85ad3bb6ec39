"""The audit's sample keeps both classes and every generator that it has room for."""

import pandas as pd
import pytest

from fakefreq.data.audit.learnt_checks import sample_rows


def table(**images: int) -> pd.DataFrame:
    """Rows of each generator; `real` is the photographs."""
    names = [name for name, count in images.items() for _ in range(count)]
    return pd.DataFrame({"label": [int(name != "real") for name in names], "subset": "", "generator": names})


@pytest.mark.parametrize(("images", "limit", "kept"), [
    # More photographs than anything else, and generators of which a share would round to none.
    ({"real": 9940} | {f"g{i}": 2 for i in range(30)}, 400, {"real": 340} | {f"g{i}": 2 for i in range(30)}),
    ({"real": 500, "a": 900, "b": 90, "c": 10}, 200, {"real": 100, "a": 45, "b": 45, "c": 10}),
    ({"real": 50, "a": 500}, 200, {"real": 50, "a": 150}),
    ({"real": 30, "a": 30}, 60, {"real": 30, "a": 30}),
])  # fmt: skip
def test_classes_and_generators_are_there_evenly(images: dict[str, int], limit: int, kept: dict[str, int]) -> None:
    rows = sample_rows(table(**images), limit)
    assert rows["generator"].value_counts().to_dict() == kept
    assert rows.index.is_monotonic_increasing and rows.index.is_unique


@pytest.mark.parametrize("limit", [2, 3, 7, 14, 16, 29])
def test_the_limit_holds_with_more_generators_than_it_has_room_for(limit: int) -> None:
    manifest = table(real=15, **{f"g{i}": 1 for i in range(15)})
    rows = sample_rows(manifest, limit)
    assert len(rows) == limit and abs(2 * rows["label"].sum() - limit) <= 1
    pd.testing.assert_frame_equal(rows, sample_rows(manifest, limit))
    assert limit == 29 or not rows.equals(sample_rows(manifest, limit, seed=1))
