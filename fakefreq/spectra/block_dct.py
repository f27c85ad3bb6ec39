"""Discrete cosine transform in blocks: the transform of JPEG, with any block and stride, and its inverse."""

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import Constant, check_images, full_precision, is_looked_on, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.dct import dct_basis


def zigzag(block: int = 8) -> Tensor:
    """Return JPEG's order of coefficients, from low to high frequency (ITU-T T.81, figure A.6).

    Args:
        block: side of a block in pixels.

    Shape:
        - output: (block * block,), long: the place u * block + v of the first, second, ... coefficient

    >>> zigzag(3).tolist()
    [0, 1, 3, 6, 4, 2, 5, 7, 8]
    """
    places = [(u, v) for u in range(block) for v in range(block)]
    # Along each antidiagonal, upwards on even ones and downwards on odd ones.
    places.sort(key=lambda place: (sum(place), place[0] if sum(place) % 2 else -place[0]))
    return torch.tensor([u * block + v for u, v in places])


def _kernels(block: int) -> Tensor:
    basis = dct_basis(block)
    return torch.einsum("ui,vj->uvij", basis, basis).reshape(block * block, 1, block, block)


def _checked(block: int, stride: int | None) -> tuple[int, int]:
    if not 2 <= block <= 64:
        raise UserError(f"block is {block}; it takes 2 to 64 pixels")
    if stride is not None and stride < 1:
        raise UserError(f"stride is {stride}; it takes 1 or more pixels")
    return block, block if stride is None else stride


def _by_product(planes: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Return the convolution as a matrix product, which is full float32 by default in compiled code too.

    Shape: (N, 1, H, W), (K, 1, block, block) -> (N, K, H', W')
    """
    block = kernels.shape[-1]
    blocks = planes.squeeze(1).unfold(1, block, stride).unfold(2, block, stride)
    count, height, width = blocks.shape[:3]
    product = kernels.flatten(1) @ blocks.reshape(count, height * width, block * block).transpose(1, 2)
    return product.view(count, len(kernels), height, width)


class BlockDCT(nn.Module):
    """Orthonormal DCT-II of square blocks; with block 8 and stride 8 it is JPEG's transform.

    Args:
        block: side of a block in pixels, 2 to 64.
        stride: pixels between two blocks; `block` by default.

    Shape:
        - input: (B, C, H, W), uint8 or float, H and W at least `block`; pixels beyond the last whole block are left out
        - output: (B, C, block * block, H', W'), H' = (H - block) // stride + 1; coefficient (u, v), vertical and
          horizontal frequency, at index u * block + v, which `zigzag` puts into JPEG's order

    Raises:
        UserError: a block or stride out of range, or an image smaller than a block.
    """

    def __init__(self, block: int = 8, stride: int | None = None) -> None:
        super().__init__()
        self.block, self.stride = _checked(block, stride)
        self.kernels = Constant(_kernels(block))

    def forward(self, images: Tensor) -> Tensor:
        """Return the coefficients, (B, C, block * block, H', W')."""
        check_images(images)
        batch, channels, height, width = images.shape
        if height < self.block or width < self.block:
            raise UserError(f"an image of {height}x{width} is smaller than one {self.block}x{self.block} block; pad it")
        with no_autocast(images), full_precision(images):
            pixels = to_float(images)
            planes = pixels.reshape(batch * channels, 1, height, width)
            if planes.device.type == "cuda" and is_looked_on():
                maps = _by_product(planes, self.kernels(pixels), self.stride)
            else:
                maps = nn.functional.conv2d(planes, self.kernels(pixels), stride=self.stride)
            return maps.reshape(batch, channels, self.block**2, *maps.shape[-2:])


class BlockIDCT(nn.Module):
    """The inverse of `BlockDCT`: exact for the pixels that blocks cover; where blocks overlap, their mean.

    Args:
        block: side of a block in pixels, 2 to 64.
        stride: pixels between two blocks, at most `block`; `block` by default.

    Shape:
        - input: (B, C, block * block, H', W')
        - output: (B, C, H, W), H = (H' - 1) * stride + block

    Raises:
        UserError: a block or stride out of range, or coefficients of another block.
    """

    def __init__(self, block: int = 8, stride: int | None = None) -> None:
        super().__init__()
        self.block, self.stride = _checked(block, stride)
        if self.stride > block:
            raise UserError(f"stride is {stride}; beyond block {block} there are pixels that no block has seen")
        self.kernels = Constant(_kernels(block))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return the images, (B, C, H, W)."""
        if coefficients.dim() != 5 or coefficients.shape[2] != self.block**2:
            raise UserError(
                f"expected coefficients of shape (B, C, {self.block**2}, H, W), got {tuple(coefficients.shape)}"
            )
        with no_autocast(coefficients), full_precision(coefficients):
            values = to_float(coefficients)
            maps = values.flatten(0, 1)
            planes = nn.functional.conv_transpose2d(maps, self.kernels(values), stride=self.stride)
            if self.stride < self.block:
                ones = torch.ones(1, 1, *maps.shape[-2:], dtype=values.dtype, device=values.device)
                cover = torch.ones(1, 1, self.block, self.block, dtype=values.dtype, device=values.device)
                planes = planes / nn.functional.conv_transpose2d(ones, cover, stride=self.stride)
            return planes.reshape(*values.shape[:2], *planes.shape[-2:])


def block_dct(images: Tensor, block: int = 8, stride: int | None = None) -> Tensor:
    """Return the orthonormal DCT-II of square blocks; see `BlockDCT`.

    >>> flat = torch.full((1, 1, 16, 16), 0.5)
    >>> coefficients = block_dct(flat)
    >>> coefficients.shape, round(coefficients[0, 0, 0, 0, 0].item(), 4)   # DC = 8 * mean
    (torch.Size([1, 1, 64, 2, 2]), 4.0)
    """
    return BlockDCT(block, stride).to(images.device)(images)  # type: ignore[no-any-return]


def block_idct(coefficients: Tensor, block: int = 8, stride: int | None = None) -> Tensor:
    """Return the images whose `block_dct` is given; see `BlockIDCT`.

    >>> image = torch.rand(1, 3, 16, 24)
    >>> torch.allclose(block_idct(block_dct(image, 8, 4), 8, 4), image, atol=1e-6)
    True
    """
    return BlockIDCT(block, stride).to(coefficients.device)(coefficients)  # type: ignore[no-any-return]
