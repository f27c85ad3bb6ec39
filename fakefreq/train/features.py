"""Features of a frozen backbone, computed once and kept, so that heads are compared in seconds on a CPU."""

import hashlib
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import history_of
from fakefreq.data.loading.loader import Batches, make_batches
from fakefreq.data.loading.samples import Augment
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc, best_threshold
from fakefreq.evaluate.predict import score_rows
from fakefreq.files import cache_folder
from fakefreq.models import Detector, save_detector
from fakefreq.models.fusion import LATTICE
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.progress import ProgressBar
from fakefreq.train.checkpoint import Progress, RunFolder
from fakefreq.train.selection import Selection

logger = logging.getLogger(__name__)

Features = NDArray[np.float32]
# The version of the passes that draw their crops: files of the first may lack an image.
_DRAWN_PASSES = 2


def frozen_features(
    detector: Detector,
    rows: pd.DataFrame,
    root: str | Path,
    crop: int = 224,
    passes: int = 1,
    *,
    augment: Augment | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    batch_size: int = 32,
    workers: int = -1,
) -> Features:
    """Return what a frozen detector's streams see in each image: in its centre crop, then in fixed random crops.

    Images go through the detector's history first, as in scoring. The lattice, which is fitted by itself, is left out.

    Each pass is kept in a mapped file that is found again by the images' sha256, the backbone's weights, and the
    arguments; the same pass then takes no time, whatever order or folder the images have got meanwhile, and however
    many passes are asked for.

    Args:
        detector: whose streams compute; put into evaluation mode.
        rows: of a manifest with sha256.
        root: the folder that their paths are relative to.
        crop: side in pixels.
        passes: over the images, 1 or more; the first sees the centre crops as they are.
        augment: what happens to the images of the further passes; by default half of them are mirrored.
        seed: of the random crops.
        folder: of the kept files; the user's cache by default.
        batch_size: images a step.
        workers: processes that decode.

    Shape:
        - output: (images, passes, width), float32, in the order of `rows`

    Raises:
        UserError: no sha256 to find features by, or no images.
    """
    digests = rows["sha256"].astype(str).tolist()
    if not digests or "" in digests:
        raise UserError("features are kept by each image's sha256, which the manifest lacks; index anew")
    # The images sorted by their bytes: the file does not depend on names or order.
    unique = rows.assign(sha256=digests).drop_duplicates("sha256").sort_values("sha256").reset_index(drop=True)
    place = Path(folder) if folder is not None else cache_folder("features")
    weights = _weights_digest(detector)
    stored = []
    for number in range(passes):
        augmented = (augment or Augment()) if number else None
        key = _key(detector, weights, unique["sha256"].tolist(), crop, number, augmented, seed)
        path = place / f"{key}.npy"
        if not path.exists():
            what = f"features, pass {number + 1} of {passes}"
            batches = make_batches(
                unique,
                root,
                crop,
                batch_size,
                train=number > 0,
                seed=seed,
                augment=augmented,
                workers=workers,
                history=history_of(detector.input),
                keep_single=True,
            )
            batches.set_epoch(number)
            _compute(detector, batches, len(unique), path, what)
        stored.append(np.load(path, mmap_mode="r"))
    position = {digest: number for number, digest in enumerate(unique["sha256"])}
    order = np.array([position[digest] for digest in digests])
    whole: Features = np.stack([one if np.array_equal(order, np.arange(len(one))) else one[order] for one in stored], 1)
    return whole


def kept_features(detector: Detector, rows: pd.DataFrame, root: Path, config: TrainConfig) -> Features | None:
    """Return what the learnt stream sees in the centre crop of each row; None where a run keeps no features.

    All runs of one frozen backbone share them, whatever their seed and their head. They are not those of a detector
    that averages several crops.

    Args:
        detector: of the run.
        rows: of a manifest with sha256.
        root: the folder that their paths are relative to.
        config: of the run.

    Shape:
        - output: (images, width)
    """
    if not config.feature_passes or detector.input.views > 1:
        return None
    crop, size = detector.input.crop, config.batch_size
    return frozen_features(detector, rows, root, crop, batch_size=size, workers=config.workers)[:, 0]


def _weights_digest(detector: Detector) -> str:
    digest = hashlib.sha256(f"{detector.config.backbone}/{detector.config.features}".encode())
    for name, value in sorted(detector.streams.state_dict().items()):
        if not name.startswith(f"{LATTICE}."):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _key(
    detector: Detector, weights: str, digests: list[str], crop: int, number: int, augment: Augment | None, seed: int
) -> str:
    drawn = [] if augment is None else [number, seed, asdict(augment), _DRAWN_PASSES]
    text = json.dumps([weights, detector.input.history, digests, crop, drawn])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _compute(detector: Detector, batches: Batches, count: int, path: Path, what: str) -> None:
    """Fill the file at `path`, which is there only once it is whole."""
    detector.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part.npy")
    features: np.memmap | None = None
    is_written = np.zeros(count, dtype=bool)
    try:
        with ProgressBar(what, count, "crop") as progress:
            for batch in batches:
                with torch.inference_mode():
                    seen = detector.features(batch.images.to(detector.device))
                    learnt = [value.flatten(1).float() for name, value in seen.items() if name != LATTICE]
                    values = torch.cat(learnt, dim=1).cpu().numpy()
                if features is None:
                    features = np.lib.format.open_memmap(temporary, "w+", np.float32, (count, values.shape[1]))
                features[batch.index.numpy()] = values
                is_written[batch.index.numpy()] = True
                progress.update(len(values))
        if features is None or not is_written.all():
            raise RuntimeError(f"{what}: {int((~is_written).sum())} of {count} images were not computed")
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
            - input: (images, passes, width)
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
        train: (images, passes, width).
        train_labels: (images,), 0 or 1.
        val: as `train`; only centre crops are read.
        val_labels: as `train_labels`.
        strengths: inverse penalties to try.
    """
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


def fit_frozen(
    detector: Detector, config: TrainConfig, selection: Selection, root: Path, folder: RunFolder
) -> Progress:
    """Fit the linear head of a detector whose backbone is frozen to kept features; save the detector.

    Args:
        detector: its one learnt stream is frozen; the head's linear layer is set.
        config: of the run; `feature_passes` is 1 or more.
        selection: training and validation rows.
        root: the folder that their paths are relative to.
        folder: where the run is kept.

    Raises:
        UserError: other parts of the detector learn too.
    """
    started = time.perf_counter()
    linear = only_linear(detector)
    augment = Augment(flip=config.flip, rotate=config.rotate, degrade=config.degrade)
    crop, seed, size, workers = detector.input.crop, config.seed, config.batch_size, config.workers
    train = frozen_features(
        detector,
        selection.train,
        root,
        crop,
        config.feature_passes,
        augment=augment,
        seed=seed,
        folder=None,
        batch_size=size,
        workers=workers,
    )
    val = frozen_features(detector, selection.val, root, crop, batch_size=size, workers=workers)
    labels = selection.val["label"].to_numpy()
    head = train_head(train, selection.train["label"].to_numpy(), val, labels)
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(head.weight).view(1, -1))
        linear.bias.fill_(head.bias)
    kept = None if detector.input.views > 1 else val[:, 0]
    scores, _ = score_rows(
        detector, selection.val, root, size, workers, progress="validate", kept=kept, cache=config.cache
    )
    logits = scores["logit"].to_numpy()
    progress = Progress(epoch=1, best_epoch=1, best_auc=auc(labels, logits))
    progress.seconds = time.perf_counter() - started
    threshold = best_threshold(labels, logits)
    accuracy = float(((logits > threshold) == (labels == 1)).mean())
    folder.log(epoch=1, step=0, phase="val", accuracy=accuracy, auc=progress.best_auc, seconds=progress.seconds)
    logger.info(
        f"linear head on {train.shape[2]} features of {len(train)} images in {train.shape[1]} passes, penalty "
        f"1/{head.strength:g}: validation AUC {progress.best_auc:.4f}, {progress.seconds:.0f} s"
    )
    facts = {"epoch": 1, "val_auc": progress.best_auc, "train_on": list(config.train_on)}
    save_detector(detector.replace(threshold=threshold), folder.path / "best.safetensors", facts)
    return progress


def only_linear(detector: Detector) -> nn.Linear:
    """Return the linear layer that is all that learns where the backbone is frozen.

    Raises:
        UserError: other parts of the detector learn too.
    """
    linears = [module for module in detector.head.modules() if isinstance(module, nn.Linear)]
    heads = {id(parameter) for linear in linears for parameter in linear.parameters()}
    others = [parameter for parameter in detector.new_parameters() if id(parameter) not in heads]
    if len(linears) != 1 or others or isinstance(detector, FittedDetector):
        raise UserError(
            f"--feature-passes fits one linear head to a frozen backbone, and other parts of {detector.config.name} "
            "learn too: use --detector pixel, two_stream with --spectrum lattice, or peer/univfd, or --feature-passes 0"
        )
    return linears[0]
