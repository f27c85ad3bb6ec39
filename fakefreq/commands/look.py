"""Commands to look at what was found: report, spectrum, explain and app."""

import logging
import signal
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Literal

import tyro

from fakefreq.errors import UserError
from fakefreq.evaluate import DEFAULT_DRAWS

logger = logging.getLogger(__name__)


@dataclass
class Report:
    """Make a self-contained page and tables out of a finished benchmark, or the tables alone out of its scores.

    Given the folder of a benchmark it writes report.html, report.md and tables/ (CSV and LaTeX) into it. Given its
    scores.parquet (or .csv) it measures them anew and writes the benchmark's tables into --out, byte for byte; only the
    column `biased`, which scores do not tell, is missing.

    Example: fakefreq report runs/benchmark
    Example: fakefreq report runs/benchmark/scores.parquet --protocol one_to_all --out rebuilt
    """

    source: tyro.conf.Positional[Path]
    """folder that `fakefreq benchmark`, `compare` or `demo` wrote, or its scores"""
    images: bool = True
    """show the most confident errors; a page that shows faces must not be redistributed"""
    out: Path | None = None
    """of scores: the folder of the tables"""
    protocol: str = "one_to_all"
    """of scores: the protocol that they were made by"""
    baseline: str = ""
    """of scores: the detector that the others are compared with; by default the first"""
    draws: int = DEFAULT_DRAWS
    """of scores: bootstrap draws"""
    metrics: tuple[str, ...] = ()
    """of scores: only these metrics, in metrics, summary, matrix and differences alone; by default all tables"""

    def run(self) -> None:
        if self.source.is_dir() or not self.source.exists():
            self._page()
        else:
            self._tables()

    def _page(self) -> None:
        from fakefreq.report.page import write_report

        for name, (value, default) in self._of_scores().items():
            if value != default:
                raise UserError(f"--{name} is for a file of scores, and {self.source} is none: leave it out")
        for path in write_report(self.source, self.images):
            logger.info(f"report: {path}")
        logger.info(f"tables: {self.source / 'tables'}")

    def _tables(self) -> None:
        from fakefreq.api import tables
        from fakefreq.evaluate.scores import read_cells
        from fakefreq.evaluate.tables import write_csv

        if self.out is None:
            raise UserError(f"{self.source} holds scores: say with --out which folder takes their tables")
        scores = read_cells(self.source)
        found = tables(scores, self.protocol, self.baseline, draws=self.draws, metrics=self.metrics)
        for name, table in found.items():
            write_csv(table, self.out / f"{name}.csv")
        logger.info(f"tables: {self.out}")

    def _of_scores(self) -> dict[str, tuple[object, object]]:
        """Flag -> value and default, of those that scores alone take."""
        names = ("out", "protocol", "baseline", "draws", "metrics")
        return {one.name: (getattr(self, one.name), one.default) for one in fields(self) if one.name in names}


@dataclass
class Spectrum:
    """Measure the spectra of each generator beside those of its reals: an atlas of fingerprints.

    Mean log spectrum, difference to the reals with a permutation-tested z-map, radial and angular profiles, mean block
    DCT and peaks; atlas.html and the tables behind it. Memory does not grow with the number of images.

    Example: fakefreq spectrum faces/manifest.csv --out atlas
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """a manifest, a folder in a known layout, or image files"""
    out: Path
    """folder to write"""
    history: str = "raw"
    """the track: `raw` measures images as they are; or one history for all, such as size=128,codec=jpeg:75"""
    generators: tuple[str, ...] = ()
    """generators and controls to measure; all by default"""
    tile: int = 0
    """side of the windowed tiles in pixels; 0: as large as the smallest image allows, at most 128"""
    crop: int = 0
    """side of the centre crop in pixels; 0: as large as the smallest image allows, at most 512"""
    limit: int = 0
    """images of each class a generator, at most; 0: all"""
    workers: int = -1
    """processes that decode; -1 chooses by the number of cores"""
    seed: int = 0
    """of the shuffles behind the z-map"""

    def run(self) -> None:
        from fakefreq.atlas.measure import check_numbers, measure_manifest, read_inputs, write_tables
        from fakefreq.data.degrade.history import parse_history
        from fakefreq.data.manifests import manifest_digest
        from fakefreq.report.atlas_page import write_atlas
        from fakefreq.threads import describe_environment

        if not self.images:
            raise UserError("spectrum takes a manifest, a folder or image files; got none")
        check_numbers(self.tile, self.crop, self.limit, self.workers, self.seed)
        manifest, root = read_inputs(self.images, self.out)
        history = None if self.history.strip() == "raw" else parse_history(self.history)
        found = measure_manifest(
            manifest,
            root,
            history,
            self.generators,
            self.tile,
            crop=self.crop,
            limit=self.limit,
            workers=self.workers,
            seed=self.seed,
        )
        write_tables(found, self.out)
        import torch

        environment = describe_environment(torch.device("cpu"))
        facts = {
            "track": "raw" if history is None else f"aligned: {history}",
            "images": sum(part.fakes.n + (part.reals.n if part.reals else 0) for part in found),
            "manifest digest": manifest_digest(manifest),
            "command": environment["command"],
            "environment": environment,
        }
        write_atlas(self.out / "atlas.html", found, facts)
        for part in found:
            highest = ", ".join(f"({p.vertical:+.3f}, {p.horizontal:.3f}) z {p.z:.0f}" for p in part.peaks[:3])
            logger.info(f"{part.name}: {len(part.peaks)} peaks{': ' + highest if highest else ''}")
        logger.info(f"atlas: {self.out / 'atlas.html'}")


@dataclass
class Explain:
    """Show for image files why a detector calls them fake or real: a page an image, figures and numbers.

    The logit as a sum of terms, the pixels and the frequencies that decided, and the lattice with its p-value. Writes
    explanation.html, explanation.json and PNG figures into a folder of the image's name.

    Example: fakefreq explain a.jpg b.png --detector runs/stylegan --out why
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """image files, folders (all images in and below them) and patterns"""
    detector: Path
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
    out: Path
    """folder to write; a page that shows faces must not be redistributed"""
    on_error: Literal["tell", "stop", "skip"] = "tell"
    """at an image that cannot be explained: explain the others, list it, and exit with 2 (tell) or 0 (skip); or stop"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.explaining.page import explain_files
        from fakefreq.models import load_detector

        detector = load_detector(self.detector, self.device)
        on_error: Literal["stop", "skip"] = "stop" if self.on_error == "stop" else "skip"
        explanations, skipped = explain_files(detector, self.images, self.out, on_error)
        for path, reason in skipped:
            logger.info(f"not explained: {path}: {reason}")
        if skipped and self.on_error != "skip":
            path, reason = skipped[0]
            raise UserError(
                f"{len(skipped)} of {len(explanations) + len(skipped)} images could not be explained, the first "
                f"{path}: {reason}; mend or leave them out, or accept it with --on-error skip"
            )


@dataclass
class App:
    """Open a page in the browser: drop an image, or two, and see what a detector says of it and why.

    Needs the extra `app` (gradio). The page is for this machine alone, keeps no image and sends nothing anywhere. Its
    routes /predict and /explain give the same as JSON.

    Example: fakefreq app runs/stylegan
    """

    detector: tyro.conf.Positional[Path]
    """a run folder, RUN/best, a .safetensors file, or hf://owner/name[@revision]"""
    examples: Path | None = None
    """a manifest or a folder of images that the page offers; by default test images of the benchmark or demo, if any"""
    host: str = "127.0.0.1"
    """the address to listen at; 0.0.0.0 lets in whoever reaches this machine, without a password"""
    port: int = 0
    """the port to listen at; 0: the first free one from 7860"""
    max_megabytes: float = 20.0
    """larger files are refused"""
    max_pixels: int = 25_000_000
    """images whose header promises more are refused before they are decoded"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""

    def run(self) -> None:
        from fakefreq.app.look import Limits
        from fakefreq.app.page import find_examples, need_gradio, serve
        from fakefreq.models import load_detector

        limits = Limits(self.max_megabytes, self.max_pixels)
        need_gradio()
        detector = load_detector(self.detector, self.device)
        examples = find_examples(self.detector, self.examples)
        before = signal.signal(signal.SIGTERM, _interrupt)  # so that what was uploaded is deleted then, too
        try:
            serve(detector, limits, examples, self.host, self.port or None)
        finally:
            signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
