"""Windows: what an image is multiplied by before its Fourier transform, because a photo is not periodic."""

from typing import Literal

import torch
from torch import Tensor

from fakefreq.errors import UserError, choose

Window = Literal["hann", "hamming", "kaiser", "none"]
WINDOWS = ["hann", "hamming", "kaiser", "none"]
# Side lobes below -65 dB where Hann's first is at -31 dB (Kaiser and Schafer 1980); a test measures both.
KAISER_BETA = 8.6


def window_1d(
    name: Window, size: int, like: Tensor | None = None, beta: float = KAISER_BETA, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a periodic window, computed in float64 and then cast.

    Args:
        name: `hann`, `hamming`, `kaiser` or `none` (all ones).
        size: samples, 1 or more; a single sample has weight 1.
        like: a tensor whose device and type the window takes.
        beta: of the Kaiser window: more suppresses side lobes more and widens the main lobe; without effect elsewhere.
        dtype: of the window where `like` is None.

    Shape:
        - output: (size,), in [0, 1]

    Raises:
        UserError: an unknown window, or a negative beta.

    >>> window_1d("hann", 4).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    choose(name, WINDOWS, "window", "window")
    if beta < 0:
        raise UserError(f"beta is {beta}; it takes 0 or more")
    device = None if like is None else like.device
    dtype = dtype if like is None else like.dtype
    if size == 1 or name == "none":
        return torch.ones(size, dtype=dtype, device=device)
    if name == "hann":
        taper = torch.hann_window(size, periodic=True, dtype=torch.float64, device=device)
    elif name == "hamming":
        taper = torch.hamming_window(size, periodic=True, dtype=torch.float64, device=device)
    else:
        place = torch.arange(size, dtype=torch.float64, device=device) * (2 / size) - 1
        taper = torch.special.i0(beta * torch.sqrt(1 - place.square()))
        taper = taper / torch.special.i0(torch.tensor(beta, dtype=torch.float64, device=device))
    return taper.to(dtype)


def taper_2d(name: Window, height: int, width: int, like: Tensor, beta: float = KAISER_BETA) -> Tensor:
    """Return the outer product of two windows, (height, width)."""
    return torch.outer(window_1d(name, height, like, beta), window_1d(name, width, like, beta))
