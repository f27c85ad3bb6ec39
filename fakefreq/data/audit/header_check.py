"""Part (a) of the audit: can header facts alone tell real from fake? Nothing is decoded."""

from typing import Any

import numpy as np
import pandas as pd

from fakefreq.data.audit.probe import Probe, probe

FACTS = ["format", "mode", "width", "height", "jpeg_quality", "subsampling", "progressive", "software", "icc"]
FILE_SIZE = "bytes"
LIMIT = 20_000  # images; an AUC of so many has an interval of +-.01


def header_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the header facts that a manifest has, and `bytes`, as the audit's features."""
    names = [name for name in FACTS if name in manifest]
    table = manifest[names].copy()
    for name in names:
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype(str)
    return table.assign(**{FILE_SIZE: manifest[FILE_SIZE].astype(np.float64)})


def sample_rows(manifest: pd.DataFrame, limit: int, seed: int = 0) -> pd.DataFrame:
    """Return at most `limit` rows, of each label, subset and generator the same share, chosen by seed."""
    if len(manifest) <= limit:
        return manifest
    parts = manifest.groupby(["label", "subset", "generator"], sort=True)
    chosen = parts.sample(frac=limit / len(manifest), random_state=seed)
    return chosen.sort_index()


def header_probe(
    manifest: pd.DataFrame, limit: int = LIMIT, seed: int = 0, explain_above: float = 0.0
) -> tuple[Probe | None, Probe | None]:
    """Return the probe of all header facts, file size among them, and of the facts without the file size.

    Single features are judged, which takes several times longer, where the AUC is above `explain_above`.
    """
    rows = sample_rows(manifest, limit, seed)
    table = header_table(rows)
    labels, groups = rows["label"].to_numpy(dtype=np.int64), rows["group"].to_numpy()
    whole = probe(table, labels, groups, seed, explain=False)
    if whole is not None and whole.auc > explain_above:
        whole = probe(table, labels, groups, seed)
    return whole, probe(table.drop(columns=FILE_SIZE), labels, groups, seed, explain=False)


def header_reasons(manifest: pd.DataFrame, whole: Probe, without_size: Probe) -> list[str]:
    """Say in words what the strongest header facts are and how the classes differ in them."""
    lines = [
        f"header facts alone tell real from fake with AUC {whole}; without the file size "
        f"{without_size.auc:.3f} [{without_size.low:.3f}, {without_size.high:.3f}]"
    ]
    for feature in [feature for feature in whole.features if feature.alone > 0.55 or feature.drop > 0.02][:4]:
        parts = [describe(manifest[manifest["label"] == label], feature.name) for label in (0, 1)]
        lines.append(f"{feature.name} alone: AUC {feature.alone:.3f}; real {parts[0]}; fake {parts[1]}")
    if whole.auc - without_size.auc > 0.05:
        spread = _by_subset(manifest)
        lines.append(
            "the file size tells because the pixels of the classes compress unlike: other processing before this "
            "encoding, or other content" + (f"; bits a pixel, real / fake: {spread}" if spread else "")
        )
    return lines


def describe(rows: pd.DataFrame, name: str) -> str:
    """Return the commonest values of a fact, or its quartiles where there are many."""
    column = rows[name]
    if name == FILE_SIZE or (pd.api.types.is_numeric_dtype(column) and column.nunique() > 12):
        low, middle, high = (f"{value:.0f}" for value in np.percentile(column.astype(float), [25, 50, 75]))
        return f"{middle} ({low} to {high})"
    counts = column.astype(str).value_counts(normalize=True)[:3]
    return ", ".join(f"{value or '(none)'} {share:.0%}" for value, share in counts.items())


def _by_subset(manifest: pd.DataFrame) -> str:
    """Where the classes' bits a pixel differ by more than a tenth."""
    pixels = (manifest["width"] * manifest["height"]).clip(lower=1)
    medians: Any = (manifest["bytes"] * 8 / pixels).groupby([manifest["subset"], manifest["label"]]).median().unstack()
    if 0 not in medians or 1 not in medians:
        return ""
    unlike = medians[(medians[0] / medians[1] - 1).abs() > 0.1]
    return ", ".join(f"{name or 'all'} {row[0]:.2f} / {row[1]:.2f}" for name, row in list(unlike.iterrows())[:5])
