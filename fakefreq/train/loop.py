"""The training loop: validation chooses the epoch and the threshold, test images are out of its reach."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from fakefreq.data.loader import Augment, class_weights, make_batches
from fakefreq.data.manifest import manifest_digest, read_manifest
from fakefreq.data.splits import check_splits
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc, best_threshold
from fakefreq.evaluate.score import score_rows, write_scores
from fakefreq.files import read_json, write_json
from fakefreq.models import Detector, load_detector, save_detector
from fakefreq.models.registry import build_detector
from fakefreq.train.checkpoint import Progress, RunFolder
from fakefreq.train.environment import choose_device, describe_environment
from fakefreq.train.experiment import TrainConfig
from fakefreq.train.optim import make_optimizer, make_schedule
from fakefreq.train.selection import Selection, select_training


def train(
    manifest_path: str | Path,
    out: str | Path,
    config: TrainConfig,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train one detector and leave a run folder.

    Args:
        manifest_path: a manifest whose `split` column is filled.
        out: the run folder: config.json, environment.json, log.csv, best.safetensors, last.pt,
            val_scores.csv and summary.json.
        config: what to train.
        resume: go on where an interrupted run stopped; on CPU it ends in the same weights to the bit.
        say: called with lines for the user.

    Returns:
        The content of summary.json. A run that has ended is not repeated.

    Raises:
        UserError: anything that the user can mend.
    """
    config.check()
    manifest_path, folder = Path(manifest_path), RunFolder(Path(out))
    manifest = read_manifest(manifest_path)
    check_splits(manifest)
    selection = select_training(manifest, config.train_on)
    device = choose_device(config.device)
    folder.check(config, manifest_digest(manifest), resume)
    if folder.is_finished():
        say(f"{folder.path} is finished already; nothing to train")
        return dict(read_json(folder.path / "summary.json", "the run's summary"))
    torch.manual_seed(config.seed)
    detector = build_detector(config.network, config.pretrained).to(device)
    detector.crop = config.crop
    environment = describe_environment(device)
    if "pixel" in detector.streams:
        environment["pretrained_weights_from"] = detector.streams["pixel"].weights_from
    folder.claim(config, manifest_digest(manifest), environment)
    say(
        f"{config.detector}: {sum(p.numel() for p in detector.parameters()) / 1e6:.2f} M parameters, "
        f"{len(selection.train)} training and {len(selection.val)} validation images, on {device}"
    )
    run = _Run(config, selection, manifest_path.parent, folder, detector, device)
    progress = run.fit(say)
    best = load_detector(folder.path).to(device)
    val = selection.val.assign(manifest=manifest_digest(manifest))
    scores, _ = score_rows(best, val, manifest_path.parent, workers=config.workers, progress="validate")
    write_scores(scores, folder.path / "val_scores.csv")
    summary = {
        "detector": config.detector,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "val_auc": progress.best_auc,
        "threshold": best.threshold,
        "n_train": len(selection.train),
        "n_val": len(selection.val),
        "seconds": round(progress.seconds, 1),
    }
    write_json(folder.path / "summary.json", summary)
    return summary


class _Run:
    """One training in progress: what the epochs share."""

    def __init__(
        self,
        config: TrainConfig,
        selection: Selection,
        root: Path,
        folder: RunFolder,
        detector: Detector,
        device: torch.device,
    ) -> None:
        self.config, self.selection, self.root, self.folder = config, selection, root, folder
        self.detector, self.device = detector, device
        self.batches = make_batches(
            selection.train,
            root,
            crop=config.crop,
            batch_size=config.batch_size,
            train=True,
            seed=config.seed,
            sampling=config.balance if config.balance in ("oversample", "undersample") else "none",
            augment=Augment(flip=config.flip, rotate=config.rotate),
            workers=config.workers,
        )
        self.optimizer = make_optimizer(detector, config)
        self.schedule = make_schedule(self.optimizer, config, steps=config.epochs * len(self.batches))
        self.weights = torch.ones(2)
        if config.balance == "weights":
            self.weights = torch.as_tensor(class_weights(selection.train["label"].to_numpy()), dtype=torch.float32)

    def fit(self, say: Callable[[str], None]) -> Progress:
        """Run all epochs that are left; return how it ended."""
        progress = self.folder.load_state(self.detector, self.optimizer, self.schedule)
        if progress.epoch:
            say(f"resuming after epoch {progress.epoch}")
        config = self.config
        while progress.epoch < config.epochs:
            if config.patience and progress.epoch - progress.best_epoch >= config.patience:
                say(f"early stop: no better validation AUC for {config.patience} epochs")
                break
            started = time.perf_counter()
            self._train_epoch(progress.epoch + 1)
            scores, _ = score_rows(
                self.detector, self.selection.val, self.root, config.batch_size, config.workers, progress="validate"
            )
            progress.epoch += 1
            progress.seconds += time.perf_counter() - started
            self._record(progress, scores, say)
            self.folder.save_state(self.detector, self.optimizer, self.schedule, progress)
        return progress

    def _train_epoch(self, epoch: int) -> None:
        config, detector = self.config, self.detector
        detector.train()
        self._freeze(epoch <= config.freeze_epochs)
        seen, right, loss_sum, started = 0, 0, 0.0, time.perf_counter()
        self.batches.set_epoch(epoch)
        with tqdm(total=len(self.batches), desc=f"epoch {epoch}/{config.epochs}", unit="batch", leave=False) as bar:
            for step, batch in enumerate(self.batches, start=1):
                labels = batch.labels.to(self.device)
                logits = detector(batch.images.to(self.device, non_blocking=True))
                loss = self._loss(logits, labels)
                if not torch.isfinite(loss):
                    files = self.selection.train["path"].iloc[batch.index.tolist()].tolist()
                    raise UserError(
                        f"the loss is {loss.item()} at epoch {epoch}, step {step}; lower --learning-rate and "
                        f"--head-learning-rate. The batch: {', '.join(files)}"
                    )
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                self.schedule.step()
                seen += len(labels)
                right += int(((logits > 0) == (labels > 0.5)).sum())
                loss_sum += loss.item() * len(labels)
                bar.set_postfix(loss=f"{loss_sum / seen:.3f}", accuracy=f"{right / seen:.3f}")
                bar.update()
                if step % config.log_every == 0 or step == len(self.batches):
                    self.folder.log(
                        epoch=epoch,
                        step=(epoch - 1) * len(self.batches) + step,
                        phase="train",
                        loss=loss_sum / seen,
                        accuracy=right / seen,
                        learning_rate=self.schedule.get_last_lr()[0],
                        seconds=time.perf_counter() - started,
                    )

    def _freeze(self, frozen: bool) -> None:
        """Hold the backbone still: no gradients, and batch norms that keep their ImageNet statistics."""
        for parameter in self.detector.pretrained_parameters():
            parameter.requires_grad_(not frozen)
        if frozen and "pixel" in self.detector.streams:
            self.detector.streams["pixel"].eval()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self.weights.to(self.device)[labels.long()]
        return nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)

    def _record(self, progress: Progress, scores: pd.DataFrame, say: Callable[[str], None]) -> None:
        """Log the epoch's validation; keep the weights where its AUC is the highest so far."""
        labels, logits = scores["label"].to_numpy(), scores["logit"].to_numpy()
        val_auc = auc(labels, logits)
        threshold = best_threshold(labels, logits)
        val_loss = nn.functional.binary_cross_entropy_with_logits(
            torch.tensor(logits), torch.tensor(labels, dtype=torch.float64)
        )
        accuracy = float(((logits > threshold) == (labels == 1)).mean())
        self.folder.log(
            epoch=progress.epoch,
            step=progress.epoch * len(self.batches),
            phase="val",
            loss=float(val_loss),
            accuracy=accuracy,
            auc=val_auc,
            seconds=progress.seconds,
        )
        is_best = val_auc > progress.best_auc
        say(
            f"epoch {progress.epoch}/{self.config.epochs}: validation AUC {val_auc:.4f}, accuracy {accuracy:.3f}, "
            f"{progress.seconds:.0f} s{' (best so far)' if is_best else ''}"
        )
        if is_best:
            progress.best_auc, progress.best_epoch = val_auc, progress.epoch
            self.detector.threshold = threshold
            facts = {"epoch": progress.epoch, "val_auc": val_auc, "train_on": list(self.config.train_on)}
            save_detector(self.detector, self.folder.path / "best.safetensors", facts)
