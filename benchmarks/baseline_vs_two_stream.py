"""Pixel-only against two-stream on a folder of `<generator>/{0_real,1_fake}`, trained on one of its generators.

Indexes, splits 700 : 100 : 200, trains both detectors alike, scores every generator, and copies the table to
benchmarks/results/. The folder is FAKEFREQ_FACEBENCH unless --folder names another.

Example: python benchmarks/baseline_vs_two_stream.py --train-on stylegan --seeds 0 1 2
"""

import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from fakefreq.benchmarking.presets import compare
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.report.page import write_report
from fakefreq.report.tables import format_comparison


@dataclass
class BaselineVsTwoStream:
    """The main comparison, on one's own folder of images."""

    train_on: tuple[str, ...] = ("stylegan",)
    """generators to train on"""
    folder: Path | None = None
    """the images; FAKEFREQ_FACEBENCH by default"""
    work: Path = Path("runs/baseline_vs_two_stream")
    """manifest, runs and report; an interrupted benchmark goes on from here"""
    out: Path = Path("benchmarks/results/baseline_vs_two_stream_facebench_raw_cpu.csv")
    """the table to write"""
    spectrum: str = "block_dct"
    """the frequency stream"""
    epochs: int = 5
    """passes over the training images"""
    seeds: tuple[int, ...] = (0,)
    """one training of each detector for every seed"""
    allow_biased: bool = False
    """train although the audit of the training images fails"""

    @shown_messages()
    def run(self) -> None:
        folder = self.folder or Path(os.environ.get("FAKEFREQ_FACEBENCH", ""))
        if not folder.is_dir() or folder == Path():
            raise UserError("there is no folder of images: give --folder, or set FAKEFREQ_FACEBENCH")
        manifest_path = self.work / "manifest.csv"
        if not manifest_path.exists():
            manifest, _ = index_folder(folder, manifest_path)
            write_manifest(split_manifest(manifest, (0.7, 0.1, 0.2), seed=0), manifest_path)
        config = TrainConfig(
            pretrained="wheel", train_on=self.train_on, spectrum=self.spectrum, epochs=self.epochs, crop=224
        )
        out = self.work / f"{'+'.join(self.train_on)}-{self.spectrum}"
        table = compare(manifest_path, out, config, seeds=self.seeds, allow_biased=self.allow_biased)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        print(format_comparison(table))
        print(f"{len(read_manifest(manifest_path))} images; table: {self.out}; report: {write_report(out)[0]}")


if __name__ == "__main__":
    try:
        tyro.cli(BaselineVsTwoStream, description=__doc__).run()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
