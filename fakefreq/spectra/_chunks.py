"""Batches taken piece by piece, so that the steps of a transform find their data in the processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor

# Bytes of float32 pixels in a piece. What stays in the cache is not fetched from memory at each of a transform's eight
# steps, nor is memory paged in anew for each of them. But at each step of each piece the threads wait for one another,
# which costs where other processes want the cores: benchmarks/spectra_pieces.py times sizes beside such processes.
PIECE_BYTES = 4 * 2**20


def by_pieces(transform: Callable[[Tensor, Tensor | None], Tensor], planes: Tensor) -> Tensor:
    """Return what `transform` makes of the planes, each of which it treats by itself.

    On a CPU it gets a few at a time; elsewhere, and where a compiler or an exporter looks on, all at once.

    Args:
        transform: of (N, H, W) into (N, H', W'), for any N; where its second argument is a tensor, it may write its
            result there and return that.
        planes: float or uint8.

    Shape:
        - input: (N, H, W)
        - output: (N, H', W')
    """
    if planes.device.type != "cpu" or torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return transform(planes, None)
    at_once = max(1, PIECE_BYTES // max(1, planes.shape[-2] * planes.shape[-1] * 4))
    if planes.shape[0] <= at_once:
        return transform(planes, None)
    pieces = torch.split(planes, at_once)
    first = transform(pieces[0], None)
    if first.requires_grad:
        return torch.cat([first, *(transform(piece, None) for piece in pieces[1:])])
    # Each result goes to its place while it is in the cache, and its memory serves the next.
    whole = first.new_empty(planes.shape[0], *first.shape[1:])
    places = torch.split(whole, at_once)
    places[0].copy_(first)
    for place, piece in zip(places[1:], pieces[1:], strict=True):
        found = transform(piece, place)
        if found is not place:
            place.copy_(found)
    return whole
