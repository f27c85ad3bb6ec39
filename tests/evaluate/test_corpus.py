"""Scoring in shards: one table whatever the shards, and a killed scoring loses at most the shard it was at."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import fakefreq
from fakefreq.cli import main
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from fakefreq.engines import Engine
from fakefreq.errors import UserError
from fakefreq.evaluate import corpus
from fakefreq.evaluate.corpus import HowToScore, score_corpus
from fakefreq.models.weights import save_detector
from tests.conftest import draw_set

KILLED = """
import os, sys
from fakefreq.cli import main
from fakefreq.evaluate import corpus
plain = corpus.score_rows
def score_rows(detector, rows, *arguments, **named):
    if rows["path"].iloc[0] == sys.argv[1]:
        os.kill(os.getpid(), 9)
    return plain(detector, rows, *arguments, **named)
corpus.score_rows = score_rows
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw_set(tmp_path_factory.mktemp("corpus"), count=4, side=40)
    index_folder(folder, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    detector = fakefreq.create_detector("pixel", backbone="test_resnet", pretrained="none")
    save_detector(detector.replace(replace(detector.input, crop=32)), path)
    return path


def words(weights: Path, manifest: Path, out: Path, *more: str) -> list[str]:
    return ["score", str(weights), str(manifest), "--out", str(out), "--workers", "0", *more]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_shards_make_the_table_that_one_makes(suffix: str, weights: Path, manifest: Path, tmp_path: Path) -> None:
    tables = []
    for rows in ("20000", "7"):
        out = tmp_path / rows / f"scores{suffix}"
        assert main(words(weights, manifest, out, "--shard-rows", rows, "--batch-size", "1")) == 0
        assert [path.name for path in out.parent.iterdir()] == [out.name]  # the shards are gone
        tables.append(pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0]["path"].tolist() == read_manifest(manifest)["path"].tolist()
    assert tables[0]["threshold_from"].nunique() == 1


@pytest.mark.slow
def test_killed_it_goes_on_after_the_shards_that_are_there(
    weights: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "killed.csv"
    assert main(words(weights, manifest, whole, "--shard-rows", "5")) == 0
    paths = read_manifest(manifest)["path"]
    asked = words(weights, manifest, out, "--shard-rows", "5")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, "-c", KILLED, paths.iloc[10], *asked], env=environment, stdout=-3)
    assert process.returncode == -9 and not out.exists()
    (folder,) = (tmp_path / "killed_shards").iterdir()
    assert len(list(folder.glob("00*"))) == 2
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("00*")}
    capsys.readouterr()
    # With other settings nothing that is there serves.
    assert main(words(weights, manifest, tmp_path / "killed.csv", "--shard-rows", "6")) == 0
    assert "are scored already" not in (told := capsys.readouterr().out)
    assert "holds shards of other scorings" in told
    assert {path: path.stat().st_mtime_ns for path in folder.glob("00*")} == stamps
    assert main(asked) == 0
    assert f"10 of {len(paths)} images are scored already" in capsys.readouterr().out
    pd.testing.assert_frame_equal(pd.read_csv(out), pd.read_csv(whole), rtol=1e-6)
    assert not (tmp_path / "killed_shards").exists()


@pytest.mark.slow
def test_skipped_images_are_listed_whichever_shard_met_them(weights: Path, manifest: Path, tmp_path: Path) -> None:
    rows = read_manifest(manifest)
    gone = [f"gone{number}.jpg" if number in (2, 3, 9) else path for number, path in enumerate(rows["path"])]
    other = manifest.with_name("missing.csv")
    write_manifest(rows.assign(path=gone), other)
    out = tmp_path / "scores.csv"
    more = ["--shard-rows", "2", "--on-error", "skip"]  # the second shard is skipped whole
    assert main(words(weights, other, out, *more)) == 0
    assert len(pd.read_csv(out)) == len(rows) - 3
    assert pd.read_csv(tmp_path / "scores_skipped.csv")["path"].tolist() == [gone[2], gone[3], gone[9]]
    assert main(words(weights, other, out, "--shard-rows", "2")) == 2


def test_a_damaged_shard_is_told(
    weights: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_manifest(manifest).assign(manifest="digest")
    how = HowToScore(weights, fakefreq.load_detector(weights).input, manifest.parent, workers=0)
    monkeypatch.setattr(corpus, "write_all_scores", lambda tables, out: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_corpus(rows, how, tmp_path / "scores.csv", 0.0, "validation", shard_rows=10)
    monkeypatch.undo()
    first = min(tmp_path.glob("scores_shards/*/000000.*"))
    first.unlink()
    first.with_name("000001" + first.suffix).rename(first)
    with pytest.raises(UserError, match="does not hold the scores of its images; delete it"):
        score_corpus(rows, how, tmp_path / "scores.csv", 0.0, "validation", shard_rows=10)
    with pytest.raises(UserError, match="--shard-rows is 0; it takes 1 or more"):
        score_corpus(rows, how, tmp_path / "scores.csv", 0.0, "validation", shard_rows=0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "0"], "--batch-size is 0; it takes 1 or more"),
        (["--batch-size", "-1"], "--batch-size is -1; it takes 1 or more"),
        (["--workers", "-5"], "--workers is -5; it takes -1 or more"),
        (["--shard-rows", "0"], "--shard-rows is 0; it takes 1 or more"),
        (["--out", "{folder}/s.txt"], "s.txt ends neither in .csv nor in .parquet; change --out"),
    ],
)
def test_words_that_cannot_work_are_told_before_a_folder_is_indexed(
    flags: list[str], message: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--out", str(tmp_path / "scores.csv"), *(flag.format(folder=tmp_path) for flag in flags)]
    assert main(["score", str(weights), str(tmp_path / "images"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_processes_score_shards_too(workers: int, weights: Path, manifest: Path, tmp_path: Path) -> None:
    rows = read_manifest(manifest).assign(manifest="digest")
    how = HowToScore(weights, fakefreq.load_detector(weights).input, manifest.parent, workers=workers)
    for name, engine in (("one", Engine()), ("two", Engine(jobs=2))):
        score_corpus(rows, how, tmp_path / f"{name}.csv", 0.0, "validation", shard_rows=20, engine=engine)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one.csv"), pd.read_csv(tmp_path / "two.csv"), rtol=1e-5)
