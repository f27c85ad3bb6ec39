"""The training loop: epochs of steps, each followed by a validation that chooses the epoch and the threshold."""

import itertools
import logging
import math
import time
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.history import history_of
from fakefreq.data.loading.loader import Batch, make_batches
from fakefreq.data.loading.samples import Augment
from fakefreq.data.loading.sampling import class_weights, effective_counts, sampling_lines
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc, best_threshold
from fakefreq.evaluate.predict import score_rows
from fakefreq.models import Detector
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.progress import ProgressBar
from fakefreq.ranks import current
from fakefreq.simulated.fakes import make_twins
from fakefreq.train.checkpoint import Progress, RunFolder, State
from fakefreq.train.distill import make_distillation
from fakefreq.train.optim import AveragedDetector, frozen_parameters, hold_still, make_optimizer, make_schedule
from fakefreq.train.selection import Selection
from fakefreq.train.step import Stepper
from fakefreq.train.trackers import Tracker

logger = logging.getLogger(__name__)


class Run:
    """One training in progress; of several processes (`fakefreq.ranks`) each has its own, and all of them agree.

    Args:
        config: what to train.
        selection: training and validation rows.
        root: the folder that their paths are relative to.
        folder: where the run is kept.
        detector: what learns, on its device.
    """

    def __init__(
        self, config: TrainConfig, selection: Selection, root: Path, folder: RunFolder, detector: Detector
    ) -> None:
        self.config, self.selection, self.root, self.folder = config, selection, root, folder
        self.ranks = current()
        history = history_of(detector.input)
        self.batches = make_batches(
            selection.train,
            root,
            crop=detector.input.crop,
            batch_size=config.batch_size,
            train=True,
            seed=config.seed,
            sampling="none" if config.balance == "weights" else config.balance,
            balance_by=config.balance_by,
            augment=Augment(flip=config.flip, rotate=config.rotate, degrade=config.degrade),
            twins=make_twins(selection.train, config.simulate, config.simulate_families, history),
            workers=config.workers,
            history=history,
            cache=config.cache,
            ranks=self.ranks,
            parts=config.accumulate,
            keep_single=isinstance(detector, FittedDetector),  # it takes no step, and each image once
        )
        self.steps = min(len(self.batches), config.max_steps or len(self.batches))
        self.frozen = frozen_parameters(detector, config.freeze)
        average = AveragedDetector(detector, config.ema) if config.ema > 0 else None
        optimizer = make_optimizer(detector, config)
        schedule = make_schedule(optimizer, config, steps=config.epochs * self.steps)
        self.state = State(detector, optimizer, schedule, average)
        weights = torch.ones(2)
        if config.balance == "weights":
            weights = torch.as_tensor(class_weights(selection.train["label"].to_numpy()), dtype=torch.float32)
        distillation = make_distillation(config, detector)
        self.stepper = Stepper(detector, config, optimizer, weights, average, distillation)

    @property
    def judged(self) -> Detector:
        """The detector that validation judges and that is kept: the averaged one, where there is one."""
        return self.state.average.detector if self.state.average else self.state.detector

    def fit(self) -> Progress:
        """Run all that is left; return how it ended."""
        with self.ranks.all_or_none():
            is_resumed = self.folder.load_state(self.state)
            if self.config.log_with != "none" and self.folder.writes:
                self.folder.tracker = Tracker(self.config, self.folder.path, self.state.progress.total + 1)
        if is_resumed:
            progress = self.state.progress
            logger.info(f"resuming after epoch {progress.epoch}" + (f", step {progress.step}" if progress.step else ""))
        progress, config = self.state.progress, self.config
        if config.balance != "none" and config.balance != "weights":
            for line in sampling_lines(effective_counts(self.selection.train, config.balance, config.balance_by)):
                logger.info(line)
        while progress.epoch < config.epochs:
            if config.patience and progress.epoch - progress.best_epoch >= config.patience:
                logger.info(f"early stop: no better validation AUC for {config.patience} epochs")
                break
            self._train_epoch(progress.epoch + 1)
            started = time.perf_counter()
            scores, _ = score_rows(
                self.judged,
                self.selection.val,
                self.root,
                config.batch_size,
                config.workers,
                progress="validate",
                cache=config.cache,
            )
            progress.epoch += 1
            progress.step, progress.seen, progress.right, progress.loss_sum = 0, 0, 0, 0.0
            progress.seconds += time.perf_counter() - started
            with self.ranks.all_or_none():
                self._record(progress, scores)
                self.folder.save_state(self.state)
        return progress

    def _train_epoch(self, epoch: int) -> None:
        config, state, progress = self.config, self.state, self.state.progress
        state.detector.train()
        whole = epoch <= config.freeze_epochs
        hold_still(state.detector, state.detector.pretrained_parameters() if whole else self.frozen)
        self.stepper.prepare()
        if progress.step == self.steps:  # stopped between the last step and the end of its validation
            return
        if isinstance(self.judged, FittedDetector):
            self._fit_head(self.judged, epoch)
            return
        self.batches.set_epoch(epoch, first=progress.step)
        started = saved = time.perf_counter()
        seconds_before = progress.seconds
        what = f"epoch {epoch}/{config.epochs}"
        with ProgressBar(what, self.steps, "batch", done=progress.step, lines=False) as bar:
            for batch in self.batches:
                self._take_step(batch, epoch)
                now = time.perf_counter()
                progress.seconds = seconds_before + now - started
                loss, accuracy = progress.loss_sum / progress.seen, progress.right / progress.seen
                bar.update(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}")
                is_last = progress.step == self.steps
                if progress.step % config.log_every == 0 or is_last:
                    logger.debug(
                        f"{what}, step {progress.step} of {self.steps}: loss {loss:.4f}, accuracy {accuracy:.3f}"
                    )
                    self.folder.log(
                        epoch=epoch,
                        step=progress.total,
                        phase="train",
                        loss=loss,
                        accuracy=accuracy,
                        learning_rate=state.schedule.get_last_lr()[0],
                        seconds=progress.seconds,
                    )
                if is_last:
                    return
                by_step = config.checkpoint_steps and progress.step % config.checkpoint_steps == 0
                if by_step or 0 < config.checkpoint_seconds <= now - saved:
                    self.folder.save_state(state)
                    saved = time.perf_counter()

    def _fit_head(self, detector: FittedDetector, epoch: int) -> None:
        """Fit a detector that has no gradient steps to the images of one epoch."""
        started = time.perf_counter()
        self.batches.set_epoch(epoch)
        detector.eval()
        batches = itertools.islice(self.batches, self.steps)
        detector.fit((batch.images, batch.labels) for batch in batches)
        self.state.progress.total += self.steps
        self.state.progress.seconds += time.perf_counter() - started

    def _take_step(self, batch: Batch, epoch: int) -> None:
        state, progress = self.state, self.state.progress
        outcome = self.stepper.gradients(batch, epoch, progress.step + 1)
        if not math.isfinite(outcome.loss):
            own = self.selection.train["path"].iloc[batch.index.tolist()].tolist()
            files = [file for some in self.ranks.gather(own) for file in some]
            with self.ranks.all_or_none():
                self.folder.save_state(state, "failed.pt")
                raise UserError(
                    f"the loss is {outcome.loss} at epoch {epoch}, step {progress.step + 1}; lower --learning-rate and "
                    f"--head-learning-rate, or set --clip-gradient 1. The state is in "
                    f"{self.folder.path / 'failed.pt'}. The batch: {', '.join(files)}"
                )
        self.stepper.update()
        state.schedule.step()
        progress.step += 1
        progress.total += 1
        progress.seen += outcome.seen
        progress.right += outcome.right
        progress.loss_sum += outcome.loss * outcome.seen

    def _record(self, progress: Progress, scores: pd.DataFrame) -> None:
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
            step=progress.total,
            phase="val",
            loss=float(val_loss),
            accuracy=accuracy,
            auc=val_auc,
            seconds=progress.seconds,
        )
        is_best = val_auc > progress.best_auc
        logger.info(
            f"epoch {progress.epoch}/{self.config.epochs}: validation AUC {val_auc:.4f}, accuracy {accuracy:.3f}, "
            f"{progress.seconds:.0f} s{' (best so far)' if is_best else ''}"
        )
        if is_best:
            progress.best_auc, progress.best_epoch = val_auc, progress.epoch
            facts = {"epoch": progress.epoch, "val_auc": val_auc, "train_on": list(self.config.train_on)}
            self.folder.save_best(self.judged.replace(threshold=threshold), facts)
