"""Commands that make and mend manifests."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fakefreq.errors import UserError

logger = logging.getLogger(__name__)


@dataclass
class Index:
    """Make a manifest, the table of images, out of a folder of real and fake images, of shards or of a list.

    Recognises GENERATOR/{0_real,1_fake}, GenImage, {real,fake}, real/ with fake/GENERATOR/, CelebA, LFW, FFHQ,
    videos as folders of frames, WebDataset tar shards, Parquet tables, ArtiFact's metadata.csv, and train|val|test
    levels; and data sets on the Hugging Face hub. What contradicts itself about a label stops. Reads headers and
    hashes, whole pictures only with --phash. The same command again reads only files that changed.

    Example: fakefreq index faces/ --out faces/manifest.csv
    or:      fakefreq index hf://datasets/owner/faces --out faces.csv --allow "data/test-*"
    """

    folder: tyro.conf.Positional[Path]
    """the folder of images, or one .tar or .parquet file, or hf://datasets/owner/name[@revision]"""
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
    overrule: tuple[Literal["folders", "columns"], ...] = ()
    """what may contradict the labels without stopping: the names of folders, other columns of a table"""
    list: Path | None = None
    """a list of the images (.csv, .tsv, .txt, .json, .jsonl), paths relative to the folder"""
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
    """values of the label column, beside 0 and real, that mean real; with 1, 0 means fake; *: all others"""
    fake_values: tuple[str, ...] = ()
    """values of the label column, beside 1 and fake, that mean fake; likewise"""
    group_by: Literal["auto", "stem", "file", "folder"] = "auto"
    """images never to be parted by a split: what the layout knows (identity, person, video), else a photograph and its
    fake of one name in one generator's folder; the same name anywhere; the same bytes only; the same folder"""
    source: tuple[str, ...] = ()
    """where reals come from, as SUBSET=NAME: --source stylegan=ffhq dcgan=celeba; the same file name of one
    source is the same photograph"""
    real_source: str = ""
    """where all reals come from, where nothing else says"""
    phash: bool = False
    """decode the images to find near-duplicates, and keep them together"""
    near_bits: int = 24
    """bits of 256 by which the perceptual hashes of near-duplicates may differ, 24 or more; more joins more groups"""
    on_error: Literal["stop", "skip"] = "stop"
    """at an image that cannot be used: stop, or skip it and list it in skipped.csv"""
    allow_one_class: bool = False
    """accept a folder of reals only or fakes only"""
    fresh: bool = False
    """read all files, also those that did not change since the last time"""
    allow: tuple[str, ...] = ()
    """of a data set on the hub: patterns of the files to fetch, such as "data/test-*"; by default images and shards,
    and tables and lists beside them"""
    jobs: int = -1
    """processes; -1: one a core"""

    def run(self) -> None:
        from fakefreq.data.index.names import Columns, Hints
        from fakefreq.data.manifests import index_folder

        sources = {}
        for entry in self.source:
            subset, separator, name = entry.partition("=")
            if not separator or not name:
                raise UserError(f"--source takes SUBSET=NAME, such as stylegan=ffhq; got {entry!r}")
            sources[subset] = name
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
            hints=Hints(
                self.layout, self.label, self.generator, self.real_source, self.real_classes, columns, self.overrule
            ),
            listed=self.list,
            phash=self.phash,
            near_bits=self.near_bits,
            fresh=self.fresh,
            allow=self.allow,
        )


@dataclass
class Split:
    """Split a manifest into train, val and test: by group, stratified by generator and source, seeded.

    Example: fakefreq split faces/manifest.csv --hold-out generator=stylegan2
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    out: Path | None = None
    """where to write; the manifest itself by default"""
    fractions: tuple[float, float, float] | None = None
    """shares of train, val and test; by default 0.7 0.1 0.2"""
    seed: int | None = None
    """of the shuffle; by default 0"""
    overwrite: bool = False
    """draw all anew; else what has a split keeps it, also one that an earlier `fakefreq split` drew"""
    hold_out: tuple[str, ...] = ()
    """generator=NAME or source=NAME: all of it, with its groups, goes to test"""
    val_from_train: float = 0.0
    """where an official split has no val: the share of train's groups that becomes val, such as 0.1"""
    val_is_test: bool = False
    """the official val is the test part, as in GenImage"""

    def run(self) -> None:
        from fakefreq.data.manifests import rewrite_split

        rewrite_split(
            self.manifest,
            self.out or self.manifest,
            self.fractions,
            self.seed,
            keep=not self.overwrite,
            hold_out=self.hold_out,
            val_from_train=self.val_from_train,
            val_is_test=self.val_is_test,
        )


@dataclass
class Merge:
    """Put manifests into one.

    Example: fakefreq manifest merge celeba.csv stylegan.csv --out both.csv
    """

    manifests: tyro.conf.Positional[tuple[Path, ...]]
    """two or more manifests"""
    out: Path
    """the manifest to write"""

    def run(self) -> None:
        from fakefreq.data.manifest.edit import merge_manifests

        if len(self.manifests) < 2:
            raise UserError("`fakefreq manifest merge` takes two or more manifests")
        merged = merge_manifests(self.manifests, self.out)
        logger.info(f"{len(merged)} images, {merged['group'].nunique()} groups: {self.out}")


@dataclass
class Filter:
    """Keep the images that conditions are true of.

    Example: fakefreq manifest filter all.csv --where label=0 source=celeba,ffhq "width>=256" --out reals.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    where: tuple[str, ...]
    """column=value, column!=value, values parted by commas (one with commas in it is taken whole where a row has it);
    numbers also with < > <= >=. All must be true"""
    out: Path
    """the manifest to write"""

    def run(self) -> None:
        from fakefreq.data.manifest.edit import filter_rows
        from fakefreq.data.manifests import move_paths, read_manifest, write_manifest

        manifest = read_manifest(self.manifest, with_own=True)
        kept = filter_rows(manifest, self.where)
        write_manifest(move_paths(kept, self.manifest.parent, self.out.parent), self.out)
        logger.info(f"{len(kept)} of {len(manifest)} images: {self.out}")


@dataclass
class Sample:
    """Keep some images of each generator, source and class, drawn by seed.

    Example: fakefreq manifest sample all.csv --count 500 --out small.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    count: int
    """images of each subset, generator, source and class at most"""
    out: Path
    """the manifest to write"""
    seed: int = 0
    """of the draw"""

    def run(self) -> None:
        from fakefreq.data.manifest.edit import sample_rows
        from fakefreq.data.manifests import move_paths, read_manifest, write_manifest

        manifest = read_manifest(self.manifest, with_own=True)
        kept = sample_rows(manifest, self.count, self.seed)
        write_manifest(move_paths(kept, self.manifest.parent, self.out.parent), self.out)
        logger.info(f"{len(kept)} of {len(manifest)} images: {self.out}")


@dataclass
class Check:
    """See whether a manifest can be trusted: seal, labels, groups, splits, near-duplicates.

    Example: fakefreq manifest check faces/manifest.csv --files
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    files: bool = False
    """also hash every image, and compare"""

    def run(self) -> None:
        from fakefreq.data.manifest.edit import check_manifest

        check_manifest(self.manifest, self.files)


@dataclass
class Seal:
    """Accept a manifest that was edited by hand: check it, then write it with a new seal.

    Example: fakefreq manifest seal faces/manifest.csv
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""

    def run(self) -> None:
        from fakefreq.data.manifest.edit import check_labels
        from fakefreq.data.manifest.splits import check_splits
        from fakefreq.data.manifests import manifest_digest, read_manifest, write_manifest

        manifest = read_manifest(self.manifest, sealed=False, with_own=True)
        check_labels(manifest)
        check_splits(manifest)
        write_manifest(manifest, self.manifest)
        logger.info(f"sealed: {self.manifest} ({len(manifest)} images, digest {manifest_digest(manifest)})")


@dataclass
class Manifest:
    """Work on manifests: merge, filter, sample, check, seal.

    Example: fakefreq manifest check faces/manifest.csv
    """

    action: Annotated[
        Annotated[Merge, tyro.conf.subcommand("merge")]
        | Annotated[Filter, tyro.conf.subcommand("filter")]
        | Annotated[Sample, tyro.conf.subcommand("sample")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Seal, tyro.conf.subcommand("seal")],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> None:
        self.action.run()
