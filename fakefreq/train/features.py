"""Features of a frozen backbone, computed once and kept, so that heads are compared in seconds on a CPU."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fakefreq.data.degrade.history import history_of
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.samples import Augment
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.files import cache_folder
from fakefreq.models import Detector
from fakefreq.progress import ProgressBar

Features = NDArray[np.float32]


def frozen_features(
    detector: Detector,
    rows: pd.DataFrame,
    root: str | Path,
    crop: int = 224,
    random_crops: int = 0,
    seed: int = 0,
    folder: str | Path | None = None,
    batch_size: int = 32,
    workers: int = -1,
) -> Features:
    """Return what a frozen detector's streams see in each image: its centre crop first, then fixed random crops.

    Images go through the detector's history first, as in scoring.

    They are kept in a mapped file that is found again by the images' sha256, the weights, and the arguments; the same
    call then takes no time, whatever order or folder the images have got meanwhile.

    Args:
        detector: whose streams compute; put into evaluation mode.
        rows: of a manifest with sha256.
        root: the folder that their paths are relative to.
        crop: side in pixels.
        random_crops: how many crops, with random flips, besides the centre one.
        seed: of the random crops.
        folder: of the kept files; the user's cache by default.
        batch_size: images a step.
        workers: processes that decode.

    Shape:
        - output: (images, 1 + random_crops, width), float32, read-only, in the order of `rows`

    Raises:
        UserError: no sha256 to find features by, or no images.
    """
    digests = rows["sha256"].astype(str).tolist()
    if not digests or "" in digests:
        raise UserError("features are kept by each image's sha256, which the manifest lacks; index anew")
    # The images sorted by their bytes: the file does not depend on names or order.
    unique = rows.assign(sha256=digests).drop_duplicates("sha256").sort_values("sha256").reset_index(drop=True)
    key = _key(detector, unique["sha256"].tolist(), crop, random_crops, seed)
    place = Path(folder) if folder is not None else cache_folder("features")
    path = place / f"{key}.npy"
    if not path.exists():
        _compute(detector, unique, Path(root), crop, random_crops, seed, path, batch_size, workers)
    stored = np.load(path, mmap_mode="r")
    position = {digest: number for number, digest in enumerate(unique["sha256"])}
    order = np.array([position[digest] for digest in digests])
    whole: Features = stored if np.array_equal(order, np.arange(len(stored))) else stored[order]
    return whole


def _key(detector: Detector, digests: list[str], crop: int, random_crops: int, seed: int) -> str:
    digest = hashlib.sha256()
    history = [detector.input.history] if detector.input.history else []
    digest.update(json.dumps([digests, crop, random_crops, seed if random_crops else 0, *history]).encode())
    for name, value in sorted(detector.streams.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:32]


def _compute(
    detector: Detector,
    rows: pd.DataFrame,
    root: Path,
    crop: int,
    random_crops: int,
    seed: int,
    path: Path,
    batch_size: int,
    workers: int,
) -> None:
    """Fill the file at `path`, which is there only once it is whole."""
    detector.eval()
    history = history_of(detector.input)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part.npy")
    features: np.memmap | None = None
    try:
        with ProgressBar("features", len(rows) * (1 + random_crops), "crop") as progress:
            for number in range(1 + random_crops):
                batches = make_batches(
                    rows,
                    root,
                    crop,
                    batch_size,
                    train=number > 0,
                    seed=seed,
                    augment=Augment(),
                    workers=workers,
                    history=history,
                )
                batches.set_epoch(number)
                for batch in batches:
                    with torch.inference_mode():
                        seen = detector.features(batch.images.to(detector.device))
                        values = torch.cat([value.flatten(1).float() for value in seen.values()], dim=1).cpu().numpy()
                    if features is None:
                        shape = (len(rows), 1 + random_crops, values.shape[1])
                        features = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
                    features[batch.index.numpy(), number] = values
                    progress.update(len(values))
        assert features is not None
        features.flush()
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; set FAKEFREQ_CACHE to a folder with room") from error
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Head:
    """A linear head over kept features.

    Args:
        weight: (width,).
        bias: added.
        strength: inverse of the L2 penalty that validation chose.
        val_auc: of the centre crops.
    """

    weight: NDArray[np.float64]
    bias: float
    strength: float
    val_auc: float

    def logits(self, features: Features) -> NDArray[np.float64]:
        """Return one logit an image, of its centre crop.

        Shape:
            - input: (images, crops, width)
            - output: (images,)
        """
        centre = np.asarray(features[:, 0], dtype=np.float64)
        return np.asarray(centre @ self.weight + self.bias, dtype=np.float64)


def train_head(
    train: Features,
    train_labels: NDArray[np.int64],
    val: Features,
    val_labels: NDArray[np.int64],
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
) -> Head:
    """Fit a logistic regression on all crops; validation chooses the penalty.

    Args:
        train: (images, crops, width).
        train_labels: (images,), 0 or 1.
        val: as `train`; only centre crops are read.
        val_labels: as `train_labels`.
        strengths: inverse penalties to try.
    """
    from sklearn.linear_model import LogisticRegression

    crops = train.shape[1]
    flat = np.asarray(train, dtype=np.float64).reshape(-1, train.shape[2])
    labels = np.repeat(np.asarray(train_labels), crops)
    mean, scale = flat.mean(axis=0), flat.std(axis=0) + 1e-6
    best: Head | None = None
    for strength in strengths:
        model = LogisticRegression(C=strength, max_iter=300).fit((flat - mean) / scale, labels)
        weight = model.coef_[0] / scale
        head = Head(weight, float(model.intercept_[0] - mean @ weight), strength, 0.0)
        score = auc(val_labels, head.logits(val))
        if best is None or score > best.val_auc:
            best = Head(head.weight, head.bias, strength, score)
    assert best is not None
    return best
