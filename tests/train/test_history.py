"""One history from training to the last score: it is named once, kept with the weights, and never applied twice."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.data.degrade.distortions import jpeg
from fakefreq.data.degrade.history import draw_quality, parse_history
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.images.decode import read_image
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.samples import Augment
from fakefreq.data.manifest.align import align_manifest
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import predict_files, score_degraded, score_rows
from fakefreq.evaluate.scores import read_scores
from fakefreq.messages import shown_messages
from fakefreq.models import create_detector, load_detector, save_detector
from fakefreq.simulated.fakes import make_twins
from fakefreq.train.features import frozen_features
from fakefreq.train.train import train
from tests.helpers.small_runs import tiny_config

HISTORY = "size=48,kernel=any,codec=jpeg:60-90"
CONFIG = tiny_config(detector="frequency", batch_size=16, rotate=5.0)


@pytest.fixture(scope="module")
def originals(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("originals") / "manifest.csv"
    manifest, _ = index_folder(tiny_set, path)
    manifest = split_manifest(manifest, (0.6, 0.2, 0.2), seed=0)
    # The order that `align` gives its files, so that both tables train in one order.
    write_manifest(manifest.sort_values(["subset", "label", "sha256"], ignore_index=True), path)
    return path


@pytest.fixture(scope="module")
def aligned(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("aligned") / "files"
    align_manifest(originals, out, parse_history(HISTORY))
    return out / "manifest.csv"


@pytest.fixture(scope="module")
def run(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "on_the_way"
    with shown_messages(), contextlib.redirect_stdout(io.StringIO()) as shown:
        train(originals, out, replace(CONFIG, history=HISTORY))
    assert any(
        "every image, real or fake, goes through" in line and "size=48" in line
        for line in shown.getvalue().splitlines()
    )
    return out


@pytest.mark.slow
def test_on_the_way_in_it_trains_validates_and_scores_as_on_aligned_files(
    originals: Path, aligned: Path, run: Path, tmp_path: Path
) -> None:
    train(aligned, tmp_path / "files", CONFIG)
    ours, theirs = (load_file(folder / "best.safetensors") for folder in (run, tmp_path / "files"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    val = [read_scores(folder / "val_scores.csv")["logit"].tolist() for folder in (run, tmp_path / "files")]
    assert val[0] == val[1]
    on_the_way, _ = score_rows(load_detector(run), read_manifest(originals), originals.parent, workers=0)
    from_files, _ = score_rows(load_detector(tmp_path / "files"), read_manifest(aligned), aligned.parent, workers=0)
    assert on_the_way["logit"].tolist() == from_files["logit"].tolist()
    assert on_the_way["logit"].nunique() > 1


def test_the_detector_carries_it_and_predict_and_sweeps_follow(originals: Path, run: Path, tmp_path: Path) -> None:
    detector = load_detector(run)
    assert detector.input == InputConfig(crop=CONFIG.crop, history=str(parse_history(HISTORY)))
    save_detector(detector, tmp_path / "copy.safetensors")
    assert load_detector(tmp_path / "copy.safetensors").input == detector.input
    rows = read_manifest(originals).iloc[:6].reset_index(drop=True)
    scored, _ = score_rows(detector, rows, originals.parent, workers=0)
    predicted = predict_files(detector, [originals.parent / path for path in rows["path"]])
    assert predicted["logit"].tolist() == scored["logit"].tolist()
    swept = score_degraded(detector, rows, originals.parent, parse_degradation("none"))
    np.testing.assert_allclose(swept, scored["logit"], rtol=0, atol=1e-5)
    detector = detector.replace(replace(detector.input, history=""))
    bare, _ = score_rows(detector, rows, originals.parent, workers=0)
    assert (bare["logit"] != scored["logit"]).all()


def test_kept_features_are_of_the_images_after_it(originals: Path, run: Path, tmp_path: Path) -> None:
    rows, detector = read_manifest(originals).iloc[:4].reset_index(drop=True), load_detector(run)
    through = np.array(frozen_features(detector, rows, originals.parent, crop=48, folder=tmp_path, workers=0))
    detector = detector.replace(replace(detector.input, history=""))
    bare = np.array(frozen_features(detector, rows, originals.parent, crop=48, folder=tmp_path, workers=0))
    assert through.shape == bare.shape and not np.allclose(through, bare)


def test_a_second_history_is_refused_in_training_and_scoring(
    aligned: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="gone through crop=center,size=48.*already.*leave --history empty"):
        train(aligned, tmp_path / "run", replace(CONFIG, history=HISTORY))
    assert not (tmp_path / "run").exists()
    assert main(["score", str(run), str(aligned), "--out", str(tmp_path / "scores.csv")]) != 0
    assert "give --history none" in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()


def test_the_command_takes_the_detectors_own_or_what_it_is_told(
    originals: Path, aligned: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--workers", "0", "--device", "cpu", "--split", "test"]
    main(["score", str(run), str(originals), "--out", str(tmp_path / "own.csv"), *words])
    assert "every image, real or fake, goes through crop=center,size=48" in capsys.readouterr().out
    main(["score", str(run), str(aligned), "--out", str(tmp_path / "files.csv"), "--history", "none", *words])
    assert "goes through" not in capsys.readouterr().out
    main(["score", str(run), str(originals), "--out", str(tmp_path / "other.csv"), "--history", "size=48", *words])
    own, files, other = (read_scores(tmp_path / f"{name}.csv")["logit"].tolist() for name in ("own", "files", "other"))
    assert own == files and own != other


def test_a_wrong_one_is_refused_before_anything_is_written(originals: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--history"):
        train(originals, tmp_path / "run", replace(CONFIG, history="sise=48"))
    with pytest.raises(UserError, match="--history size= takes 8 or more"):
        train(originals, tmp_path / "run", replace(CONFIG, history="size=4"))
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_history_is_refused(originals: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"learnt from images brought through crop=center,size=48.*this run through none"
    ):
        train(originals, tmp_path / "run", replace(CONFIG, teacher=str(run)))


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["jpeg:50-80", "webp:60", "png"])
def test_a_twin_ends_in_the_codec_that_its_parent_met(originals: Path, codec: str) -> None:
    history = parse_history(f"size=48,codec={codec}")
    rows = read_manifest(originals)
    rows = rows[(rows["label"] == 0) & (rows["subset"] == "alpha")].reset_index(drop=True)
    twins = make_twins(rows, 1.0, "bilinear", history)
    assert twins is not None
    make = twins.make
    assert make.codec == history.codec  # type: ignore[attr-defined]
    qualities = make.quality  # type: ignore[attr-defined]
    if codec == "png":
        assert set(qualities) == {0}
        return
    assert list(qualities) == [draw_quality(history, sha256, 0) for sha256 in rows["sha256"]]
    photo: NDArray[np.uint8] = np.asarray(read_image(originals.parent / rows["path"][0]))[:48, :48]
    twin = make(np.ascontiguousarray(photo), 0, np.random.default_rng(0))
    bare = replace(make, quality=(0,) * len(rows))(np.ascontiguousarray(photo), 0, np.random.default_rng(0))  # type: ignore[type-var]
    assert twin is not None and bare is not None and not np.array_equal(twin, bare)
    if codec.startswith("jpeg"):
        np.testing.assert_array_equal(twin, jpeg(bare, qualities[0]))


def test_training_augments_after_it_by_one_law(originals: Path) -> None:
    rows, history = read_manifest(originals), parse_history("size=48,codec=png")
    rows = rows.iloc[:12].reset_index(drop=True)
    plain = Augment(flip=False)

    def pixels(labels: pd.Series, history_text: str) -> torch.Tensor:
        batches = make_batches(
            rows.assign(label=labels), originals.parent, 48, 12, True, augment=plain, workers=0,
            history=parse_history(history_text),
        )  # fmt: skip
        return torch.cat([batch.images for batch in batches])

    turned = 1 - rows["label"]
    assert torch.equal(pixels(rows["label"], str(history)), pixels(turned, str(history)))
    assert not torch.equal(pixels(rows["label"], str(history)), pixels(turned, HISTORY))


def test_a_new_detector_has_none() -> None:
    assert create_detector("frequency").input == InputConfig()
