"""Degrading both classes, fakes alone and reals alone: each image's scores are made once and mixed as the side says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.benchmarking import sweep
from fakefreq.benchmarking.run import benchmark
from fakefreq.benchmarking.sweep import sweep_runs
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc, false_positive_rate, true_positive_rate
from fakefreq.evaluate.predict import score_degraded, score_rows
from fakefreq.evaluate.robustness import ROBUSTNESS_COLUMNS, SWEEP, family_and_level, read_sweep, take
from fakefreq.files import read_json
from fakefreq.models import load_detector
from fakefreq.train.train import train
from tests.benchmarking.conftest import TINY, tiny_plan
from tests.helpers.drawn_scores import draw_benchmark
from tests.helpers.scripts import script

pytestmark = pytest.mark.slow

WORDS = ("jpeg:20", "jpeg:60", "noise:12")


@pytest.fixture(scope="module")
def run(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "pixel"
    train(small_manifest, folder, replace(TINY, detector="pixel", train_on=("alpha",)))
    return folder


@pytest.fixture(scope="module")
def swept(run: Path, small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("swept")
    sweep_runs([run], small_manifest, read_sweep(WORDS), 0, out, draws=100)
    return out, pd.read_csv(out / "robustness.csv", dtype={"seed": str})


def value(table: Any, degradation: str, side: str, metric: str, test: str = "beta") -> float:
    chosen = table[(table["degradation"].str.startswith(degradation)) & (table["applied_to"] == side)]
    chosen = chosen[(chosen["metric"] == metric) & (chosen["test"] == test)]
    assert len(chosen) == 1
    return float(chosen["value"].iloc[0])


def test_each_side_mixes_the_scores_of_degraded_and_untouched_images(
    swept: tuple[Path, Any], run: Path, small_manifest: Path
) -> None:
    _, table = swept
    assert list(table) == ROBUSTNESS_COLUMNS
    manifest = read_manifest(small_manifest)
    rows = manifest[manifest["subset"] == "beta"].sort_values("path").reset_index(drop=True)
    rows = rows[~rows["group"].isin(manifest.loc[(manifest["subset"] == "alpha"), "group"])].reset_index(drop=True)
    detector, labels = load_detector(run), rows["label"].to_numpy()
    threshold = float(read_json(run / "summary.json", "summary")["threshold"])
    plain = score_degraded(detector, rows, small_manifest.parent, parse_degradation("none"))
    np.testing.assert_allclose(plain, score_rows(detector, rows, small_manifest.parent)[0]["logit"], atol=1e-5)
    worse = score_degraded(detector, rows, small_manifest.parent, parse_degradation("noise:12"))
    assert not np.allclose(plain, worse)
    for side, fake, real in (("both", worse, worse), ("fakes", worse, plain), ("reals", plain, worse)):
        logits = np.where(labels == 1, fake, real)
        for metric, expected in (
            ("auc", auc(labels, logits)),
            ("fpr", false_positive_rate(labels, logits, threshold)),
            ("tpr", true_positive_rate(labels, logits, threshold)),
        ):
            assert value(table, "noise", side, metric) == pytest.approx(expected, abs=1e-4), (side, metric)
    chosen = table[table["note"].isna() & table["value"].notna() & (table["kind"] == "generator")]
    for row in chosen.itertuples():
        start = value(table, "none", "both", row.metric, row.test)
        assert row.difference == pytest.approx(row.value - start, abs=1e-5)


def test_what_was_scored_is_not_scored_again(
    swept: tuple[Path, Any], run: Path, small_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, table = swept
    monkeypatch.setattr(sweep, "score_degraded", lambda *_: pytest.fail("scored again"))
    again = sweep_runs([run], small_manifest, read_sweep(WORDS), 0, out, draws=100)
    assert len(again) == len(table)


def test_two_processes_give_the_table_of_one(run: Path, small_manifest: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train(small_manifest, other, replace(TINY, detector="pixel", train_on=("alpha",), seed=1))
    tables = []
    for jobs in (1, 2):
        out = tmp_path / f"by_{jobs}"
        sweep_runs([run, other], small_manifest, read_sweep(WORDS[:1]), 4, out, draws=100, engine=Engine(jobs=jobs))
        tables.append(pd.read_csv(out / "robustness.csv"))
    pd.testing.assert_frame_equal(tables[0], tables[1], rtol=1e-4, atol=1e-4)


def test_every_batch_size_and_call_meets_the_same_pixels(run: Path, small_manifest: Path) -> None:
    rows, detector = read_manifest(small_manifest).iloc[:7], load_detector(run)
    several = [
        score_degraded(detector, some, small_manifest.parent, parse_degradation("social"), seed, size)
        for some, seed, size in ((rows, 0, 3), (rows, 0, 7), (rows.iloc[::-1], 0, 2), (rows, 1, 7))
    ]
    np.testing.assert_allclose(several[0], several[1], atol=1e-5)
    np.testing.assert_allclose(several[0], several[2][::-1], atol=1e-5)
    assert not np.allclose(several[0], several[3], atol=1e-5)


def test_some_images_are_the_same_ones_always(small_manifest: Path) -> None:
    rows = read_manifest(small_manifest)
    few = take(rows, 4)
    assert few.groupby(["label", "subset", "generator"], observed=True).size().max() == 4
    assert take(rows.sample(frac=1, random_state=1), 4)["path"].tolist() == few["path"].tolist()
    assert set(few["path"]) < set(take(rows, 6)["path"]) and len(take(rows, 0)) == len(rows)


def test_the_default_sweep_has_every_family_of_degradation() -> None:
    sweep = read_sweep(("default", "jpeg:60"))
    families = {family_and_level(degradation)[0].split()[0] for degradation in sweep.values()}
    assert families == {"jpeg", "webp", "blur", "resize", "noise", "crop", "double_jpeg", "social"}
    qualities = [level or 0.0 for name, level in map(family_and_level, sweep.values()) if name.startswith("jpeg")]
    assert (min(qualities), max(qualities)) == (30, 100)
    assert len(sweep) == len(SWEEP)
    with pytest.raises(UserError, match="unknown degradation"):
        read_sweep(("jpg:60",))


def test_runs_that_cannot_be_swept_are_named(run: Path, small_manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is another run of pixel, seed 0"):
        sweep_runs([run, run], small_manifest, read_sweep(WORDS), 2, tmp_path, draws=100)
    with pytest.raises(UserError, match="--limit is -1; it takes 0"):
        sweep_runs([run], small_manifest, read_sweep(WORDS), -1, tmp_path, draws=100)
    with pytest.raises(UserError, match="--sweep-limit is -1; it takes 0"):
        benchmark(tiny_plan(small_manifest), tmp_path, degrade=WORDS, degrade_limit=-1)
    with pytest.raises(UserError, match=r"is no run folder: it has no config\.yaml"):
        sweep_runs([tmp_path], small_manifest, read_sweep(WORDS), 2, tmp_path, draws=100)


def rows_of_sweep(
    run: Path, manifest: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *more: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images that were tested on, and the table."""
    seen: list[pd.DataFrame] = []
    sweep_subjects = sweep.sweep_subjects

    def told(subjects: Any, protocol: str, track: str, rows: pd.DataFrame, *given: Any, **named: Any) -> Any:
        seen.append(rows)
        return sweep_subjects(subjects, protocol, track, rows, *given, **named)

    monkeypatch.setattr(sweep, "sweep_subjects", told)
    table = sweep_runs([run, *more], manifest, read_sweep(WORDS[:1]), 0, out, draws=100)
    (rows,) = seen
    return rows, table


def test_images_that_trained_a_run_are_left_out_of_another_manifest_too(
    run: Path, small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(small_manifest)
    other, second = small_manifest.with_name("split_anew.csv"), tmp_path / "second"
    write_manifest(split_manifest(manifest, (0.3, 0.2, 0.5), seed=7, keep=False), other)
    used = manifest[(manifest["subset"] == "alpha") & manifest["split"].isin(["train", "val"])]
    rows, _ = rows_of_sweep(run, other, tmp_path, monkeypatch)
    assert len(rows) and not set(rows["sha256"]) & set(used["sha256"])
    # A further run of this training set, on that manifest: what either has seen is left out for both.
    train(other, second, replace(TINY, detector="pixel", train_on=("alpha",), seed=1))
    anew = read_manifest(other)
    used_too = anew[(anew["subset"] == "alpha") & anew["split"].isin(["train", "val"])]
    rows, _ = rows_of_sweep(run, other, tmp_path / "two", monkeypatch, second)
    assert len(rows) and not set(rows["sha256"]) & {*used["sha256"], *used_too["sha256"]}


def test_a_generator_that_the_training_s_manifest_lacked_is_unseen(
    small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(small_manifest)
    alone = small_manifest.with_name("alpha_alone.csv")
    write_manifest(manifest[manifest["subset"] == "alpha"].reset_index(drop=True), alone)
    train(alone, tmp_path / "run", replace(TINY, detector="pixel"))  # no --train-on: all there are
    rows, table = rows_of_sweep(tmp_path / "run", small_manifest, tmp_path / "out", monkeypatch)
    assert set(table["train_on"]) == {"alpha"}
    seen = table[table["kind"] == "generator"].groupby("test")["seen"].first().to_dict()
    assert seen == {"alpha": "true", "beta": "false"}
    beta = manifest[manifest["subset"] == "beta"]
    assert set(beta["path"]) <= set(rows["path"])


@pytest.mark.slow
def test_the_script_makes_table_and_figure_of_a_run(swept: tuple[Path, Any], run: Path, small_manifest: Path) -> None:
    out, table = swept
    out = out / "committed"
    script("robustness").Robustness(run, out, small_manifest, sweep=WORDS, limit=0, draws=100, work=out.parent).run()
    kept = pd.read_csv(f"{out}.csv")
    assert set(kept["applied_to"]) == {"both", "fakes", "reals"} and set(kept["metric"]) == {"auc", "fpr"}
    assert value(kept, "noise", "fakes", "auc") == pytest.approx(value(table, "noise", "fakes", "auc"), abs=1e-3)
    assert Path(f"{out}.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="nothing of the sweep is left"):
        script("robustness").Robustness(
            run, out, small_manifest, ("other",), sweep=WORDS, limit=0, draws=100, work=out.parent
        ).run()


@pytest.mark.slow
def test_the_script_makes_tables_of_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_benchmark(tmp_path, count=200)
    script("calibration").Calibration(tmp_path, tmp_path / "cal", draws=100).run()
    assert "pooled unseen" in capsys.readouterr().out
    errors, promised = pd.read_csv(tmp_path / "cal.csv"), pd.read_csv(tmp_path / "cal_coverage.csv")
    # Training sets, detectors, tests, methods, metrics; the two seeds are averaged.
    assert len(errors) == 3 * 2 * 2 * 4 * 3 and (errors["count"] <= 2).all()
    seen, unseen = (
        promised.loc[promised["test"] == f"pooled {kind}", "coverage"].mean() for kind in ("seen", "unseen")
    )
    assert seen > unseen + 0.02  # fakes of other generators look more like photographs here
    assert (tmp_path / "cal.png").read_bytes().startswith(b"\x89PNG")
