"""Commands that make and mend manifests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fakefreq.commands.base import say
from fakefreq.errors import UserError


@dataclass
class Index:
    """Make a manifest, the table of images, out of a folder of real and fake images, of shards or of a list.

    Recognises GENERATOR/{0_real,1_fake}, GenImage, {real,fake}, real/ with fake/GENERATOR/, CelebA, LFW, FFHQ,
    WebDataset tar shards, Parquet tables with image bytes, and train|val|test levels. Reads headers and hashes, whole
    pictures only with --phash. The same command again reads only files that changed.

    Example: fakefreq index faces/ --out faces/manifest.csv
    """

    folder: tyro.conf.Positional[Path]
    """the folder of images, or one .tar or .parquet file"""
    out: Path
    """the manifest to write (.csv or .parquet; without an ending .csv, above 500,000 images .parquet)"""
    layout: str = "auto"
    """the layout's name where it is not recognised: generators, image_folder, celeba, lfw, ffhq, tar, parquet, ..."""
    label: Literal["", "real", "fake"] = ""
    """what all images are, where no folder says"""
    generator: str = ""
    """what made the fakes, where no folder says"""
    real_classes: tuple[str, ...] = ()
    """folders of photographs; each is a source, and every other folder a generator"""
    list: Path | None = None
    """a CSV or JSON list of the images, paths relative to the folder"""
    path_column: str = "path"
    """of the list"""
    label_column: str = "label"
    """of the list, the Parquet table, or the shard's JSON"""
    generator_column: str = "generator"
    """likewise"""
    source_column: str = "source"
    """likewise"""
    group_column: str = "group"
    """likewise: identity, person or parent photo"""
    split_column: str = "split"
    """likewise"""
    real_values: tuple[str, ...] = ()
    """values of the label column, beside 0 and real, that mean real"""
    fake_values: tuple[str, ...] = ()
    """values of the label column, beside 1 and fake, that mean fake"""
    group_by: Literal["auto", "stem", "file", "folder"] = "auto"
    """images never to be parted by a split: what the layout knows (identity, person), else the same file name
    without ending; the same name; the same bytes only; the same folder"""
    source: tuple[str, ...] = ()
    """where reals come from, as SUBSET=NAME: --source stylegan=ffhq dcgan=celeba; or one NAME for all"""
    phash: bool = False
    """decode the images to find near-duplicates, and keep them together"""
    near_bits: int = 4
    """bits of 64 by which the perceptual hashes of near-duplicates may differ"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an image that cannot be used: stop, or skip it and list it in skipped.csv"""
    allow_one_class: bool = False
    """accept a folder of reals only or fakes only"""
    fresh: bool = False
    """read all files, also those that did not change since the last time"""
    jobs: int = -1
    """processes; -1: one a core"""

    def run(self) -> None:
        from fakefreq.data.layout_values import Columns
        from fakefreq.data.layouts import Hints
        from fakefreq.data.manifest import index_folder

        sources, everywhere = {}, ""
        for entry in self.source:
            subset, separator, name = entry.rpartition("=")
            if not name or (separator and not subset) or (not separator and len(self.source) > 1):
                raise UserError(f"--source takes SUBSET=NAME, such as stylegan=ffhq, or one NAME; got {entry!r}")
            if separator:
                sources[subset] = name
            else:
                everywhere = name
        columns = Columns(
            self.path_column,
            self.label_column,
            self.generator_column,
            self.source_column,
            self.group_column,
            self.split_column,
            self.real_values,
            self.fake_values,
        )
        index_folder(
            self.folder,
            self.out,
            group_by=self.group_by,
            sources=sources,
            on_error=self.on_error,
            allow_one_class=self.allow_one_class,
            jobs=self.jobs,
            say=say,
            hints=Hints(self.layout, self.label, self.generator, everywhere, self.real_classes, columns),
            listed=self.list,
            phash=self.phash,
            near_bits=self.near_bits,
            fresh=self.fresh,
        )


@dataclass
class Split:
    """Split a manifest into train, val and test: by group, stratified by generator, seeded.

    Example: fakefreq split faces/manifest.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    out: Path | None = None
    """where to write; the manifest itself by default"""
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """shares of train, val and test"""
    seed: int = 0
    """of the shuffle"""
    overwrite: bool = False
    """split rows again that have a split already"""

    def run(self) -> None:
        from fakefreq.data.manifest import rewrite_split

        rewrite_split(
            self.manifest, self.out or self.manifest, self.fractions, self.seed, keep=not self.overwrite, say=say
        )


COMMANDS = {"index": Index, "split": Split}
