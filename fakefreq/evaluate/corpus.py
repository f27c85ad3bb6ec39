"""A corpus of images, scored some thousands at a time: each shard is kept whole, and all become one table."""

import contextlib
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from fakefreq.config.input import InputConfig
from fakefreq.data.manifest.in_file import RowsInFile
from fakefreq.data.manifest.table import write_skipped
from fakefreq.engines import Engine
from fakefreq.errors import ToldElsewhere, UserError, at_least
from fakefreq.evaluate.outside_scores import say_scale
from fakefreq.evaluate.predict import check_speed, score_rows
from fakefreq.evaluate.scores import KEY_COLUMNS, has_parquet, read_scores, table_path, write_all_scores, write_scores
from fakefreq.files import sha256_file, write_json
from fakefreq.models.weights import load_detector, weights_path
from fakefreq.ranks import current
from fakefreq.version import __version__

if TYPE_CHECKING:
    from fakefreq.models import Detector

logger = logging.getLogger(__name__)

SHARD_ROWS = 20_000
"""Rows of a shard: minutes of a CPU, seconds of a GPU; what a killed scoring loses at most."""


@dataclass(frozen=True)
class HowToScore:
    """All that decides the scores of images, and how they are computed.

    Args:
        weights: a run folder, RUN/best, or a .safetensors file.
        input: what happens to an image before it is read.
        root: the folder that the rows' paths are relative to.
        on_error: `stop` at an image that does not decode, or `skip` it and list it.
        batch_size: images a step.
        workers: processes that decode; -1 chooses by the number of cores.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """

    weights: Path
    input: InputConfig
    root: Path
    on_error: Literal["stop", "skip"] = "stop"
    batch_size: int = 32
    workers: int = -1
    device: str = "auto"


@dataclass(frozen=True)
class _Shard:
    """Some rows to score, and the folder and the name of their table."""

    how: HowToScore
    rows: pd.DataFrame | RowsInFile
    folder: Path
    name: str
    title: str

    def read(self) -> pd.DataFrame:
        """Return the rows."""
        return self.rows.read() if isinstance(self.rows, RowsInFile) else self.rows


def check_corpus(out: Path, batch_size: int, workers: int, shard_rows: int) -> None:
    """Refuse a table that is neither CSV nor Parquet, and numbers out of range."""
    check_speed(batch_size, workers)
    at_least(shard_rows, 1, "--shard-rows")
    if out.suffix not in (".csv", ".parquet"):
        raise UserError(f"{out} ends neither in .csv nor in .parquet; change --out")
    if out.suffix == ".parquet" and not has_parquet():
        raise UserError(f"{out} would be Parquet: install pyarrow (pip install fakefreq[large]), or give a .csv")


def score_corpus(
    rows: pd.DataFrame | RowsInFile,
    how: HowToScore,
    out: Path,
    threshold: float,
    threshold_from: str,
    *,
    shard_rows: int = SHARD_ROWS,
    engine: Engine | None = None,
) -> tuple[int, list[tuple[str, str]]]:
    """Score images into one table, shard by shard; shards that an interrupted scoring has left are not scored again.

    The processes of a job (`fakefreq.ranks`) share the images of a shard, and the first of them writes.

    They lie beside the table, in `<its name>_shards`, under a digest of the weights, the rows and what happens to the
    images; with the table, they go.

    Args:
        rows: of a manifest, with the column `manifest`, its digest; or those that are still in their file.
        how: to score them.
        out: the table to write, .csv or .parquet: the rows that were scored, in their order.
        threshold: for the table: the logit above which an image is called fake.
        threshold_from: for the table: where the threshold comes from.
        shard_rows: images of a shard, 1 or more.
        engine: where shards are scored; one after the other in this process by default.

    Returns:
        How many images were scored, and the skipped ones as (path, reason); the first process of a job knows.

    Raises:
        UserError: no rows; another ending; a number out of range; an image that does not decode, where that stops; a
            shard that is damaged.
    """
    if not len(rows):
        raise UserError("there is no image to score: the manifest, or the part chosen by --split, is empty")
    check_corpus(out, how.batch_size, how.workers, shard_rows)
    ranks = current()
    above = out.with_name(f"{out.stem}_shards")
    folder = ranks.from_first(lambda: _folder_of(rows, how, shard_rows, above))
    starts = range(0, len(rows), shard_rows)
    shards = [_shard(rows, how, folder, number, len(starts), shard_rows) for number in range(len(starts))]
    # What the first one sees is missing, so that all of them do the same shards.
    are_there = ranks.from_first(lambda: [table_path(shard.folder, shard.name).exists() for shard in shards])
    missing = [shard for shard, is_there in zip(shards, are_there, strict=True) if not is_there]
    done = len(rows) - sum(len(shard.rows) for shard in missing)
    if done:
        logger.info(f"{done} of {len(rows)} images are scored already: {folder}")
    started, before = time.monotonic(), done
    for number, error in (engine or Engine()).run(_score, missing):
        if error:
            raise UserError(error)
        done += len(missing[number].rows)
        if len(shards) > 1:
            rate = (done - before) / max(1e-9, time.monotonic() - started)
            left = f"; about {_duration((len(rows) - done) / rate)} left" if done < len(rows) else ""
            logger.info(f"{done} of {len(rows)} images, {rate:.3g} a second{left}")
    skipped: list[tuple[str, str]] = []
    if not ranks.is_first:
        return len(rows), skipped
    tables = (say_scale(table, threshold, threshold_from) for table in _merged(shards, skipped))
    write_all_scores(tables, out)
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):
        above.rmdir()
    if above.exists():
        logger.info(f"{above} holds shards of other scorings that were not ended; delete it where they are not wanted")
    return len(rows) - len(skipped), skipped


def _folder_of(rows: pd.DataFrame | RowsInFile, how: HowToScore, shard_rows: int, above: Path) -> Path:
    """Make the folder of the shards that these rows, weights and settings decide."""
    if isinstance(rows, RowsInFile):
        digest, paths = rows.digest, rows.hash_of_paths()
    else:
        digest = rows["manifest"].iloc[0]
        paths = int(pd.util.hash_pandas_object(rows["path"], index=False).sum())
    made = {
        "fakefreq": __version__,
        "weights": sha256_file(weights_path(how.weights)),
        "input": asdict(how.input),
        "manifest": digest,
        "rows": paths,
        "on_error": how.on_error,
        "shard_rows": shard_rows,
    }
    folder = above / hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:12]
    if not (folder / "made.json").exists():
        write_json(folder / "made.json", made)
    return folder


def _shard(
    rows: pd.DataFrame | RowsInFile, how: HowToScore, folder: Path, number: int, count: int, size: int
) -> _Shard:
    title = "score" if count == 1 else f"score shard {number + 1} of {count}"
    return _Shard(how, rows[number * size : (number + 1) * size], folder, f"{number:06d}", title)


@lru_cache(maxsize=1)
def _detector(how: HowToScore, folder: Path) -> "Detector":
    """Load a detector once for all shards; the folder's name changes with the weights."""
    del folder
    return load_detector(how.weights, how.device).replace(how.input)


def _score(shard: _Shard) -> str:
    """Score a shard and write its table, last of all; return why that failed, or nothing."""
    how = shard.how
    try:
        scores, skipped = score_rows(
            _detector(how, shard.folder),
            shard.read(),
            how.root,
            how.batch_size,
            how.workers,
            on_error=how.on_error,
            progress=shard.title,
        )
        with current().all_or_none():
            if current().is_first:
                if skipped:
                    write_skipped(skipped, shard.folder / f"{shard.name}_skipped.csv")
                write_scores(scores, table_path(shard.folder, shard.name))
    except ToldElsewhere:
        raise
    except UserError as error:
        return str(error)
    return ""


def _merged(shards: list[_Shard], skipped: list[tuple[str, str]]) -> Iterator[pd.DataFrame]:
    """Yield the tables of the shards, one in memory at a time, and add what was skipped to a list."""
    for shard in shards:
        path, listed = table_path(shard.folder, shard.name), shard.folder / f"{shard.name}_skipped.csv"
        table = read_scores(path)
        table = table.astype({name: str for name in KEY_COLUMNS if name in table and name != "label"})
        some: list[tuple[str, str]] = []
        if listed.exists():
            some = list(pd.read_csv(listed, dtype=str, keep_default_na=False).itertuples(index=False, name=None))
        gone = {path for path, _ in some}
        if table["path"].tolist() != [name for name in shard.read()["path"].astype(str) if name not in gone]:
            raise UserError(f"{path} does not hold the scores of its images; delete it, and the same command goes on")
        skipped += some
        yield table


def _duration(seconds: float) -> str:
    """Return a time in words.

    >>> [_duration(seconds) for seconds in (29, 300, 9000)]
    ['29 s', '5 min', '2 h 30 min']
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
