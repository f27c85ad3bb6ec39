"""A training from manifest to run folder: test images are out of its reach."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import written_out
from fakefreq.data.loading.small_images import reflected_line
from fakefreq.data.manifest.align import refuse_second_history
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.outside_scores import say_scale
from fakefreq.evaluate.predict import score_rows, threshold_origin
from fakefreq.evaluate.scores import write_scores
from fakefreq.files import read_json, write_json
from fakefreq.models import load_detector, save_detector
from fakefreq.models.fusion import LATTICE
from fakefreq.models.registry import build_detector
from fakefreq.train.bias_check import Audit, check_bias
from fakefreq.train.checkpoint import Progress, RunFolder, write_trained_images
from fakefreq.train.distill import teacher_digest
from fakefreq.train.environment import choose_device, describe_environment, keep_freed_memory
from fakefreq.train.evidence import fit_and_calibrate, note_known, take_pixel_run
from fakefreq.train.failures import clear_errors
from fakefreq.train.features import fit_frozen, kept_features, only_linear
from fakefreq.train.loop import Run
from fakefreq.train.selection import select_training, take_share
from fakefreq.train.tensorboard import Board

logger = logging.getLogger(__name__)


def train(
    manifest_path: str | Path,
    out: str | Path,
    config: TrainConfig,
    resume: bool = False,
    audit: Audit = "skip",
    pixel_run: Path | None = None,
) -> dict[str, Any]:
    """Train one detector and leave a run folder.

    Args:
        manifest_path: a manifest whose `split` column is filled.
        out: the run folder: config.yaml, environment.json, trained_images.txt, log.csv, best.safetensors, last.pt,
            val_scores.csv and summary.json.
        config: what to train.
        resume: go on where an interrupted run stopped; on CPU it ends in the same weights to the bit.
        audit: whether header facts of the training images are audited first: `skip`, `tell` the verdict, or `refuse`
            to train where it is `fail`.
        pixel_run: a finished run of `pixel` with these settings and images: where gradients train nothing but the pixel
            stream, its weights are taken instead of training the same ones again (tests prove that they are).

    Returns:
        The content of summary.json. A run that has ended is not repeated.

    Raises:
        UserError: anything that the user can mend.
    """
    config.check()
    manifest_path, folder = Path(manifest_path), RunFolder(Path(out))
    manifest = read_manifest(manifest_path)
    check_splits(manifest)
    if config.history:
        refuse_second_history(manifest_path, config.history, "leave --history empty")
    selection = select_training(manifest, config.train_on, needs_fakes=config.detector != LATTICE)
    selection = replace(selection, train=take_share(selection.train, config.train_share))
    device = choose_device(config.device)
    folder.check(config, manifest_digest(manifest), resume)
    if folder.is_finished():
        logger.info(f"{folder.path} is finished already; nothing to train")
        return dict(read_json(folder.path / "summary.json", "the run's summary"))
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(config.seed)
    read = replace(config.input, history=written_out(config.history))
    detector = build_detector(config.network, config.pretrained, read).to(device)
    if read.history:
        logger.info(f"every image, real or fake, goes through {read.history} on its way in, in scoring too")
    small = reflected_line(selection.train, read, "a smaller --crop reads pixels alone")
    if small:
        logger.info(small)
    if config.feature_passes:
        only_linear(detector)
    verdict = check_bias(selection.train, audit)
    environment = {**describe_environment(device), "audit": verdict}
    if config.teacher:
        environment["teacher_sha256"] = teacher_digest(config)
    for stream in detector.streams.values():
        if hasattr(stream, "weights_from"):
            environment["pretrained_weights_from"] = stream.weights_from
    folder.claim(config, manifest_digest(manifest), environment)
    write_trained_images(folder.path, selection.train["sha256"].astype(str))
    logger.info(
        f"{config.detector}: {sum(p.numel() for p in detector.parameters()) / 1e6:.2f} M parameters, "
        f"{len(selection.train)} training and {len(selection.val)} validation images, on {device}"
    )
    if not any(True for _ in detector.parameters()):
        progress = Progress()
        save_detector(detector, folder.path / "best.safetensors")
    elif pixel_run is not None and list(detector.streams) == ["pixel", LATTICE]:
        logger.info(f"the pixel stream is that of {pixel_run}, trained with the same settings")
        progress = take_pixel_run(detector, pixel_run, folder)
    elif config.feature_passes:
        if config.tensorboard:
            folder.board = Board(folder.path / "tensorboard", 0)
        with clear_errors(config):
            progress = fit_frozen(detector, config, selection, manifest_path.parent, folder)
    else:
        run = Run(config, selection, manifest_path.parent, folder, detector)
        with clear_errors(config):
            progress = run.fit()
    if folder.board is not None:
        folder.board.close()
    best = load_detector(folder.path).to(device)
    if best.lattice is not None:
        started = time.perf_counter()
        best = fit_and_calibrate(best, config, selection, manifest_path.parent)
        progress.seconds += time.perf_counter() - started
    val = selection.val.assign(manifest=manifest_digest(manifest))
    kept = kept_features(best, val, manifest_path.parent, config)
    scores, _ = score_rows(best, val, manifest_path.parent, workers=config.workers, progress="validate", kept=kept)
    write_scores(say_scale(scores, best.threshold, threshold_origin(best)), folder.path / "val_scores.csv")
    facts = {"epoch": progress.best_epoch, "val_auc": progress.best_auc, "train_on": list(config.train_on)}
    best = best.replace(known=note_known(selection, scores, verdict))
    save_detector(best, folder.path / "best.safetensors", facts)
    val_auc: float | None = progress.best_auc
    if best.lattice is not None:
        has_both = scores["label"].nunique() == 2
        val_auc = auc(scores["label"].to_numpy(), scores["logit"].to_numpy()) if has_both else None
    summary = {
        "detector": config.detector,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "val_auc": val_auc,
        "threshold": best.threshold,
        "manifest_digest": manifest_digest(manifest),
        "audit": verdict,
        "n_train": len(selection.train),
        "n_val": len(selection.val),
        "seconds": round(progress.seconds, 1),
    }
    write_json(folder.path / "summary.json", summary)
    return summary
