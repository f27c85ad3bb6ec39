"""A training from manifest to run folder: test images are out of its reach."""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fakefreq.config.files import RUN_SETTINGS
from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import parse_history, written_out
from fakefreq.data.degrade.language import parse_augmentation
from fakefreq.data.loading.cache import reflected_line
from fakefreq.data.manifest.align import refuse_second_history
from fakefreq.data.manifest.splits import check_splits
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.outside_scores import say_scale
from fakefreq.evaluate.predict import score_rows, threshold_origin
from fakefreq.evaluate.scores import write_scores
from fakefreq.files import read_json, write_json
from fakefreq.models import Detector, load_detector
from fakefreq.models.fusion import LATTICE
from fakefreq.models.registry import build_detector
from fakefreq.ranks import current, joined
from fakefreq.simulated.fakes import read_families
from fakefreq.threads import choose_device, describe_environment
from fakefreq.train.bias_check import Audit, check_bias
from fakefreq.train.checkpoint import Progress, RunFolder
from fakefreq.train.data_parallel import refuse_what_needs_one_process
from fakefreq.train.distill import teacher_digest
from fakefreq.train.evidence import fit_and_calibrate, take_pixel_run
from fakefreq.train.features import fit_frozen, kept_features, only_linear
from fakefreq.train.known import note_known
from fakefreq.train.loop import Run
from fakefreq.train.optim import frozen_parameters
from fakefreq.train.selection import Selection, select_training, take_share
from fakefreq.train.trackers import Tracker, check_tracker

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def clear_errors(config: TrainConfig) -> Iterator[None]:
    """Turn a dead worker process and exhausted device memory into errors for users; the saved state is untouched.

    torch tells the death of a worker from a signal handler, so it may come up at any line of the training.

    Args:
        config: the run's configuration.

    Raises:
        UserError: a worker died, or the device's memory is full.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the device's memory is full with --batch-size {config.batch_size} and --crop {config.crop}; "
            "lower one of them, or give --precision bf16, with another --out"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that decodes images died ({str(error).splitlines()[0].rstrip('. ')}), as happens when memory "
            "runs out; go on from the last saved state with --resume and fewer --workers (0 decodes without any)"
        ) from error


def check_settings(config: TrainConfig) -> None:
    """Refuse settings that cannot work, before images are read.

    Args:
        config: what is to be trained.

    Raises:
        UserError: names the value, what is allowed and the flag.
    """
    config.check()
    try:
        parse_augmentation(config.degrade)
    except UserError as error:
        raise UserError(f"--degrade: {error}") from error
    if config.history:
        parse_history(config.history)
    if config.simulate > 0 or config.lattice_simulated > 0:
        read_families(config.simulate_families)


def train(
    manifest_path: str | Path,
    out: str | Path,
    config: TrainConfig,
    resume: bool = False,
    audit: Audit = "skip",
    pixel_run: Path | None = None,
) -> dict[str, Any]:
    """Train one detector and leave a run folder.

    Where a launcher has started several processes (`fakefreq.ranks`), they share each step, and end in the weights of
    one process but for rounding.

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
    with joined(config.device, config.precision) as ranks:
        with ranks.all_or_none():
            check_settings(config)
            check_tracker(config.log_with)
            choose_device(config.device)
            manifest_path, manifest = Path(manifest_path), read_manifest(manifest_path)
            digest = manifest_digest(manifest)
            check_splits(manifest)
            if config.history:
                refuse_second_history(manifest_path, config.history, "leave --history empty")
            selection = select_training(manifest, config.train_on, needs_fakes=config.detector != LATTICE)
            selection = replace(selection, train=take_share(selection.train, config.train_share))
            folder = RunFolder(Path(out), writes=ranks.is_first)
            teacher = teacher_digest(config.teacher)
            folder.check(config, digest, resume, teacher)
        flags = {f"--{name.replace('_', '-')}": value for name, value in config.to_dict().items()}
        ranks.check_same({"MANIFEST": digest, "--out": str(folder.path.absolute()), **flags, "--resume": resume})
        if folder.is_finished():
            logger.info(f"{folder.path} is finished already; nothing to train")
            return dict(read_json(folder.path / "summary.json", "the run's summary"))
        return _train(manifest_path.parent, digest, folder, config, selection, audit=audit, pixel_run=pixel_run)


def _check_network(detector: Detector, config: TrainConfig) -> None:
    """Refuse settings that the network does not take."""
    if config.crop < detector.minimum_size:
        raise UserError(
            f"--crop is {config.crop}; {config.detector} takes images of {detector.minimum_size} pixels a side or "
            f"more: give --crop {detector.minimum_size} or more"
        )
    if config.feature_passes:
        only_linear(detector)
    else:
        frozen_parameters(detector, config.freeze)


def _train(
    root: Path,
    digest: str,
    folder: RunFolder,
    config: TrainConfig,
    selection: Selection,
    *,
    audit: Audit,
    pixel_run: Path | None,
) -> dict[str, Any]:
    """Train what has been checked."""
    ranks, device = current(), choose_device(config.device)
    torch.manual_seed(config.seed)
    read = replace(config.input, history=written_out(config.history))
    detector = ranks.one_by_machine_first(lambda: build_detector(config.network, config.pretrained, read)).to(device)
    with ranks.all_or_none():
        refuse_what_needs_one_process(config, detector, ranks)
        if read.history:
            logger.info(f"every image, real or fake, goes through {read.history} on its way in, in scoring too")
        small = reflected_line(selection.train, read, "a smaller --crop reads pixels alone")
        if small:
            logger.info(small)
        _check_network(detector, config)
        verdict = check_bias(selection.train, audit)
        environment = {**describe_environment(device), "audit": verdict}
        if config.teacher:
            environment["teacher_sha256"] = teacher_digest(config.teacher)
        takes_pixels = pixel_run is not None and list(detector.streams) == ["pixel", LATTICE]
        learns = any(True for _ in detector.parameters())
        run = None
        if learns and not takes_pixels and not config.feature_passes:
            # What it refuses, a teacher, say, is refused before the folder is this run's.
            run = Run(config, selection, root, folder, detector)
        for stream in detector.streams.values():
            if hasattr(stream, "weights_from"):
                environment["pretrained_weights_from"] = stream.weights_from
        folder.claim(config, digest, environment, selection.train["sha256"].astype(str))
    with ranks.all_or_none():
        if not (folder.path / RUN_SETTINGS).exists():
            raise UserError(f"process {ranks.rank} does not see {folder.path}: --out has to be shared by all machines")
    logger.info(
        f"{config.detector}: {sum(p.numel() for p in detector.parameters()) / 1e6:.2f} M parameters, "
        f"{len(selection.train)} training and {len(selection.val)} validation images, on "
        f"{device if ranks.size == 1 else f'{ranks.size} processes, each on its {device.type}'}"
    )
    if not learns:
        progress = Progress()
        with ranks.all_or_none():
            folder.save_best(detector)
    elif pixel_run is not None and takes_pixels:
        logger.info(f"the pixel stream is that of {pixel_run}, trained with the same settings")
        with ranks.all_or_none():
            progress = take_pixel_run(detector, pixel_run, folder)
    elif run is not None:
        with clear_errors(config):
            progress = run.fit()
    else:
        if config.log_with != "none":
            folder.tracker = Tracker(config, folder.path, 1)
        with clear_errors(config):
            progress = fit_frozen(detector, config, selection, root, folder)
    if folder.tracker is not None:
        folder.tracker.close()
    with ranks.all_or_none():
        best = load_detector(folder.path).to(device)
    if best.lattice is not None:
        started = time.perf_counter()
        best = fit_and_calibrate(best, config, selection, root)
        progress.seconds += time.perf_counter() - started
    val = selection.val.assign(manifest=digest)
    kept = kept_features(best, val, root, config)
    scores, _ = score_rows(best, val, root, workers=config.workers, progress="validate", kept=kept, cache=config.cache)
    facts = {"epoch": progress.best_epoch, "val_auc": progress.best_auc, "train_on": list(config.train_on)}
    with ranks.all_or_none():
        best = best.replace(known=note_known(selection, scores, verdict, config.detector != LATTICE))
        folder.save_best(best, facts)
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
        "manifest_digest": digest,
        "audit": verdict,
        "n_train": len(selection.train),
        "n_val": len(selection.val),
        "seconds": round(progress.seconds, 1),
    }
    with ranks.all_or_none():
        if ranks.is_first:
            origin = threshold_origin(best)
            write_scores(say_scale(scores, best.threshold, origin), folder.path / "val_scores.csv")
            write_json(folder.path / "summary.json", summary)
    return summary
