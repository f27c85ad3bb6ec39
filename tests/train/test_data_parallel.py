"""Processes of a launcher share training and scoring, and end where one process ends."""

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from fakefreq import ranks as ranks_module
from fakefreq.cli import main
from fakefreq.config.files import write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.data.loading.sampling import split_step
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.models import create_detector
from fakefreq.train.data_parallel import SyncedNorms, arrange, refuse_what_needs_one_process
from fakefreq.train.train import train
from tests.helpers.job_of_processes import CASES
from tests.helpers.small_runs import last, weights
from tests.helpers.surviving_runs import assert_same_end, lines

pytest.importorskip("accelerate", reason="the package accelerate is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

ROOT = Path(__file__).parents[2]
RANKS = 2
# Weights after SGD, and logits: sums in another order change the last digits.
TOLERANCE = 2e-5


def _launch(*words: str, restarts: int = 0) -> "subprocess.Popen[str]":
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}", f"--max-restarts={restarts}"]
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass
class Job:
    out: Path
    stdout: str
    stderr: str
    status: list[dict[str, int]]

    def errors(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("error")]


@pytest.fixture(scope="module")
def damaged(manifest_path: Path) -> Path:
    """The manifest with two files more, which are no images."""
    manifest = read_manifest(manifest_path)
    rows = manifest.iloc[[3, 40]].assign(path=["broken_b.jpg", "broken_a.jpg"], sha256=["0" * 64, "1" * 64])
    root = manifest_path.parent
    for path in rows["path"]:
        (root / path).write_bytes(b"no picture")
    both = pd.concat([manifest.iloc[:10], rows.iloc[:1], manifest.iloc[10:50], rows.iloc[1:], manifest.iloc[50:]])
    write_manifest(both.reset_index(drop=True), root / "damaged.csv")
    return root / "damaged.csv"


@pytest.fixture(scope="module")
def job(manifest_path: Path, damaged: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """All that `tests.helpers.job_of_processes` does, by three processes of torchrun."""
    del one_thread
    out = tmp_path_factory.mktemp("job")
    process = _launch("tests.helpers.job_of_processes", str(manifest_path), str(damaged), str(out))
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    return Job(out, stdout, stderr, [json.loads((out / f"status-{n}.json").read_text()) for n in range(RANKS)])


@pytest.fixture(scope="module")
def alone(manifest_path: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trainings by one process."""
    del one_thread
    out = tmp_path_factory.mktemp("alone")
    for name, config in CASES.items():
        train(manifest_path, out / name, config)
    return out


@pytest.mark.parametrize("case", ["all", "parts"])
def test_processes_end_in_the_weights_of_one(job: Job, alone: Path, case: str) -> None:
    assert [status[case] for status in job.status] == [0] * RANKS
    for ours, theirs in ((weights(job.out / case), weights(alone / case)), (last(job.out / case), last(alone / case))):
        assert ours.keys() == theirs.keys()
        far = [
            name
            for name, value in ours.items()
            if not torch.allclose(value, theirs[name], atol=TOLERANCE, rtol=TOLERANCE)
        ]
        assert far == []
    columns = ["epoch", "step", "phase", "loss", "accuracy", "auc", "learning_rate"]
    logs = [pd.read_csv(out / case / "log.csv")[columns] for out in (job.out, alone)]
    pd.testing.assert_frame_equal(logs[0], logs[1], rtol=1e-4)
    scores = [pd.read_csv(out / case / "val_scores.csv") for out in (job.out, alone)]
    pd.testing.assert_frame_equal(scores[0], scores[1], rtol=1e-4, atol=1e-4)


def test_half_precision_of_processes_is_that_of_one(job: Job, alone: Path) -> None:
    assert [status["bf16"] for status in job.status] == [0] * RANKS
    logs = [pd.read_csv(out / "bf16" / "log.csv") for out in (job.out, alone)]
    assert logs[0]["loss"].to_numpy() == pytest.approx(logs[1]["loss"].to_numpy(), abs=0.02)
    exact = torch.nn.functional.cosine_similarity
    ours, theirs = (torch.cat([v.flatten().float() for v in last(out / "bf16").values()]) for out in (job.out, alone))
    assert exact(ours, theirs, dim=0).item() > 0.999


def test_one_process_tells_and_writes(job: Job) -> None:
    told = job.stdout.splitlines()
    for case in CASES:
        assert sum(line.endswith(f"weights in {job.out / case / 'best.safetensors'}") for line in told) == 1
    assert sum("2 processes, each on its cpu" in line for line in told) == len(CASES) + 1  # one of them twice
    assert json.loads((job.out / "all" / "environment.json").read_text())["processes"] == RANKS
    assert [path.name for path in job.out.rglob("*.part*")] == []


def test_the_table_of_scores_is_the_same_to_the_byte(job: Job, damaged: Path, tmp_path: Path) -> None:
    assert [status["score"] for status in job.status] == [0] * RANKS
    words = ["score", str(job.out / "all"), str(damaged), "--batch-size", "8", "--on-error", "skip"]
    assert main([*words, "--out", str(tmp_path / "scores.csv")]) == 0
    for name in ("scores.csv", "scores_skipped.csv"):
        assert (job.out / name).read_bytes() == (tmp_path / name).read_bytes()
    assert pd.read_csv(tmp_path / "scores_skipped.csv")["path"].tolist() == ["broken_b.jpg", "broken_a.jpg"]


def test_what_fails_in_one_process_ends_all_and_is_told_once(job: Job) -> None:
    for name in ("index", "different", "full", "stop"):
        assert [status[name] for status in job.status] == [2] * RANKS, name
    errors = job.errors()
    assert sum("--epochs is 1 in process 0 and 3 in process 1" in line for line in errors) == 1
    assert sum("No space left on device" in line and "--resume" in line for line in errors) == 1
    assert sum("broken_" in line for line in errors) == 1
    assert sum("index is for one: start it without" in line for line in errors) == RANKS
    assert len(errors) == 3 + RANKS, "\n".join(errors)
    assert not (job.out / "none.csv").exists()


def _processes_of(launcher: int) -> dict[int, int]:
    """Rank -> process id of those that a launcher has started."""
    found: dict[int, int] = {}
    for name in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        words = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
        found |= {int(word.removeprefix(b"RANK=")): int(name) for word in words if word.startswith(b"RANK=")}
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find a process of the launcher")
def test_a_process_that_is_killed_costs_the_steps_since_the_last_state(
    manifest_path: Path, job: Job, tmp_path: Path
) -> None:
    settings, out = tmp_path / "settings.yaml", tmp_path / "run"
    write_train_config(CASES["all"], settings)
    train_words = ["train", str(manifest_path), "--config", str(settings), "--out", str(out), "--allow-biased"]
    process = _launch("fakefreq", *train_words, "--checkpoint-steps", "1", "--resume", restarts=1)
    while lines(out) < 4:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(_processes_of(process.pid)[1], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert "resuming after epoch" in stdout
    assert_same_end(out, job.out / "all")


def test_one_process_needs_no_accelerate(manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "accelerate"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    train(manifest_path, tmp_path / "run", CASES["bf16"])
    assert not torch.distributed.is_initialized()
    monkeypatch.setattr(ranks_module, "launched", lambda: 2)
    with pytest.raises(
        UserError, match=r"2 processes, and they need the package accelerate: .*fakefreq\[distributed\]"
    ):
        train(manifest_path, tmp_path / "two", CASES["bf16"])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16", "give --precision bf16 to fakefreq"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", "fakefreq trains in fp32 or bf16"),
        ("ACCELERATE_USE_FSDP", "true", "--use_fsdp.*leave it out"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "give --accumulate to fakefreq"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "--dynamo_backend.*leave it out"),
    ],
)
def test_what_a_launcher_was_told_is_obeyed_or_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setattr(ranks_module, "launched", lambda: 2)
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=told), ranks_module.joined("cpu"):
        pass


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"compile": True}, "--compile is for a single process"),
        ({"teacher": "t", "distill_features": 1.0}, "--distill-features"),
        ({"cache": "memory"}, "--cache FOLDER"),
        ({"batch_size": 2}, "--batch-size 2 leaves some without an image"),
    ],
)
def test_what_needs_one_process_is_refused(change: dict[str, object], told: str) -> None:
    detector = create_detector("frequency", spectrum="block_dct", pretrained="none")
    config = TrainConfig(**change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"3 processes work here, and .*{told}"):
        refuse_what_needs_one_process(config, detector, ranks_module.Ranks(0, 3))
    refuse_what_needs_one_process(config, detector, ranks_module.Ranks())


class _Threads(ranks_module.Ranks):
    """Three threads that stand for processes."""

    barrier = threading.Barrier(3)
    sums: ClassVar[list[torch.Tensor | None]] = [None] * 3

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        self.sums[self.rank] = values.clone()
        self.barrier.wait(30)
        total = torch.stack([value for value in self.sums if value is not None]).sum(dim=0)
        self.barrier.wait(30)
        return total


@pytest.mark.parametrize("layer", ["2d", "act", "1d"])
def test_a_norm_over_shares_is_that_of_the_whole_batch_also_where_a_share_is_empty(layer: str) -> None:
    torch.manual_seed(0)
    kinds = {"2d": nn.BatchNorm2d(4), "act": BatchNormAct2d(4), "1d": nn.BatchNorm1d(4, momentum=None)}
    norm: nn.Module = kinds[layer].double()
    shape = (5, 4) if layer == "1d" else (5, 4, 3, 2)
    whole = (torch.randn(shape, dtype=torch.float64) * 3 + 2).requires_grad_()
    slopes = torch.randn(shape, dtype=torch.float64)
    copies = [copy.deepcopy(norm) for _ in range(3)]
    expected = norm(whole)
    expected.backward(slopes)
    shares = [whole.detach()[:2].requires_grad_(), whole.detach()[2:].requires_grad_(), torch.full_like(whole[:1], 7.0)]
    shares[2] = shares[2].detach().requires_grad_()
    found: dict[int, torch.Tensor] = {}

    def work(rank: int) -> None:
        counts = rank < 2
        with SyncedNorms(_Threads(rank, 3), counts):
            found[rank] = copies[rank](shares[rank])
        wanted = (slopes[:2], slopes[2:], torch.zeros_like(slopes[:1]))[rank]
        found[rank].backward(wanted)  # type: ignore[no-untyped-call]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert whole.grad is not None
    torch.testing.assert_close(torch.cat([found[0], found[1]]), expected)
    torch.testing.assert_close(torch.cat([share.grad for share in shares[:2] if share.grad is not None]), whole.grad)
    assert shares[2].grad is not None and not shares[2].grad.any()
    for copied in copies:
        for name, value in norm.named_buffers():
            torch.testing.assert_close(copied.get_buffer(name), value)
    for name, parameter in norm.named_parameters():
        parts = [copied.get_parameter(name).grad for copied in copies]
        torch.testing.assert_close(torch.stack([part for part in parts if part is not None]).sum(0), parameter.grad)


@pytest.mark.parametrize(("count", "parts", "ranks"), [(9, 1, 2), (2, 1, 3), (7, 3, 2), (20, 4, 3)])
def test_rows_of_all_processes_are_those_of_one_in_its_order(count: int, parts: int, ranks: int) -> None:
    twin_of = [place for place in range(count) if place % 3 == 1]
    part_of, reader = split_step(count, parts, ranks)
    total = torch.zeros(count, dtype=torch.int64)
    total[twin_of] = 1

    class Told(ranks_module.Ranks):
        def sum(self, values: torch.Tensor) -> torch.Tensor:
            assert ((total - values) >= 0).all()
            return total

    order = [*range(count), *(count + number for number in range(len(twin_of)))]
    seen: list[int] = []
    by_part: dict[int, list[int]] = {}
    for rank in range(ranks):
        own = [place for place in range(count) if reader[place] == rank]
        place = torch.tensor([*own, *(place for place in own if place in twin_of)], dtype=torch.int64)
        made = torch.arange(len(place)) >= len(own)
        batch = Batch(torch.empty(0), torch.zeros(len(place)), place, made, None, place, count)
        arranged = arrange(batch, parts, Told(rank, ranks), has_twins=True)
        assert arranged.rows.total == len(order)
        seen += arranged.rows.own.tolist()
        for number, part in enumerate(arranged.parts):
            assert [part_of[where] for where in place[part.here].tolist()] == [number] * len(part.here)
            by_part.setdefault(number, []).extend(part.rows.own.tolist())
            assert part.rows.total == int(
                (part_of == number).sum() + sum(part_of[where] == number for where in twin_of)
            )
    assert sorted(seen) == order
    assert all(sorted(own) == list(range(len(own))) for own in by_part.values())
