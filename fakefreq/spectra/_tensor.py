"""What all transforms share: exact constants, checked shapes, autocast kept out, and large batches in pieces."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import forward_ad

from fakefreq.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")
# Makes a plane of a plane, both (H, W).
PlaneWork = Callable[[NDArray[np.float32]], NDArray[np.float32]]


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


def is_looked_on() -> bool:
    """Return whether a compiler or an exporter records what is done."""
    return torch.compiler.is_compiling() or torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """Return the context in which a convolution keeps float32's digits on a GPU too.

    By default cuDNN may round its inputs to TF32's 10 bits: the block DCT of an image then errs by 1e-4 of its largest
    coefficient, which is more than many of the others are. A convolution that torch.compile makes follows the process's
    own setting, `torch.backends.cudnn.allow_tf32`.
    """
    if tensor.device.type != "cuda" or is_looked_on():
        return nullcontext()
    own = torch.backends.cudnn
    flags: AbstractContextManager[None] = own.flags(
        own.enabled, own.benchmark, deterministic=own.deterministic, allow_tf32=False
    )
    return flags


def kept_on_gpu(make: Callable[P, T]) -> Callable[P, T]:
    """Keep the last constants that a function made for a GPU, where making one takes longer than a transform.

    Its results are not written to. Without a GPU, or where a compiler or an exporter looks on, they are made anew.
    """

    @lru_cache(maxsize=16)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.no_grad():  # an inference tensor could serve no training
            return make(*args, **kwargs)

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        is_on_gpu = any(isinstance(one, torch.device) and one.type == "cuda" for one in (*args, *kwargs.values()))
        if not is_on_gpu or is_looked_on():
            return make(*args, **kwargs)
        return kept(*args, **kwargs)  # type: ignore[arg-type]

    return made


# Bytes of float32 pixels in a piece. What stays in the cache is not fetched from memory at each of a transform's eight
# steps, nor is memory paged in anew for each of them. But at each step of each piece the threads wait for one another,
# which costs where other processes want the cores: benchmarks/spectra_pieces.py times sizes beside such processes.
PIECE_BYTES = 4 * 2**20


def in_cpu_memory(values: Tensor) -> bool:
    """Return whether a library may read the values: in a CPU's memory, and no compiler or exporter looks on."""
    if is_looked_on():
        return False
    # A subclass may have no values, as that of fake tensors.
    return type(values) in (Tensor, nn.Parameter) and values.device.type == "cpu" and values.numel() > 0


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
    if first.requires_grad or _is_transformed(first):
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


def _is_transformed(values: Tensor) -> bool:
    """Whether forward-mode gradients or `torch.func` follow the values: no result can be written in its place then."""
    is_wrapped: bool = torch._C._functorch.is_functorch_wrapped_tensor(values)
    return is_wrapped or forward_ad.unpack_dual(values).tangent is not None  # type: ignore[no-untyped-call]


class EachPlane(torch.autograd.Function):
    """What a function makes of each plane in numpy, where no gradient is taken: `EachPlane.apply(pixels, work)`.

    Args:
        pixels: float32 in a CPU's memory, see `in_cpu_memory`.
        work: makes a plane of a plane; it may not write on what it is given.

    Shape:
        - input: (..., H, W)
        - output: the same
    """

    @staticmethod
    def forward(pixels: Tensor, work: PlaneWork) -> Tensor:
        planes = pixels.contiguous().numpy().reshape(-1, *pixels.shape[-2:])
        made = np.empty_like(planes)
        for plane, place in zip(planes, made, strict=True):
            place[...] = work(plane)
        return torch.from_numpy(made).view(pixels.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, PlaneWork], output: Tensor) -> None:
        del ctx, inputs, output

    @staticmethod
    def vmap(info: Any, places: tuple[int | None, None], pixels: Tensor, work: PlaneWork) -> tuple[Tensor, int]:
        del info
        return EachPlane.apply(pixels.movedim(places[0] or 0, 0), work), 0
