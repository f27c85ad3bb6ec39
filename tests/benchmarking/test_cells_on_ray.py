"""Cells and shards on a Ray cluster: a machine that is lost takes none with it; tables are those of one machine."""

import logging
import resource
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fakefreq
from fakefreq.benchmarking.run import benchmark
from fakefreq.cli import main
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import corpus
from fakefreq.models.weights import save_detector
from fakefreq.threads import one_torch_thread
from tests.benchmarking.conftest import TINY, tiny_plan
from tests.benchmarking.test_cells import TABLES

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'fakefreq[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")
ON_RAY = Engine(engine="ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one CPU each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.connect()
        yield made
        ray.shutdown()
        made.shutdown()


def test_failures_are_told_as_on_one_machine(cluster: Any) -> None:
    del cluster

    def work(task: int) -> str:
        if task == 1:
            raise ValueError("no room")
        return "mend it" if task == 2 else ""

    ended = dict(ON_RAY.run(work, [0, 1, 2]))
    assert ended == {0: "", 1: "on a machine of the cluster: no room", 2: "mend it"}


def test_what_no_machine_has_is_refused(cluster: Any) -> None:
    del cluster
    with pytest.raises(UserError, match="no machine of the Ray cluster has 1 CPUs and 2 GPUs for a task; lower"):
        list(replace(ON_RAY, gpus_each=2.0).run(str, [0]))


def test_a_machine_that_is_lost_leaves_the_same_tables(
    cluster: Any, small_manifest: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    plan = tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel"], seeds=[0, 1])
    config = replace(TINY, detector="pixel", epochs=4)
    plan = replace(plan, train_on=("alpha",), detectors={"pixel": config})
    second = cluster.add_node(num_cpus=1)

    def take_away() -> None:
        while len(list(tmp_path.glob("ray/cells/*/run"))) < 2:
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)

    remover = threading.Thread(target=take_away)
    remover.start()
    with logged.at_level(logging.INFO, "fakefreq"):
        outcomes = benchmark(plan, tmp_path / "ray", ON_RAY).outcomes
    remover.join()
    assert all(outcome.is_done for outcome in outcomes)
    assert "was lost" in logged.text and "it is done again" in logged.text
    with one_torch_thread():
        benchmark(plan, tmp_path / "local")
    for name in TABLES:
        one, other = ((tmp_path / kind / f"{name}.csv").read_bytes() for kind in ("ray", "local"))
        assert one == other, name
    scores = [next((tmp_path / kind).glob("scores.*")).read_bytes() for kind in ("ray", "local")]
    assert scores[0] == scores[1]
    assert not pd.read_csv(tmp_path / "ray" / "metrics.csv").empty


def test_shards_are_scored_on_the_cluster_as_in_one_process(
    cluster: Any, small_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del cluster
    detector = fakefreq.create_detector("pixel", backbone="test_resnet", pretrained="none")
    save_detector(detector.replace(replace(detector.input, crop=32)), tmp_path / "best.safetensors")
    for kind, more in (("local", []), ("ray", ["--engine", "ray", "--shard-rows", "7"])):
        words = ["score", str(tmp_path / "best.safetensors"), str(small_manifest), "--workers", "0"]
        assert main([*words, "--out", str(tmp_path / kind / "scores.csv"), *more]) == 0, capsys.readouterr().err
    tables = [pd.read_csv(tmp_path / kind / "scores.csv") for kind in ("local", "ray")]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=False, rtol=1e-5, atol=1e-5)
    assert len(tables[0]) > 14


def test_a_full_disk_of_one_machine_is_told_and_the_rerun_goes_on(
    cluster: Any,
    small_manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del cluster
    detector = fakefreq.create_detector("pixel", backbone="test_resnet", pretrained="none")
    save_detector(detector.replace(replace(detector.input, crop=32)), tmp_path / "best.safetensors")
    score = corpus._score

    def where_a_disk_is_full(shard: corpus._Shard) -> str:
        if shard.name != "000001":
            return score(shard)
        # The real thing, from the kernel: no file of this process may grow beyond this.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            return score(shard)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    words = ["score", str(tmp_path / "best.safetensors"), str(small_manifest), "--workers", "0", "--shard-rows", "7"]
    on_ray = [*words, "--engine", "ray", "--out", str(tmp_path / "ray" / "scores.csv")]
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_score", where_a_disk_is_full)
        assert main(on_ray) == 2
    told = capsys.readouterr().err
    assert "cannot write" in told and "File too large" in told and "000001" in told
    assert not (tmp_path / "ray" / "scores.csv").exists()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "ray").glob("scores_shards/*/00000*")}
    assert "000001.parquet" not in kept and "000001.csv" not in kept and kept
    assert main(on_ray) == 0
    assert "are scored already" in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "local" / "scores.csv")]) == 0
    tables = [pd.read_csv(tmp_path / kind / "scores.csv") for kind in ("local", "ray")]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=False, rtol=1e-5, atol=1e-5)
