"""What all transforms share: exact constants inside modules, shapes that are checked, and autocast kept out."""

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError


class Constant(nn.Module):
    """A tensor known to float64 that survives a module's cast to any type.

    A buffer alone would not do: `module.bfloat16()` rounds it, and `module.double()` keeps a float32's rounding.

    Args:
        value: float64, on the CPU.

    Shape:
        - input: a tensor whose device and type the constant takes
        - output: the constant's own
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self._exact = value.double()
        # The buffer travels with `module.to(device)`, so that the usual case copies nothing.
        self.register_buffer("value", value.float(), persistent=False)

    def forward(self, like: Tensor) -> Tensor:
        """Return the constant in the type and on the device of `like`."""
        if like.dtype == torch.float32 and self.value.dtype == torch.float32:
            return self.value.to(like.device)
        return self._exact.to(device=like.device, dtype=like.dtype)


def check_images(images: Tensor, channels: int | None = None) -> None:
    """Raise UserError unless `images` is (B, C, H, W), with `channels` channels where that is given.

    >>> check_images(torch.zeros(3, 8, 8))
    Traceback (most recent call last):
    fakefreq.errors.UserError: expected images of shape (B, C, H, W), got (3, 8, 8); add a batch dimension
    """
    if images.dim() != 4:
        raise UserError(
            f"expected images of shape (B, C, H, W), got {tuple(images.shape)}"
            + ("; add a batch dimension" if images.dim() == 3 else "")
        )
    if channels is not None and images.shape[1] != channels:
        raise UserError(f"expected images of shape (B, {channels}, H, W), got {tuple(images.shape)}")


def no_autocast(tensor: Tensor) -> torch.autocast:
    """Return the context in which a transform computes: bfloat16 would cost a DCT half of its value."""
    return torch.autocast(tensor.device.type, enabled=False)
