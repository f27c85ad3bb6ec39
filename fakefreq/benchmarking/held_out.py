"""Which images of any manifest a finished run may be tested on."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest
from fakefreq.errors import UserError
from fakefreq.evaluate.scores import group_names
from fakefreq.train.checkpoint import DIGITS, read_trained_images, trained_manifest
from fakefreq.train.selection import generators_of, rows_of_generators, select_evaluation

logger = logging.getLogger(__name__)


def trained_generators(config: TrainConfig, val: pd.DataFrame) -> tuple[str, ...]:
    """Return the generators that a run was trained on, sorted; where it was all, its validation fakes name them.

    Args:
        config: of the run.
        val: its val_scores.csv.
    """
    return tuple(sorted(config.train_on or set(val.loc[val["label"] == 1, "generator"].astype(str)) - {""}))


def held_out_rows(
    run: Path, manifest: Path, images: pd.DataFrame, trained_on: Sequence[str], val: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of a manifest that neither trained nor validated a run.

    Of the manifest that the run was trained on, what `select_evaluation` says; of another one, all but what the bytes,
    the split or the group tell.

    Args:
        run: as `fakefreq train` leaves it.
        manifest: the table of images, for messages.
        images: its rows.
        trained_on: as `trained_generators` says.
        val: the run's val_scores.csv.

    Raises:
        UserError: damaged splits; no row is left.
    """
    check_splits(images)
    if trained_manifest(run) == manifest_digest(images):
        rows = select_evaluation(images, tuple(trained_on))
    else:
        trained = read_trained_images(run)
        rows = _of_another_manifest(images, trained_on, val, trained)
        logger.info(
            f"{manifest} is not the manifest that {run} was trained on: {len(images) - len(rows)} of {len(images)} "
            "images are left out, as their bytes, split or group say that they trained or validated the run"
            + ("" if trained else "; the run does not tell the bytes of its training images")
        )
    if rows.empty:
        raise UserError(f"{manifest} holds no image that {run} may be tested on: all are of its training")
    return rows


def _of_another_manifest(
    images: pd.DataFrame, trained_on: Sequence[str], val: pd.DataFrame, trained: frozenset[str]
) -> pd.DataFrame:
    """Leave out what a run has been trained or validated on: by bytes, official split and group."""
    known = tuple(name for name in trained_on if name in generators_of(images))
    touched = rows_of_generators(images, known) if known else images.iloc[:0]
    is_used = images["path"].isin(touched.loc[touched["split"].isin(["train", "val"]), "path"])
    hashes = set(val["sha256"].astype(str)) - {""} if "sha256" in val else set()
    is_used |= images["sha256"].isin(hashes) | images["sha256"].str[:DIGITS].isin(trained)
    groups = group_names(images)
    return images[~groups.isin(set(groups[is_used]))].reset_index(drop=True)
