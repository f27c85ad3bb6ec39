"""What `fakefreq.models.streams.lattice.read_lattice` gives, of one decoded image: by OpenCV, numpy and scipy.

A loader's worker has one image at a time, and there the steps cost less than as tensors: .6 of the time at 256
pixels. Tests hold the two ways together. No step multiplies matrices: in a forked process a library for these can wait
for ever for a lock that another thread held in the parent.
"""

import math
from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import log_ndtr

from fakefreq.spectra import lattice_frequencies
from fakefreq.spectra.lattice import NO_NOISE, segment_side
from fakefreq.spectra.lattice_fields import CLIP, LEAST, YCBCR
from fakefreq.spectra.lattice_residual import scale_residual
from fakefreq.spectra.studio_range import FEW, LUMA, STEP

Floats = NDArray[np.float32]

# The trace turns once for each whole step of luma.
_TURNS = np.array([LUMA], np.float32) * np.float32(2 * math.pi)
_SMOOTH = np.array([0.125, 0.75, 0.125], np.float32)


def scores_and_trace(image: NDArray[np.uint8], period: int, quiet: float) -> tuple[Floats, float]:
    """Return z of luma at the independent frequencies, field by field, and the trace of studio range.

    See `fakefreq.spectra.lattice_field_scores` and `fakefreq.spectra.studio_range_trace`.

    Args:
        image: RGB, at least two periods a side.
        period: P in pixels, 2 to 32.
        quiet: see `fakefreq.spectra.lattice_residual`.

    Shape: (H, W, 3) -> (F K,), with F fields and K independent frequencies; z is 0 or more, the trace in [0, 1).
    """
    return _scores(_tiles(image.astype(np.float32), period, quiet), period), _trace(image)


def fields_of_image(image: Floats, period: int) -> Iterator[Floats]:
    """Yield `fakefreq.spectra.lattice_fields` of one image but for the first, which is 1.

    Args:
        image: RGB in 8-bit steps.
        period: P in pixels.

    Shape: (H, W, 3) -> four of (P (H // P), P (W // P)).
    """
    rows, columns = image.shape[0] // period, image.shape[1] // period
    # Of whole factors this is the mean of each block.
    blocks = cv2.resize(image[: rows * period, : columns * period], (columns, rows), interpolation=cv2.INTER_AREA)
    smoothed = cv2.sepFilter2D(cv2.transform(blocks, YCBCR), -1, _SMOOTH, _SMOOTH, borderType=cv2.BORDER_REPLICATE)
    planes = smoothed.transpose(2, 0, 1)
    planes = planes - planes.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt(np.square(planes).mean(axis=(1, 2), keepdims=True))
    scaled = np.clip(planes / np.maximum(deviation, np.reshape(LEAST, (3, 1, 1))), -CLIP, CLIP)
    square = np.square(scaled[0])
    for field in (scaled[0], square - square.mean(), scaled[1], scaled[2]):
        yield cv2.resize(field.astype(np.float32), None, fx=period, fy=period, interpolation=cv2.INTER_LINEAR)


def _tiles(pixels: Floats, period: int, quiet: float) -> Floats:
    """Tiles of the segments of luma's residual by field, of an image in 8-bit steps: (H, W, 3) -> (F, M, P, P)."""
    height, width = pixels.shape[:2]
    luma = cv2.transform(pixels, YCBCR[:1])
    residual = scale_residual(luma - cv2.medianBlur(luma, 3), quiet)
    residual = np.ascontiguousarray(residual[: height // period * period, : width // period * period])
    side = segment_side(height, width, period)
    down, across, blocks = height // side, width // side, side // period
    tiles = []
    for weighted in (residual, *(residual * field for field in fields_of_image(pixels, period))):
        strips = _sum_of(weighted[: down * side, : across * side].reshape(down, blocks, period, -1).swapaxes(0, 1))
        parts = _sum_of(strips.reshape(down, period, across, blocks, period).transpose(3, 0, 1, 2, 4))
        tiles.append(parts.transpose(0, 2, 1, 3).reshape(-1, period, period))
    return np.stack(tiles) / np.float32(blocks**2)


def _sum_of(parts: Floats) -> Floats:
    """The sum over the first axis: a few large parts, for which numpy's reduction is slower."""
    total: Floats = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _scores(tiles: Floats, period: int) -> Floats:
    """z of `fakefreq.spectra.lattice.scores_of_segments` at the independent frequencies: (F, M, P, P) -> (F K,)."""
    fields, segments, freedom = tiles.shape[0], tiles.shape[1], tiles.shape[1] - 1
    waves = scipy.fft.rfft2(tiles).reshape(fields, segments, -1)
    parts = waves.view(np.float32)  # real, imaginary, real, ...
    mean = parts.mean(axis=1)
    apart = parts - mean[:, None]
    power, spread = (
        squares.reshape(fields, -1, 2).sum(axis=2)
        for squares in (np.square(mean), np.einsum("fmk,fmk->fk", apart, apart))
    )
    squares = freedom * np.log1p(segments * power / (spread + np.float32(NO_NOISE)))
    # At the frequencies 0 and 1/2 a transform is real, and Student's law takes the place of Fisher's.
    independent, real = _places(period)
    normal = np.sqrt(((8 * freedom + 1) / (8 * freedom + 3)) ** 2 * squares[:, real])
    squares[:, real] = np.maximum(-math.log(2) - log_ndtr(-normal), 0)
    return np.asarray(np.sqrt(squares[:, independent]).ravel())


@cache
def _places(period: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in a flattened half-plane the independent frequencies are, and those at which transforms are real."""
    row, column = np.divmod(np.arange(period * (period // 2 + 1)), period // 2 + 1)
    independent = np.flatnonzero(lattice_frequencies(period).numpy())
    return independent, np.flatnonzero((2 * row % period == 0) & (2 * column % period == 0))


def _trace(image: NDArray[np.uint8]) -> float:
    """`fakefreq.spectra.studio_range_trace` of an image, (H, W, 3)."""
    read = np.ascontiguousarray(image[::STEP, ::STEP])
    inside = cv2.inRange(read, (1, 1, 1), (254, 254, 254)) > 0
    angle = cv2.transform(read.astype(np.float32), _TURNS)[inside]
    count = len(angle) + FEW
    real, imaginary = float(np.cos(angle).sum()) / count, float(np.sin(angle).sum()) / count
    return math.sqrt(real**2 + imaginary**2 + 1e-12)
