"""Commands that train detectors, use them and hand them on."""

import logging
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fakefreq.commands.base import Flat, TrainingCommand
from fakefreq.engines import Engine
from fakefreq.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from fakefreq.ranks import Ranks

logger = logging.getLogger(__name__)

SHOWN = ("path", "logit", "probability", "label", "lattice_pvalue", "conformal")
"""The columns that `predict` prints; the file has more."""


@dataclass
class Train(TrainingCommand):
    """Train one detector: validation chooses the epoch and the threshold, test images are never opened.

    Example: fakefreq train faces/manifest.csv --out runs/stylegan --train-on stylegan --detector two_stream
    """

    manifest: tyro.conf.Positional[Path]
    """a manifest that `fakefreq split` has filled"""
    out: Path
    """the run folder"""
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
        auc = summary["val_auc"]  # the lattice alone is fitted to photographs, and may have no others
        told = "no validation AUC without validation fakes" if auc is None else f"validation AUC {auc:.4f}"
        logger.info(
            f"best epoch {summary['best_epoch']}: {told} (n = {summary['n_val']}); weights in "
            f"{self.out / 'best.safetensors'}"
        )


@dataclass
class Score:
    """Score images: one row an image with its logit, which grows towards fake, and the detector's threshold.

    A corpus is scored in shards, each of which is kept until all are done: killed, the same command goes on.

    Example: fakefreq score runs/stylegan faces/manifest.csv --out scores.csv --split test
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, a .safetensors file, hf://owner/name[@revision], or an .onnx file of `fakefreq export`,
    which a CPU runs faster"""
    manifest: tyro.conf.Positional[Path]
    """the table of images; or a folder, which is indexed (and, for a --split, split) into RUN/indexed first; for a
    detector from the hub into indexed/ beside --out"""
    out: Path
    """the score table to write (.csv or .parquet)"""
    split: Literal["all", "train", "val", "test"] = "all"
    """which part of the manifest"""
    batch_size: int = 32
    """images a step"""
    workers: int = -1
    """processes that decode; -1 chooses by the number of cores"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; or openvino, for an .onnx file"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an image that does not decode: stop, or skip it and list it beside --out"""
    history: str = "own"
    """what every image goes through first: the detector's own history (that of its training), none, or another"""
    views: int = 0
    """crops of an image whose logits are averaged, 1 to 10 (centre, mirrored, corners), each a pass of the network;
    0: the detector's own number, with which its threshold was validated"""
    shard_rows: int = 20_000
    """images of a shard, which a killed scoring loses at most; shards lie in OUT_shards until all are done"""
    on: Annotated[Engine, Flat] = field(default_factory=Engine)

    def run(self) -> None:
        from fakefreq.ranks import joined

        with joined(self.device) as ranks:
            self._score(ranks)

    def _score(self, ranks: "Ranks") -> None:
        from fakefreq.data.degrade.history import written_out
        from fakefreq.data.index.on_the_fly import manifest_or_index
        from fakefreq.data.loading.cache import reflected_line
        from fakefreq.data.manifest.align import refuse_second_history
        from fakefreq.data.manifest.in_file import RowsInFile, rows_in_file
        from fakefreq.data.manifest.splits import check_splits
        from fakefreq.data.manifests import manifest_digest, read_manifest, write_skipped
        from fakefreq.evaluate.corpus import HowToScore, check_corpus, score_corpus
        from fakefreq.evaluate.predict import threshold_origin
        from fakefreq.hub import is_hub_name
        from fakefreq.models import load_detector
        from fakefreq.models.weights import weights_path

        self.on.check()
        ranks.check_same({item.name: str(getattr(self, item.name)) for item in fields(self)})
        with ranks.all_or_none():
            if ranks.size > 1 and (self.on.engine != "local" or self.on.jobs != 1):
                raise UserError(f"{ranks.size} processes work here already: leave --engine and --jobs out")
            check_corpus(self.out, self.batch_size, self.workers, self.shard_rows)
            detector = load_detector(self.detector, self.device if self.on.engine == "local" else "cpu")
            own, other = detector.input, "" if self.history == "none" else self.history
            history = own.history if self.history == "own" else written_out(other)
            detector = detector.replace(replace(own, history=history, views=self.views or own.views))
            is_own = detector.input == own
            origin = threshold_origin(detector) + ("" if is_own else ", with another --history or --views")
            beside = self.out if is_hub_name(self.detector) else weights_path(self.detector)
        path = ranks.from_first(
            lambda: manifest_or_index(
                self.manifest, beside.parent / "indexed", self.on_error, split=self.split != "all"
            )
        )
        with ranks.all_or_none():
            rows: RowsInFile | pd.DataFrame | None = rows_in_file(path) if self.split == "all" else None
            if history:
                refuse_second_history(path, history, "give --history none")
                logger.info(f"every image, real or fake, goes through {history} first")
            if rows is None:
                manifest = read_manifest(path)
                check_splits(manifest)
                rows = manifest.assign(manifest=manifest_digest(manifest))
                if self.split != "all":
                    rows = rows[rows["split"] == self.split]
            sizes = rows.sizes() if isinstance(rows, RowsInFile) else rows
            small = reflected_line(sizes, detector.input, "a smaller --crop in `fakefreq train` reads none")
            if small:
                logger.info(small)
        how = HowToScore(
            self.detector, detector.input, path.parent, self.on_error, self.batch_size, self.workers, self.device
        )
        count, skipped = score_corpus(
            rows, how, self.out, detector.threshold, origin, shard_rows=self.shard_rows, engine=self.on
        )
        with ranks.all_or_none():
            if not ranks.is_first:
                return
            logger.info(f"{count} images scored; written to {self.out}")
            if skipped:
                listed = self.out.with_name(f"{self.out.stem}_skipped.csv")
                write_skipped(skipped, listed)
                logger.warning(f"{len(skipped)} images skipped; listed with reasons in {listed}")


@dataclass
class Predict:
    """Say for image files how fake they look, and where an image is outside of what the detector's validation knows.

    The probability is not calibrated, and it is worth little on generators unlike those trained on. `conformal` holds
    the labels that validation does not exclude: 90 in 100 images like validation's have theirs in it.

    Example: fakefreq predict a.jpg photos/ "more/*.png" --detector runs/stylegan --out found.jsonl
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files, folders (all images in and below them) and patterns"""
    detector: Path
    """a run folder, RUN/best, a .safetensors file, hf://owner/name[@revision], or an .onnx file of `fakefreq export`,
    which a CPU runs faster"""
    out: Path | None = None
    """also write the table, with all columns, to this .csv or .jsonl (JSON lines), and skipped images beside it"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; or openvino, for an .onnx file"""
    on_error: Literal["tell", "stop", "skip"] = "tell"
    """at an image that cannot be scored: score the others, list it, and exit with 2 (tell) or 0 (skip); or stop"""

    def run(self) -> None:
        from fakefreq.data.loading.cache import reflected_line
        from fakefreq.data.manifests import write_skipped
        from fakefreq.evaluate.predict import check_predictions_path, predict_images, write_predictions
        from fakefreq.models import load_detector

        if self.out:
            check_predictions_path(self.out)
        detector = load_detector(self.detector, self.device)
        if detector.input.history:
            logger.info(f"every image goes through {detector.input.history} first, as in the detector's training")
        if detector.known is not None:
            logger.info(f"{detector.config.name}, trained on {detector.known.describe()}")
        table, skipped = predict_images(detector, self.images, on_error="stop" if self.on_error == "stop" else "skip")
        small = reflected_line(table, detector.input, "a smaller --crop in `fakefreq train` reads none")
        if small:
            logger.info(small)
        if self.out:
            write_predictions(table, self.out)
        if len(table):
            shown = table[[name for name in SHOWN if name in table]]
            print(shown.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        for warning, rows in table[table["warning"] != ""].groupby("warning", sort=False):
            first, others = rows["path"].iloc[0], len(rows) - 1
            logger.warning(f"warning: {first}{f' and {others} more' if others else ''}: {warning}")
        for path, reason in skipped:
            logger.info(f"not scored: {path}: {reason}")
        if skipped and self.out:
            write_skipped(skipped, self.out.with_name(f"{self.out.stem}_skipped.csv"))
        if skipped and self.on_error != "skip":
            path, reason = skipped[0]
            raise UserError(
                f"{len(skipped)} of {len(table) + len(skipped)} images could not be scored, the first {path}: {reason}"
                "; mend or leave them out, or accept it with --on-error skip"
            )


@dataclass
class Export:
    """Write a trained detector as an ONNX file, held against torch, with its settings in the file's metadata.

    Example: fakefreq export runs/stylegan --out stylegan.onnx --images a.jpg b.png
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
    out: Path
    """the .onnx file to write"""
    images: tuple[Path, ...] = ()
    """image files on which the logits are compared with torch's, beside drawn noise"""
    half: bool = False
    """keep the pixel stream's backbone in 16 bits: a file half as large; spectra, lattice and head stay in 32"""

    def run(self) -> None:
        from fakefreq.exporting import export_detector
        from fakefreq.models import load_detector

        written = export_detector(load_detector(self.detector), self.out, self.images, self.half)
        for name, shape in written.inputs.items():
            logger.info(f"input {name}: {' x '.join(map(str, shape))}")
        drawn = f"{written.checked - len(self.images)} batches of drawn noise"
        on = f"{len(self.images)} images and {drawn}" if self.images else drawn
        logger.info(f"largest difference from torch's logits: {written.largest:.2g}, on {on}")
        logger.info(f"{written.precision}; written to {written.path}")


@dataclass
class Publish:
    """Send a finished run to the Hugging Face hub: weights, settings, evidence, and a model card made from the run.

    The card tells data, protocol, results with intervals, controls, the audit's verdict, limits and misuse. Afterwards
    hf://OWNER/NAME is a detector for every command. Writing needs a token: `hf auth login`, or HF_TOKEN. Names and
    paths of images are not sent.

    Example: fakefreq publish runs/stylegan owner/stylegan-detector --license apache-2.0
    """

    run_folder: tyro.conf.Positional[Path]
    """a run folder, which has ended and been evaluated with `fakefreq evaluate`"""
    name: tyro.conf.Positional[str]
    """owner/name on the hub; the repository is made where it is missing"""
    license: str = ""
    """of the weights, in the hub's short form, such as apache-2.0 or cc-by-nc-4.0; it must be given"""
    evaluation: Path | None = None
    """folder whose metrics.csv tells of this run, from `evaluate` or `benchmark`; RUN/evaluation by default"""
    untested: bool = False
    """publish a run that nothing has tested; the card says so"""
    private: bool = False
    """make the repository private"""
    out: Path | None = None
    """write what would be sent into this folder, and send nothing"""

    def run(self) -> None:
        from fakefreq.publishing.publish import publish_run

        made = publish_run(
            self.run_folder, self.name, self.license, self.evaluation, self.untested, private=self.private, out=self.out
        )
        if self.out is None:
            logger.info(f"published: {made}")
        else:
            logger.info(f"nothing was sent; written to {made}: {', '.join(sorted(f.name for f in self.out.iterdir()))}")
