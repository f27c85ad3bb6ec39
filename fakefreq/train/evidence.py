"""Puts a detector with the lattice stream together: lattice fitted, learnt logit calibrated, threshold set."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import history_of
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import best_threshold
from fakefreq.evaluate.predict import score_rows
from fakefreq.files import read_json
from fakefreq.models import Detector, load_detector
from fakefreq.models.fusion import LATTICE, EvidenceFusion
from fakefreq.models.streams.lattice import LatticeStream
from fakefreq.ranks import current
from fakefreq.simulated.fakes import make_fake_of
from fakefreq.train.checkpoint import Progress, RunFolder
from fakefreq.train.features import kept_features
from fakefreq.train.fit_lattice import LatticeFit, MakeFake, fit_lattice
from fakefreq.train.selection import Selection

logger = logging.getLogger(__name__)


def fit_and_calibrate(detector: Detector, config: TrainConfig, selection: Selection, root: Path) -> Detector:
    """Fit the lattice stream, calibrate the learnt logit, choose the threshold.

    Args:
        detector: with a lattice stream; its learnt streams are trained. Its weights are changed.
        config: of the run.
        selection: photographs of the training rows make the lattice's pairs, validation rows calibrate.
        root: the folder that their paths are relative to.

    Returns:
        The detector with its threshold.

    Raises:
        UserError: too few photographs.
    """
    stream = detector.lattice
    assert stream is not None
    _unfit(detector)
    photographs = selection.train[selection.train["label"] == 0]
    fake: MakeFake | None = make_fake_of(config.simulate_families) if config.lattice_simulated > 0 else None
    # The lattice is no part of what a seed varies in the learnt streams, and it has its own; its trees take 32 bits.
    fit = LatticeFit(pairs=config.lattice_pairs, seed=config.seed % 2**32)
    learnt = _logits(detector, selection, root, config) if len(detector.streams) > 1 else None
    history, ranks = history_of(detector.input), current()

    def fitted() -> tuple[dict[str, Any], dict[str, Tensor]]:
        told = fit_lattice(stream, photographs, root, fit, history, make_fake=fake, simulated=config.lattice_simulated)
        return told, {name: value.cpu() for name, value in stream.state_dict().items()}

    found, state = ranks.from_first(fitted)
    if not ranks.is_first:
        stream.load_state_dict(state)
    logger.info(
        f"lattice: fitted to {found['pairs']} pairs of {found['photographs']} photographs; "
        f"AUC {found['held_out_auc']:.3f} on {found['held_out_pairs']} pairs of others"
    )
    head = detector.head
    if learnt is not None and isinstance(head, EvidenceFusion):
        head.calibrate(*platt(*learnt))
    if list(detector.streams) == [LATTICE]:
        threshold = float(torch.quantile(stream.null.double(), 1 - config.false_alarms))
        logger.info(f"threshold {threshold:.3f}: {config.false_alarms:.1%} of photographs lie above it")
    else:
        threshold = best_threshold(*_logits(detector, selection, root, config))
    return detector.replace(threshold=threshold)


def _unfit(detector: Detector) -> None:
    """Set back what is fitted here: a run that was killed after its last save resumes from the fitted detector."""
    for module, fresh in ((detector.lattice, LatticeStream()), (detector.head, EvidenceFusion({}, 0.0))):
        if isinstance(module, type(fresh)):
            module.load_state_dict({**module.state_dict(), **fresh.state_dict()})


def _logits(
    detector: Detector, selection: Selection, root: Path, config: TrainConfig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    kept = kept_features(detector, selection.val, root, config)
    scores, _ = score_rows(
        detector,
        selection.val,
        root,
        config.batch_size,
        config.workers,
        progress="validate",
        kept=kept,
        cache=config.cache,
    )
    return scores["label"].to_numpy(), scores["logit"].to_numpy()


def platt(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> tuple[float, float]:
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
    folder.save_best(detector)
    return progress
