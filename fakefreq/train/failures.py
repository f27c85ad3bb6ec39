"""What breaks from outside while a run is under way, said in a line that helps."""

import contextlib
from collections.abc import Iterator

import torch

from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError


@contextlib.contextmanager
def clear_errors(config: TrainConfig) -> Iterator[None]:
    """Turn a dead worker process and exhausted device memory into errors for users; the saved state is untouched.

    torch tells the death of a worker from a signal handler, so it may come up at any line of the training.

    Args:
        config: the run's configuration.

    Raises:
        UserError: a worker died, or the device's memory is full.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the device's memory is full with --batch-size {config.batch_size} and --crop {config.crop}; "
            "lower one of them, or give --precision bf16, with another --out"
        ) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that decodes images died ({str(error).splitlines()[0].rstrip('. ')}), as happens when memory "
            "runs out; go on from the last saved state with --resume and fewer --workers (0 decodes without any)"
        ) from error
