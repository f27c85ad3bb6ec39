"""Published generators, ported."""

import torch
from torch import Tensor


def to_uint8(images: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Round images in [low, high] to bytes, rows and columns before channels.

    Shape: (B, 3, H, W) -> (B, H, W, 3) uint8.

    >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 9.0]).reshape(4, 1, 1, 1).expand(4, 3, 1, 1))[:, 0, 0, 0]
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    scaled = (images.float() - low) * (255.0 / (high - low))
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
