"""How indexing, manifests, the search for near-duplicates and scoring grow: rate against bare reading, memory, time.

Example: python benchmarks/data_scale.py --parts index duplicates
"""

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import tyro

from fakefreq.files import atomic_path

Part = Literal["index", "memory", "duplicates", "scoring"]
# The greatest memory of a process so far, in MiB; `getrusage` would say at least that of the process that started it.
PEAK = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024"
MADE = 1000
# No file system here allows more hard links to one file than about 65,000.
MOST_LINKS = 60_000


@dataclass
class Config:
    """Measure what `fakefreq index`, a manifest, `--phash` and `fakefreq score` cost at size."""

    out: Path = Path("benchmarks/results/data_scale_cpu.csv")
    """table to write; rows of parts that are not measured again are kept"""
    parts: tuple[Part, ...] = ("index", "memory", "duplicates", "scoring")
    """what to measure: indexing against bare reading; peak memory at a million rows; the search for near-duplicates;
    what `score` adds to decoding and the network, which a stub stands for"""
    sizes: tuple[int, ...] = (10_000, 50_000, 200_000)
    """numbers of images"""
    rows: int = 1_000_000
    """of the manifest whose memory is measured"""
    scored: tuple[int, ...] = (10_000, 100_000)
    """numbers of images to score; 1000000 takes minutes"""
    jobs: int = os.cpu_count() or 1
    """processes, the same for indexing and for bare reading"""
    repeats: int = 3
    """of index and bare reading, alternating; the median is kept"""
    seed: int = 0
    """of pictures and hashes"""


@contextmanager
def made_set(count: int, seed: int) -> Iterator[Path]:
    """A folder of `count` small JPEG files, hard links to 1,000 that are made on the spot, and nothing left after."""
    root = Path(tempfile.mkdtemp(prefix="fakefreq-scale-"))
    try:
        rng = np.random.default_rng(seed)
        originals = []
        for number in range(MADE):
            noise = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
            picture = cv2.GaussianBlur(noise, (0, 0), 1.0)
            path = root / "originals" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            assert cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 100))])
            originals.append(path)
        for number in range(count):
            folder = root / "set" / ("real" if number % MADE < MADE // 2 else "fake") / f"{number // MADE:04d}"
            if number % (MADE // 2) == 0:
                folder.mkdir(parents=True, exist_ok=True)
            os.link(originals[number % MADE], folder / f"{number:07d}.jpg")
        yield root / "set"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def read_and_hash(paths: list[str]) -> int:
    """What every index must do at least."""
    total = 0
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123 (the fastest way is the fair one)
            content = file.read()
        hashlib.sha256(content).hexdigest()
        total += len(content)
    return total


def bare_seconds(folder: Path, jobs: int) -> float:
    """Seconds to read and hash all files by as many processes; listing them is not counted."""
    paths = sorted(str(path) for path in folder.rglob("*.jpg"))
    chunks = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        sum(pool.imap_unordered(read_and_hash, chunks))
    return time.perf_counter() - start


def index_seconds(folder: Path, out: Path, jobs: int, fresh: bool) -> tuple[float, float]:
    """Seconds and peak MiB of a whole `index`, from listing the folder to the written manifest, in its own process."""
    code = (
        "import sys, time; from fakefreq.data.manifests import index_folder; start = time.perf_counter();"
        f"index_folder(sys.argv[1], sys.argv[2], jobs={jobs}, fresh={fresh}, group_by='file');"
        f"print(time.perf_counter() - start, {PEAK})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(out)], capture_output=True, text=True, check=True
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def measure_index(config: Config) -> Iterator[dict[str, object]]:
    """Rate of indexing over the rate of reading and hashing; and of indexing again when nothing changed."""
    for count in config.sizes:
        with made_set(count, config.seed) as folder:
            bare_seconds(folder, config.jobs)  # warms the file cache for both
            bare, index, again, peak = [], [], [], []
            for _ in range(config.repeats):
                out = folder.parent / "m.csv"
                bare.append(bare_seconds(folder, config.jobs))
                for path in folder.parent.glob(".m.csv*"):
                    path.unlink()
                seconds, memory = index_seconds(folder, out, config.jobs, fresh=False)
                index.append(seconds)
                peak.append(memory)
                again.append(index_seconds(folder, out, config.jobs, fresh=False)[0])
        ratios = sorted(b / i for b, i in zip(bare, index, strict=True))
        for name, value in (
            ("bare seconds", np.median(bare)),
            ("index seconds", np.median(index)),
            ("index rate over bare rate, median", np.median(ratios)),
            ("index rate over bare rate, least", ratios[0]),
            ("index again seconds", np.median(again)),
            ("index peak MiB", max(peak)),
        ):
            yield {"part": "index", "images": count, "quantity": name, "value": float(value), "repeats": config.repeats}


def made_manifest(count: int, seed: int) -> pd.DataFrame:
    """A manifest of `count` images that do not exist, with all columns filled as real ones are."""
    from fakefreq.data.manifests import COLUMNS

    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    text = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    paths = [f"some/folder/of/faces/{number // 1000:04d}/{number:08d}.jpg" for number in range(count)]
    columns: dict[str, object] = {
        "path": pd.Series(paths, dtype="str"),
        "label": label,
        "generator": pd.Series(np.where(label, "stylegan2", ""), dtype="str"),
        "source": pd.Series(np.where(label, "", "ffhq"), dtype="str"),
        "group": pd.Series([f"{number // 2:08d}" for number in range(count)], dtype="str"),
        "width": 256, "height": 256, "jpeg_quality": rng.integers(60, 100, count), "progressive": 0,
        "bytes": rng.integers(5000, 9000, count),
        "sha256": pd.Series([row.tobytes().hex() for row in text], dtype="str"),
        "phash": pd.Series([row.tobytes()[::-1].hex() for row in text], dtype="str"),
    }  # fmt: skip
    texts = {
        "format": "jpeg",
        "mode": "rgb",
        "subsampling": "4:2:0",
        "subset": "",
        "split": "",
        "software": "",
        "icc": "",
    }
    return pd.DataFrame({**columns, **texts})[COLUMNS]


def peak_of(step: str, path: Path) -> tuple[float, float]:
    """Seconds and peak MiB of one step on a manifest file, in a process of its own."""
    steps = {
        "read": "read_manifest(path)",
        "read and digest": "manifest_digest(read_manifest(path))",
        "read, split by group, write": "rewrite_split(path, path.with_name('split' + path.suffix), (.7, .1, .2), 0)",
    }
    code = (
        "import sys, time; from pathlib import Path; from fakefreq.data.manifests import *;"
        f"path = Path(sys.argv[1]); start = time.perf_counter(); {steps[step]};"
        f"print(time.perf_counter() - start, {PEAK})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def measure_memory(config: Config) -> Iterator[dict[str, object]]:
    """Peak memory of a process that works on a manifest of a million rows."""
    from fakefreq.data.manifests import write_manifest

    with tempfile.TemporaryDirectory(prefix="fakefreq-scale-") as folder:
        for suffix in ("csv", "parquet"):
            path = Path(folder) / f"m.{suffix}"
            write_manifest(made_manifest(config.rows, config.seed), path)
            yield {
                "part": "memory",
                "images": config.rows,
                "quantity": f"{suffix} MiB on disk",
                "value": path.stat().st_size / 2**20,
            }
            for step in ("read", "read and digest", "read, split by group, write"):
                seconds, memory = peak_of(step, path)
                yield {
                    "part": "memory",
                    "images": config.rows,
                    "quantity": f"{suffix}: {step}, seconds",
                    "value": seconds,
                }
                yield {
                    "part": "memory",
                    "images": config.rows,
                    "quantity": f"{suffix}: {step}, peak MiB",
                    "value": memory,
                }


def measure_duplicates(config: Config) -> Iterator[dict[str, object]]:
    """Time of the search, and the planted pairs that it finds: each 100th hash has a copy with 10 bits changed."""
    from fakefreq.data.manifest.duplicates import NEAR_BITS, SEARCH_RADIUS, count_bits, find_pairs

    for count in config.sizes:
        rng = np.random.default_rng(config.seed)
        whole = rng.integers(0, 2**64, (count - count // 101, 4), dtype=np.uint64)
        planted = rng.choice(len(whole), count // 101, replace=False)
        copies = whole[planted].copy()
        for row in copies:
            for bit in rng.choice(256, 10, replace=False):
                row[bit // 64] ^= np.uint64(1 << int(bit % 64))
        findable = int((count_bits(copies[:, 0] ^ whole[planted, 0]) <= SEARCH_RADIUS).sum())
        start = time.perf_counter()
        pairs = find_pairs(np.concatenate([whole, copies]), SEARCH_RADIUS, NEAR_BITS)
        seconds = time.perf_counter() - start
        for name, value in (
            ("search seconds", seconds),
            ("planted within the radius", findable),
            ("pairs found", len(pairs)),
        ):
            yield {"part": "duplicates", "images": count, "quantity": name, "value": float(value), "repeats": 1}


# Logits without images: what is left is reading the manifest, checking it, shards, and merging them.
SCORE = f"""
import sys, time
import numpy as np
from fakefreq.cli import main
from fakefreq.evaluate import corpus
from fakefreq.evaluate.scores import KEY_COLUMNS
def score_rows(detector, rows, *arguments, **named):
    logits = np.sin(np.arange(len(rows)))
    return rows[KEY_COLUMNS].assign(logit=logits, probability=1 / (1 + np.exp(-logits))), []
corpus.score_rows = score_rows
start = time.perf_counter()
assert main(["score", *sys.argv[1:], "--quiet"]) == 0
print(time.perf_counter() - start, {PEAK})
"""


def measure_scoring(config: Config) -> Iterator[dict[str, object]]:
    """Time an image and peak memory of `fakefreq score` with a stub for decoding and the network."""
    import fakefreq
    from fakefreq.data.manifests import write_manifest
    from fakefreq.models.weights import save_detector

    with tempfile.TemporaryDirectory(prefix="fakefreq-scale-") as folder:
        weights = Path(folder) / "stub.safetensors"
        save_detector(fakefreq.create_detector("frequency", spectrum="block_dct"), weights)
        for count in config.scored:
            rows = made_manifest(count, config.seed).assign(phash="")
            for suffix in ("csv", "parquet"):
                manifest, out = (Path(folder) / f"{name}_{count}.{suffix}" for name in ("manifest", "scores"))
                write_manifest(rows, manifest)
                words = [sys.executable, "-c", SCORE, str(weights), str(manifest), "--out", str(out)]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                seconds, memory = map(float, done.stdout.split())
                for name, value in (
                    ("seconds", seconds),
                    ("microseconds an image", 1e6 * seconds / count),
                    ("peak MiB", memory),
                    ("MiB of scores", out.stat().st_size / 2**20),
                ):
                    yield {"part": "scoring", "images": count, "quantity": f"{suffix}: {name}", "value": value}


MEASURES: dict[Part, Callable[[Config], Iterator[dict[str, object]]]] = {
    "index": measure_index,
    "memory": measure_memory,
    "duplicates": measure_duplicates,
    "scoring": measure_scoring,
}


def main(config: Config) -> None:
    """Measure, print, and write the table after each part."""
    kept = pd.read_csv(config.out) if config.out.exists() else pd.DataFrame(columns=["part"])
    for part in config.parts:
        rows = []
        for row in MEASURES[part](config):
            rows.append({**row, "processes": config.jobs if part == "index" else 1})
            print(f"{part}: {row['images']} images: {row['quantity']}: {row['value']:.4g}", flush=True)
        parts = [kept[kept["part"] != part], pd.DataFrame(rows)]
        kept = pd.concat([one for one in parts if len(one)], ignore_index=True)
        with atomic_path(config.out) as temporary:
            kept.to_csv(temporary, index=False, float_format="%.5g")
    print(f"table: {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
