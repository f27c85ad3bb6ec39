"""Convolution whose filters are predictions: Bayar and Stamm 2018, Constrained convolutional neural networks."""

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import check_images, full_precision, no_autocast
from fakefreq.spectra.color import to_float


def constrain_bayar(weight: Tensor) -> Tensor:
    """Return filters with -1 in the centre and all other weights summing to 1, for each input channel.

    Args:
        weight: (out, in, k, k), k odd; what stands in the centre is ignored.

    Shape:
        - output: (out, in, k, k)

    >>> constrain_bayar(torch.ones(1, 1, 3, 3)).sum().item()
    0.0
    """
    size = weight.shape[-1]
    is_centre = torch.zeros(size, size, dtype=torch.bool, device=weight.device)
    is_centre[size // 2, size // 2] = True
    others = weight.masked_fill(is_centre, 0.0)
    total = others.sum(dim=(-2, -1), keepdim=True)
    # A sum near 0 would blow the filter up; its sign is kept and its size bounded from below.
    bounded = torch.where(total < 0, total.clamp_max(-1e-3), total.clamp_min(1e-3))
    return (others / bounded).masked_fill(is_centre, -1.0)


class BayarConv2d(nn.Module):
    """Learnable residuals: each filter predicts a pixel from its neighbours and takes the pixel away.

    The paper projects the weights after each step of the optimiser; here the constraint is part of the forward pass,
    so the filters obey it always and any optimiser will do. Borders are continued by their outermost pixel.

    Args:
        in_channels: channels of the image.
        out_channels: filters.
        kernel_size: side of a filter, odd, 3 or more.

    Shape:
        - input: (B, in_channels, H, W), uint8 or float, any size
        - output: (B, out_channels, H, W), signed; 0 where the image is flat

    Raises:
        UserError: an even or too small kernel, or a batch with another number of channels.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, kernel_size: int = 5) -> None:
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise UserError(f"kernel_size is {kernel_size}; it takes 3, 5, 7, ... (a filter needs a centre)")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        # Positive weights: their sum starts far from 0, where the constraint has its pole.
        self.weight = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size, kernel_size))

    def forward(self, images: Tensor) -> Tensor:
        """Return the residuals, (B, out_channels, H, W)."""
        check_images(images, self.in_channels)
        with no_autocast(images), full_precision(images):
            pixels = to_float(images)
            margin = self.kernel_size // 2
            padded = nn.functional.pad(pixels, (margin, margin, margin, margin), mode="replicate")
            return nn.functional.conv2d(padded, constrain_bayar(self.weight.to(pixels.dtype)))
