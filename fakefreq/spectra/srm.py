"""The 30 linear filters of the spatial rich model (Fridrich and Kodovsky 2012, Rich models for steganalysis)."""

import torch
from torch import Tensor, nn

from fakefreq.spectra._tensor import Constant, check_images, full_precision, no_autocast
from fakefreq.spectra.color import to_float

# Offsets (row, column) of the eight neighbours, clockwise from above.
_COMPASS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
# The paper's SQUARE 3x3 and 5x5 (the latter is the KV kernel of Ker and Boehme); EDGE is their upper part.
_SQUARE3 = ((-1, 2, -1), (2, -4, 2), (-1, 2, -1))
_SQUARE5 = ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))


def srm_filters() -> Tensor:
    """Return the 30 filters, each divided by the weight of its central pixel.

    8 differences of first order, 4 of second, 8 of third, SQUARE 3x3, 4 EDGE 3x3, SQUARE 5x5, 4 EDGE 5x5; the
    directions clockwise from above. So scaled, each is a prediction of the pixel from its neighbours, minus the pixel.

    Shape:
        - output: (30, 5, 5), float64, every filter's sum 0 and its centre -1

    >>> srm_filters()[8].mul(2).int()[1:4, 1:4].tolist()   # second order, vertical
    [[0, 1, 0], [0, -2, 0], [0, 1, 0]]
    """
    filters: list[Tensor] = []

    def directional(weights: dict[int, int], count: int) -> None:
        for row, column in _COMPASS[:count]:
            taps = torch.zeros(5, 5, dtype=torch.float64)
            for step, weight in weights.items():
                taps[2 + step * row, 2 + step * column] = weight
            filters.append(taps)

    def square_and_edges(square: tuple[tuple[int, ...], ...]) -> None:
        taps = torch.tensor(square, dtype=torch.float64)
        edge = taps.clone()
        edge[len(square) // 2 + 1 :] = 0
        for part in (taps, *(torch.rot90(edge, -turns) for turns in range(4))):
            margin = (5 - len(square)) // 2
            filters.append(nn.functional.pad(part, (margin, margin, margin, margin)))

    directional({0: -1, 1: 1}, 8)
    directional({-1: 1, 0: -2, 1: 1}, 4)
    directional({-1: 1, 0: -3, 1: 3, 2: -1}, 8)
    square_and_edges(_SQUARE3)
    square_and_edges(_SQUARE5)
    bank = torch.stack(filters)
    return bank / bank[:, 2, 2].abs().view(-1, 1, 1)


class SRMResidual(nn.Module):
    """The 30 residuals of the spatial rich model, of each channel by itself; borders continued by their last pixel.

    Shape:
        - input: (B, C, H, W), uint8 or float, any size
        - output: (B, C, 30, H, W), signed; in [-1, 1] times at most 5 for pixels in [0, 1]
    """

    def __init__(self) -> None:
        super().__init__()
        self.filters = Constant(srm_filters().unsqueeze(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the residuals, (B, C, 30, H, W)."""
        check_images(images)
        with no_autocast(images), full_precision(images):
            pixels = to_float(images)
            batch, channels, height, width = pixels.shape
            planes = nn.functional.pad(pixels, (2, 2, 2, 2), mode="replicate").reshape(
                batch * channels, 1, height + 4, width + 4
            )
            maps = nn.functional.conv2d(planes, self.filters(pixels))
            return maps.reshape(batch, channels, 30, height, width)


def srm_residual(images: Tensor) -> Tensor:
    """Return the 30 residuals of the spatial rich model; see `SRMResidual`.

    >>> srm_residual(torch.rand(2, 3, 9, 7)).shape
    torch.Size([2, 3, 30, 9, 7])
    """
    return SRMResidual()(images)  # type: ignore[no-any-return]
