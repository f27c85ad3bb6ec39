"""Doing cells: each in its folder, whole or to be gone on with; a failure stops no other cell."""

import contextlib
import logging
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, cast

from fakefreq.benchmarking.cells import Cell, Outcome, find_folder, is_done, run_cell
from fakefreq.errors import UserError
from fakefreq.files import read_json, write_json

logger = logging.getLogger(__name__)


def execute(cells: Sequence[Cell], root: Path, jobs: int = 1, any_code: bool = False) -> list[Outcome]:
    """Do what is missing of some cells, and return how each ended, in the order given.

    Args:
        cells: cells of one name are done once.
        root: the folder of all cells.
        jobs: cells at a time; with more than one, each has a process of its own and a share of the cores.
        any_code: take finished results of other versions of the code.
    """
    folders = {cell.name: find_folder(cell, root, any_code) for cell in cells}
    first = {cell.name: cell for cell in reversed(cells)}
    missing = [first[name] for name in dict.fromkeys(cell.name for cell in cells) if not is_done(folders[name])]
    logger.info(f"{len(folders)} cells, {len(folders) - len(missing)} of them done already")
    errors: dict[str, str] = {}
    if jobs == 1:
        for number, cell in enumerate(missing, 1):
            logger.info(f"cell {number} of {len(missing)}: {_words(cell)}")
            errors[cell.name] = _attempt(cell, folders[cell.name])
            _tell(cell, errors[cell.name])
    elif missing:
        errors = _in_processes(missing, folders, jobs)
    return [Outcome(cell, folders[cell.name], errors.get(cell.name, "")) for cell in cells]


def _words(cell: Cell) -> str:
    return f"{cell.label} trained on {cell.train_on}, seed {cell.config.seed}, {cell.track}"


def _tell(cell: Cell, error: str) -> None:
    if error:
        logger.warning(f"failed: {_words(cell)}: {error}")
    else:
        logger.info(f"done: {_words(cell)}")


def _attempt(cell: Cell, folder: Path) -> str:
    """Do a cell; return why it failed, or nothing. What fails here must not take the other cells with it."""
    report = folder / "failure.json"
    try:
        run_cell(cell, folder)
    except Exception as error:
        told = isinstance(error, UserError)
        text = " ".join(str(error).split())
        reason = text if told else f"{type(error).__name__}: {text}"
        with contextlib.suppress(UserError):
            write_json(report, {"error": reason, "traceback": "" if told else traceback.format_exc()})
        return reason
    report.unlink(missing_ok=True)
    return ""


def _in_processes(missing: list[Cell], folders: dict[str, Path], jobs: int) -> dict[str, str]:
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's and OpenCV's threads half alive
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting, running, errors = list(missing), dict[int, tuple[Any, Cell]](), dict[str, str]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cell = waiting.pop(0)
                process = context.Process(target=_child, args=(cell, folders[cell.name], threads, os.getpid()))
                process.start()
                running[process.sentinel] = (process, cell)
                logger.info(f"cell {len(missing) - len(waiting)} of {len(missing)} started: {_words(cell)}")
            for sentinel in wait(list(running)):
                process, cell = running.pop(cast("int", sentinel))
                process.join()
                errors[cell.name] = _reason(process.exitcode, folders[cell.name])
                _tell(cell, errors[cell.name])
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
    return errors


def _reason(code: int | None, folder: Path) -> str:
    if code == 0 and is_done(folder):
        return ""
    if code == 1 and (folder / "failure.json").exists():
        return str(read_json(folder / "failure.json", "the report of a failed cell")["error"])
    what = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
    return f"its process {what} (too little memory is the usual cause: lower --jobs)"


def _child(cell: Cell, folder: Path, threads: int, parent: int) -> None:
    """What a cell's own process does."""
    logging.getLogger("fakefreq").setLevel(logging.WARNING)  # bars of several processes would write over each other
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    (folder / "failure.json").unlink(missing_ok=True)
    if _attempt(cell, folder):
        raise SystemExit(1)


def _die_with(parent: int) -> None:
    """End this process soon after the benchmark's own: nobody waits for its cell, and a rerun wants the folder."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
