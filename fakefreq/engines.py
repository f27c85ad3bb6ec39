"""Where tasks are done: in this process, in processes of this machine, or on a Ray cluster."""

import contextlib
import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeVar

from fakefreq.errors import UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[T], str]
"""Does a task, and returns why it failed, or nothing. It can be pickled, and so can its task."""
SPAWN = multiprocessing.get_context("spawn")  # a fork would inherit torch's and OpenCV's threads half alive


@dataclass(frozen=True)
class Engine:
    """Where tasks are done: trainings, sweeps, shards of images.

    Args:
        engine: `local`: this machine; `ray`: a Ray cluster (extra `ray`) whose machines see the same files.
        jobs: of `local`, tasks at a time; with more than one, each has a process of its own and a share of the cores.
        ray_address: of `ray`, the cluster: `auto` for that of this machine, or HOST:PORT; empty: the variable
            RAY_ADDRESS, else a Ray of this machine alone, for the time of the command.
        cpus_each: of `ray`, CPUs that a task takes, 1 or more; torch has as many threads.
        gpus_each: of `ray`, GPUs that a task takes; several tasks share one where it is less than 1.
        retries: of `ray`, how often a task is done again elsewhere after its machine or its process was lost.
    """

    engine: Literal["local", "ray"] = "local"
    jobs: int = 1
    ray_address: str = ""
    cpus_each: int = 1
    gpus_each: float = 0.0
    retries: int = 2

    def check(self) -> None:
        """Refuse values that cannot work, and flags of the other engine.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        for flag, number, least in (
            ("--jobs", self.jobs, 1),
            ("--cpus-each", self.cpus_each, 1),
            ("--gpus-each", self.gpus_each, 0),
            ("--retries", self.retries, 0),
        ):
            if number < least:
                raise UserError(f"{flag} takes {least} or more; got {number}")
        others = ["jobs"] if self.engine == "ray" else ["ray_address", "cpus_each", "gpus_each", "retries"]
        plain = {item.name: item.default for item in fields(self)}
        for name in others:
            if getattr(self, name) != plain[name]:
                flag, home = f"--{name.replace('_', '-')}", "local" if self.engine == "ray" else "ray"
                raise UserError(f"{flag} is for --engine {home}; leave it out, or choose that engine")

    def run(self, work: Work[T], tasks: Sequence[T], names: Sequence[str] = ()) -> Iterator[tuple[int, str]]:
        """Do tasks, and yield the number of each as it ends, and why it failed, or nothing.

        A task whose process or machine was lost has failed, and stops no other.

        Args:
            work: does one.
            tasks: what it is called with.
            names: of the tasks, for messages: that they begin, are done, have failed; none: nothing is said.

        Raises:
            UserError: see `check`; Ray is missing, cannot be reached, or has no machine that is large enough.
        """
        self.check()

        def begins(number: int) -> None:
            if names:
                logger.info(f"{number + 1} of {len(tasks)}: {names[number]}")

        if self.engine == "ray":
            ended = _on_ray(work, tasks, self, begins)
        elif self.jobs > 1:
            ended = _in_processes(work, tasks, self.jobs, begins)
        else:
            ended = _here(work, tasks, begins)
        with contextlib.closing(ended):
            for number, error in ended:
                if names and error:
                    logger.warning(f"failed: {names[number]}: {error}")
                elif names:
                    logger.info(f"done: {names[number]}")
                yield number, error


Begins = Callable[[int], None]
Ended = Generator[tuple[int, str], None, None]


def _here(work: Work[T], tasks: Sequence[T], begins: Begins) -> Ended:
    for number, task in enumerate(tasks):
        begins(number)
        yield number, work(task)


def _in_processes(work: Work[T], tasks: Sequence[T], jobs: int, begins: Begins) -> Ended:
    """A process a task: one that is killed takes no other with it, and gives all its memory back."""
    share = max(1, (os.cpu_count() or 1) // jobs)
    theirs, ours = SPAWN.Pipe(duplex=False)  # nothing is sent: what is read ends when this process ends, or closes it

    def do(number: int) -> str:
        begins(number)
        try:
            with ProcessPoolExecutor(1, SPAWN, _begin, (share, theirs)) as process:
                return process.submit(work, tasks[number]).result()
        except BrokenProcessPool:
            return "its process was killed (too little memory is the usual cause: lower --jobs)"

    threads = ThreadPoolExecutor(jobs)
    try:
        futures = {threads.submit(do, number): number for number in range(len(tasks))}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        ours.close()
        threads.shutdown(cancel_futures=True)


def _begin(share: int, watched: Connection) -> None:
    """What a process does before its task."""
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    _be_quiet(share)


def _end_with(watched: Connection) -> None:
    """End this process with the one that started it: nobody waits for its task, and a rerun wants its folder."""
    with contextlib.suppress(EOFError, OSError):
        watched.recv()
    os._exit(1)


def _be_quiet(threads: int) -> None:
    import torch

    logging.getLogger("fakefreq").setLevel(logging.WARNING)  # bars of several processes would write over each other
    torch.set_num_threads(threads)


def _on_ray(work: Work[T], tasks: Sequence[T], engine: Engine, begins: Begins) -> Ended:
    """A Ray task each. Which are done again is decided here, so that it is said."""
    ray, is_own = _connect(engine)
    running: dict[Any, tuple[int, int]] = {}
    try:
        room = _room(ray.nodes(), engine)
        options = {"num_cpus": engine.cpus_each, "num_gpus": engine.gpus_each, "max_retries": 0}
        remote = ray.remote(**options)(_on_machine)  # with a GPU, Ray gives each task a process of its own
        waiting = deque((number, 0) for number in range(len(tasks)))
        while waiting or running:
            # A few more than there is room for, so that no machine waits; not all, whose rows would fill its memory.
            while waiting and len(running) < room + 2:
                number, losses = waiting.popleft()
                if not losses:
                    begins(number)
                running[remote.remote(work, tasks[number], str(Path.cwd()), engine.cpus_each)] = (number, losses)
            for done in ray.wait(list(running))[0]:
                number, losses = running.pop(done)
                try:
                    yield number, ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    yield number, f"on a machine of the cluster: {' '.join(str(error.cause).split())}"
                except ray.exceptions.RayError as error:
                    lost = f"its machine or its process was lost ({type(error).__name__})"
                    if losses < engine.retries:
                        logger.warning(f"{number + 1} of {len(tasks)}: {lost}; it is done again")
                        waiting.append((number, losses + 1))
                    else:
                        yield number, f"{lost}, {losses + 1} times in all (--retries)"
    finally:
        for begun in running:
            ray.cancel(begun, force=True)
        if is_own:
            ray.shutdown()


def _on_machine(work: Work[T], task: T, folder: str, threads: int) -> str:
    """What a machine of a cluster does; the results' folder may be given from the folder of the command."""
    os.chdir(folder)
    _be_quiet(threads)
    return work(task)


def _connect(engine: Engine) -> tuple[Any, bool]:
    """Return Ray, connected, and whether that has to be undone."""
    try:
        import ray
    except ImportError as error:
        raise UserError("--engine ray needs Ray: pip install 'fakefreq[ray]'") from error
    if ray.is_initialized():
        return ray, False
    address = engine.ray_address or os.environ.get("RAY_ADDRESS", "")
    alone: dict[str, Any] = {} if address else {"include_dashboard": False}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a Ray that is started here reports to nobody
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.WARNING, **alone)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"no Ray cluster at --ray-address {address}: {error}; start one with `ray start`") from error
    return ray, True


def _room(nodes: Sequence[dict[str, Any]], engine: Engine) -> int:
    """Return how many tasks the cluster takes at once."""
    room = 0
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        cpus, gpus = has.get("CPU", 0) // engine.cpus_each, has.get("GPU", 0)
        room += int(min(cpus, gpus // engine.gpus_each) if engine.gpus_each else cpus)
    if not room:
        raise UserError(
            f"no machine of the Ray cluster has {engine.cpus_each} CPUs and {engine.gpus_each:g} GPUs for a task; "
            "lower --cpus-each or --gpus-each"
        )
    return room
