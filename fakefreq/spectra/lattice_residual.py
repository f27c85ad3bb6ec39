"""The residual that lattices are read in: a plane less its 3x3 median, over its usual size, flat areas left out."""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fakefreq.spectra._tensor import EachPlane, by_pieces, check_images, in_cpu_memory, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.residuals import median_residual

# Of the scaled residual: beyond this an edge counts no more than strong noise does.
_CLIP = 3.0
# The usual size is taken this often, which keeps a generous part of it out of edges; the floor is in 8-bit steps, what
# a flat, noiseless plane is divided by.
_SCALE, _FLOOR = 1.5, 0.15
# Side in pixels of the area whose mean abs residual says whether it is flat; `_sum_along` is made for it.
_AREA = 15
# The usual size is measured at every third row and column: all phases of the common periods are among them.
_STEP = 3


def lattice_residual(images: Tensor, quiet: float = 0.0) -> Tensor:
    """Return the 3x3 median residual of each plane, divided by its usual size and clipped to [-3, 3].

    r / (1.5 s + 0.15), with s = mean(sqrt(abs r))^2 in 8-bit steps over every third row and column. For Gaussian noise
    s is 0.676 of the standard deviation, as the median of abs r is 0.674. It needs no sorting, and it is not 0 where
    most residuals are.

    With `quiet` above 0 flat areas are left out. There JPEG keeps one coefficient or none of a block, and where light
    falls off evenly, the same one in block after block: what is left is the lattice of JPEG, and no noise hides it.
    The residual is weighted with w = a^4 / (a^4 + quiet^4), a the mean of abs r over 15x15 pixels.

    Args:
        images: uint8, or floats in [0, 1] (chroma: [-0.5, 0.5]).
        quiet: in 8-bit steps; an area of this activity counts half. 0 leaves nothing out.

    Shape:
        - input: (B, C, H, W)
        - output: (B, C, H, W), in [-3, 3]
    """
    check_images(images)
    with no_autocast(images):
        if in_cpu_memory(images) and images.dtype in (torch.uint8, torch.float32) and not torch.is_grad_enabled():

            def of_plane(plane: NDArray[np.float32]) -> NDArray[np.float32]:
                return scale_residual(plane - cv2.medianBlur(plane, 3), quiet)

            return EachPlane.apply(255.0 * to_float(images), of_plane)  # type: ignore[no-any-return]
        residual = median_residual(images)
        # The square root's slope is infinite at 0, so that a gradient needs an offset far below one step.
        sample = 255.0 * residual[..., ::_STEP, ::_STEP]
        usual = (sample.abs() + 1e-6).sqrt().mean(dim=(-2, -1), keepdim=True).square()
        scaled = (residual * (255.0 / (_SCALE * usual + _FLOOR))).clamp(-_CLIP, _CLIP)
        if quiet <= 0:
            return scaled
        rows, columns = torch.ones_like(residual[:1, :1, :, :1]), torch.ones_like(residual[:1, :1, :1])
        scale = (255.0 / quiet) / (_sum_along(rows, -2) * _sum_along(columns, -1))[0]

        def weight(planes: Tensor, _: Tensor | None) -> Tensor:
            ratio = (_sum_along(_sum_along(planes.abs(), -1), -2) * scale).square().square()
            return ratio / (1.0 + ratio)

        return scaled * by_pieces(weight, residual.flatten(0, 1)).reshape(residual.shape)


def _sum_along(planes: Tensor, axis: int) -> Tensor:
    """The sum over the 15 pixels about each, of those that there are, along the rows (-2) or the columns (-1).

    15 = 8 + 4 + 2 + 1: a pooling would add them one by one.
    """
    reach = _AREA // 2
    one = F.pad(planes, (reach, reach) if axis == -1 else (0, 0, reach, reach)).transpose(axis, -1)
    two = one[..., :-1] + one[..., 1:]
    four = two[..., :-2] + two[..., 2:]
    eight = four[..., :-4] + four[..., 4:]
    return (eight[..., :-7] + four[..., 8:-3] + two[..., 12:-1] + one[..., 14:]).transpose(axis, -1)


def scale_residual(residual: NDArray[np.float32], quiet: float = 0.0) -> NDArray[np.float32]:
    """Return a plane's residual in 8-bit steps as `lattice_residual` scales it; the input is overwritten.

    Shape: (H, W) float32 -> the same.
    """
    size = np.abs(residual)
    usual = float(np.sqrt(size[::_STEP, ::_STEP] + np.float32(1e-6)).mean()) ** 2
    residual /= np.float32(_SCALE * usual + _FLOOR)
    np.clip(residual, -_CLIP, _CLIP, out=residual)
    if quiet > 0:
        sums = cv2.boxFilter(size, -1, (_AREA, _AREA), normalize=False, borderType=cv2.BORDER_CONSTANT)
        ratio = np.divide(sums, _pixels_around(*size.shape) * np.float32(quiet), dtype=np.float32)
        # The fourth power, and of it the share.
        np.square(np.square(ratio, out=ratio), out=ratio)
        np.multiply(residual, ratio / (1 + ratio), out=residual)
    return residual


@lru_cache(maxsize=4)
def _pixels_around(height: int, width: int) -> NDArray[np.float32]:
    """How many of the 15 x 15 pixels about each lie inside."""

    def along(length: int) -> NDArray[np.int64]:
        place, reach = np.arange(length), _AREA // 2
        return np.minimum(place + reach, length - 1) - np.maximum(place - reach, 0) + 1

    return np.outer(along(height), along(width)).astype(np.float32)
