import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from fakefreq import files
from fakefreq.benchmarking.cells import SEED, Cell, execute, expand, is_done, run_cell
from fakefreq.benchmarking.code import code_digest
from fakefreq.benchmarking.plan import make_jobs, parse_detectors
from fakefreq.benchmarking.run import benchmark
from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import manifest_digest, read_manifest, write_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.files import hold, sha256_file
from fakefreq.models import create_detector, registry, save_detector
from fakefreq.models.detector import Detector
from fakefreq.train import train as train_module
from tests.benchmarking.conftest import TINY, tiny_plan

TABLES = ["metrics", "summary", "matrix", "differences", "curves", "calibration", "reliability", "abstention", "errors"]
TABLES += ["cells", "training"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in the order that OMP_NUM_THREADS=1 gives a process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _start(manifest: Path, out: Path) -> "subprocess.Popen[bytes]":
    words = ["benchmark", str(manifest), "--out", str(out), "--backbone", TINY.backbone, "--pretrained", "none"]
    words += ["--crop", str(TINY.crop), "--epochs", "1", "--batch-size", str(TINY.batch_size), "--workers", "0"]
    words += ["--draws", "100", "--allow-biased", "--spectra", "0"]
    words += ["--lattice-pairs", str(TINY.lattice_pairs)]
    code = "import sys; from fakefreq.cli import main; sys.exit(main())"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_killed_and_run_again_it_ends_in_the_same_tables_and_does_no_cell_twice(
    small_manifest: Path, tmp_path: Path
) -> None:
    benchmark(tiny_plan(small_manifest), tmp_path / "whole")
    process = _start(small_manifest, tmp_path / "killed")
    deadline = time.monotonic() + 120
    try:
        # Killed inside the second cell: one is done, another has begun.
        while len(list((tmp_path / "killed").glob("cells/*/lock"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed" / "metrics.csv").exists()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("cells/*/cell.json")}
    assert 1 <= len(finished) < 4
    outcomes = benchmark(tiny_plan(small_manifest), tmp_path / "killed").outcomes
    assert all(outcome.is_done for outcome in outcomes) and len(outcomes) == 4
    for path, stamp in finished.items():
        assert path.stat().st_mtime_ns == stamp
    for name in TABLES:
        whole, again = ((tmp_path / kind / f"{name}.csv").read_bytes() for kind in ("whole", "killed"))
        assert whole == again, name
    scores = [next((tmp_path / kind).glob("scores.*")).read_bytes() for kind in ("whole", "killed")]
    assert scores[0] == scores[1]


class _Broken(Detector):
    def forward(self, images: Tensor, lattice: Tensor | None = None) -> Tensor:
        del lattice
        raise ValueError(f"no room for {len(images)} images")


@pytest.fixture
def broken() -> Iterator[str]:
    @registry.register_detector("broken")
    def build(config: DetectorConfig, pretrained: Pretrained) -> Detector:
        whole = registry.build_detector(replace(config, name="pixel"), pretrained)
        return _Broken(config, dict(whole.streams.items()))

    yield "broken"
    registry._builders.pop("broken")


@pytest.mark.slow
def test_a_failed_cell_is_listed_and_the_others_are_done(small_manifest: Path, tmp_path: Path, broken: str) -> None:
    plan = tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel", broken])
    plan = replace(plan, train_on=("alpha",))
    outcomes = benchmark(plan, tmp_path).outcomes
    assert [outcome.is_done for outcome in outcomes] == [True, False]
    failures = pd.read_csv(tmp_path / "failures.csv")
    assert failures["detector"].tolist() == ["broken"]
    assert failures["error"].str.contains("ValueError: no room for").all()
    assert set(pd.read_csv(tmp_path / "metrics.csv")["detector"]) == {"pixel"}
    assert pd.read_csv(tmp_path / "cells.csv").set_index("detector")["status"].to_dict() == {
        "pixel": "done",
        "broken": "failed",
    }
    with pytest.raises(UserError, match="all 1 cells failed, the first so: ValueError"):
        benchmark(replace(plan, detectors={"broken": plan.detectors["broken"]}, baseline="broken"), tmp_path / "none")
    benchmark(replace(plan, detectors={"pixel": plan.detectors["pixel"]}), tmp_path)
    assert not (tmp_path / "failures.csv").exists()


@pytest.mark.slow
def test_of_two_benchmarks_on_one_folder_only_one_does_a_cell(
    small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WAIT_SECONDS", 0.0)
    plan = replace(tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel", "again=pixel"]))
    plan = replace(plan, train_on=("alpha",), detectors={**plan.detectors, "again": replace(TINY, flip=False)})
    (job,) = make_jobs(plan, {"raw": read_manifest(small_manifest)})
    with hold(tmp_path / job.cells[0].name):  # as the other benchmark does
        first, second = execute(job.cells, tmp_path)
    assert "another process works in" in first.error
    assert second.is_done
    assert all(outcome.is_done for outcome in execute(job.cells, tmp_path))


@pytest.mark.slow
def test_protocols_and_detectors_of_one_configuration_share_a_cell(small_manifest: Path, tmp_path: Path) -> None:
    # With two generators, leaving one out is training on the other; and "again" is pixel by another label.
    plan = tiny_plan(small_manifest, protocols=["matrix", "leave_one_out"], detectors=["pixel", "again=pixel"])
    benchmark(plan, tmp_path)
    assert len(list((tmp_path / "cells").iterdir())) == 2
    differences = pd.read_csv(tmp_path / "differences.csv")
    assert set(differences["protocol"]) == {"matrix", "leave_one_out"}
    assert (differences["value"] == 0).all() and (differences["p"] == 1).all()


@pytest.mark.slow
def test_with_any_code_two_streams_take_pixels_of_another_version(
    small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path | None] = []
    train = train_module.train

    def told(*given: Any, **more: Any) -> dict[str, Any]:
        taken.append(more.get("pixel_run"))
        return train(*given, **more)

    monkeypatch.setattr(train_module, "train", told)
    pixel = Cell("pixel", "raw", small_manifest, manifest_digest(read_manifest(small_manifest)), TINY).of_pixels()
    both = replace(pixel, label="two_stream", config=replace(TINY, detector="two_stream"))
    [done] = execute([pixel], tmp_path)
    older = done.folder.rename(tmp_path / f"{pixel.stem}-0ld0c0de")
    assert not is_done(tmp_path / pixel.name)
    assert all(outcome.is_done for outcome in execute([pixel, both], tmp_path, any_code=True))
    assert taken == [None, older / "run"]


@pytest.mark.slow
def test_cells_run_in_processes_too(small_manifest: Path, tmp_path: Path) -> None:
    """Also where they start processes that decode."""
    plan = replace(tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel"]), train_on=("beta",))
    plan = replace(plan, detectors={"pixel": replace(TINY, detector="pixel", workers=1)})
    outcomes = benchmark(plan, tmp_path, Engine(jobs=2)).outcomes
    assert [outcome.error for outcome in outcomes] == [""]


@pytest.mark.slow
def test_a_cell_is_known_by_configuration_images_and_code(small_manifest: Path) -> None:
    cell = Cell("pixel", "raw", small_manifest, "digest", TINY)
    assert replace(cell, label="other", track="aligned").name == cell.name
    assert replace(cell, config=replace(TINY, workers=7)).name == cell.name  # how it runs, not what it computes
    others = [replace(cell, data="other"), replace(cell, config=replace(TINY, seed=1))]
    others += [replace(cell, config=replace(TINY, train_on=("alpha",)))]
    assert len({cell.digest, *(other.digest for other in others)}) == 4
    assert cell.name.endswith(code_digest())
    assert not replace(cell, config=replace(TINY, crop=31)).is_of({"train": TINY.to_dict(), "data": "digest"})


def test_a_cell_without_a_teacher_keeps_its_digest_and_one_with_is_known_by_the_teacher_s_weights(
    small_manifest: Path, tmp_path: Path
) -> None:
    assert Cell("pixel", "raw", Path("m.csv"), "digest", TrainConfig(crop=48)).digest == "c3e1bc23e52e"
    weights = tmp_path / "seed0.safetensors"
    taught = replace(TINY, teacher=str(tmp_path / f"seed{SEED}.safetensors"))

    def of_now() -> Cell:
        return expand([("alpha",)], {"pixel": taught}, [0], "raw", small_manifest, "digest")[0]

    weights.write_bytes(b"first")
    first = of_now()
    stored = {"train": first.config.to_dict(), "data": first.data, "teacher": first.teacher}
    assert first.teacher == sha256_file(weights) and of_now() == first and first.is_of(stored)
    weights.write_bytes(b"second")
    second = of_now()
    assert second.config == first.config and second.digest != first.digest and not second.is_of(stored)
    assert not second.is_of({name: stored[name] for name in ("train", "data")})  # as older versions wrote it
    weights.unlink()
    with pytest.raises(UserError, match=r"--teacher .*seed0\.safetensors: no trained detector"):
        of_now()


@pytest.mark.slow
def test_a_teacher_that_changed_is_learnt_from_anew(small_manifest: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    config = replace(TINY, detector="pixel", train_on=("alpha",), teacher=str(teacher), distill=5.0)
    data = manifest_digest(read_manifest(small_manifest))

    def cells() -> list[Cell]:
        return expand([("alpha",)], {"pixel": config}, [0], "raw", small_manifest, data)

    learnt = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_detector(create_detector("pixel", backbone="test_resnet", pretrained="none"), teacher)
        [done] = execute(cells(), tmp_path / "cells")
        assert not done.error and done.record["teacher"] == sha256_file(teacher)
        learnt.append(sha256_file(done.folder / "run" / "best.safetensors"))
    assert learnt[0] != learnt[1]
    before = cells()
    teacher.write_bytes(b"other")
    with pytest.raises(UserError, match="--teacher .* has changed since the benchmark began"):
        run_cell(replace(before[0], config=replace(before[0].config, seed=1)), tmp_path / "late")


def test_a_manifest_that_changes_under_way_stops_the_cell(small_manifest: Path, tmp_path: Path) -> None:
    path = small_manifest.with_name("changing.csv")
    write_manifest(read_manifest(small_manifest).iloc[:-1], path)
    with pytest.raises(UserError, match="has changed since the benchmark began"):
        run_cell(Cell("pixel", "raw", path, "0123456789abcdef", TINY), tmp_path / "cell")
    assert not is_done(tmp_path / "cell")


def test_wrong_plans_are_refused_before_anything_is_trained(small_manifest: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"protocols": ["loo"]}, "unknown protocol 'loo'"),
        ({"protocols": []}, "--protocol takes one or more"),
        (
            {"config": replace(TINY, train_on=("alpha",))},
            "--train-on is alpha, which --protocol matrix does not use; leave it empty, or .* chosen or one_to_all",
        ),
        ({"protocols": ["one_to_all"]}, "one_to_all needs --train-on; the manifest has: alpha, beta"),
        ({"seeds": [1, 1]}, "--seeds"),
        ({"seeds": [0, -1]}, "--seeds is -1; it takes whole numbers from 0"),
        ({"detectors": ["pixle"]}, "no detector 'pixle'"),
        ({"baseline": "frequency"}, "--baseline is 'frequency'"),
        ({"draws": 10}, "--draws takes 100 or more"),
        ({"prevalence": 1.0}, "--prevalence"),
    ):
        with pytest.raises(UserError, match=message):
            benchmark(tiny_plan(small_manifest, **changes), tmp_path / "out")
    assert not (tmp_path / "out" / "cells").exists()
    for settings, message in (
        (["pixel=3"], "LABEL.FIELD=VALUE"),
        (["pixl.crop=3"], "unknown detector label"),
        (["pixel.cropp=3"], "unknown field 'cropp'; did you mean 'crop'"),
        (["pixel.crop=big"], "crop takes a number"),
        (["pixel.seed=3"], "unknown field 'seed'"),
    ):
        with pytest.raises(UserError, match=message):
            parse_detectors(["pixel"], settings, TINY)
    with pytest.raises(UserError, match="twice"):
        parse_detectors(["pixel", "pixel"], [], TINY)


def test_a_manifest_without_fakes_is_an_empty_protocol(small_manifest: Path, tmp_path: Path) -> None:
    reals = read_manifest(small_manifest)
    path = small_manifest.with_name("reals.csv")
    write_manifest(reals[reals["label"] == 0], path)
    with pytest.raises(UserError, match="the protocol is empty"):
        benchmark(tiny_plan(path), tmp_path)
