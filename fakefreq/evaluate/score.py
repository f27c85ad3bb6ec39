"""From images to scores: the table from which every metric, curve and figure is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fakefreq.data.degrade.history import parse_history
from fakefreq.data.loading.loader import make_batches
from fakefreq.errors import UserError
from fakefreq.files import atomic_path, sha256_file
from fakefreq.models.streams.lattice import read_lattice_of_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fakefreq.models import Detector

KEY_COLUMNS = ["path", "sha256", "label", "generator", "source", "subset", "group", "split", "manifest"]
SCORE_COLUMNS = [*KEY_COLUMNS, "logit", "probability"]


def score_rows(
    detector: "Detector",
    rows: pd.DataFrame,
    root: str | Path,
    batch_size: int = 32,
    workers: int = -1,
    on_error: Literal["stop", "skip"] = "stop",
    progress: str = "score",
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Score the images of some manifest rows, brought through the detector's own history and crop.

    A detector of several views gets the logits of the views averaged; it takes as many times as long.

    Args:
        detector: put into evaluation mode for the while.
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        batch_size: images a step; it does not change the scores beyond rounding.
        workers: processes that decode; -1 chooses by the number of cores.
        on_error: `stop` at an image that does not decode, or `skip` it and list it.
        progress: the progress bar's label.

    Returns:
        The scores, one row an image in the order of `rows`, and the skipped images as (path, reason).

    Raises:
        UserError: no rows; an image that does not decode; a logit that is not finite.
    """
    if rows.empty:
        raise UserError("there is no image to score: the manifest, or the part chosen by --split, is empty")
    rows = rows.reset_index(drop=True)
    batches = make_batches(
        rows,
        root,
        crop=detector.crop,
        batch_size=batch_size,
        train=False,
        workers=workers,
        on_error=on_error,
        history=parse_history(detector.history) if detector.history else None,
        views=detector.views,
        whole=None if detector.lattice is None else read_lattice_of_image,
    )
    stream = detector.lattice
    pvalues = np.full(len(rows), np.nan)
    # Sums over the views of an image; of a single one it is the logit itself, to the bit.
    sums, seen = np.zeros(len(rows), dtype=np.float64), np.zeros(len(rows), dtype=np.int64)
    was_training = detector.training
    detector.eval()
    try:
        with torch.inference_mode(), tqdm(total=len(rows), desc=progress, unit="image", leave=False) as bar:
            for batch in batches:
                images = batch.images.to(detector.device, non_blocking=True)
                whole = None if batch.whole is None else batch.whole.to(detector.device)
                values = _logits(detector, images, whole, batch_size)
                if stream is not None and whole is not None:
                    found = stream.pvalue(stream.judge(whole).squeeze(1))
                    pvalues[batch.index.numpy()] = found.cpu().numpy()
                if not np.isfinite(values).all():
                    first = rows["path"].iloc[int(batch.index[int(np.argmin(np.isfinite(values)))])]
                    raise UserError(f"the detector's logit for {first} is not finite; its weights are damaged")
                np.add.at(sums, batch.index.numpy(), values)
                np.add.at(seen, batch.index.numpy(), 1)
                bar.update(len(values) // detector.views)
    finally:
        detector.train(was_training)
    logits = np.divide(sums, seen, out=np.full(len(rows), np.nan), where=seen > 0)
    skipped = list(batches.skipped)
    scored = rows[[name for name in KEY_COLUMNS if name in rows]].copy()
    scored["logit"] = logits
    if stream is not None:
        scored["lattice_pvalue"] = pvalues
    scored["probability"] = 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))
    return scored[~np.isnan(logits)].reset_index(drop=True), skipped


def _logits(
    detector: "Detector", images: torch.Tensor, whole: torch.Tensor | None, batch_size: int
) -> "NDArray[np.float32]":
    """Logits of images, a few at a time; `whole` is what was read in the images that they are crops of."""
    parts = torch.split(images, batch_size)
    if whole is None:
        found = [detector(part) for part in parts]
    else:
        found = [detector(*pair) for pair in zip(parts, torch.split(whole, batch_size), strict=True)]
    return torch.cat(found).float().cpu().numpy()


def write_scores(scores: pd.DataFrame, path: str | Path) -> None:
    """Write a score table as CSV, atomically; logits keep all digits that a float32 has."""
    with atomic_path(path) as temporary:
        scores.to_csv(temporary, index=False, float_format="%.9g")


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read a score table.

    Raises:
        UserError: missing, not a table, or without path, label and logit.
    """
    text: dict[str, Any] = dict.fromkeys([name for name in KEY_COLUMNS if name != "label"], str)
    try:
        scores = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"logit": ["", "nan"]})
    except FileNotFoundError as error:
        raise UserError(f"the scores {path} are missing; make them with `fakefreq score`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the scores {path}: {error}") from error
    missing = [name for name in ("path", "label", "logit") if name not in scores]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: it is not a table of scores")
    return scores


def predict_files(detector: "Detector", paths: str | Path | Sequence[str | Path], batch_size: int = 32) -> pd.DataFrame:
    """Score image files that are in no manifest; `Detector.predict` is this function."""
    # A text is a sequence of characters, each of which would be taken for a file.
    files = [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]
    if not files:
        raise UserError("there is no image to predict; give at least one file")
    rows = pd.DataFrame({"path": [str(Path(file).absolute()) for file in files], "label": 0})
    if detector.history:
        # What the history draws is drawn by the bytes. A file that is missing is told of where it is read.
        rows["sha256"] = [sha256_file(path) if Path(path).is_file() else "missing" for path in rows["path"]]
    scores, _ = score_rows(detector, rows, Path("/"), batch_size=batch_size, workers=0, progress="predict")
    kept = [name for name in ("path", "logit", "probability", "lattice_pvalue") if name in scores]
    table = scores[kept].assign(path=files)
    return table.assign(label=(table["logit"] > detector.threshold).astype(int))
