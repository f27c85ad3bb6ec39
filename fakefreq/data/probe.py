"""Header facts and hashes of many images, by worker processes, reading only what changed since the last time."""

import contextlib
import hashlib
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from tqdm import tqdm

from fakefreq.data.header import ImageError, probe_content, read_file_and_stamp
from fakefreq.data.header_facts import HeaderFacts
from fakefreq.data.images import MEMBER, check_size, is_whole, read_bytes
from fakefreq.data.index_cache import IndexCache
from fakefreq.data.shards import split_member
from fakefreq.errors import UserError

CHUNK = 256
# Fewer images are read before a process has started.
WORTH_A_POOL = 1500
FACTS = [*HeaderFacts._fields, "sha256", "phash"]


class Probed(NamedTuple):
    """One image's facts, or why there are none.

    Args:
        facts: values of `FACTS`; empty where the image cannot be used.
        reason: empty where it can.
        stamp: size, time of last change and of last status change (ns) of the file that holds the image.
    """

    facts: tuple[str | int, ...]
    reason: str
    stamp: tuple[int, int, int]


def probe_paths(
    paths: Sequence[str], want_phash: bool, jobs: int, cache: IndexCache | None, progress: str = "index"
) -> Generator[Probed, None, None]:
    """Yield what is found of each image, in the order of `paths`.

    Args:
        paths: files, or members of shards, sorted.
        want_phash: also decode each image for its perceptual hash.
        jobs: processes; -1 is one a core.
        cache: of a former call; an image whose file has the same size and times is not read again.
        progress: the bar's label.

    Raises:
        UserError: a worker process was killed.
    """
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    workers = min((os.cpu_count() or 1) if jobs < 1 else jobs, len(chunks))
    results = _results(chunks, want_phash, workers, len(paths) >= WORTH_A_POOL, cache)
    try:
        with contextlib.closing(results), tqdm(total=len(paths), desc=progress, unit="image", leave=False) as bar:
            for number, chunk in enumerate(results):
                if cache is not None:
                    cache.store(chunks[number], chunk)
                bar.update(len(chunk))
                yield from (probed for probed, _ in chunk)
    finally:
        if cache is not None:
            cache.close()


_Chunk = list[tuple[Probed, bool]]


def _results(
    chunks: list[Sequence[str]], want_phash: bool, workers: int, pool_pays: bool, cache: IndexCache | None
) -> Generator[_Chunk, None, None]:
    known: Callable[[Sequence[str]], dict[str, Probed]] = (lambda paths: {}) if cache is None else cache.known
    if workers < 2 or not pool_pays:
        for chunk in chunks:
            yield probe_chunk(chunk, want_phash, known(chunk))
        return
    # Forked workers start at once and need no importable main module; elsewhere the platform decides.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    waiting: deque[Future[_Chunk]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(probe_chunk, chunk, want_phash, known(chunk)))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a reading process was killed, perhaps for want of memory; the same command again goes on, "
                "--jobs 1 needs least memory"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def probe_chunk(paths: Sequence[str], want_phash: bool, known: dict[str, Probed]) -> _Chunk:
    """Return what is found of some images, each with whether it was read (and not known already)."""
    if want_phash:
        import cv2

        cv2.setNumThreads(1)  # a forked process inherits a pool without its threads and would wait for ever
    return [_probe(path, want_phash, known.get(path)) for path in paths]


def _probe(path: str, want_phash: bool, known: Probed | None) -> tuple[Probed, bool]:
    if known is not None and (known.facts[-1] or not want_phash) and known.stamp == _stamp(path):
        return known, False
    stamp = (-1, -1, -1)
    try:
        if MEMBER in path and split_member(path):
            stamp, content = _stamp(path), read_bytes(path)
        else:
            content, stamp = read_file_and_stamp(path)
        facts = probe_content(path, content)
        check_size(path, facts)
        if not is_whole(content, facts.format):
            raise ImageError(path, f"the {facts.format.upper()} file is cut: its end is missing")
        phash = ""
        if want_phash:
            from fakefreq.data.duplicates import perceptual_hash
            from fakefreq.data.images import decode_image

            phash = perceptual_hash(decode_image(path, content))
    except ImageError as error:
        return Probed((), error.reason, stamp), True
    return Probed((*facts, hashlib.sha256(content).hexdigest(), phash), "", stamp), True


def _stamp(path: str) -> tuple[int, int, int]:
    """Size and times of the file that holds an image; -1 where it cannot be asked."""
    parts = split_member(path) if MEMBER in path else None
    try:
        about = os.stat(parts[0] if parts else path)  # noqa: PTH116 (a Path an image is slow)
    except (OSError, ValueError):
        return (-1, -1, -1)
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns
