"""Commands that train detectors and use them."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fakefreq.commands.base import Flat
from fakefreq.config.run import TrainConfig

logger = logging.getLogger(__name__)


@dataclass
class Train:
    """Train one detector: validation chooses the epoch and the threshold, test images are never opened.

    Example: fakefreq train faces/manifest.csv --out runs/stylegan --train-on stylegan --detector two_stream
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """the run folder"""
    config: Annotated[TrainConfig, Flat] = field(default_factory=TrainConfig)
    resume: bool = False
    """go on where an interrupted run stopped"""
    allow_biased: bool = False
    """train although the audit of the images' header facts fails"""

    def run(self) -> None:
        from fakefreq.train.train import train

        summary = train(
            self.manifest,
            self.out,
            self.config,
            resume=self.resume,
            audit="tell" if self.allow_biased else "refuse",
        )
        logger.info(
            f"best epoch {summary['best_epoch']}: validation AUC {summary['val_auc']:.4f} "
            f"(n = {summary['n_val']}); weights in {self.out / 'best.safetensors'}"
        )


@dataclass
class Score:
    """Score images: one row an image with its logit, which grows towards fake.

    Example: fakefreq score runs/stylegan faces/manifest.csv --out scores.csv --split test
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, or a .safetensors file"""
    manifest: tyro.conf.Positional[Path]
    """the table of images"""
    out: Path
    """the score table to write (.csv)"""
    split: Literal["all", "train", "val", "test"] = "all"
    """which part of the manifest"""
    batch_size: int = 32
    """images a step"""
    workers: int = -1
    """processes that decode; -1 chooses by the number of cores"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an image that does not decode: stop, or skip it and list it beside --out"""
    history: str = "own"
    """what every image goes through first: the detector's own history (that of its training), none, or another"""
    views: int = 0
    """crops of an image whose logits are averaged, 1 to 10 (centre, mirrored, corners), each a pass of the network;
    0: the detector's own number, with which its threshold was validated"""

    def run(self) -> None:
        from fakefreq.data.degrade.history import parse_history
        from fakefreq.data.manifest.align import refuse_second_history
        from fakefreq.data.manifest.splits import check_splits
        from fakefreq.data.manifests import manifest_digest, read_manifest, write_skipped
        from fakefreq.evaluate.predict import score_rows
        from fakefreq.evaluate.scores import write_scores
        from fakefreq.models import load_detector
        from fakefreq.train.environment import choose_device, keep_freed_memory

        keep_freed_memory()
        detector = load_detector(self.detector).to(choose_device(self.device))
        if self.history != "own":
            detector.history = "" if self.history in ("", "none") else str(parse_history(self.history))
        if self.views:
            detector.views = self.views
        manifest = read_manifest(self.manifest)
        check_splits(manifest)
        if detector.history:
            refuse_second_history(self.manifest, detector.history, "give --history none")
            logger.info(f"every image, real or fake, goes through {detector.history} first")
        rows = manifest.assign(manifest=manifest_digest(manifest))
        if self.split != "all":
            rows = rows[rows["split"] == self.split]
        scores, skipped = score_rows(detector, rows, self.manifest.parent, self.batch_size, self.workers, self.on_error)
        write_scores(scores, self.out)
        logger.info(f"{len(scores)} images scored; written to {self.out}")
        if skipped:
            listed = self.out.with_name(f"{self.out.stem}_skipped.csv")
            write_skipped(skipped, listed)
            logger.warning(f"{len(skipped)} images skipped; listed with reasons in {listed}")


@dataclass
class Predict:
    """Say for image files how fake they look.

    The probability is not calibrated, and it is worth little on generators unlike those trained on.

    Example: fakefreq predict a.jpg b.png --detector runs/stylegan
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files"""
    detector: Path
    """a run folder, RUN/best, or a .safetensors file"""
    out: Path | None = None
    """also write the table to this .csv"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.files import atomic_path
        from fakefreq.models import load_detector
        from fakefreq.train.environment import choose_device, keep_freed_memory

        keep_freed_memory()
        detector = load_detector(self.detector).to(choose_device(self.device))
        if detector.history:
            logger.info(f"every image goes through {detector.history} first, as in the detector's training")
        table = detector.predict(self.images)
        if self.out:
            with atomic_path(self.out) as temporary:
                table.to_csv(temporary, index=False)
        print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


COMMANDS = {"train": Train, "score": Score, "predict": Predict}
