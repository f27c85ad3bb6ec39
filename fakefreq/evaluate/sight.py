"""What a detector sees of one image file, brought as scoring brings it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.data.degrade.history import history_of
from fakefreq.data.images.decode import decode_image, read_bytes
from fakefreq.data.images.resample import crop_views
from fakefreq.data.loading.samples import bring
from fakefreq.models import Detector
from fakefreq.models.streams.lattice import read_lattice_of_image
from fakefreq.spectra import to_float


@dataclass(frozen=True)
class Sight:
    """One image on its way into a detector.

    Args:
        path: as it was given.
        sha256: of the file.
        size: width and height in pixels, as decoded.
        image: (H, W, 3) uint8, after the detector's history.
        pixels: (V, 3, crop, crop), floats in [0, 1]: the detector's crops, the centre first.
        lattice: (V, 34), what the lattice stream reads in the whole image, where there is one.
    """

    path: str
    sha256: str
    size: tuple[int, int]
    image: NDArray[np.uint8]
    pixels: Tensor
    lattice: Tensor | None


def see(detector: Detector, path: str | Path) -> Sight:
    """Read an image as `fakefreq.predict` does.

    Args:
        detector: whose history, crop and views are taken.
        path: of the image.

    Raises:
        ImageError: the file cannot be read or decoded.
        UserError: the image is too small for the detector's history.
    """
    content = read_bytes(path)
    image = decode_image(path, content)
    sha256, size = hashlib.sha256(content).hexdigest(), (image.shape[1], image.shape[0])
    history = history_of(detector.input)
    if history is not None:
        image = bring(image, history, sha256)
    crops = torch.from_numpy(crop_views(image, detector.input.crop, detector.input.views)).permute(0, 3, 1, 2)
    lattice = None
    if detector.lattice is not None:
        lattice = torch.from_numpy(read_lattice_of_image(image)).expand(len(crops), -1).to(detector.device)
    return Sight(str(path), sha256, size, image, to_float(crops.to(detector.device)), lattice)
