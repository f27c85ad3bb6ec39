"""Full-frame discrete cosine transforms of images (Ahmed, Natarajan and Rao 1974)."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.spectra._chunks import by_pieces
from fakefreq.spectra._tensor import no_autocast
from fakefreq.spectra.color import to_float

Kind = Literal[2, 3]
# Pixels from which the FFT form takes less time than two matrix products; benchmarks/spectra.py times both.
FFT_FROM = 112 * 112


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


def _is_by_fft(values: Tensor) -> bool:
    """Two matrix products serve small images, compilers and exporters; large images in eager mode take an FFT."""
    if torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return False
    return values.shape[-2] * values.shape[-1] >= FFT_FROM


def _bases(values: Tensor) -> tuple[Tensor, Tensor]:
    height, width = values.shape[-2:]
    return dct_basis(height, values.dtype, values.device), dct_basis(width, values.dtype, values.device)


def _second(values: Tensor) -> Tensor:
    """Orthonormal DCT-II."""
    if not _is_by_fft(values):
        rows, columns = _bases(values)
        return rows @ values @ columns.T
    forward, backward = _turns(values)
    return _planewise(lambda planes, place: _second_by_fft(planes, forward, backward, place), values)


def _second_by_fft(values: Tensor, forward: Tensor, backward: Tensor, place: Tensor | None) -> Tensor:
    # Makhoul 1980, A fast cosine transform in one and two dimensions: a real FFT of the samples in the order 0, 2, 4,
    # ..., 5, 3, 1, turned by a quarter of a sample. With V that FFT and a, b the turns of rows and columns,
    # Z = (a V[k] + conj(a) V[-k]) b holds column k as its real and column W - k as minus its imaginary part.
    # Slices and flips throughout: on a CPU a selection by index takes longer.
    width = values.shape[-1]
    spectrum = torch.fft.rfft2(_shuffled(values))
    turned = spectrum * forward
    turned[..., :1, :].add_(spectrum[..., :1, :] * backward[:1])
    turned[..., 1:, :].add_(spectrum[..., 1:, :].flip(-2).mul_(backward[1:]))
    parts = torch.view_as_real(turned)
    mirrored = parts[..., 1 : (width + 1) // 2, 1].flip(-1).neg_()
    return torch.cat([parts[..., 0], mirrored], dim=-1, out=place)


def _third(values: Tensor) -> Tensor:
    """Orthonormal DCT-III, the inverse of DCT-II."""
    if not _is_by_fft(values):
        rows, columns = _bases(values)
        return rows.T @ values @ columns
    forward, _ = _turns(values)
    return _planewise(lambda planes, place: _third_by_fft(planes, 0.5 / forward, place), values)


def _third_by_fft(values: Tensor, back: Tensor, place: Tensor | None) -> Tensor:
    # The steps of `_second_by_fft`, backwards.
    height, width = values.shape[-2:]
    parts = values.new_empty(*values.shape[:-1], width // 2 + 1, 2)
    parts[..., 0] = values[..., : width // 2 + 1]
    parts[..., :1, 1] = 0
    parts[..., 1:, 1] = values[..., width - width // 2 :].flip(-1).neg_()
    turned = torch.view_as_complex(parts)
    spectrum = turned * back
    # Row -k of Z is i (a V[k] - conj(a) V[-k]) b; row H, which does not exist, is 0.
    spectrum[..., 1:, :].add_(turned[..., 1:, :].flip(-2).mul_(-1j * back[1:]))
    shuffled: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    rows, found = torch.empty_like(shuffled), torch.empty_like(shuffled) if place is None else place
    rows[..., ::2, :] = shuffled[..., : height - height // 2, :]
    rows[..., 1::2, :] = shuffled[..., height - height // 2 :, :].flip(-2)
    found[..., ::2] = rows[..., : width - width // 2]
    found[..., 1::2] = rows[..., width - width // 2 :].flip(-1)
    return found


def _planewise(transform: Callable[[Tensor, Tensor | None], Tensor], values: Tensor) -> Tensor:
    return by_pieces(transform, values.reshape(-1, *values.shape[-2:])).reshape(values.shape)


def _shuffled(values: Tensor) -> Tensor:
    """Return rows and columns in the order 0, 2, 4, ..., 5, 3, 1."""
    rows = torch.cat([values[..., ::2, :], values[..., 1::2, :].flip(-2)], dim=-2)
    return torch.cat([rows[..., ::2], rows[..., 1::2].flip(-1)], dim=-1)


def _turns(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return a b and conj(a) b with the orthonormal scale in them, (H, W // 2 + 1), computed in double precision."""
    height, width = values.shape[-2:]
    vertical = torch.arange(height, dtype=torch.float64, device=values.device)
    horizontal = torch.arange(width // 2 + 1, dtype=torch.float64, device=values.device)
    # Along each axis sqrt(2 / n), and sqrt(1 / n) for frequency 0; the half is that of the two terms in Z.
    row_scale = (2.0 - (vertical == 0).double()).div(height).sqrt()
    column_scale = (2.0 - (horizontal == 0).double()).div(width).sqrt() / 2
    rows = torch.polar(row_scale, -math.pi / (2 * height) * vertical).unsqueeze(1)
    columns = torch.polar(column_scale, -math.pi / (2 * width) * horizontal)
    kind = torch.complex128 if values.dtype == torch.float64 else torch.complex64
    return (rows * columns).to(kind), (rows.conj() * columns).to(kind)
