"""Photos reduced and brought back by a network: the content stays, what the network invents is the trace."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakefreq.data.images.resample import resize
from fakefreq.errors import UserError
from fakefreq.progress import track

SCALE = 4
_LEAST = 16


class SuperResolver(nn.Module):
    """A network that enlarges images by 4, as a translator: photo -> photo reduced by 4 -> photo's own size.

    Reducing is bicubic with antialiasing, as such networks are trained. A subclass gives `forward`.

    Args:
        name: for messages.

    Shape: images (B, 3, H, W) in [0, 1], RGB -> (B, 3, 4 H, 4 W), most of them in [0, 1].
    """

    forward: Callable[[Tensor], Tensor]

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @torch.inference_mode()
    def enlarge(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Enlarge images by 4, one at a time: a picture then never depends on its neighbours in a batch.

        Shape: (N, H, W, 3) uint8 -> (N, 4 H, 4 W, 3).
        """
        device = next(self.parameters()).device
        count, height, width = images.shape[:3]
        enlarged = np.empty((count, SCALE * height, SCALE * width, 3), np.uint8)
        for index in track(range(count), self.name):
            image = torch.from_numpy(images[index]).to(device).permute(2, 0, 1)[None].float() / 255.0
            values = (self(image)[0] * 255.0).round().clamp(0, 255)
            enlarged[index] = values.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        return enlarged

    def translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reduce photos by 4 and bring them back.

        Args:
            photos: RGB, sides a multiple of 4 and at least 16.

        Shape: (N, H, W, 3) uint8 -> the same.

        Raises:
            UserError: the photos' shape does not fit.
        """
        if photos.ndim != 4 or photos.shape[3] != 3 or min(photos.shape[1:3]) < _LEAST or _odd(photos):
            raise UserError(
                f"{self.name} takes RGB photos with sides a multiple of {SCALE} and at least {_LEAST}, "
                f"not {photos.shape}; change --size"
            )
        height, width = (side // SCALE for side in photos.shape[1:3])
        reduced = [resize(photo, height, width, "bicubic", antialias=True) for photo in photos]
        return self.enlarge(np.stack(reduced)) if reduced else photos.copy()


def _odd(photos: NDArray[np.uint8]) -> bool:
    return any(side % SCALE for side in photos.shape[1:3])
