"""Fakes without a generator's weights: a photo goes through a small autoencoder with a chosen upsampler.

After Zhang, Karaman and Chang, "Detecting and simulating artifacts in GAN fake images" (AutoGAN, 2019), who train
an autoencoder on photos so that it leaves a GAN's traces and changes nothing else. Here the encoder is fixed (Haar
pyramid, no loss), each step of the decoder has random weights up to its last convolution, and that one is solved
by ridge regression on drawn pictures ("dead leaves": Lee, Mumford and Huang, "Occlusion models for natural
images", 2001). So a family needs no photo to train on, is the same for a seed, and is ready in a second.
"""

import functools
import itertools
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.simulated.families import SimulatedFamily

_BANDS = 4  # Haar's subbands of one colour
_MARGIN = {"fourier": 8}  # reflected columns around each step, cut off again: borders leave no trace of their own
_FIT_IMAGES = 10
_FIT_SIDE = 64
_FIT_PIXELS = 16384
_RIDGE = 1e-4
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": functools.partial(F.leaky_relu, negative_slope=0.2),
    "tanh": torch.tanh,
    "silu": F.silu,
    "linear": lambda features: features,
}


def simulate(images: NDArray[np.uint8], family: SimulatedFamily, seed: int = 0) -> NDArray[np.uint8]:
    """Put photos through the family's autoencoder: the same pictures, with the traces of its upsampler.

    The first call for a family and a seed fits the decoder (below a second for kernel 3 and depth 1); the last 128
    are kept. An image never depends on the others of its batch.

    Args:
        images: RGB, sides of at least 16 pixels, 32 for depth 4.
        family: what the decoder is made of.
        seed: of its weights; each seed is another generator of the family.

    Shape: (N, H, W, 3) uint8 -> the same.

    Raises:
        UserError: the images' shape or type does not fit.

    >>> photos = np.full((2, 20, 24, 3), 100, np.uint8)
    >>> fakes = simulate(photos, SimulatedFamily("nearest"))
    >>> fakes.shape, bool(np.abs(fakes.astype(int) - 100).max() < 12)
    ((2, 20, 24, 3), True)
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or min(images.shape[1:3]) < family.smallest:
        raise UserError(
            f"simulate takes RGB bytes (N, H, W, 3) with sides of at least {family.smallest} for depth {family.depth}, "
            f"got {images.dtype} {images.shape}"
        )
    network = build_autoencoder(family, seed)
    made = np.empty_like(images)
    with torch.inference_mode():
        for index in range(len(images)):
            batch = torch.from_numpy(images[index : index + 1]).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            made[index] = ((network(batch)[0] + 1.0) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return made


@functools.lru_cache(maxsize=128)
def build_autoencoder(family: SimulatedFamily, seed: int = 0) -> "SimulatedAutoencoder":
    """The family's network for a seed, fitted; a module, so a copy of it can also run on a GPU."""
    network = SimulatedAutoencoder(family, seed)
    with torch.inference_mode(False), torch.no_grad():
        network.fit(draw_leaves(np.random.default_rng([seed, 1]), _FIT_IMAGES, _FIT_SIDE), seed)
    return network.eval().requires_grad_(False)


class SimulatedAutoencoder(nn.Module):
    """Haar pyramid down, the family's steps up; each step restores the next level's low pass from four subbands.

    The three colours go through the same weights one by one, so that a family leaves its grid and no tint.

    Shape: images (B, 3, H, W) in [-1, 1], H and W at least 16 -> the same, not clipped.
    """

    def __init__(self, family: SimulatedFamily, seed: int) -> None:
        super().__init__()
        self.family = family
        generator = torch.Generator().manual_seed(seed)
        self.steps = nn.ModuleList(_Step(family, generator) for _ in range(family.depth))

    def forward(self, images: Tensor) -> Tensor:
        """Encode and decode."""
        height, width = images.shape[-2:]
        multiple = 2**self.family.depth
        images = F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        levels = haar_pyramid(images.flatten(0, 1)[:, None], self.family.depth)
        low = levels[-1][:, :1]
        for step, level in zip(self.steps, reversed(levels), strict=True):
            low = step(torch.cat([low, level[:, 1:]], 1))
        return low[..., :height, :width].reshape(-1, 3, height, width)

    def fit(self, planes: Tensor, seed: int) -> None:
        """Solve every step's last convolution, coarse to fine, each on what the former one gives.

        Shape: planes (B, 1, H, W) in [-1, 1].
        """
        levels = haar_pyramid(planes, self.family.depth)
        targets = [planes, *(level[:, :1] for level in levels[:-1])]
        generator = torch.Generator().manual_seed(seed + 1)
        low = levels[-1][:, :1]
        for step, level, target in zip(self.steps, reversed(levels), reversed(targets), strict=True):
            assert isinstance(step, _Step)
            subbands = torch.cat([low, level[:, 1:]], 1)
            step.fit(subbands, target, generator)
            low = step(subbands)


class _Step(nn.Module):
    """Double the size: upsampler with random weights, activation, convolution.

    Shape: (B, 4, H, W) -> (B, 1, 2H, 2W).
    """

    def __init__(self, family: SimulatedFamily, generator: torch.Generator) -> None:
        super().__init__()
        self.family = family
        name, width = family.upsampler, family.width
        kernel = int(name[-1]) if name.startswith("transposed") else family.kernel
        channels = width * (4 if name == "pixel_shuffle" else 1)
        # A unit's opposite keeps what relu cuts off.
        free = (channels + 1) // 2 if family.activation == "relu" else channels
        weight = torch.randn(free, _BANDS, kernel, kernel, generator=generator)
        if name == "pixel_shuffle":
            # Its four phases share one last convolution: neighbours count less, or the picture is lost.
            weight = weight * 0.25
            weight[:, :, kernel // 2, kernel // 2] *= 4.0
            kernel = 1
        # About unit variance behind the upsampler, whatever share of the taps meets a value.
        taps = kernel * kernel / (4 if name.startswith("transposed") or name == "zero_insertion" else 1)
        weight = weight / (_BANDS * max(taps, 1.0)) ** 0.5
        if family.activation == "relu":
            weight = torch.cat([weight, -weight])[:channels]
        self.weight = nn.Parameter(weight.transpose(0, 1).contiguous() if name.startswith("transposed") else weight)
        self.bias = nn.Parameter(0.1 * torch.randn(channels, generator=generator))
        self.last = nn.Parameter(torch.zeros(1, width, family.kernel, family.kernel))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, subbands: Tensor) -> Tensor:
        """Restore the next finer level."""
        return F.conv2d(self._features(subbands), self.last, self.offset)

    def _features(self, subbands: Tensor) -> Tensor:
        """What the last convolution reads, with its margin: (B, width, 2H + kernel - 1, 2W + kernel - 1)."""
        name = self.family.upsampler
        height, width = subbands.shape[-2:]
        whole, half = _MARGIN.get(name, 4), self.family.kernel // 2
        margin = min(whole, height - 1, width - 1)
        features = F.pad(subbands, (margin,) * 4, mode="reflect")
        if 2 * margin < half:
            # Less than the last convolution reads: tiny subbands have no more to reflect.
            features = F.pad(features, (whole - margin,) * 4, mode="replicate")
            margin = whole
        if name.startswith("transposed"):
            size = int(name[-1])
            features = F.conv_transpose2d(
                features, self.weight, self.bias, 2, padding=(size - 1) // 2, output_padding=size % 2
            )
        elif name == "pixel_shuffle":
            features = F.pixel_shuffle(F.conv2d(features, self.weight, self.bias, padding=half), 2)
        else:
            features = F.conv2d(_interpolate(features, name), self.weight, self.bias, padding=half)
        features = _ACTIVATIONS[self.family.activation](features)
        # What is left of the margin after the last convolution has had its share is cut off.
        cut = 2 * margin - half
        return features[..., cut : cut + 2 * height + 2 * half, cut : cut + 2 * width + 2 * half]

    def fit(self, subbands: Tensor, target: Tensor, generator: torch.Generator) -> None:
        """Ridge regression of the target on the features' neighbourhoods; then the family's noise."""
        kernel = self.family.kernel
        rows = F.unfold(self._features(subbands), kernel).transpose(1, 2).flatten(0, 1)
        values = target.flatten(2).transpose(1, 2).flatten(0, 1)
        # Large kernels cost by the square of their taps, and no more than a few dozen pixels a tap are of use.
        chosen = torch.randperm(len(rows), generator=generator)[:_FIT_PIXELS]
        rows, values = rows[chosen].double(), values[chosen].double()
        centre, mean = rows.mean(0), values.mean(0)
        rows = rows - centre
        gram = rows.T @ rows
        gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        solved = torch.linalg.solve(gram, rows.T @ (values - mean))
        weight = solved.T.reshape(1, -1, kernel, kernel)
        deviation = weight * torch.randn(weight.shape, generator=generator)
        # Measured on the picture: weights that cancel one another would carry a far larger error than they name.
        error = (rows @ deviation.flatten()).std()
        weight = weight + deviation * (self.family.noise * values.std() / error)
        self.last.copy_(weight.float())
        # The noise may not change the mean: brightness would tell the class.
        self.offset.copy_((mean - weight.flatten() @ centre).float())


def _interpolate(features: Tensor, name: str) -> Tensor:
    """Double the size by a fixed rule.

    Shape: (B, C, H, W) -> (B, C, 2H, 2W).
    """
    if name == "zero_insertion":
        batch, channels, height, width = features.shape
        sparse = features.new_zeros(batch, channels, 2 * height, 2 * width)
        sparse[..., ::2, ::2] = features
        return sparse
    if name == "fourier":
        return _fourier(_fourier(features, 3), 2)
    return F.interpolate(features, scale_factor=2.0, mode=name, align_corners=False if name == "bilinear" else None)


def _fourier(values: Tensor, axis: int) -> Tensor:
    """Double one axis by an ideal low pass: the spectrum with zeros beyond the old Nyquist frequency."""
    before = values.shape[axis]
    spectrum = torch.fft.rfft(values, dim=axis)
    if before % 2 == 0:
        # The Nyquist bin stands for both signs and is shared between them.
        scale = torch.ones(spectrum.shape[axis])
        scale[-1] = 0.5
        spectrum = spectrum * scale.view([-1 if place == axis else 1 for place in range(4)]).to(values.device)
    doubled: Tensor = torch.fft.irfft(spectrum, n=2 * before, dim=axis)
    return 2.0 * doubled


def haar_pyramid(images: Tensor, depth: int) -> list[Tensor]:
    """The subbands of every level, fine to coarse; the first channel is the low pass, scaled as images are.

    Shape: (B, 1, H, W), sides multiples of 2**depth -> depth tensors (B, 4, H / 2**d, W / 2**d).
    """
    levels, low = [], images
    for _ in range(depth):
        corners = [low[..., row::2, column::2] for row, column in itertools.product((0, 1), (0, 1))]
        signs = [(1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1)]
        bands = [sum(sign * part for sign, part in zip(row, corners, strict=True)) / 4 for row in signs]
        # Details are small: brought to the low pass's order, so that one law of weights suits both.
        level = torch.cat([bands[0], *(2.0 * band for band in bands[1:])], 1)  # type: ignore[list-item]
        levels.append(level)
        low = level[:, :1]
    return levels


def draw_leaves(rng: np.random.Generator, count: int, side: int) -> Tensor:
    """Planes of ellipses that hide one another, a little blurred and noisy: edges and flats like a photo's.

    Shape: -> (count, 1, side, side) in [-1, 1].
    """
    planes = np.empty((count, 1, side, side), np.float32)
    for index in range(count):
        plane = np.full((side, side), rng.uniform(0, 255), np.float32)
        for _ in range(60):
            radius = 2.0 + 3.0 * rng.pareto(2.0)
            axes = (2 * radius, 2 * radius * rng.uniform(0.4, 1.0))
            box = (rng.uniform(0, side, 2).tolist(), axes, rng.uniform(0, 180))
            cv2.ellipse(plane, box, rng.uniform(0, 255), -1, cv2.LINE_AA)
        plane[:] = cv2.GaussianBlur(plane, (0, 0), rng.uniform(0.3, 1.2))
        planes[index, 0] = plane
        planes[index, 0] += rng.normal(0, rng.uniform(0, 6), plane.shape)
    return torch.from_numpy(planes.clip(0, 255)) / 127.5 - 1.0
