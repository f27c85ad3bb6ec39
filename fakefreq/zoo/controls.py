"""Controls: photographs put through ordinary processing. They are real, and are called real.

A detector that calls them fake has learnt processing, not generators; their false-positive rate belongs to
every report. Each takes and returns RGB bytes of one size, so it can stand before the one history.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.data.degrade.distortions import sharpen, webp

Control = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def control_bicubic(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce by two and enlarge by two, both bicubic (OpenCV's, a = -0.75, no antialiasing).

    Shape: (H, W, 3) uint8 -> the same.

    >>> control_bicubic(np.full((9, 12, 3), 200, np.uint8)).mean()
    np.float64(200.0)
    """
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def control_jpeg(image: NDArray[np.uint8], qualities: tuple[int, ...] = (75, 85)) -> NDArray[np.uint8]:
    """Compress as JPEG once for each quality, in turn; twice by default.

    Shape: (H, W, 3) uint8 -> the same.
    """
    # OpenCV's order is BGR, and JPEG weighs the three channels unequally.
    processed = image[..., ::-1]
    for quality in qualities:
        _, payload = cv2.imencode(".jpg", processed, [cv2.IMWRITE_JPEG_QUALITY, quality])
        processed = np.asarray(cv2.imdecode(payload, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(processed[..., ::-1])


def control_sharpen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Unsharp mask: add 1.0 times what a Gaussian blur of one pixel takes away.

    Shape: (H, W, 3) uint8 -> the same.
    """
    return sharpen(image, 1.0)


def control_denoise(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Non-local means with OpenCV's colour variant (Buades, Coll and Morel, "A non-local algorithm for image
    denoising", 2005), filter strength 5.

    Shape: (H, W, 3) uint8 -> the same.
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    denoised = np.asarray(cv2.fastNlMeansDenoisingColored(bgr, None, 5.0, 5.0, 7, 21), np.uint8)
    return np.ascontiguousarray(denoised[..., ::-1])


def control_demosaic(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep one colour a pixel in a Bayer RGGB mosaic, then interpolate the others bilinearly, as cameras do.

    Shape: (H, W, 3) uint8 -> the same.
    """
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2] = image[::2, ::2, 0]
    mosaic[1::2, 1::2] = image[1::2, 1::2, 2]
    # OpenCV names a pattern by the second row's second and third pixel: RGGB is its "BG".
    return np.asarray(cv2.cvtColor(mosaic, cv2.COLOR_BayerBG2RGB), np.uint8)


def control_webp(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compress as lossy WebP of quality 80, what web sites and messengers do.

    Shape: (H, W, 3) uint8 -> the same.
    """
    return webp(image, 80)


CONTROLS: dict[str, Control] = {
    "control_bicubic": control_bicubic,
    "control_jpeg": control_jpeg,
    "control_sharpen": control_sharpen,
    "control_denoise": control_denoise,
    "control_demosaic": control_demosaic,
    "control_webp": control_webp,
}
