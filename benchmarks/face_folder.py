"""The folder of faces that these scripts take, with the sources of its photographs, as a manifest with splits."""

import os
from dataclasses import dataclass
from pathlib import Path

from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError

# Training, validation and test.
RATIOS = (0.7, 0.1, 0.2)


@dataclass
class FaceFolder:
    """Real and GAN faces in folders.

    Args:
        folder: faces in the <generator>/{0_real,1_fake} layout; the variable FAKEFREQ_FACEBENCH by default.
        source: where each subset's reals come from, as SUBSET=NAME.
    """

    folder: Path | None = None
    source: tuple[str, ...] = (
        "stylegan=ffhq", "mobilestylegan_native=ffhq", "stylegan2=unsplash", "dcgan=celeba", "began=celeba",
    )  # fmt: skip

    def index(self, manifest: Path) -> Path:
        """Write the manifest of the folder with its splits, unless it is there; return its path.

        Raises:
            UserError: no folder is named.
        """
        folder = self.folder or os.environ.get("FAKEFREQ_FACEBENCH")
        if not folder:
            raise UserError("no folder of faces: give --folder, or set FAKEFREQ_FACEBENCH")
        if not manifest.exists():
            index_folder(folder, manifest, sources=dict(entry.split("=", 1) for entry in self.source))
            rewrite_split(manifest, manifest, RATIOS, seed=0, keep=True)
        return manifest
