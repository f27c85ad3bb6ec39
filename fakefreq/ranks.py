"""Several processes at one job: which of them this one is, and how they agree. A launcher starts them.

`accelerate launch -m fakefreq train ...` and `torchrun -m fakefreq train ...` do. Without a launcher there is one
process, and neither accelerate nor torch's process groups are loaded.
"""

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from fakefreq.errors import ToldElsewhere, UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_SET_BY_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# The first process may fit the lattice or index a folder while the others wait. One that died is noticed at once.
_PATIENCE = timedelta(hours=2)
# What torch's messages have in common where a process is gone: gloo's, NCCL's and the store's.
_SIGNS_OF_DEATH = ("closed by peer", "reset by peer", "Broken pipe", "NCCL error", "remote process exited")


@dataclass(frozen=True)
class Ranks:
    """This process among those of a job.

    Every process has to call the methods that exchange something, in the same order.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: its number on its machine.
        local_size: number of processes on its machine.
        accelerator: accelerate's `Accelerator`, where there are several processes.

    >>> Ranks().gather("one"), Ranks().is_first
    (['one'], True)
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    accelerator: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, in their order; values are pickled."""
        if self.size == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def sum(self, values: "Tensor") -> "Tensor":
        """Return the sum over all processes of a tensor of one shape, on the device of `values`."""
        if self.size == 1:
            return values
        from torch import distributed

        total = values.to(self.accelerator.device, copy=True).contiguous()
        distributed.all_reduce(total)
        return total.to(values.device)

    def from_first(self, work: Callable[[], T]) -> T:
        """Return what `work` gives in the first process, which alone runs it.

        Raises:
            UserError: it failed.
        """
        with self.all_or_none():
            result = work() if self.is_first else None
        return self.gather(result)[0]  # type: ignore[return-value]

    def one_by_machine_first(self, work: Callable[[], T]) -> T:
        """Run `work` in one process of each machine, then in the others: what it downloads comes once."""
        results = []
        for turn in (True, False):
            with self.all_or_none():
                if (self.local_rank == 0) == turn:
                    results.append(work())
        return results[0]

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """End in all processes what fails in one, which tells why; the others wait for none that has ended.

        Raises:
            UserError: where it happened.
            ToldElsewhere: in the others.
        """
        error = None
        try:
            yield
        except UserError as caught:
            if self.size == 1:
                raise
            error = caught
        failed = [rank for rank, has_failed in enumerate(self.gather(error is not None)) if has_failed]
        if not failed:
            return
        if error is not None and failed[0] == self.rank:
            raise error
        raise ToldElsewhere(f"process {failed[0]} of this job has failed")

    def check_same(self, given: Mapping[str, Any]) -> None:
        """Refuse a job whose processes were given different things.

        Args:
            given: name, such as a flag, -> value.

        Raises:
            UserError: names what differs, in the first process.
        """
        everyone = self.gather(dict(given))
        with self.all_or_none():
            for rank, theirs in enumerate(everyone):
                differ = [name for name in given if name not in theirs or theirs[name] != everyone[0].get(name)]
                if differ:
                    name = differ[0]
                    raise UserError(
                        f"the processes of one job were given different arguments: {name} is "
                        f"{everyone[0].get(name)!r} in process 0 and {theirs.get(name)!r} in process {rank}; start all "
                        "of them with the same command"
                    )


_current = Ranks()


def current() -> Ranks:
    """Return this process's place in the job that `joined` has joined; alone outside of it."""
    return _current


def launched() -> int:
    """Return how many processes a launcher has started; 1 where there was none."""
    if not all(os.environ.get(name, "") for name in _SET_BY_LAUNCHERS):
        return 1
    return int(os.environ["WORLD_SIZE"])


def is_silent() -> bool:
    """Whether another process of the job tells what is done."""
    return launched() > 1 and int(os.environ["RANK"]) > 0


@contextlib.contextmanager
def joined(device: str = "auto", precision: str = "fp32") -> Iterator[Ranks]:
    """Join the job that a launcher has started this process for, for as long as the context lasts.

    Args:
        device: `auto`, `cpu` or `cuda`, as in `fakefreq.threads.choose_device`.
        precision: of the network in training, `fp32` or `bf16`.

    Raises:
        UserError: accelerate is missing; the launcher was given settings that fakefreq does not obey; another process
            died.
    """
    global _current
    if launched() == 1 or _current.size > 1:
        yield _current
        return
    _refuse_settings_of_launchers(precision)
    try:
        _current = _join(device, precision)
        yield _current
        _current.accelerator.wait_for_everyone()
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _SIGNS_OF_DEATH):
            raise
        raise UserError(
            f"another process of this job has ended ({str(error).splitlines()[0]}); a training goes on from its last "
            "saved state with --resume, with any number of processes"
        ) from error
    finally:
        if _current.size > 1:
            _leave()
        _current = Ranks()


def _join(device: str, precision: str) -> Ranks:
    import torch

    try:
        from accelerate import Accelerator
        from accelerate.utils import DistributedDataParallelKwargs
    except ImportError as error:
        raise UserError(
            f"a launcher has started {launched()} processes, and they need the package accelerate: "
            "pip install 'fakefreq[distributed]', or start fakefreq without it"
        ) from error
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if not torch.distributed.is_initialized():
        _connect("gloo" if on_cpu else "nccl")
    # Statistics of batch norms are the same everywhere: `fakefreq.train.data_parallel` sees to it.
    handler = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    half = "bf16" if precision == "bf16" else "no"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=half, kwargs_handlers=[handler])
    # NCCL complains of an end without it, and a thread of gloo's that is still there may abort the process.
    atexit.unregister(torch.distributed.destroy_process_group)
    atexit.register(torch.distributed.destroy_process_group)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Ranks(
        accelerator.process_index, accelerator.num_processes, accelerator.local_process_index, local_size, accelerator
    )


def _connect(backend: str) -> None:
    from torch import cuda, distributed
    from torch.distributed.rendezvous import rendezvous

    if backend == "nccl":
        cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
    # After a restart by torchrun the store still knows the addresses of the processes that died.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = distributed.distributed_c10d.PrefixStore(f"fakefreq/{attempt}", store)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=_PATIENCE)


def _leave() -> None:
    from accelerate.state import AcceleratorState

    # accelerate keeps what it was told for the life of a process, and the next training of it may have another
    # precision. The processes stay connected: gloo cannot be started twice.
    AcceleratorState._reset_state()


def _refuse_settings_of_launchers(precision: str) -> None:
    """Refuse what `accelerate launch` was told and fakefreq would not do.

    Raises:
        UserError: names the flag to give to fakefreq instead, if there is one.
    """
    wanted = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if wanted not in ("no", precision):
        advice = "give --precision bf16 to fakefreq" if wanted == "bf16" else "fakefreq trains in fp32 or bf16"
        raise UserError(f"accelerate was told --mixed_precision {wanted}, and --precision is {precision}; {advice}")
    for name, flag in (("FSDP", "--use_fsdp"), ("DEEPSPEED", "--use_deepspeed"), ("MEGATRON_LM", "--use_megatron_lm")):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise UserError(f"accelerate was told {flag}; fakefreq trains data-parallel: leave it out")
    if os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1") != "1":
        raise UserError("accelerate was told --gradient_accumulation_steps; give --accumulate to fakefreq instead")
    if os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no":
        raise UserError(
            "accelerate was told --dynamo_backend; fakefreq compiles in a single process only: leave it out"
        )
