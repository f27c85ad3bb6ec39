"""Splits that rows have already: how many are kept, and which flags of a new draw they contradict."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fakefreq.data.manifest.splits import FRACTIONS, SPLITS, held_rows, split_manifest
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)

# By how much the shares of splits that are kept may miss those asked for: groups are never parted.
_NEAR_SHARE = 0.05


def check_kept(
    before: pd.DataFrame,
    after: pd.DataFrame,
    fractions: tuple[float, float, float] | None = None,
    seed: int | None = None,
    hold_out: Sequence[str] = (),
    *,
    val_from_train: float = 0.0,
) -> None:
    """Warn of rows that kept the split that they had, and refuse flags that those rows contradict.

    Nothing tells a split that came with the images from one that an earlier run drew.

    Args:
        before: the manifest as it was.
        after: as `split_manifest` returned it.
        fractions: shares that were asked for; None: the user asked for none.
        seed: likewise.
        hold_out: as `split_manifest` takes it.
        val_from_train: likewise.

    Raises:
        UserError: a share of 0 of a split that rows keep; or all rows have a split already, and other shares, another
            seed, or other generators and sources to be held out are asked for.
    """
    had = before["split"] != ""
    kept = after["split"][had & (before["split"] == after["split"])]
    if kept.empty:
        return
    for name, share in zip(SPLITS, fractions or (), strict=False):
        if share == 0 and (kept == name).any():
            raise UserError(
                f"--fractions leaves {name} out, but {(kept == name).sum()} images have that split already; give it a "
                "share, or draw all anew with --overwrite"
            )
    if had.all():
        free = after[~held_rows(after, hold_out)]
        if hold_out:
            _check_held_before(free)
        shares = [float((free["split"] == name).mean()) for name in SPLITS]
        is_near = fractions is None or np.allclose(shares, fractions, rtol=0, atol=_NEAR_SHARE)
        flags = ["--fractions"] * (not is_near) + ["--seed"] * (seed is not None and not val_from_train)
        if flags and not _is_draw(before, after, fractions, seed, hold_out):
            raise UserError(
                f"all {len(before)} images have a split already, which {' and '.join(flags)} would not change; draw "
                "all anew with --overwrite, or leave that out"
            )
    logger.warning(f"{len(kept)} of {len(after)} images keep the split that they had; --overwrite draws all anew")


def _check_held_before(free: pd.DataFrame) -> None:
    """Refuse where more generators or sources are in test alone than those that are to be held out."""
    for column, label in (("generator", 1), ("source", 0)):
        named = free[(free["label"] == label) & (free[column] != "")] if column in free else free[:0]
        only_test = (named["split"] == "test").groupby(named[column]).all()
        if only_test.any():
            name = only_test.index[only_test][0]
            raise UserError(
                f"all images of the {column} {name} are in test already, as if it had been held out before; draw all "
                f"anew with --overwrite, or add {column}={name} to --hold-out"
            )


def _is_draw(
    before: pd.DataFrame,
    after: pd.DataFrame,
    fractions: tuple[float, float, float] | None,
    seed: int | None,
    hold_out: Sequence[str],
) -> bool:
    """Whether drawing all anew gives what is there: the same command again."""
    try:
        drawn = split_manifest(before, fractions or FRACTIONS, seed or 0, keep=False, hold_out=hold_out)
    except UserError:
        return False
    return bool((drawn["split"] == after["split"]).all())
