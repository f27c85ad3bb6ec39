"""Runs anyone's detector, a Python file, in a process of its own: `python outside_worker.py DETECTOR.py`.

It imports nothing but the standard library, so that the interpreter may be that of another environment. A line of
JSON comes in for each call, `{"paths": [...]}`, and a line goes out, `{"scores": [...], "errors": [...]}` or
`{"error": ...}`; the first line out tells what the file defines.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def main(path: str) -> None:
    """Load the detector, tell what it defines, and answer until there are no more questions."""
    # What the detector prints must not be taken for an answer, and it must not read the questions.
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    # As `python DETECTOR.py` has it; this file's own folder would hide modules of the detector's.
    sys.path[0] = str(Path(path).resolve().parent)
    sys.argv = [path]
    began = time.perf_counter()
    try:
        module = load(path)
    except (Exception, SystemExit) as error:
        answer(error=told(error, path))
        return
    batch, one = getattr(module, "predict_batch", None), getattr(module, "predict", None)
    if callable(batch):
        call = batch
    elif callable(one):
        call = functools.partial(each, one)
    else:
        answer(error="it defines neither predict(path) nor predict_batch(paths)")
        return
    scale = getattr(module, "SCALE", "")
    answer(batch=callable(batch), scale=str(scale), seconds=time.perf_counter() - began)
    for line in questions:
        paths = json.loads(line)["paths"]
        began = time.perf_counter()
        try:
            values = list(call(paths))
            if len(values) != len(paths):
                raise ValueError(f"it returned {len(values)} scores for {len(paths)} images")
        except (Exception, SystemExit) as error:
            answer(error=told(error, path), seconds=time.perf_counter() - began)
            continue
        found = [number_of(value) for value in values]
        scores, errors = [score for score, _ in found], [error for _, error in found]
        answer(scores=scores, errors=errors, seconds=time.perf_counter() - began)


def each(predict: Callable[[str], Any], paths: list[str]) -> list[Any]:
    """Ask for one image after the other."""
    return [predict(path) for path in paths]


def load(path: str) -> Any:
    """Import the file under a name that no other module has."""
    spec = importlib.util.spec_from_file_location("outside_detector", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["outside_detector"] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module


def number_of(value: Any) -> tuple[float | None, str]:
    """Return a score as a number, or None and what is wrong with it.

    >>> number_of(1), number_of("fake"), number_of(float("nan"))
    ((1.0, ''), (None, "it returned 'fake', which is no number"), (None, 'it returned nan, which is no finite number'))
    """
    if isinstance(value, (str, bytes)):
        return None, f"it returned {value[:40]!r}, which is no number"
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        return None, f"it returned {type(value).__name__}, which is no number"
    return (number, "") if math.isfinite(number) else (None, f"it returned {number}, which is no finite number")


def told(error: BaseException, path: str) -> str:
    """Return an error in a line, with the place in the detector's file that it came from."""
    text = " ".join(str(error).split())[:200]
    name = type(error).__name__ + (f": {text}" if text else "")
    if isinstance(error, SyntaxError) and error.filename:
        return name
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{name} (line {lines[-1]})" if lines else name


if __name__ == "__main__":
    main(sys.argv[1])
