"""What may befall pixels on their way: one function a distortion, exact, for uint8 RGB images of any size."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.data.degrade.history import History, Subsampling, encode
from fakefreq.data.images.resample import Kernel
from fakefreq.data.images.resample import resize as resample
from fakefreq.errors import UserError

Image = NDArray[np.uint8]

# Side of the blocks that `mask` covers, in pixels: about an eye of a face of 256.
MASK_BLOCK = 16
# Limits of the bands that `mask_frequencies` knows, in cycles per pixel: thirds of the way to the Nyquist frequency, by
# the larger of the two coordinates, so that the highest band holds the corners and both axes' ends.
FREQUENCY_BANDS = {"all": (0.0, 0.5), "low": (0.0, 1 / 6), "mid": (1 / 6, 1 / 3), "high": (1 / 3, 0.5)}


def jpeg(image: Image, quality: int, subsampling: Subsampling = "4:2:0") -> Image:
    """Encode as JPEG (libjpeg's quality, 1 to 100) and decode."""
    return decode(encode(image, _codec("jpeg", subsampling), quality))


def webp(image: Image, quality: int) -> Image:
    """Encode as lossy WebP (quality 1 to 100) and decode."""
    return decode(encode(image, _codec("webp", "4:2:0"), quality))


def avif(image: Image, quality: int) -> Image:
    """Encode as AVIF (quality 1 to 100, speed 9) and decode.

    Raises:
        UserError: this OpenCV was built without AVIF.
    """
    done, payload = cv2.imencode(
        ".avif", image[..., ::-1], [cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_SPEED, 9]
    )
    if not done:
        raise UserError("this image cannot be written as AVIF; leave avif out of the degradation")
    return decode(payload.tobytes())


def has_avif() -> bool:
    """Whether this OpenCV writes AVIF."""
    return bool(cv2.haveImageWriter("a.avif"))


def double_jpeg(
    image: Image, first: int, second: int, down: int, right: int, subsampling: Subsampling = "4:2:0"
) -> Image:
    """JPEG twice, the first time on a grid that starts elsewhere, as when a JPEG is cropped and saved again.

    Args:
        image: RGB.
        first: quality of the first encoding, 1 to 100.
        second: of the second, whose grid starts at the image's corner.
        down: rows by which the first grid is shifted, 0 to 7.
        right: columns, 0 to 7.
        subsampling: of both.
    """
    # Continued above and to the left, encoded, and cut back: the size stays, the grid moves.
    padded = np.asarray(cv2.copyMakeBorder(image, down, 0, right, 0, cv2.BORDER_REFLECT), np.uint8)
    return jpeg(np.ascontiguousarray(jpeg(padded, first, subsampling)[down:, right:]), second, subsampling)


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur; sigma in pixels, 0 leaves the image."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8) if sigma > 0 else image


def rescale(image: Image, factor: float, kernel: Kernel = "bicubic") -> Image:
    """Resample to `factor` times the size, antialiased; each side keeps at least one pixel."""
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return resample(image, height, width, kernel, antialias=True)


def resize(image: Image, factor: float, kernel: Kernel = "bicubic") -> Image:
    """Resample to `factor` times the size and, with the same kernel, back to the size it had."""
    return resample(rescale(image, factor, kernel), image.shape[0], image.shape[1], kernel, antialias=True)


def noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Add white Gaussian noise; sigma in grey levels of 255, rounded and clipped."""
    field = rng.standard_normal(image.shape, np.float32)
    noisy: Image = np.clip(np.rint(image + np.float32(sigma) * field), 0, 255).astype(np.uint8)
    return noisy


def sharpen(image: Image, amount: float) -> Image:
    """Unsharp mask: add `amount` times what a Gaussian blur of one pixel takes away."""
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.addWeighted(image, 1.0 + amount, blurred, -amount, 0.0), np.uint8)


def gamma(image: Image, exponent: float) -> Image:
    """Raise values, as shares of 255, to a power: above 1 darkens."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)


def mask(image: Image, fraction: float, rng: np.random.Generator) -> Image:
    """Cover random blocks of 16 pixels, `fraction` of their number (rounded), with the image's mean colour."""
    rows, columns = (-(-side // MASK_BLOCK) for side in image.shape[:2])
    covered = np.zeros(rows * columns, bool)
    covered[rng.permutation(covered.size)[: round(fraction * covered.size)]] = True
    where = covered.reshape(rows, columns).repeat(MASK_BLOCK, axis=0).repeat(MASK_BLOCK, axis=1)
    result = image.copy()
    result[where[: image.shape[0], : image.shape[1]]] = np.rint(image.mean(axis=(0, 1))).astype(np.uint8)
    return result


def mask_frequencies(image: Image, fraction: float, band: str, rng: np.random.Generator) -> Image:
    """Set random coefficients of each channel's Fourier transform to zero, the same ones in all channels.

    After Doloriel and Cheung 2024, "Frequency masking for universal deepfake detection", who mask 15 %. A coefficient
    and its mirror image go together, so that the result is real; the mean stays. Rounded and clipped.

    Args:
        image: RGB.
        fraction: of the band's coefficients, the mean left out of the count; as near as whole pairs allow.
        band: a key of `FREQUENCY_BANDS`.
        rng: draws the coefficients.
    """
    height, width = image.shape[:2]
    kept = _kept_frequencies(height, width, fraction, FREQUENCY_BANDS[band], rng)
    spectrum = np.fft.rfft2(image.astype(np.float32), axes=(0, 1)) * kept[..., None]
    masked = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    result: Image = np.clip(np.rint(masked), 0, 255).astype(np.uint8)
    return result


def _kept_frequencies(
    height: int, width: int, fraction: float, limits: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """One where a coefficient of `rfft2` stays and zero where it goes, (height, width // 2 + 1)."""
    rows, columns, size, in_band = _half_plane(height, width, limits)
    order = rng.permutation(in_band)
    gone = order[np.cumsum(size[order]) <= round(fraction * size[in_band].sum())]
    kept = np.ones((height, width // 2 + 1), np.float32)
    kept[rows[gone], columns[gone]] = 0
    # Columns that are their own mirror image hold both coefficients of a pair.
    own = np.isin(columns[gone], [0, width / 2])
    kept[-rows[gone][own] % height, columns[gone][own]] = 0
    return kept


@lru_cache(maxsize=8)
def _half_plane(
    height: int, width: int, limits: tuple[float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One coefficient of every mirrored pair: its row, column, how many it stands for, and which lie in the band."""
    rows, columns = (axis.ravel() for axis in np.mgrid[:height, : width // 2 + 1])
    is_own_column = np.isin(columns, [0, width / 2])
    mirrored = -rows % height
    first = ~is_own_column | (rows <= mirrored)  # of the two that such a column holds
    rows, columns, mirrored, is_own_column = (part[first] for part in (rows, columns, mirrored, is_own_column))
    size = np.where(is_own_column & (rows == mirrored), 1, 2)
    radius = np.maximum(np.minimum(rows, height - rows) / height, columns / width)
    low, high = limits
    in_band = np.flatnonzero((radius > 0) & (radius >= low) & ((radius < high) | (high == 0.5)))
    return rows, columns, size, in_band


def rotate(image: Image, degrees: float) -> Image:
    """Turn about the centre, anticlockwise, bilinear, borders reflected; 0 does not resample."""
    if not degrees:
        return image
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned, np.uint8)


def crop(image: Image, fraction: float, top: float, left: float) -> Image:
    """Keep a window of `fraction` of each side.

    Args:
        image: RGB.
        fraction: of height and of width, above 0, at most 1; at least one pixel is kept.
        top: where the window starts, as a share in [0, 1) of the room that there is.
        left: the same, sideways.
    """
    height, width = (max(1, round(side * fraction)) for side in image.shape[:2])
    y, x = int(top * (image.shape[0] - height + 1)), int(left * (image.shape[1] - width + 1))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def grayscale(image: Image) -> Image:
    """Luma of ITU-R BT.601 in all three channels."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


@lru_cache
def _codec(codec: str, subsampling: Subsampling) -> History:
    return History(size=None, codec=codec, subsampling=subsampling, crop="none")  # type: ignore[arg-type]


def decode(payload: bytes) -> Image:
    """Decode what `encode` or OpenCV has written.

    Shape:
        - output: (H, W, 3), uint8, RGB
    """
    decoded = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])
