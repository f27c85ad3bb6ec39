"""How many threads torch uses on a CPU."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch use one CPU thread inside, and as many as before outside.

    Sums in another order, as several threads make them, give other bits. And small images gain less than a factor of
    two from a second thread, while on a busy machine each layer waits for the slower one.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
