"""From images to logits: the one loop in which a detector reads images, whatever brings them."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fakefreq.config.known import NEITHER, Known
from fakefreq.data.degrade.history import history_of
from fakefreq.data.degrade.language import Degradation, image_rng
from fakefreq.data.images.decode import read_bytes, read_image
from fakefreq.data.images.headers.formats import HeaderFacts, ImageError
from fakefreq.data.images.headers.header import probe_content
from fakefreq.data.images.resample import crop_views
from fakefreq.data.index.walk import find_images
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.samples import bring
from fakefreq.errors import UserError, at_least
from fakefreq.evaluate.metrics import Array
from fakefreq.evaluate.outside_scores import VALIDATION, say_scale
from fakefreq.evaluate.scores import KEY_COLUMNS
from fakefreq.files import atomic_path, sha256_file
from fakefreq.models.fusion import LATTICE
from fakefreq.models.streams.lattice import read_lattice_of_image
from fakefreq.progress import ProgressBar
from fakefreq.ranks import current

if TYPE_CHECKING:
    from fakefreq.models import Detector

PREDICTED = [
    "path", "logit", "probability", "label", "lattice_pvalue", "conformal", "warning", "format", "width", "height",
    "jpeg_quality", "scale", "threshold", "threshold_from", "trained_on", "revision",
]  # fmt: skip
"""What `predict_images` says of each image. `conformal` is the set of labels that validation does not exclude, and
`warning` what of the image is outside of what validation knows, in words, with `; ` between them."""

# Pixels, the numbers of their images, and what was read in the whole images.
Pixels = tuple[torch.Tensor, NDArray[np.int64], torch.Tensor | None]


def infer(
    detector: "Detector",
    batches: Iterable[Pixels],
    names: Sequence[str],
    batch_size: int = 32,
    progress: str = "score",
    kept: NDArray[np.float32] | None = None,
) -> tuple[Array, Array]:
    """Return the logit of each image, the mean over its crops, and the lattice's p-value.

    Both are NaN for an image that no batch held, the p-value also where the detector reads no lattice.

    Args:
        detector: put into evaluation mode for the while.
        batches: pixels (B, 3, H, W), the image's number of each, several times for several crops, and what the lattice
            stream reads in the whole images, (B, 167), or None.
        names: of the images, for messages; their number is that of the result.
        batch_size: pictures that go through the network at once.
        progress: the progress bar's label.
        kept: what the one learnt stream sees in each image, (N, width), where that is known: it is then not run.

    Raises:
        UserError: a logit that is not finite.
    """
    # Sums over the crops of an image; of a single one it is the logit itself, to the bit.
    sums, seen = np.zeros(len(names), dtype=np.float64), np.zeros(len(names), dtype=np.int64)
    pvalues = np.full(len(names), np.nan)
    was_training = detector.training
    detector.eval()
    try:
        with torch.inference_mode(), ProgressBar(progress, len(names)) as bar:
            for pixels, index, whole in batches:
                lattice = None if whole is None else whole.to(detector.device)
                if kept is None:
                    values = _logits(detector, pixels.to(detector.device, non_blocking=True), lattice, batch_size)
                else:
                    values = _logits_of_kept(detector, torch.from_numpy(kept[index]).to(detector.device), lattice)
                if detector.lattice is not None and lattice is not None:
                    found = detector.lattice.pvalue(detector.lattice.judge(lattice).squeeze(1))
                    pvalues[index] = found.cpu().numpy()
                if not np.isfinite(values).all():
                    first = names[int(index[int(np.argmin(np.isfinite(values)))])]
                    raise UserError(f"the detector's logit for {first} is not finite; its weights are damaged")
                np.add.at(sums, index, values)
                np.add.at(seen, index, 1)
                # Other processes of a job are about as far.
                bar.update(min(current().size * (len(values) // detector.input.views), len(names) - bar.done))
    finally:
        detector.train(was_training)
    logits: Array = np.divide(sums, seen, out=np.full(len(names), np.nan), where=seen > 0)
    return logits, pvalues


def _logits(
    detector: "Detector", images: torch.Tensor, lattice: torch.Tensor | None, batch_size: int
) -> NDArray[np.float32]:
    """Logits of images, a few at a time."""
    parts = torch.split(images, batch_size)
    if lattice is None:
        found = [detector(part) for part in parts]
    else:
        found = [detector(*pair) for pair in zip(parts, torch.split(lattice, batch_size), strict=True)]
    return np.asarray(torch.cat(found).float().cpu().numpy())


def _logits_of_kept(detector: "Detector", kept: torch.Tensor, lattice: torch.Tensor | None) -> NDArray[np.float32]:
    """Logits of images whose learnt stream is known, (B, width)."""
    features = {name: kept for name in detector.streams if name != LATTICE}
    if detector.lattice is not None:
        assert lattice is not None
        features[LATTICE] = detector.lattice.judge(lattice)
    return np.asarray(detector.head(features).float().cpu().numpy())


def check_speed(batch_size: int, workers: int) -> None:
    """Refuse fewer than 1 image a step, and fewer than no processes that decode; -1 is their own choice."""
    at_least(batch_size, 1, "--batch-size")
    at_least(workers, -1, "--workers")


def score_rows(
    detector: "Detector",
    rows: pd.DataFrame,
    root: str | Path,
    batch_size: int = 32,
    workers: int = -1,
    *,
    on_error: Literal["stop", "skip"] = "stop",
    progress: str = "score",
    kept: NDArray[np.float32] | None = None,
    cache: str = "none",
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Score the images of some manifest rows, brought through the detector's own history and crop.

    A detector of several views gets the logits of the views averaged; it takes as many times as long. The processes of
    a job (`fakefreq.ranks`) share the batches, and each of them returns the whole table.

    Args:
        detector: put into evaluation mode for the while.
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        batch_size: images a step; it does not change the scores beyond rounding.
        workers: processes that decode; -1 chooses by the number of cores.
        on_error: `stop` at an image that does not decode, or `skip` it and list it.
        progress: the progress bar's label.
        kept: what the one learnt stream sees in the centre crop of each row, (N, width), in the order of `rows`, as
            `fakefreq.train.features.kept_features` gives it: the stream is then not run.
        cache: a folder that keeps decoded images, and what the lattice stream reads in them, for the next scoring of
            the same rows, by whichever detector; `none`, or `memory`, which a scoring has no use for.

    Returns:
        The scores, one row an image in the order of `rows`, and the skipped images as (path, reason). Scores of a
        published detector say in `revision` which one, with its commit.

    Raises:
        UserError: no rows; an image that does not decode; a logit that is not finite; a number out of range.
    """
    rows, ranks = rows.reset_index(drop=True), current()
    with ranks.all_or_none():
        check_speed(batch_size, workers)
        if rows.empty:
            raise UserError("there is no image to score: the manifest, or the part chosen by --split, is empty")
    batches = make_batches(
        rows,
        root,
        crop=detector.input.crop,
        batch_size=batch_size,
        train=False,
        workers=workers,
        on_error=on_error,
        history=history_of(detector.input),
        views=detector.input.views,
        whole=None if detector.lattice is None else read_lattice_of_image,
        ranks=ranks,
        cache="none" if cache == "memory" else cache,
    )
    pixels = ((batch.images, batch.index.numpy(), batch.whole) for batch in batches)
    with ranks.all_or_none():
        logits, pvalues = infer(detector, pixels, rows["path"].astype(str).tolist(), batch_size, progress, kept)
    own = np.flatnonzero(~np.isnan(logits))
    gathered = ranks.gather((own, logits[own], pvalues[own], batches.skipped))
    for index, found, pvalue, _ in gathered:
        logits[index], pvalues[index] = found, pvalue
    skipped = [bad for *_, some in gathered for bad in some]
    if ranks.size > 1:
        place = {path: number for number, path in enumerate(rows["path"].astype(str))}
        skipped.sort(key=lambda bad: place[bad[0]])
    scored = rows[[name for name in KEY_COLUMNS if name in rows]].copy()
    scored["logit"] = logits
    if detector.lattice is not None:
        scored["lattice_pvalue"] = pvalues
    scored["probability"] = 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))
    if detector.revision:
        scored["revision"] = detector.revision
    return scored[~np.isnan(logits)].reset_index(drop=True), skipped


def score_degraded(
    detector: "Detector",
    rows: pd.DataFrame,
    root: Path,
    degradation: Degradation,
    seed: int = 0,
    batch_size: int = 32,
) -> Array:
    """Return the logits of some images after a degradation, in the order of the rows.

    What a degradation draws depends on the seed and the image's bytes alone: every detector meets the same pixels.

    Args:
        detector: put into evaluation mode for the while.
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        degradation: applied to each image at full size, as if it had reached the detector so.
        seed: of what is drawn.
        batch_size: images a step.

    Raises:
        UserError: an image that does not decode, a logit that is not finite.
    """
    history = history_of(detector.input)
    keys = list(zip(rows["path"].astype(str), rows["sha256"].astype(str), strict=True))

    def prepare(key: tuple[str, str]) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        path, sha256 = key
        try:
            image = read_image(root / path)
        except ImageError as error:
            raise UserError(f"{path}: {error.reason}; mend it, or take it out of the manifest") from error
        image = degradation.apply(image, image_rng(seed, sha256 or path))
        if history is not None:
            image = bring(image, history, sha256 or path)
        lattice = None if detector.lattice is None else read_lattice_of_image(image)
        return crop_views(image, detector.input.crop, detector.input.views), lattice

    def batches(images: Iterator[tuple[NDArray[np.uint8], NDArray[np.float32] | None]]) -> Iterator[Pixels]:
        start = 0
        while some := list(islice(images, batch_size)):
            counts = [len(crops) for crops, _ in some]
            numbers = np.repeat(np.arange(start, start + len(some)), counts)
            read = [lattice for _, lattice in some if lattice is not None]
            whole = torch.from_numpy(np.repeat(np.stack(read), counts, axis=0)) if read else None
            yield torch.from_numpy(np.concatenate([crops for crops, _ in some])).permute(0, 3, 1, 2), numbers, whole
            start += len(some)

    # Codecs leave the interpreter's lock: the next batch is made while the network reads this one.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        names = [f"{path} after {degradation}" for path, _ in keys]
        return infer(detector, batches(pool.map(prepare, keys)), names, batch_size, str(degradation))[0]


def threshold_origin(detector: "Detector") -> str:
    """Where a trained detector's threshold comes from."""
    return "training photographs (--false-alarms)" if detector.config.name == LATTICE else VALIDATION


def predict_images(
    detector: "Detector",
    paths: str | Path | Sequence[str | Path],
    batch_size: int = 32,
    on_error: Literal["stop", "skip"] = "stop",
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Score image files that are in no manifest.

    Args:
        detector: put into evaluation mode for the while.
        paths: files, folders (all images in and below them) and patterns such as `photos/*.jpg`, one or several.
        batch_size: images a step.
        on_error: `stop` at an image that is missing or does not decode, or `skip` it and list it.

    Returns:
        The columns of `PREDICTED`, but for `lattice_pvalue` where the detector reads no lattice and `revision` where it
        is no published one; and the skipped images as (path, reason).

    Raises:
        UserError: no image at all; one that cannot be scored, where that stops; fewer than 1 image a step.
    """
    files, problems = find_images([paths] if isinstance(paths, str | Path) else paths)
    if problems and on_error == "stop":
        raise UserError(f"{problems[0].path}: {problems[0].reason}")
    rows = pd.DataFrame({"path": [str(Path(file).absolute()) for file in files], "label": 0})
    if detector.input.history:
        # What the history draws is drawn by the bytes.
        rows["sha256"] = [_sha256(path) for path in rows["path"]]
    scores, skipped = score_rows(detector, rows, Path("/"), batch_size, 0, on_error=on_error, progress="predict")
    shown, gone = dict(zip(rows["path"], files, strict=True)), {path for path, _ in skipped}
    known = detector.known
    facts = [probe_content(path, read_bytes(path)) for path in scores["path"]]
    judged = [judge_file(known, fact, logit) for fact, logit in zip(facts, scores["logit"], strict=True)]
    table = scores.assign(
        path=[file for file, path in zip(files, rows["path"], strict=True) if path not in gone],
        label=(scores["logit"] > detector.threshold).astype(int),
        conformal=[judgement[0] for judgement in judged],
        warning=["; ".join(judgement[1]) for judgement in judged],
        **{name: [getattr(fact, name) for fact in facts] for name in ("format", "width", "height", "jpeg_quality")},
        trained_on="" if known is None else known.describe(),
    )
    table = say_scale(table, detector.threshold, threshold_origin(detector))
    table = table[[name for name in PREDICTED if name in table]]
    return table, [*((one.path, one.reason) for one in problems), *((shown[path], why) for path, why in skipped)]


def _sha256(path: str) -> str:
    """Of a file; one that cannot be read is told of where it is decoded."""
    try:
        return sha256_file(path) if Path(path).is_file() else "missing"
    except OSError:
        return "missing"


def judge_file(known: Known | None, facts: HeaderFacts, logit: float) -> tuple[str, list[str]]:
    """Return the conformal set of an image, and plain warnings of what is outside of what validation knows.

    Args:
        known: what training and validation knew; of a detector of an older version None.
        facts: of the image's header.
        logit: of the image.
    """
    if known is None:
        return "", ["the detector does not say what its validation knew: a version before this one trained it"]
    conformal = known.conformal.name(logit)
    warnings = known.outside(facts.format, facts.width, facts.height, facts.jpeg_quality)
    if conformal == NEITHER:
        warnings.append("a logit unlike those of validation's photographs and of its fakes")
    return conformal, warnings


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write what `predict_images` returned as CSV or, where the name ends so, as JSON lines; atomically.

    A number that is missing is null in JSON, and `warning` is a list there.

    Args:
        table: of the images.
        path: ends in .csv or .jsonl.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    check_predictions_path(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            temporary.write_text("".join(f"{json.dumps(row)}\n" for row in as_records(table)), encoding="utf-8")


def check_predictions_path(path: Path) -> None:
    """Refuse a file that is neither CSV nor JSON lines."""
    if path.suffix not in (".csv", ".jsonl"):
        raise UserError(f"{path} ends neither in .csv nor in .jsonl (JSON lines); change --out")


def as_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of what `predict_images` returned as JSON values."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return [{**row, "warning": [part for part in str(row["warning"]).split("; ") if part]} for row in rows]


def predict_files(detector: "Detector", paths: str | Path | Sequence[str | Path], batch_size: int = 32) -> pd.DataFrame:
    """Score image files, and stop at one that cannot be; `fakefreq.predict` is this function."""
    return predict_images(detector, paths, batch_size)[0]
