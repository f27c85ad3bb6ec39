"""Discrete cosine transforms of images: full frame and in blocks (Ahmed, Natarajan and Rao 1974)."""

import math

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra.color import to_float


def dct_basis(size: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """Return the orthonormal DCT-II matrix, computed in float64 and then cast.

    A basis computed in float32 is wrong by 1e-5, because the cosine's argument grows with size squared.

    Args:
        size: samples, 1 or more.
        dtype: of the result.
        device: of the result.

    Shape:
        - output: (size, size): row k is the k-th basis vector; its transpose is its inverse
    """
    sample = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi / size * (sample + 0.5) * sample.unsqueeze(1)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype=dtype, device=device)


def dct2(images: Tensor) -> Tensor:
    """Return the orthonormal two-dimensional DCT-II of whole images.

    Args:
        images: uint8 or float; float64 stays float64, all else is computed in float32.

    Shape:
        - input: (..., H, W), any sizes
        - output: (..., H, W), frequency 0 at [0, 0]
    """
    with torch.autocast(images.device.type, enabled=False):
        pixels = to_float(images)
        height, width = pixels.shape[-2:]
        rows = dct_basis(height, pixels.dtype, pixels.device)
        columns = dct_basis(width, pixels.dtype, pixels.device)
        return rows @ pixels @ columns.T


def idct2(coefficients: Tensor) -> Tensor:
    """Return the images whose `dct2` is given.

    Shape:
        - input: (..., H, W)
        - output: (..., H, W)
    """
    with torch.autocast(coefficients.device.type, enabled=False):
        values = to_float(coefficients)
        height, width = values.shape[-2:]
        rows = dct_basis(height, values.dtype, values.device)
        columns = dct_basis(width, values.dtype, values.device)
        return rows.T @ values @ columns


class BlockDCT(nn.Module):
    """Orthonormal DCT-II of square blocks; with block 8 and stride 8 it is JPEG's transform.

    Args:
        block: side of a block in pixels, 2 to 64.
        stride: pixels between two blocks; `block` by default.

    Shape:
        - input: (B, C, H, W), uint8 or float, H and W at least `block`; pixels beyond the last whole block are left out
        - output: (B, C, block * block, H', W'), H' = (H - block) // stride + 1; coefficient (u, v), vertical and
          horizontal frequency, at index u * block + v

    Raises:
        UserError: a block or stride out of range, or an image smaller than a block.
    """

    kernels: Tensor

    def __init__(self, block: int = 8, stride: int | None = None) -> None:
        super().__init__()
        if not 2 <= block <= 64:
            raise UserError(f"block is {block}; it takes 2 to 64 pixels")
        self.block, self.stride = block, block if stride is None else stride
        if self.stride < 1:
            raise UserError(f"stride is {stride}; it takes 1 or more pixels")
        basis = dct_basis(block)
        kernels = torch.einsum("ui,vj->uvij", basis, basis).reshape(block * block, 1, block, block)
        # Kept in float64, out of reach of `.to(dtype)`: a model that is cast to bfloat16 keeps its exact kernels.
        self._exact = kernels
        self.register_buffer("kernels", kernels.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the coefficients, (B, C, block * block, H', W')."""
        batch, channels, height, width = images.shape
        if height < self.block or width < self.block:
            raise UserError(f"an image of {height}x{width} is smaller than one {self.block}x{self.block} block; pad it")
        with torch.autocast(images.device.type, enabled=False):
            pixels = to_float(images)
            is_exact = pixels.dtype == self.kernels.dtype
            kernels = self.kernels if is_exact else self._exact.to(pixels.device)
            planes = pixels.reshape(batch * channels, 1, height, width)
            maps = nn.functional.conv2d(planes, kernels.to(pixels.dtype), stride=self.stride)
            return maps.reshape(batch, channels, self.block**2, *maps.shape[-2:])


def block_dct(images: Tensor, block: int = 8, stride: int | None = None) -> Tensor:
    """Return the orthonormal DCT-II of square blocks; see `BlockDCT`.

    >>> flat = torch.full((1, 1, 16, 16), 0.5)
    >>> coefficients = block_dct(flat)
    >>> coefficients.shape, round(coefficients[0, 0, 0, 0, 0].item(), 4)   # DC = 8 * mean
    (torch.Size([1, 1, 64, 2, 2]), 4.0)
    """
    return BlockDCT(block, stride).to(images.device)(images)  # type: ignore[no-any-return]
