"""Full-frame discrete cosine transforms of images (Ahmed, Natarajan and Rao 1974)."""

import math
from typing import Any, Literal

import scipy.fft
import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._tensor import in_cpu_memory, kept_on_gpu, no_autocast
from fakefreq.spectra.color import to_float

Kind = Literal[2, 3]


@kept_on_gpu
def dct_basis(size: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """Return the orthonormal DCT-II matrix, computed in float64 and then cast.

    A basis computed in float32 is wrong by 1e-5, because the cosine's argument grows with size squared.

    Args:
        size: samples, 1 or more.
        dtype: of the result.
        device: of the result.

    Shape:
        - output: (size, size): row k is the k-th basis vector; its transpose is its inverse; on a GPU one matrix serves
          all calls, so it is not to be written to
    """
    # A million cosines in double precision take a processor ten milliseconds.
    home = device if device is not None and device.type == "cuda" else None
    sample = torch.arange(size, dtype=torch.float64, device=home)
    basis = torch.cos(math.pi / size * (sample + 0.5) * sample.unsqueeze(1)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype=dtype, device=device)


class DCT2(nn.Module):
    """Two-dimensional discrete cosine transform of whole images.

    Args:
        kind: 2, or 3, its transpose.
        ortho: orthonormal; else in scipy's scale of `norm=None`: 2 sum x cos(...) along each axis.

    Shape:
        - input: (..., H, W), uint8 or float, any sizes; float64 stays float64, all else is computed in float32
        - output: (..., H, W); for kind 2 frequency 0 at [0, 0], coefficient k at k / 2H cycles/pixel

    Raises:
        UserError: another kind.
    """

    def __init__(self, kind: Kind = 2, ortho: bool = True) -> None:
        super().__init__()
        if kind not in (2, 3):
            raise UserError(f"kind is {kind}; it takes 2 or 3")
        self.kind, self.ortho = kind, ortho

    def forward(self, images: Tensor) -> Tensor:
        """Return the coefficients."""
        with no_autocast(images):
            values = to_float(images)
            if self.kind == 2:
                found = _second(values)
                return found if self.ortho else found * _scale(found, self.kind)
            return _third(values if self.ortho else values * _scale(values, self.kind))


class IDCT2(nn.Module):
    """The inverse of `DCT2` with the same arguments."""

    def __init__(self, kind: Kind = 2, ortho: bool = True) -> None:
        super().__init__()
        if kind not in (2, 3):
            raise UserError(f"kind is {kind}; it takes 2 or 3")
        self.kind, self.ortho = kind, ortho

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return the images."""
        with no_autocast(coefficients):
            values = to_float(coefficients)
            if self.kind == 2:
                return _third(values if self.ortho else values / _scale(values, self.kind))
            found = _second(values)
            return found if self.ortho else found / _scale(found, self.kind)


def dct2(images: Tensor, kind: Kind = 2, ortho: bool = True) -> Tensor:
    """Return the two-dimensional DCT of whole images; see `DCT2`.

    >>> [round(value, 4) for value in dct2(torch.ones(1, 1, 2, 2)).flatten().tolist()]
    [2.0, 0.0, 0.0, 0.0]
    """
    return DCT2(kind, ortho)(images)  # type: ignore[no-any-return]


def idct2(coefficients: Tensor, kind: Kind = 2, ortho: bool = True) -> Tensor:
    """Return the images whose `dct2` with the same arguments is given.

    >>> image = torch.rand(1, 3, 5, 4)
    >>> torch.allclose(idct2(dct2(image)), image, atol=1e-6)
    True
    """
    return IDCT2(kind, ortho)(coefficients)  # type: ignore[no-any-return]


def _scale(like: Tensor, kind: Kind) -> Tensor:
    """Return what turns an orthonormal transform into scipy's unscaled one: kind 2's output, or kind 3's input."""
    scales = []
    for size in like.shape[-2:]:
        scale = torch.full((size,), math.sqrt(2 * size), dtype=torch.float64, device=like.device)
        scale[:1] *= math.sqrt(2) if kind == 2 else math.sqrt(0.5)
        scales.append(scale)
    return torch.outer(*scales).to(like.dtype)


def _second(values: Tensor) -> Tensor:
    """Orthonormal DCT-II."""
    if in_cpu_memory(values):
        return _ByScipy.apply(values, 2)  # type: ignore[no-any-return]
    rows, columns = _bases(values)
    return rows @ values @ columns.T


def _third(values: Tensor) -> Tensor:
    """Orthonormal DCT-III, the inverse of DCT-II."""
    if in_cpu_memory(values):
        return _ByScipy.apply(values, 3)  # type: ignore[no-any-return]
    rows, columns = _bases(values)
    return rows.T @ values @ columns


def _bases(values: Tensor) -> tuple[Tensor, Tensor]:
    height, width = values.shape[-2:]
    return dct_basis(height, values.dtype, values.device), dct_basis(width, values.dtype, values.device)


class _ByScipy(torch.autograd.Function):
    """The orthonormal transform of kind 2 or 3 by scipy; each is the other's inverse, and so the other's gradient."""

    @staticmethod
    def forward(values: Tensor, kind: int) -> Tensor:
        transform = scipy.fft.dctn if kind == 2 else scipy.fft.idctn
        workers = torch.get_num_threads()
        return torch.from_numpy(transform(values.detach().numpy(), axes=(-2, -1), norm="ortho", workers=workers))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        del output
        ctx.kind = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _ByScipy.apply(gradients[0], 5 - ctx.kind), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return _ByScipy.apply(tangents[0], ctx.kind)  # type: ignore[no-any-return]

    @staticmethod
    def vmap(info: Any, places: tuple[int | None, None], values: Tensor, kind: int) -> tuple[Tensor, int]:
        del info
        return _ByScipy.apply(values.movedim(places[0] or 0, 0), kind), 0
