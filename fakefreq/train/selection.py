"""Which rows of a manifest a run may see: the owner of the rule that test images select nothing."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakefreq.errors import UserError, choose
from fakefreq.evaluate.scores import group_names

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Selection:
    """The rows of one experiment.

    Args:
        train: rows that fit the weights.
        val: rows that choose the epoch and the threshold.
    """

    train: "pd.DataFrame"
    val: "pd.DataFrame"


def generators_of(manifest: "pd.DataFrame") -> list[str]:
    """Return the names of all generators in a manifest, sorted."""
    return sorted(set(manifest.loc[manifest["label"] == 1, "generator"]))


def rows_of_generators(manifest: "pd.DataFrame", generators: tuple[str, ...]) -> "pd.DataFrame":
    """Return the fakes of some generators and the reals that stand against them (those of the same subsets).

    Args:
        manifest: the table of images.
        generators: their names; empty means all.

    Raises:
        UserError: a generator that the manifest does not have.
    """
    known = generators_of(manifest)
    for name in generators:
        choose(name, known, "generator", "--train-on")
    chosen = set(generators or known)
    fakes = (manifest["label"] == 1) & manifest["generator"].isin(chosen)
    subsets = set(manifest.loc[fakes, "subset"])
    reals = (manifest["label"] == 0) & manifest["subset"].isin(subsets)
    return manifest[fakes | reals]


def select_training(manifest: "pd.DataFrame", generators: tuple[str, ...], needs_fakes: bool = True) -> Selection:
    """Return the training and validation rows of an experiment; test rows never leave this function.

    Args:
        manifest: with its `split` column filled by `fakefreq split`.
        generators: whose fakes to train on; empty means all.
        needs_fakes: whether both parts must hold fakes; photographs they must hold always.

    Raises:
        UserError: no split, or a part that lacks a class.
    """
    # Photographs alone stand against no generator.
    only_photographs = not needs_fakes and not (manifest["label"] == 1).any()
    rows = manifest if only_photographs else rows_of_generators(manifest, generators)
    parts = {}
    for name in ("train", "val"):
        part = rows[rows["split"] == name].reset_index(drop=True)
        counts = [int((part["label"] == label).sum()) for label in (0, 1)]
        if counts[0] == 0 or (needs_fakes and counts[1] == 0):
            raise UserError(
                f"the {name} split has {counts[0]} real and {counts[1]} fake images"
                + (f" for {', '.join(generators)}" if generators else "")
                + "; both classes are needed: run `fakefreq split` on the manifest, or change --train-on"
            )
        parts[name] = part
    return Selection(parts["train"], parts["val"])


def take_share(rows: "pd.DataFrame", share: float) -> "pd.DataFrame":
    """Return a share of the images of each class of each subset, generator and source: the same ones always.

    They are taken in the order of a hash of their bytes, so that a smaller share is part of every larger one, and at
    least one of each.

    Args:
        rows: rows of a manifest.
        share: above 0, at most 1.
    """
    if share == 1:
        return rows
    names = rows["sha256"].astype(str).where(rows["sha256"].astype(str) != "", rows["path"].astype(str))
    order = names.map(lambda name: int.from_bytes(hashlib.sha256(f"share/{name}".encode()).digest()[:6], "big"))
    strata = [rows[name] for name in ("label", "subset", "generator", "source") if name in rows]
    rank = order.groupby(strata, observed=True).rank(method="first")
    count = order.groupby(strata, observed=True).transform("size")
    return rows[rank <= (share * count).round().clip(lower=1)].reset_index(drop=True)


def select_evaluation(manifest: "pd.DataFrame", generators: tuple[str, ...]) -> "pd.DataFrame":
    """Return every row that an experiment trained on `generators` may be tested on.

    Images of the chosen subsets count only where they are in the test split. Of the subsets that training never
    touched all images count, whatever their split, except those that share a group (identity, parent photo,
    duplicate) with a training or validation image; an image without a group shares it with none.

    Args:
        manifest: with its `split` column filled.
        generators: whose fakes were trained on; empty means all.
    """
    touched = rows_of_generators(manifest, generators)
    groups = group_names(manifest)
    used_groups = set(groups[touched.index[touched["split"].isin(["train", "val"])]])
    # Where all generators share the reals (an empty subset), reals in training make their test split the only one.
    in_touched_subset = manifest.index.isin(touched.index)
    held_out = ~in_touched_subset | (manifest["split"] == "test")
    return manifest[held_out & ~groups.isin(used_groups)].reset_index(drop=True)
