"""An image split into frequency bands: Qian et al. 2020, Thinking in frequency (F3-Net), its frequency-aware split."""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose
from fakefreq.spectra._tensor import check_images, kept_on_gpu, no_autocast
from fakefreq.spectra.color import to_float
from fakefreq.spectra.dct import dct2, idct2

Geometry = Literal["radial", "diagonal"]
# The paper's bands are the first 1/16 of the spectrum, up to 1/8, and the rest. Measured along fu + fv, which goes to
# 1 cycle/pixel, its fractions are these frequencies.
EDGES = (1 / 16, 1 / 8)


@kept_on_gpu
def _bands(edges: tuple[float, ...], geometry: Geometry, height: int, width: int, device: torch.device) -> Tensor:
    """Return the number of the band that each DCT frequency belongs to, (height, width)."""
    # DCT-II coefficient k of n oscillates with k / (2 n) cycles/pixel. That is counted on the CPU: some frequencies lie
    # just on an edge, and a GPU's division rounds otherwise.
    vertical = torch.arange(height, dtype=torch.float64).unsqueeze(1) / (2 * height)
    horizontal = torch.arange(width, dtype=torch.float64) / (2 * width)
    if geometry == "radial":
        frequency = torch.sqrt(vertical.square() + horizontal.square())
    else:
        frequency = vertical + horizontal
    return torch.bucketize(frequency, torch.tensor(edges, dtype=torch.float64), right=True).to(device)


class BandFilters(nn.Module):
    """Split images into bands of DCT frequencies, each brought back to pixels; optionally with learnt gains (FAD).

    In band i the gain is m_i(f) + tanh(w_i(f) / 2), with m_i 1 inside the band and 0 outside and w_i learnt; the paper
    writes tanh(w / 2) as (1 - exp(-w)) / (1 + exp(-w)). It ties w to one image size; here w lies on a grid over
    0 to 1/2 cycles/pixel that is interpolated to the image, so that one set of weights serves all sizes. With
    `grid` equal to the image's side it is the paper's. Where w is 0, as at the start, the bands add up to the image.

    Args:
        edges: frequencies between the bands, cycles/pixel, rising; n edges make n + 1 bands.
        geometry: what frequency means: `radial` sqrt(fu^2 + fv^2), or `diagonal` fu + fv, the paper's triangles.
        learnable: whether gains are learnt.
        grid: points of the learnt gain along each axis.

    Shape:
        - input: (B, C, H, W), uint8 or float, any size
        - output: (B, C, bands, H, W), low frequencies first

    Raises:
        UserError: edges that do not rise from above 0, or a grid below 2.
    """

    def __init__(
        self,
        edges: Sequence[float] = EDGES,
        geometry: Geometry = "radial",
        learnable: bool = False,
        grid: int = 64,
    ) -> None:
        super().__init__()
        choose(geometry, ["radial", "diagonal"], "geometry", "geometry")
        limits = [0.0, *edges]
        if not edges or any(low >= high for low, high in itertools.pairwise(limits)):
            raise UserError(f"edges is {tuple(edges)}; it takes rising frequencies above 0, cycles/pixel")
        if grid < 2:
            raise UserError(f"grid is {grid}; it takes 2 or more")
        self.edges = tuple(float(edge) for edge in edges)
        self.geometry = geometry
        self.weight = nn.Parameter(torch.zeros(len(edges) + 1, grid, grid)) if learnable else None

    def gains(self, height: int, width: int, like: Tensor) -> Tensor:
        """Return each band's gain at each DCT frequency, (bands, height, width), in type and device of `like`."""
        band = _bands(self.edges, self.geometry, height, width, like.device)
        number = torch.arange(len(self.edges) + 1, device=like.device).view(-1, 1, 1)
        fixed = (band == number).to(like.dtype)
        if self.weight is None:
            return fixed
        weight = self.weight.to(like.dtype).unsqueeze(0)
        learnt = nn.functional.interpolate(weight, (height, width), mode="bilinear", align_corners=True)[0]
        return fixed + torch.tanh(learnt / 2)

    def forward(self, images: Tensor) -> Tensor:
        """Return the bands, (B, C, bands, H, W)."""
        check_images(images)
        with no_autocast(images):
            pixels = to_float(images)
            gains = self.gains(pixels.shape[-2], pixels.shape[-1], pixels)
            return idct2(dct2(pixels).unsqueeze(2) * gains)


def band_filters(images: Tensor, edges: Sequence[float] = EDGES, geometry: Geometry = "radial") -> Tensor:
    """Return images split into fixed bands of DCT frequencies; see `BandFilters`.

    >>> image = torch.rand(1, 3, 30, 41)
    >>> torch.allclose(band_filters(image).sum(dim=2), image, atol=1e-5)
    True
    """
    return BandFilters(edges, geometry)(images)  # type: ignore[no-any-return]
