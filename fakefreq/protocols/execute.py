"""Doing cells: each in its folder, whole or to be gone on with; a failure stops no other cell."""

import contextlib
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, cast

import pandas as pd

from fakefreq.errors import UserError
from fakefreq.evaluate.store import table_path, write_table
from fakefreq.files import read_json, write_json
from fakefreq.protocols.cells import Cell

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Args:
        cell: the cell.
        folder: where its files are.
        error: why it failed; empty where it is done.
    """

    cell: Cell
    folder: Path
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether its scores are there."""
        return not self.error


def find_folder(cell: Cell, root: Path, any_code: bool = False) -> Path:
    """Return the folder of a cell.

    Args:
        cell: the cell.
        root: the folder of all cells.
        any_code: take finished results of other versions of the code too.
    """
    folder = root / cell.name
    if any_code and not is_done(folder):
        for other in sorted(root.glob(f"{cell.stem}-*")):
            if is_done(other) and cell.is_of(read_json(other / "cell.json", "the record of a cell")):
                return other
    return folder


def is_done(folder: Path) -> bool:
    """Whether a cell's folder is finished; its cell.json is written last."""
    return (folder / "cell.json").exists()


def run_cell(cell: Cell, folder: Path, say: Say = lambda line: None) -> None:
    """Train and score a cell; go on where an interrupted process stopped.

    Args:
        cell: the cell.
        folder: takes run/, scores.parquet (.csv) and, last of all, cell.json.
        say: called with lines for the user.

    Raises:
        UserError: anything that the user can mend.
    """
    from fakefreq.data.manifests import manifest_digest, read_manifest
    from fakefreq.evaluate.score import read_scores, score_rows
    from fakefreq.models import load_detector
    from fakefreq.train.environment import choose_device, describe_environment
    from fakefreq.train.selection import select_evaluation
    from fakefreq.train.train import train

    with _owned(folder):
        if is_done(folder):
            return
        manifest = read_manifest(cell.manifest)
        if manifest_digest(manifest) != cell.data:
            raise UserError(f"{cell.manifest} has changed since the benchmark began; start it again")
        config = cell.config
        # A two-stream detector whose only other stream is the lattice has the pixel stream of the cell beside it.
        beside = find_folder(cell.of_pixels(), folder.parent)
        pixel_run = beside / "run" if beside != folder and is_done(beside) else None
        summary = train(cell.manifest, folder / "run", config, resume=True, say=say, pixel_run=pixel_run)
        device = choose_device(config.device)
        detector = load_detector(folder / "run").to(device)
        rows = select_evaluation(manifest, config.train_on)
        started = time.perf_counter()
        test, _ = score_rows(
            detector, rows, cell.manifest.parent, config.batch_size, config.workers, progress=f"score {cell.label}"
        )
        seconds = time.perf_counter() - started
        val = read_scores(folder / "run" / "val_scores.csv")
        scores = pd.concat([val.assign(role="val"), test.assign(role="test")], ignore_index=True)
        write_table(scores.drop(columns="probability"), table_path(folder))
        # What only an unfinished training needs; it is three times the size of the weights.
        (folder / "run" / "last.pt").unlink(missing_ok=True)
        write_json(
            folder / "cell.json",
            {
                "data": cell.data,
                "train": config.to_dict(),
                "threshold": float(summary["threshold"]),
                "val_auc": float(summary["val_auc"]),
                "best_epoch": int(summary["best_epoch"]),
                "n_train": int(summary["n_train"]),
                "n_val": len(val),
                "n_test": len(test),
                "parameters": sum(parameter.numel() for parameter in detector.parameters()),
                "train_seconds": summary["seconds"],
                "score_seconds": round(seconds, 2),
                "device": describe_environment(device)["device"],
            },
        )


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold a cell's folder, so that no second process works in it; the system lets go if this one dies."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two benchmarks of one folder apart
        yield
        return
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another process works in {folder}; wait for it, or end it") from error
        yield


def execute(
    cells: Sequence[Cell], root: Path, jobs: int = 1, any_code: bool = False, say: Say = lambda line: None
) -> list[Outcome]:
    """Do what is missing of some cells, and return how each ended, in the order given.

    Args:
        cells: cells of one name are done once.
        root: the folder of all cells.
        jobs: cells at a time; with more than one, each has a process of its own and a share of the cores.
        any_code: take finished results of other versions of the code.
        say: called with lines for the user.
    """
    folders = {cell.name: find_folder(cell, root, any_code) for cell in cells}
    first = {cell.name: cell for cell in reversed(cells)}
    missing = [first[name] for name in dict.fromkeys(cell.name for cell in cells) if not is_done(folders[name])]
    say(f"{len(folders)} cells, {len(folders) - len(missing)} of them done already")
    errors: dict[str, str] = {}
    if jobs == 1:
        for number, cell in enumerate(missing, 1):
            say(f"cell {number} of {len(missing)}: {_words(cell)}")
            errors[cell.name] = _attempt(cell, folders[cell.name], say)
            _tell(cell, errors[cell.name], say)
    elif missing:
        errors = _in_processes(missing, folders, jobs, say)
    return [Outcome(cell, folders[cell.name], errors.get(cell.name, "")) for cell in cells]


def _words(cell: Cell) -> str:
    return f"{cell.label} trained on {cell.train_on}, seed {cell.config.seed}, {cell.track}"


def _tell(cell: Cell, error: str, say: Say) -> None:
    say(f"failed: {_words(cell)}: {error}" if error else f"done: {_words(cell)}")


def _attempt(cell: Cell, folder: Path, say: Say) -> str:
    """Do a cell; return why it failed, or nothing. What fails here must not take the other cells with it."""
    report = folder / "failure.json"
    try:
        run_cell(cell, folder, say)
    except Exception as error:
        told = isinstance(error, UserError)
        text = " ".join(str(error).split())
        reason = text if told else f"{type(error).__name__}: {text}"
        with contextlib.suppress(UserError):
            write_json(report, {"error": reason, "traceback": "" if told else traceback.format_exc()})
        return reason
    report.unlink(missing_ok=True)
    return ""


def _in_processes(missing: list[Cell], folders: dict[str, Path], jobs: int, say: Say) -> dict[str, str]:
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
                say(f"cell {len(missing) - len(waiting)} of {len(missing)} started: {_words(cell)}")
            for sentinel in wait(list(running)):
                process, cell = running.pop(cast("int", sentinel))
                process.join()
                errors[cell.name] = _reason(process.exitcode, folders[cell.name])
                _tell(cell, errors[cell.name], say)
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
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would write over each other
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    (folder / "failure.json").unlink(missing_ok=True)
    if _attempt(cell, folder, lambda line: None):
        raise SystemExit(1)


def _die_with(parent: int) -> None:
    """End this process soon after the benchmark's own: nobody waits for its cell, and a rerun wants the folder."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
