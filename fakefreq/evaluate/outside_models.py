"""Anyone's detector, a Python file, scored in a process of its own: what it fails on is listed, what it takes timed."""

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.data.images.decode import read_bytes
from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.images.shards import split_member
from fakefreq.data.manifest.places import absolute
from fakefreq.data.manifests import write_skipped
from fakefreq.errors import UserError, choose
from fakefreq.evaluate import outside_worker
from fakefreq.evaluate.outside_scores import SCALES
from fakefreq.evaluate.scores import KEY_COLUMNS
from fakefreq.files import atomic_path
from fakefreq.progress import ProgressBar

logger = logging.getLogger(__name__)

LOADING = 10
"""Times the limit of a call: what a detector may take to load."""
STARTS = 10
"""So often is a detector started again that hangs or dies; then it is given up."""
ALL_FAIL = 20
"""So many images that all fail, with no score before them, stop it."""
# Seconds: how often a silent process is looked at, and how long it may take to end when it is told to.
_LOOK, _END = 0.2, 2.0


@dataclass(frozen=True)
class ModelRun:
    """How an outside detector is run.

    Attributes:
        timeout: seconds that one call may take, an image of `predict` or a batch of `predict_batch`.
        batch_size: images that `predict_batch` gets at once, at most.
        python: the interpreter; empty: this one.
    """

    timeout: float = 60.0
    batch_size: int = 32
    python: str = ""

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise UserError(f"--timeout takes seconds above 0; got {self.timeout:g}")
        if self.batch_size < 1:
            raise UserError(f"--batch-size takes 1 or more; got {self.batch_size}")


def score_model(
    file: Path, name: str, images: pd.DataFrame, root: Path, out: Path, *, run: ModelRun, scale: str = ""
) -> None:
    """Let an outside detector score images, and write the table of its scores.

    It gets absolute paths of files; what lies in a shard is written to a temporary file for it. An image on which it
    raises, hangs, dies or returns no finite number is left out and listed beside the table, in `..._failed.csv`.

    Args:
        file: defines `predict(path)` or `predict_batch(paths)`, whose scores grow towards fake, and perhaps `SCALE`.
        name: of the detector.
        images: rows of a manifest, whose digest is in the column `manifest`.
        root: the folder that their paths are relative to.
        out: the table to write (.csv), as `read_outside_scores` takes it, with the seconds of each image.
        run: how it is run.
        scale: what the scores are, where the file does not say; empty: unknown.

    Raises:
        UserError: no such file, it does not load or defines no detector, contradicts `scale`, fails on all images, or
            hangs or dies too often.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}; --model takes Python files that define predict(path)")
    paths = images["path"].astype(str).tolist()
    scores: dict[str, tuple[float, float]] = {}
    failed: dict[str, str] = {}
    starts = 0
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fakefreq-")))
        output = opened.enter_context((folder / "output.txt").open("w+", encoding="utf-8", errors="replace"))
        bar = opened.enter_context(ProgressBar(f"score {name}", len(paths)))
        process = _Process(file, run, output.fileno())
        opened.callback(lambda: process.end())
        about = process.load()
        said = _scale_of(file, str(about["scale"]), scale)
        size = run.batch_size if about["batch"] else 1
        pending = deque(paths[start : start + size] for start in range(0, len(paths), size))
        while pending:
            batch = pending.popleft()
            reply = _ask(process, batch, root, folder, failed)
            if "error" in reply and len(batch) > 1:
                # One image may have taken the others with it.
                pending.extendleft([path] for path in reversed(batch))
            elif "error" in reply:
                failed[batch[0]] = reply["error"]
            else:
                _take(batch, reply, said or scale, scores, failed)
            bar.update(len(scores) + len(failed) - bar.done)
            if not scores and len(failed) >= min(ALL_FAIL, len(paths)):
                first = next(iter(failed))
                raise UserError(f"{file} failed on all of {len(failed)} images, such as {first}: {failed[first]}")
            if "ended" in reply and pending:
                process.end(0.0)
                starts += 1
                if starts > STARTS:
                    raise UserError(f"{file} is given up: it was started again {STARTS} times, and at {batch[0]} "
                                    f"{reply['error']}; {len(scores)} of {len(paths)} images had scores")  # fmt: skip
                process = _Process(file, run, output.fileno())
                process.load()
        output.seek(0)
        for line in output:
            logger.debug(f"{name}: {line.rstrip()}")
    _write(name, images, scores, failed, said, out, float(about["seconds"]))


def _take(
    batch: list[str], reply: dict[str, Any], scale: str, scores: dict[str, tuple[float, float]], failed: dict[str, str]
) -> None:
    seconds = float(reply["seconds"]) / max(len(batch), 1)
    for path, score, error in zip(batch, reply["scores"], reply["errors"], strict=True):
        if error:
            failed[path] = error
        elif scale == SCALES[1] and not 0 <= score <= 1:
            failed[path] = f"it returned {score:g}, which is no probability"
        else:
            scores[path] = (score, seconds)


def _scale_of(file: Path, said: str, given: str) -> str:
    """Return the scale that the file itself says, empty where it says none."""
    if said:
        choose(said, SCALES, "scale", f"SCALE in {file}")
        if given and given != said:
            raise UserError(f"{file} says that its scores are on the scale {said}, --scale says {given}; leave one of "
                            "them")  # fmt: skip
    return said


def _ask(process: "_Process", batch: list[str], root: Path, folder: Path, failed: dict[str, str]) -> dict[str, Any]:
    """Ask for the scores of a batch; an image of a shard that cannot be read fails here, and leaves the batch."""
    files: list[str] = []
    written: list[Path] = []
    for path in list(batch):
        place = absolute(str(root / path))  # links are not followed: folders may say what is what
        if split_member(place):
            try:
                copy = folder / f"{len(written)}{Path(path).suffix}"
                copy.write_bytes(read_bytes(place))
            except ImageError as error:
                failed[path] = error.reason
                batch.remove(path)
                continue
            written.append(copy)
            place = str(copy)
        files.append(place)
    reply = process.ask(files) if files else {"scores": [], "errors": [], "seconds": 0.0}
    for copy in written:
        copy.unlink()
    return reply


class _Process:
    """One process that runs the detector, with whatever it starts itself.

    Args:
        file: of the detector.
        run: how.
        output: a file's descriptor, where all that it prints goes.
    """

    def __init__(self, file: Path, run: ModelRun, output: int) -> None:
        self.file, self.run, self.output, self.is_open = file, run, output, True
        python = run.python or sys.executable
        command = [python, os.fspath(outside_worker.__file__), os.path.abspath(file)]  # noqa: PTH100
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(f"cannot run {python}: {error.strerror}; --python takes a Python interpreter") from error
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed at the end
            for line in self.process.stdout:
                self.lines.put(line)

    def load(self) -> dict[str, Any]:
        """Return what the file says of itself, once it is loaded.

        Raises:
            UserError: it does not load.
        """
        reply = self._reply(LOADING * self.run.timeout)
        if "error" in reply:
            self.end(0.0)
            raise UserError(f"{self.file} cannot be used: {reply['error']}")
        return reply

    def ask(self, files: list[str]) -> dict[str, Any]:
        """Return the detector's answer; where it hangs or dies, that is the error, and `ended` is there."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which the missing answer tells
            self.process.stdin.write(json.dumps({"paths": files}) + "\n")
            self.process.stdin.flush()
        return self._reply(self.run.timeout)

    def _reply(self, seconds: float) -> dict[str, Any]:
        until = time.perf_counter() + seconds
        has_ended = False
        while True:
            try:
                return dict(json.loads(self.lines.get(timeout=_LOOK)))
            except queue.Empty:
                if has_ended:  # and nothing came since
                    return {"error": f"it died ({self._how()})", "ended": True}
                has_ended = self.process.poll() is not None
                if not has_ended and time.perf_counter() > until:
                    return {"error": f"it gave no answer within {seconds:g} s (--timeout)", "ended": True}

    def _how(self) -> str:
        code = self.process.returncode
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        how += ", perhaps for lack of memory" if how == "SIGKILL" else ""
        size = os.fstat(self.output).st_size
        printed = os.pread(self.output, 1000, max(0, size - 1000)).decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(printed) if line.strip()), "")
        return f"{how}; it printed last: {last[-200:]}" if last else how

    def end(self, grace: float = _END) -> None:
        """End the process and what it has started; it may take some seconds to end by itself."""
        if not self.is_open:
            return
        self.is_open = False
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def _write(
    name: str,
    images: pd.DataFrame,
    scores: dict[str, tuple[float, float]],
    failed: dict[str, str],
    scale: str,
    out: Path,
    loading: float,
) -> None:
    rows = images[images["path"].isin(scores)]
    values = [scores[path] for path in rows["path"]]
    table = rows[KEY_COLUMNS].assign(score=[score for score, _ in values])
    if scale:
        table = table.assign(scale=scale)
    table = table.assign(seconds=[round(seconds, 6) for _, seconds in values])
    with atomic_path(out) as temporary:
        table.to_csv(temporary, index=False)
    total = sum(seconds for _, seconds in values)
    logger.info(f"{name}: {len(rows)} of {len(images)} images in {total:.1f} s ({1000 * total / len(rows):.1f} ms an "
                f"image), after {loading:.1f} s to load; its scores: {out}")  # fmt: skip
    listed = out.with_name(f"{out.stem}_failed.csv")
    listed.unlink(missing_ok=True)
    if failed:
        write_skipped(list(failed.items()), listed)
        labels = images.loc[images["path"].isin(failed), "label"].astype(int)
        fakes = int(labels.sum())
        logger.warning(
            f"{name}: {len(failed)} images failed, {len(labels) - fakes} real and {fakes} fake, "
            f"and no detector is judged by them; listed with reasons in {listed}"
        )
