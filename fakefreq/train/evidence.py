"""What comes after the gradient steps: the lattice is fitted, the evidence calibrated, the threshold set."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.loading.loader import make_batches
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import best_threshold
from fakefreq.evaluate.predict import score_rows
from fakefreq.files import read_json
from fakefreq.models import Detector, load_detector, save_detector
from fakefreq.models.familiarity import REMEMBERED
from fakefreq.models.fusion import LATTICE, EvidenceFusion
from fakefreq.spectra import to_float
from fakefreq.train.checkpoint import Progress, RunFolder
from fakefreq.train.fit_lattice import LatticeFit, MakeFake, choose_by_hash, fit_lattice
from fakefreq.train.selection import Selection
from fakefreq.train.simulated_fakes import make_fake_of

logger = logging.getLogger(__name__)


def fit_and_calibrate(detector: Detector, config: TrainConfig, selection: Selection, root: Path) -> None:
    """Fit the lattice stream, calibrate the learnt logit, set the threshold.

    Args:
        detector: with a lattice stream; its learnt streams are trained. It is changed.
        config: of the run.
        selection: photographs of the training rows make the lattice's pairs, validation rows calibrate.
        root: the folder that their paths are relative to.

    Raises:
        UserError: too few photographs.
    """
    stream = detector.lattice
    assert stream is not None
    photographs = selection.train[selection.train["label"] == 0]
    history = parse_history(config.history) if config.history else None
    fake: MakeFake | None = make_fake_of(config.simulate_families) if config.lattice_simulated > 0 else None
    # The lattice is no part of what a seed varies in the learnt streams, and it has its own.
    fit = LatticeFit(pairs=config.lattice_pairs, seed=config.seed)
    head = detector.head
    if isinstance(head, EvidenceFusion) and head.familiarity is not None:
        _calibrate(detector, head, selection, root, config)
    found = fit_lattice(stream, photographs, root, fit, history, fake, config.lattice_simulated)
    logger.info(
        f"lattice: fitted to {found['pairs']} pairs of {found['photographs']} photographs; "
        f"AUC {found['held_out_auc']:.3f} on {found['held_out_pairs']} pairs of others"
    )
    if list(detector.streams) == [LATTICE]:
        detector.threshold = float(torch.quantile(stream.null.double(), 1 - config.false_alarms))
        logger.info(f"threshold {detector.threshold:.3f}: {config.false_alarms:.1%} of photographs lie above it")
    else:
        scores, _ = score_rows(detector, selection.val, root, config.batch_size, config.workers, progress="validate")
        detector.threshold = best_threshold(scores["label"].to_numpy(), scores["logit"].to_numpy())


def _calibrate(detector: Detector, head: EvidenceFusion, selection: Selection, root: Path, config: TrainConfig) -> None:
    """Fit scale and offset of the learnt logit to validation images, and the trust in it to training images too."""
    assert head.familiarity is not None
    remembered = pd.concat([choose_by_hash(rows, REMEMBERED // 2) for _, rows in selection.train.groupby("label")])
    train, _ = _learnt(detector, head, remembered, root, config)
    val, logits = _learnt(detector, head, selection.val, root, config)
    labels = selection.val["label"].to_numpy()
    head.calibrate(*_platt(labels, logits))
    head.familiarity.fit(train, val[torch.from_numpy(labels == 0)])


def _learnt(
    detector: Detector, head: EvidenceFusion, rows: pd.DataFrame, root: Path, config: TrainConfig
) -> tuple[Tensor, NDArray[np.float64]]:
    """Features of the learnt streams and the sum of their logits, of the centre crops, in the order of `rows`."""
    history = parse_history(detector.history) if detector.history else None
    batches = make_batches(
        rows, root, detector.crop, config.batch_size, train=False, workers=config.workers, history=history
    )
    learnt = {name: stream for name, stream in detector.streams.items() if name != LATTICE}
    features, logits = [], []
    detector.eval()
    with torch.inference_mode():
        for batch in batches:
            pixels = to_float(batch.images.to(detector.device))
            found = {name: stream(pixels) for name, stream in learnt.items()}
            features.append(torch.cat(list(found.values()), dim=1))
            logits.append(head.learnt(found)[0].double().cpu())
    return torch.cat(features), torch.cat(logits).numpy()


def _platt(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and offset of the logit by logistic regression (Platt 1999); a scale above 0 keeps the order."""
    model = LogisticRegression(C=1.0).fit(logits[:, None], labels)
    scale, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    return (scale, offset) if scale > 1e-3 else (1e-3, 0.0)


def take_pixel_run(detector: Detector, run: Path, folder: RunFolder) -> Progress:
    """Fill the pixel stream, and its part of the head, with those of a finished run of `pixel`; save the detector.

    Raises:
        UserError: the run is of another backbone.
    """
    pixel = load_detector(run)
    taken = {name.replace("head.decide.", "head.decide.pixel."): value for name, value in pixel.state_dict().items()}
    own = detector.state_dict()
    learnt = {name for name in own if name.startswith(("streams.pixel.", "head.decide."))}
    if set(taken) != learnt:
        raise UserError(
            f"{run} holds another pixel stream than {detector.config.backbone}; give a run of the same settings"
        )
    detector.load_state_dict({**own, **taken}, strict=True)
    summary = read_json(run / "summary.json", "the run's summary")
    progress = Progress()
    progress.epoch, progress.best_epoch = int(summary["epochs"]), int(summary["best_epoch"])
    progress.best_auc, progress.seconds = float(summary["val_auc"]), float(summary["seconds"])
    save_detector(detector, folder.path / "best.safetensors")
    return progress
