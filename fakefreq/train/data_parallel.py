"""A step shared by several processes: who holds which rows, batch norms over all of them, gradients added up.

A step of several processes computes what a step of one does with the whole batch. Sums are added in another order,
which changes the last digits.
"""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.data.loading.sampling import split_step
from fakefreq.errors import UserError
from fakefreq.models import Detector
from fakefreq.models.fusion import Rows
from fakefreq.models.peers.classical import FittedDetector
from fakefreq.ranks import Ranks

Outputs = Callable[[Tensor, Rows | None], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Part:
    """Rows of a step that go through the network at once.

    Args:
        here: (B,), which rows of this process's batch they are; none where others hold all of the part.
        rows: the same among all rows of the part, those of all processes.
    """

    here: Tensor
    rows: Rows


@dataclass(frozen=True)
class Arrangement:
    """A step's rows, in the order in which one process alone would hold them: images by place, then their twins.

    Args:
        rows: this process's rows of the step.
        parts: what goes through the network, one after the other.
    """

    rows: Rows
    parts: list[Part]


def arrange(batch: Batch, parts: int, ranks: Ranks, has_twins: bool) -> Arrangement:
    """Say where the rows of a batch stand among those of all processes.

    Args:
        batch: what this process holds.
        parts: that the step is cut into.
        ranks: the processes.
        has_twins: whether any of them may hold twins; they then tell each other.
    """
    place = np.arange(len(batch.labels)) if batch.place is None else batch.place.numpy()
    is_twin = batch.is_twin.numpy()
    count = int(batch.count or (~is_twin).sum())
    twins = np.zeros(count, np.int64)
    twins[place[is_twin]] = 1
    if has_twins:
        twins = ranks.sum(torch.from_numpy(twins)).numpy()
    part_of_image = split_step(count, parts, ranks.size)[0]
    part_of_row = np.concatenate([part_of_image, part_of_image[twins > 0]])
    # Where a row stands: twins come after all images, in the order of their parents.
    own = np.where(is_twin, count + np.cumsum(twins)[place] - 1, place)
    found = []
    for number in range(int(part_of_image[-1]) + 1):
        members = np.flatnonzero(part_of_row == number)
        here = np.flatnonzero(part_of_row[own] == number)
        inside = np.searchsorted(members, own[here])
        found.append(Part(torch.from_numpy(here), Rows(len(members), torch.from_numpy(inside))))
    return Arrangement(Rows(len(part_of_row), torch.from_numpy(own)), found)


class _SyncedNorm(torch.autograd.Function):
    """Batch norm by mean and variance of the rows of all processes.

    torch's own works on GPUs only.

    Args:
        values: (B, C, ...).
        weight: (C,), or None.
        bias: (C,), or None.
        eps: is added to the variance.
        counts: whether these rows count; those of a process that has none of a part do not.
        ranks: the processes.

    Returns:
        The normalised values, and mean, variance and number of values a channel, of all processes.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, counts: bool, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(values.ndim) if axis != 1]
        exact = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        variance, mean = torch.var_mean(exact, axes, correction=0)
        number = mean.new_full((1, values.shape[1]), values.numel() // values.shape[1] if counts else 0)
        # One exchange: each process fills its row of the table. The parallel variance of Chan et al. 1979.
        table = mean.new_zeros(ranks.size, 3, values.shape[1])
        table[ranks.rank] = torch.cat([number, mean[None], variance[None]])
        numbers, means, variances = ranks.sum(table).unbind(1)
        total = numbers.sum(0)
        mean = (numbers * means).sum(0) / total
        variance = (numbers * (variances + (means - mean).square())).sum(0) / total
        context.save_for_backward(values, weight, mean, torch.rsqrt(variance + eps), total)
        context.axes, context.counts, context.ranks = axes, counts, ranks
        context.mark_non_differentiable(mean, variance, total)
        result = nn.functional.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps)
        return result, mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        values, weight, mean, scale, total = context.saved_tensors
        shape = [1, -1] + [1] * (values.ndim - 2)
        exact = slope.to(mean.dtype)
        normal = (values.to(mean.dtype) - mean.view(shape)) * scale.view(shape)
        sums = torch.stack([exact.sum(context.axes), (exact * normal).sum(context.axes)])
        if not context.counts:
            sums = torch.zeros_like(sums)
        whole = context.ranks.sum(sums) / total
        factor = scale if weight is None else scale * weight
        inward = factor.view(shape) * (exact - whole[0].view(shape) - normal * whole[1].view(shape))
        # Weight and bias get this process's share, as every other parameter does.
        own = (None, None) if weight is None else (sums[1].to(weight.dtype), sums[0].to(weight.dtype))
        return (inward.to(values.dtype) if context.counts else torch.zeros_like(values), *own, None, None, None)


class SyncedNorms(TorchFunctionMode):
    """While it is entered, every batch norm in training mode takes its statistics from the rows of all processes.

    It works for each module that calls torch's `batch_norm`, timm's with an activation among them, and leaves the
    modules and the names of their weights as they are.

    Args:
        ranks: the processes.
        counts: whether the rows of this one count.
    """

    def __init__(self, ranks: Ranks, counts: bool = True) -> None:
        super().__init__()
        self.ranks, self.counts = ranks, counts

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if func is nn.functional.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return nn.functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        normalised: Any = _SyncedNorm.apply(input, weight, bias, eps, self.counts, self.ranks)
        result, mean, variance, total = normalised
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (total / (total - 1).clamp_min(1))).to(running_var.dtype), momentum)
        return result  # type: ignore[no-any-return]


class _Outputs(nn.Module):
    """A detector as torch's data parallelism wants it: what training calls is `forward`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor, rows: Rows | None) -> tuple[Tensor, dict[str, Tensor]]:
        return self.detector.training_outputs(images, rows)


class SharedDetector:
    """A detector whose gradients are added up over all processes, through accelerate.

    Args:
        detector: what learns; the first process's weights are taken everywhere.
        ranks: the processes.
    """

    def __init__(self, detector: Detector, ranks: Ranks) -> None:
        self.detector, self.ranks = detector, ranks
        self._learning: list[bool] = []
        self._wrapped: Any = None

    def prepare(self) -> None:
        """Take note of which parameters learn; to be called where that may have changed."""
        learning = [parameter.requires_grad for parameter in self.detector.parameters()]
        if learning == self._learning:
            return
        self._learning = learning
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # newer torch names accelerate's `broadcast_buffers` otherwise
            self._wrapped = self.ranks.accelerator.prepare_model(_Outputs(self.detector))

    def outputs(self, images: Tensor, rows: Rows | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `Detector.training_outputs` does."""
        return self._wrapped(images, rows)  # type: ignore[no-any-return]

    def exchange(self, now: bool) -> AbstractContextManager[None]:
        """Return a context in which gradients are exchanged, or kept for a later part of the step."""
        return nullcontext() if now else self.ranks.accelerator.no_sync(self._wrapped)


def refuse_what_needs_one_process(config: TrainConfig, detector: Detector, ranks: Ranks) -> None:
    """Refuse settings that several processes cannot obey.

    Raises:
        UserError: names the flag.
    """
    if ranks.size == 1:
        return
    for given, told in (
        (config.compile, "--compile is for a single process: leave it out"),
        (config.distill_features > 0, "--distill-features compares all images of a step: use 0"),
        (config.cache == "memory", "--cache memory would hold all images once a process: use --cache FOLDER"),
        (config.batch_size < ranks.size, f"--batch-size {config.batch_size} leaves some without an image: raise it"),
        (config.feature_passes > 0, "--feature-passes fits a head in one pass: train it without a launcher"),
        (isinstance(detector, FittedDetector), f"{config.detector} is fitted in one pass: train it without a launcher"),
    ):
        if given:
            raise UserError(f"{ranks.size} processes work here, and {told}")
