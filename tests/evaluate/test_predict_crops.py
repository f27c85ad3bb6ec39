"""Several views of an image: cut where they should be, averaged as logits, and one view is the centre crop as ever."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.config.run import TrainConfig
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import MOST_VIEWS, crop_image, crop_views
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import score_degraded, score_rows
from fakefreq.evaluate.scores import read_scores
from fakefreq.models import Detector, create_detector, load_detector, save_detector
from fakefreq.train.train import train
from tests.helpers.small_runs import tiny_config


@pytest.fixture(scope="module")
def manifest(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "manifest.csv"
    index_folder(tiny_set, path)
    rewrite_split(path, path, (0.6, 0.2, 0.2), seed=0, keep=True)
    return path


@pytest.fixture(scope="module")
def rows(manifest: Path) -> pd.DataFrame:
    from fakefreq.data.manifests import read_manifest

    return read_manifest(manifest).iloc[:9].reset_index(drop=True)


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    given = InputConfig(crop=48)
    return create_detector("two_stream", backbone="test_efficientnet", pretrained="none", input=given).eval()


def test_the_views_are_centre_corners_and_mirror_images() -> None:
    image = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5, 1).repeat(3, axis=2)
    views = crop_views(image, 4, MOST_VIEWS)[..., 0]
    assert views.shape == (10, 4, 4)
    np.testing.assert_array_equal(views[0], crop_image(image, 4, 0.5, 0.5)[..., 0])
    corners = {(view[0, 0].item(), view[-1, -1].item()) for view in views[2:6]}
    assert corners == {(0, 18), (1, 19), (10, 28), (11, 29)}
    for plain, mirrored in ((0, 1), (2, 6), (3, 7), (4, 8), (5, 9)):
        np.testing.assert_array_equal(views[mirrored], views[plain][:, ::-1])
    assert len({view.tobytes() for view in views}) == 10
    for views_ in (1, 2, 5):
        np.testing.assert_array_equal(crop_views(image, 4, views_)[..., 0], views[:views_])


def test_one_view_is_the_centre_crop_scored_to_the_bit(rows: pd.DataFrame, manifest: Path, detector: Detector) -> None:
    scored, _ = score_rows(detector, rows, manifest.parent, batch_size=4, workers=0)
    images = [crop_image(np.asarray(read_image(manifest.parent / path)), 48, 0.5, 0.5) for path in rows["path"]]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = torch.cat([detector(part) for part in torch.split(pixels, 4)]).numpy()
    assert scored["logit"].tolist() == expected.astype(np.float64).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("views", [2, 6, 10])
def test_several_are_the_mean_of_their_logits_for_any_batch_and_workers(
    rows: pd.DataFrame, manifest: Path, detector: Detector, views: int
) -> None:
    detector = detector.replace(InputConfig(crop=48, views=views))
    expected = []
    for path in rows["path"]:
        cut = crop_views(np.asarray(read_image(manifest.parent / path)), 48, views)
        with torch.inference_mode():
            expected.append(detector(torch.from_numpy(cut).permute(0, 3, 1, 2)).double().mean().item())
    for batch_size, workers in ((4, 0), (9, 0), (4, 2)):
        scored, _ = score_rows(detector, rows, manifest.parent, batch_size=batch_size, workers=workers)
        np.testing.assert_allclose(scored["logit"], expected, atol=1e-5)
    swept = score_degraded(detector, rows, manifest.parent, parse_degradation("none"))
    np.testing.assert_allclose(swept, expected, atol=1e-5)
    again, _ = score_rows(detector, rows, manifest.parent, batch_size=4, workers=2)
    assert again["logit"].tolist() == scored["logit"].tolist()


def test_a_mirrored_image_has_the_score_of_the_image(rows: pd.DataFrame, manifest: Path, detector: Detector) -> None:
    def score(image: np.ndarray) -> float:
        with torch.inference_mode():
            return float(detector(torch.from_numpy(crop_views(image, 48, 2)).permute(0, 3, 1, 2)).double().mean())

    image = np.asarray(read_image(manifest.parent / rows["path"][0]))
    # A centre that lies on whole pixels: 64 - 48 is even.
    assert score(image) == pytest.approx(score(np.ascontiguousarray(image[:, ::-1])), abs=1e-6)


@pytest.mark.slow
def test_their_number_goes_with_the_weights_and_every_command_follows(manifest: Path, tmp_path: Path) -> None:
    config = tiny_config(detector="frequency", views=2, max_steps=1)
    train(manifest, tmp_path / "run", config)
    assert load_detector(tmp_path / "run").input == InputConfig(crop=48, views=2)
    words = ["--workers", "0", "--device", "cpu", "--split", "val"]
    for name, more in (("own", []), ("two", ["--views", "2"]), ("one", ["--views", "1"])):
        main(["score", str(tmp_path / "run"), str(manifest), "--out", str(tmp_path / f"{name}.csv"), *words, *more])
    own, two, one = (read_scores(tmp_path / f"{name}.csv").set_index("path")["logit"] for name in ("own", "two", "one"))
    assert own.tolist() == two.tolist() and own.tolist() != one.tolist()
    validated = read_scores(tmp_path / "run" / "val_scores.csv").set_index("path")["logit"]
    assert own[validated.index].tolist() == validated.tolist()


@pytest.mark.parametrize("views", [0, 11])
def test_a_number_that_there_is_not_is_refused(manifest: Path, rows: pd.DataFrame, tmp_path: Path, views: int) -> None:
    with pytest.raises(UserError, match=f"--views is {views}; it takes 1 to 10"):
        train(manifest, tmp_path / "run", replace(TrainConfig(), views=views))
    with pytest.raises(UserError, match="--views"):
        make_batches(rows, manifest.parent, 48, 4, False, views=views)


def test_a_file_without_the_number_means_one(tmp_path: Path, detector: Detector) -> None:
    save_detector(detector, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as stored:
        header = json.loads(stored.metadata()["fakefreq"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    # As files were before history and views: the crop beside the rest.
    header["crop"] = header.pop("input")["crop"]
    save_file(tensors, tmp_path / "old.safetensors", metadata={"fakefreq": json.dumps(header)})
    assert load_detector(tmp_path / "old.safetensors").input == InputConfig(crop=48, views=1)
