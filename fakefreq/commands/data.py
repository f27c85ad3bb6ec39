"""Commands that make and mend manifests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fakefreq.commands.base import say
from fakefreq.errors import UserError


@dataclass
class Index:
    """Make a manifest, the table of images, out of a folder of real and fake images.

    Recognises GENERATOR/{0_real,1_fake}, {real,fake}, real/ with fake/GENERATOR/, and a train|val|test level
    above them. Reads headers and hashes, never whole pictures.

    Example: fakefreq index faces/ --out faces/manifest.csv
    """

    folder: tyro.conf.Positional[Path]
    """the folder of images"""
    out: Path
    """the manifest to write (.csv); its paths are relative to its own folder"""
    group_by: Literal["stem", "file", "folder"] = "stem"
    """images never to be parted by a split: same file name without ending, same bytes only, or same folder"""
    source: tuple[str, ...] = ()
    """where reals come from, as SUBSET=NAME: --source stylegan=ffhq dcgan=celeba"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an unreadable image: stop, or skip it and list it in skipped.csv"""
    allow_one_class: bool = False
    """accept a folder of reals only or fakes only"""
    jobs: int = -1
    """processes; -1: one a core"""

    def run(self) -> None:
        from fakefreq.data.manifest import index_folder

        sources = {}
        for entry in self.source:
            subset, separator, name = entry.partition("=")
            if not separator or not name:
                raise UserError(f"--source takes SUBSET=NAME, such as stylegan=ffhq; got {entry!r}")
            sources[subset] = name
        index_folder(
            self.folder,
            self.out,
            group_by=self.group_by,
            sources=sources,
            on_error=self.on_error,
            allow_one_class=self.allow_one_class,
            jobs=self.jobs,
            say=say,
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
