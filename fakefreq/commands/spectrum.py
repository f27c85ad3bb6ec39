"""The command that draws the atlas of fingerprints."""

import logging
from dataclasses import dataclass
from pathlib import Path

import tyro

from fakefreq.errors import UserError

logger = logging.getLogger(__name__)


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
        from fakefreq.atlas.measure import measure_manifest, read_inputs, write_tables
        from fakefreq.data.degrade.history import parse_history
        from fakefreq.data.manifests import manifest_digest
        from fakefreq.report.atlas_page import write_atlas
        from fakefreq.train.environment import describe_environment

        if not self.images:
            raise UserError("spectrum takes a manifest, a folder or image files; got none")
        manifest, root = read_inputs(self.images, self.out)
        history = None if self.history.strip() == "raw" else parse_history(self.history)
        found = measure_manifest(
            manifest, root, history, self.generators, self.tile, self.crop, self.limit, self.workers, self.seed
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


COMMANDS = {"spectrum": Spectrum}
