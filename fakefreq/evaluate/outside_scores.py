"""Anyone's table of scores: on which scale it is, where its threshold comes from, and what of this is only assumed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fakefreq.data.manifest.table import check_same_manifest
from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.scores import KEY_COLUMNS, read_scores

SCALES = ["logit", "probability"]
"""What a score may be; both grow towards fake."""
VALIDATION = "validation"
"""Where a threshold comes from that validation images have chosen."""
SCORE_COLUMNS = ("logit", "score", "probability")
"""Names of the column of scores; the first that is there is read."""
# The usual threshold of each scale: what a detector's authors would use who say nothing.
USUAL = {"logit": 0.0, "probability": 0.5}


@dataclass(frozen=True)
class OutsideScores:
    """The scores of one detector, joined to images.

    Args:
        rows: the key columns of a manifest, and `logit`; probabilities have been turned into logits.
        scale: `logit` or `probability`: what the table held.
        is_scale_assumed: whether neither the table nor a flag says so.
        threshold: a logit, or None where neither the table nor a flag names one.
        threshold_from: who named it; empty where nobody did.
    """

    rows: pd.DataFrame
    scale: str
    is_scale_assumed: bool
    threshold: float | None
    threshold_from: str

    @property
    def scale_text(self) -> str:
        """As tables write it."""
        return f"assumed: {self.scale}" if self.is_scale_assumed else self.scale

    def usual_threshold(self) -> tuple[float, str]:
        """Return the logit that is assumed where nothing names or chooses a threshold, and how tables write that."""
        usual = USUAL[self.scale]
        return float(_as_logits(np.array([usual]), self.scale)[0]), f"assumed: {self.scale} {usual:g}"


def say_scale(scores: pd.DataFrame, threshold: float, threshold_from: str) -> pd.DataFrame:
    """Return a table of logits that says of itself what it holds.

    Args:
        scores: with the column `logit`.
        threshold: the logit above which an image is called fake.
        threshold_from: where it comes from.
    """
    return scores.assign(scale="logit", threshold=threshold, threshold_from=threshold_from)


def read_outside_scores(
    path: str | Path, manifest: pd.DataFrame | None, scale: str = "", threshold: float | None = None
) -> OutsideScores:
    """Join anyone's table of scores to the images of a manifest.

    Args:
        path: a CSV or Parquet table with the column `path` (as in the manifest) or `sha256`, and the column `logit`,
            `score` or `probability`, any finite number that grows towards fake. It may say `scale` (`logit` or
            `probability`), `threshold` (on that scale) and `threshold_from`, the same in all rows. Where it has the
            column `manifest`, that must hold the manifest's digest. Other columns are ignored.
        manifest: the table of images; None: the table of scores itself, which then has path and label.
        scale: `logit` or `probability` where the table does not say; empty: the column's name, else by the values.
        threshold: above which an image is called fake, on the table's scale; None: the table's own, if it has one.

    Returns:
        The manifest's rows that have a score, in its order.

    Raises:
        UserError: missing columns, a score that is no finite number or no probability, a key twice, a key that the
            manifest lacks, another manifest's digest, contradictory scales, or no score at all.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}; --scores takes CSV or Parquet files")
    table = read_scores(path, columns=())
    key = next((name for name in ("path", "sha256") if name in table), None)
    column = next((name for name in SCORE_COLUMNS if name in table), None)
    if key is None or column is None:
        raise UserError(
            f"{path} has the columns {', '.join(map(str, table))}; it takes path or sha256, and score or logit "
            "(or probability)"
        )
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise UserError(
            f"{path}: {int(bad.sum())} scores are no finite numbers, the first of {table[key][bad].iloc[0]}"
        )
    twice = table[key].duplicated()
    if twice.any():
        raise UserError(f"{path} scores {table[key][twice].iloc[0]} twice; each {key} may come once")
    if manifest is None:
        images = _own_images(table, path)
    else:
        images = manifest
        check_same_manifest(table, manifest, path)
    strangers = table.loc[~table[key].isin(images[key]), key]
    if len(strangers):
        raise UserError(
            f"{path} scores {len(strangers)} images that the manifest does not have, the first {strangers.iloc[0]}"
        )
    said = _scale_of(table, path, column, scale)
    found = said or ("probability" if len(values) and ((values >= 0) & (values <= 1)).all() else "logit")
    if found == "probability" and len(values) and not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"{path}: {column} goes from {values.min():g} to {values.max():g}, which is no probability; "
                        "say --scale logit, or mend the table")  # fmt: skip
    given, origin = _threshold_of(table, path, threshold)
    scored = dict(zip(table[key], _as_logits(values, found), strict=True))
    rows = images[images[key].isin(scored)]
    if rows.empty:
        raise UserError(f"{path} holds no score")
    joined = rows[KEY_COLUMNS[:-1]].assign(logit=[scored[name] for name in rows[key]]).reset_index(drop=True)
    if given is not None:
        if found == "probability" and not 0 < given < 1:
            raise UserError(f"{path}: the threshold {given:g} is no probability between 0 and 1")
        given = float(_as_logits(np.array([given]), found)[0])
    return OutsideScores(joined, found, not said, given, origin)


def _own_images(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the images that a table of scores tells of itself."""
    missing = [name for name in ("path", "label") if name not in table]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}, so a manifest must say what its images are: give both")
    label = pd.to_numeric(table["label"], errors="coerce")
    wrong = ~label.isin([0, 1])
    if wrong.any():
        first = table[wrong].iloc[0]
        raise UserError(f"{path}: the label of {first['path']} is {first['label']!r}; it is 0 (real) or 1 (fake)")
    texts = [name for name in KEY_COLUMNS[:-1] if name != "label"]
    # Parquet tables have missing texts where CSV tables have empty ones.
    plain = {name: table[name].astype(object).fillna("").astype(str) if name in table else "" for name in texts}
    return table[["path"]].assign(**plain, label=label.astype(int))[KEY_COLUMNS[:-1]]


def _scale_of(table: pd.DataFrame, path: Path, column: str, given: str) -> str:
    """Return the scale that a flag, the table or its column's name says; empty where none does."""
    if given:
        choose(given, SCALES, "scale", "--scale")
    said = _only_value(table, "scale", path)
    if said:
        choose(said, SCALES, "scale", f"the column scale of {path}")
    elif column in SCALES:
        said = "" if given else column  # a flag may know better what a column of that name holds
    if given and said and given != said:
        raise UserError(f"{path} says that its scores are on the scale {said}, --scale says {given}; leave one of them")
    return given or said


def _threshold_of(table: pd.DataFrame, path: Path, given: float | None) -> tuple[float | None, str]:
    if given is not None:
        if not np.isfinite(given):
            raise UserError(f"--threshold takes a finite number; got {given}")
        return given, "given"
    text = _only_value(table, "threshold", path)
    if not text:
        return None, ""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise UserError(f"{path}: its threshold {text!r} is no finite number")
    origin = _only_value(table, "threshold_from", path)
    return value, f"score table: {origin}" if origin else "score table"


def _only_value(table: pd.DataFrame, column: str, path: Path) -> str:
    """Return the one value of a column, as text; empty where there is no such column."""
    if column not in table or table.empty:
        return ""
    values = sorted(set(table[column].fillna("").astype(str)))
    if len(values) > 1:
        raise UserError(f"{path}: the column {column} holds {values[0]!r} and {values[1]!r}; it is one for all rows")
    return values[0].strip()


def _as_logits(values: Array, scale: str) -> Array:
    """Turn scores into logits.

    >>> _as_logits(np.array([0.5, 0.75]), "probability").round(3).tolist()
    [0.0, 1.099]
    """
    if scale == "logit":
        return values
    inside = np.clip(values, 1e-300, 1 - 1.2e-16)
    logits: Array = np.log(inside) - np.log1p(-inside)
    return logits
