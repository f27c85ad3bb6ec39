"""Commands that say whether a data set can be trusted, and that bring it to one history."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fakefreq.commands.base import Flat
from fakefreq.data.audit.verdict import EXIT_CODES, Thresholds
from fakefreq.errors import UserError

if TYPE_CHECKING:
    from fakefreq.data.manifest.faces import FaceCrop

logger = logging.getLogger(__name__)


@dataclass
class Audit:
    """Say whether a detector could learn a codec, a size or a photo source instead of the generator.

    Exit status: 0 pass, 1 warn, 3 fail (2 is a mistake in the command).

    Example: fakefreq audit faces/manifest.csv --out faces/audit
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest"""
    out: Path | None = None
    """folder for audit.json and audit.html; `audit` beside the manifest by default"""
    subset: tuple[str, ...] = ()
    """only these subsets; all by default"""
    quick: bool = False
    """header facts, duplicates, balance and history only: nothing is decoded"""
    images: int = 4000
    """decode at most so many images, evenly over classes, subsets and generators"""
    seed: int = 0
    """of samples, folds and bootstrap"""
    thresholds: Annotated[Thresholds, Flat] = field(default_factory=Thresholds)

    def run(self) -> None:
        from fakefreq.data.audit.audit import audit_manifest
        from fakefreq.report.audit_page import write_audit_page

        out = self.out or self.manifest.parent / "audit"
        audit = audit_manifest(
            self.manifest, out / "audit.json", self.thresholds, self.subset, 0 if self.quick else self.images, self.seed
        )
        write_audit_page(out / "audit.html", audit)
        logger.info(f"audit: {out / 'audit.html'}, {out / 'audit.json'}")
        sys.exit(EXIT_CODES[audit.verdict])


@dataclass
class Align:
    """Bring every image, real or fake, through one history: crop, resize, encode. The same command again resumes.

    Quality and kernel may be drawn, by each original's sha256: --codec jpeg:75-95 --kernel any. With --face both
    classes are first cropped to the largest face, where their sets frame faces differently.

    Example: fakefreq align faces/manifest.csv --size 128 --codec jpeg:75-95 --out faces-aligned
    """

    manifest: tyro.conf.Positional[Path]
    """the manifest of the originals"""
    out: Path
    """folder for the new images and their manifest"""
    history: str = ""
    """all in one text, such as size=128,kernel=area,codec=jpeg:90; the flags below change single parts of it"""
    size: str = ""
    """side in pixels, or keep"""
    kernel: Literal["", "area", "bilinear", "bicubic", "lanczos", "any"] = ""
    """of the resize"""
    crop: Literal["", "center", "none"] = ""
    """before the resize"""
    codec: str = ""
    """jpeg:Q, jpeg:LOW-HIGH, webp:Q or png"""
    subsampling: Literal["", "4:4:4", "4:2:2", "4:2:0"] = ""
    """of JPEG's chroma"""
    seed: int = 0
    """of the draws"""
    too_small: Literal["stop", "skip"] = "stop"
    """at images smaller than the size, never enlarged: stop, or leave them out and list them in skipped.csv"""
    on_error: Literal["stop", "skip"] = "stop"
    """at unreadable images: stop, or leave them out and list them"""
    face: bool = False
    """crop to a square around the box of the largest face, before all else; faces.csv lists what was found"""
    face_model: Path | None = None
    """with --face: YuNet's ONNX file, run by OpenCV; else MTCNN, whose weights (2 MB) are fetched once"""
    face_margin: float = 0.0
    """with --face: by how much the square is larger than the box's longer side, as a share of it, -0.8 to 2"""
    without_face: Literal["stop", "skip"] = "stop"
    """with --face, at images without a face, or too small for its square: stop, or leave them out and list them"""
    jobs: int = -1
    """threads; -1: one a core"""

    def run(self) -> None:
        from fakefreq.data.degrade.history import parse_history
        from fakefreq.data.manifest.align import align_manifest

        given = [self.history] if self.history else []
        if self.history.strip() == "raw" and any((self.size, self.kernel, self.crop, self.codec, self.subsampling)):
            raise UserError("--history raw says all; leave out the other flags, or write the history's parts")
        for word in ("size", "kernel", "crop", "codec", "subsampling"):
            value = getattr(self, word)
            given += [f"{word}={value}"] if value else []
        align_manifest(
            self.manifest,
            self.out,
            parse_history(",".join(given)),
            self.seed,
            self.too_small,
            on_error=self.on_error,
            jobs=self.jobs,
            face=self._face_crop(),
            without_face=self.without_face,
        )

    def _face_crop(self) -> "FaceCrop | None":
        if not self.face:
            for name, value in (("face_model", None), ("face_margin", 0.0), ("without_face", "stop")):
                if getattr(self, name) != value:
                    raise UserError(f"--{name.replace('_', '-')} means nothing without --face; give both, or neither")
            return None
        from fakefreq.data.images.face_detectors import YuNet, load_mtcnn
        from fakefreq.data.manifest.faces import FaceCrop

        return FaceCrop(load_mtcnn() if self.face_model is None else YuNet(self.face_model), self.face_margin)
