"""Scores of degraded images: each is decoded, degraded, then brought through the detector's history and crop."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.degrade.history import parse_history
from fakefreq.data.degrade.language import Degradation, image_rng, parse_degradation
from fakefreq.data.images.crops import crop_views
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.headers.header import ImageError
from fakefreq.data.images.resample import KERNELS
from fakefreq.data.loading.samples import bring
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array

if TYPE_CHECKING:
    from fakefreq.models import Detector

SWEEP = (
    *(f"jpeg:{quality}" for quality in (30, 40, 50, 60, 70, 80, 90, 95, 100)),
    *(f"webp:{quality}" for quality in (30, 50, 70, 90)),
    *(f"blur:{sigma}" for sigma in (0.5, 1, 2)),
    *(f"resize:{factor}:{kernel}" for kernel in KERNELS for factor in (0.5, 0.75, 1.5, 2)),
    *(f"noise:{sigma}" for sigma in (1, 2, 4, 8)),
    *(f"crop:{share}" for share in (0.9, 0.7, 0.5)),
    *(f"double_jpeg:{first}:75" for first in (60, 75, 90)),
    "social",
)
"""What a sweep goes through unless it is told otherwise."""


def read_sweep(texts: tuple[str, ...]) -> dict[str, Degradation]:
    """Return text -> degradation, each once, in the order given.

    Args:
        texts: degradations; `default` stands for `SWEEP`.

    Raises:
        UserError: an unknown degradation.

    >>> list(read_sweep(("jpeg:60", "jpeg:60", "resize:0.5")))
    ['jpeg:60:4:2:0', 'resize:0.5:bicubic']
    """
    found: dict[str, Degradation] = {}
    for text in texts:
        for word in SWEEP if text == "default" else (text,):
            degradation = parse_degradation(word)
            found[str(degradation)] = degradation
    found.pop("none", None)
    return found


def family_and_level(degradation: Degradation) -> tuple[str, float | None]:
    """Return what a degradation's curve is called and where on it this one stands.

    >>> family_and_level(parse_degradation("jpeg:60"))
    ('jpeg 4:2:0', 60.0)
    >>> family_and_level(parse_degradation("resize:0.5:area")), family_and_level(parse_degradation("social"))
    (('resize area', 0.5), ('social', None))
    """
    steps = degradation.steps
    if len(steps) != 1:
        return "chain", None
    name, first, *others = [steps[0].name, *map(str, steps[0].arguments)]
    try:
        return " ".join([name, *others]), float(first)
    except ValueError:  # drawn from a range: there is no one level
        return name, None


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
    import torch

    history = parse_history(detector.history) if detector.history else None
    keys = list(zip(rows["path"].astype(str), rows["sha256"].astype(str), strict=True))

    def prepare(key: tuple[str, str]) -> NDArray[np.uint8]:
        path, sha256 = key
        try:
            image = read_image(root / path)
        except ImageError as error:
            raise UserError(f"{path}: {error.reason}; mend it, or take it out of the manifest") from error
        image = degradation.apply(image, image_rng(seed, sha256 or path))
        if history is not None:
            image = bring(image, history, sha256 or path)
        return crop_views(image, detector.crop, detector.views)

    logits = np.empty(len(keys))
    was_training = detector.training
    detector.eval()
    try:
        # Codecs leave the interpreter's lock: the next batch is made while the network reads this one.
        with torch.inference_mode(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            start = 0
            for images in _batches(pool.map(prepare, keys), batch_size):
                batch = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2).to(detector.device)
                values = torch.cat([detector(part) for part in torch.split(batch, batch_size)]).double().cpu().numpy()
                logits[start : start + len(images)] = values.reshape(len(images), -1).mean(axis=1)
                start += len(images)
    finally:
        detector.train(was_training)
    if not np.isfinite(logits).all():
        first = keys[int(np.argmin(np.isfinite(logits)))][0]
        raise UserError(f"the detector's logit for {first} after {degradation} is not finite")
    return logits


def _batches(images: Iterator[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    while batch := list(islice(images, size)):
        yield batch
