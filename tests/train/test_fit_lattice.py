"""The lattice is fitted without a fake, the learnt streams learn as they would alone, and evidence adds up."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fakefreq.data.degrade.distortions import webp
from fakefreq.data.degrade.history import History
from fakefreq.data.images.decode import read_image
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import predict_files
from fakefreq.evaluate.scores import read_scores
from fakefreq.models import load_detector
from fakefreq.models.fusion import LATTICE_SHARE, LEARNT_SHARE, EvidenceFusion
from fakefreq.models.streams.lattice import (
    READ,
    SCORES,
    SIDE,
    SIDES,
    STUDIO_RANGE,
    TRACE,
    LatticeStream,
    read_lattice_of_image,
)
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.train import train as train_module
from fakefreq.train.fit_lattice import LatticeFit, _decode, _turned, fit_lattice
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG as LEARNT
from tests.helpers.small_runs import assert_same, weights

pytestmark = pytest.mark.slow

CONFIG = replace(LEARNT, spectrum="lattice", lattice_pairs=60)


@pytest.fixture(scope="module")
def photographs(manifest_path: Path) -> pd.DataFrame:
    manifest = read_manifest(manifest_path)
    return manifest[manifest["label"] == 0].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(photographs: pd.DataFrame, manifest_path: Path) -> LatticeStream:
    stream = LatticeStream()
    fit_lattice(stream, photographs, manifest_path.parent, LatticeFit(pairs=300))
    return stream


@pytest.mark.slow
def test_two_streams_hold_the_pixel_stream_that_training_pixels_alone_gives(
    manifest_path: Path, one_thread: None, tmp_path: Path
) -> None:
    del one_thread
    for name in ("pixel", "two_stream"):
        train(manifest_path, tmp_path / name, replace(CONFIG, detector=name))
    alone, both = weights(tmp_path / "pixel"), weights(tmp_path / "two_stream")
    assert_same(
        {name.replace("head.decide.", "head.decide.pixel."): value for name, value in alone.items()},
        {name: value for name, value in both.items() if name.startswith(("streams.pixel", "head.decide"))},
    )
    taken = tmp_path / "taken"
    train(manifest_path, taken, replace(CONFIG, detector="two_stream"), pixel_run=tmp_path / "pixel")
    assert_same(weights(taken), both)


@pytest.mark.parametrize("detector", ["two_stream", "lattice"])
def test_killed_between_weights_and_summary_a_run_ends_in_the_same_bits(
    manifest_path: Path, one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str
) -> None:
    del one_thread
    config = replace(CONFIG, detector=detector, epochs=1)
    whole = train(manifest_path, tmp_path / "whole", config)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "write_scores", killed)
        with pytest.raises(KeyboardInterrupt):
            train(manifest_path, tmp_path / "killed", config)
    again = train(manifest_path, tmp_path / "killed", config, resume=True)
    assert_same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    both = [(tmp_path / name / "val_scores.csv").read_bytes() for name in ("killed", "whole")]
    assert both[0] == both[1]


def test_the_largest_seed_is_taken(manifest_path: Path, tmp_path: Path) -> None:
    assert train(manifest_path, tmp_path / "run", replace(CONFIG, detector="lattice", seed=2**63 - 1))["val_auc"] > 0.5


def test_the_learnt_logit_is_calibrated_as_the_pixels_alone_would_be(manifest_path: Path, tmp_path: Path) -> None:
    """Of all other terms the fit knows nothing yet: one that is constant would end up in the offset."""
    for name in ("pixel", "two_stream"):
        train(manifest_path, tmp_path / name, replace(CONFIG, detector=name))
    scores = read_scores(tmp_path / "pixel" / "val_scores.csv")
    alone = LogisticRegression(C=1.0).fit(scores[["logit"]].to_numpy(), scores["label"])
    head = load_detector(tmp_path / "two_stream").head
    assert isinstance(head, EvidenceFusion)
    assert head.scale.tolist() == pytest.approx([alone.coef_[0, 0], alone.intercept_[0]], abs=1e-3)


def test_a_pixel_run_of_another_backbone_is_refused(manifest_path: Path, tmp_path: Path) -> None:
    train(manifest_path, tmp_path / "pixel", replace(CONFIG, detector="pixel", backbone="test_resnet", epochs=1))
    with pytest.raises(UserError, match="another pixel stream"):
        train(manifest_path, tmp_path / "both", CONFIG, pixel_run=tmp_path / "pixel")


def test_the_lattice_detector_needs_no_fake_and_keeps_the_false_alarms_that_were_asked_for(
    manifest_path: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(manifest_path)
    only = manifest_path.with_name("photographs.csv")
    write_manifest(manifest[manifest["label"] == 0], only)
    config = replace(CONFIG, detector="lattice", train_on=(), false_alarms=0.2)
    summary = train(only, tmp_path / "run", config)
    detector = load_detector(tmp_path / "run")
    assert detector.lattice is not None and detector.lattice.is_fitted
    assert summary["val_auc"] is None
    assert float((detector.lattice.null > detector.threshold).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(detector.lattice.pvalue(torch.tensor(detector.threshold))) == pytest.approx(0.2, abs=0.01)
    scores = read_scores(tmp_path / "run" / "val_scores.csv")
    assert scores["lattice_pvalue"].astype(float).between(0, 1).all()


def test_a_fit_repeats_to_the_bit_for_any_number_of_threads(
    photographs: pd.DataFrame, manifest_path: Path, fitted: LatticeStream
) -> None:
    again = LatticeStream()
    shuffled = photographs.sample(frac=1, random_state=1)
    fit_lattice(again, shuffled, manifest_path.parent, LatticeFit(pairs=300), jobs=1)
    assert_same(dict(fitted.state_dict()), dict(again.state_dict()))


def test_a_fitted_stream_fitted_again_has_the_null_that_it_says_of_flat_photographs(tmp_path: Path) -> None:
    random, names = np.random.default_rng(0), [f"{number:02}.png" for number in range(12)]
    for number, name in enumerate(names):
        noise = random.integers(0, 256, (64, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / name), noise if number % 8 else np.full_like(noise, 120))
    rows = pd.DataFrame({"path": names, "label": 0, "sha256": names})
    stream = LatticeStream()
    fit = LatticeFit(pairs=60, processing="blur:0.4..1.2", mosaics=0.0)
    summary = fit_lattice(stream, rows, tmp_path, fit)
    first = stream.null.clone()
    said = stream.judge(torch.from_numpy(read_lattice_of_image(np.full((64, 64, 3), 120, np.uint8)))[None])
    assert said.item() == pytest.approx(first[0].item(), abs=1e-5)
    # Two of the three that are kept out of the fit are flat, and so much of the null is what the stream says of them.
    assert 0.5 < float((first < said + 1e-4).float().mean()) < 0.8
    stream.null.fill_(5.0)
    assert fit_lattice(stream, rows, tmp_path, fit) == summary
    assert torch.equal(stream.null, first)


def test_photographs_without_hashes_have_a_draw_of_the_history_each(
    photographs: pd.DataFrame, manifest_path: Path
) -> None:
    one = photographs.head(1)
    rows = pd.concat([one.assign(path=str(manifest_path.parent / one["path"].item()), sha256="")] * 6)
    links = [manifest_path.parent / f"copy_{number}.png" for number in range(6)]
    for link, path in zip(links, rows["path"], strict=True):
        link.write_bytes(Path(path).read_bytes())
    history = History(size=None, quality=(20, 95), crop="none")
    pictures = _decode(rows.assign(path=[str(link) for link in links]), manifest_path.parent, history, 1)
    assert len({picture.tobytes() for picture in pictures}) > 1


def test_crops_below_16_pixels_are_fitted_without_a_warning(tmp_path: Path) -> None:
    random, names = np.random.default_rng(0), [f"{number}.png" for number in range(4)]
    for name in names:
        cv2.imwrite(str(tmp_path / name), random.integers(0, 256, (20, 20, 3), np.uint8))
    rows = pd.DataFrame({"path": names, "label": 0, "sha256": names})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit_lattice(LatticeStream(), rows, tmp_path, LatticeFit(pairs=20, processing="rescale:0.5..0.6"))


def test_planted_lattices_stand_out_and_photographs_do_not(
    photographs: pd.DataFrame, manifest_path: Path, fitted: LatticeStream
) -> None:
    images = [read_image(manifest_path.parent / path) for path in photographs["path"]]
    strong = PlantedLattice(amplitude=(8.0, 8.0))
    fakes = [strong.plant(image, np.random.default_rng(number)) for number, image in enumerate(images)]
    l_photos, l_fakes = (
        fitted.judge(torch.from_numpy(np.stack([read_lattice_of_image(image) for image in group]))).squeeze(1)
        for group in (images, fakes)
    )
    assert float((l_fakes[:, None] > l_photos[None]).float().mean()) > 0.9
    assert float(fitted.pvalue(l_fakes).median()) < 0.05 < 0.2 < float(fitted.pvalue(l_photos).median())


def test_webp_photographs_raise_about_as_many_alarms_as_others(
    photographs: pd.DataFrame, manifest_path: Path, fitted: LatticeStream
) -> None:
    images = [read_image(manifest_path.parent / path) for path in photographs["path"]]
    saved = [webp(image, quality) for image in images for quality in (50, 80, 95)]
    read = torch.from_numpy(np.stack([read_lattice_of_image(image) for image in saved]))
    in_studio_range = read[:, TRACE] > STUDIO_RANGE
    # Grey ones do not show it.
    assert float(in_studio_range.float().mean()) > 0.5
    limit = float(torch.quantile(fitted.null, 0.95))
    assert float((fitted.judge(read[in_studio_range]) > limit).float().mean()) < 0.2


def test_an_image_s_trace_chooses_its_curves() -> None:
    stream = LatticeStream()
    stream.curves[1] = 1.0
    stream.calibration.copy_(torch.tensor([[1.0, 0.5], [2.0, -0.5]]).unsqueeze(1).expand(2, len(SIDES), 2))
    read = torch.zeros(2, READ)
    read[1, TRACE] = STUDIO_RANGE + 0.01
    assert stream.judge(read).squeeze(1).tolist() == [0.5, 2.0 * SCORES - 0.5]
    values, constants = stream.contributions(read)
    torch.testing.assert_close(values.sum(dim=1) + constants, stream.judge(read).squeeze(1))


@pytest.mark.parametrize("size", [(1, 1), (15, 200), (16, 16), (64, 64), (300, 300)])
def test_an_image_with_nothing_in_it_has_p_1(size: tuple[int, int], fitted: LatticeStream) -> None:
    read = torch.from_numpy(read_lattice_of_image(np.full((*size, 3), 90, np.uint8)))[None]
    assert fitted.pvalue(fitted.judge(read)).item() == 1.0
    assert LatticeStream().judge(read).item() == 0.0


def test_an_image_s_side_mixes_its_curves() -> None:
    stream = LatticeStream()
    stream.curves[0] = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(-1, 1, 1)
    stream.calibration[0, :, 1] = torch.tensor([3.0, 5.0, 7.0, 9.0])
    read = torch.zeros(6, READ)
    middle = (SIDES[0] * SIDES[1]) ** 0.5
    read[:, SIDE] = torch.tensor([0.0, SIDES[0], middle, SIDES[1], SIDES[2], 5000.0])
    values, constants = stream.contributions(read)
    torch.testing.assert_close(values[:, 0], torch.tensor([1.0, 1.0, 1.5, 2.0, 4.0, 8.0]))
    torch.testing.assert_close(constants, torch.tensor([3.0, 3.0, 4.0, 5.0, 7.0, 9.0]))


def test_pvalues_fall_with_evidence_and_go_on_beyond_the_null(fitted: LatticeStream) -> None:
    l = torch.linspace(float(fitted.null[0]) - 1, float(fitted.null[-1]) + 8, 200)  # noqa: E741
    p = fitted.pvalue(l)
    assert bool((p[1:] <= p[:-1] + 1e-6).all())
    assert float(p[0]) == 1.0
    assert 0 < float(p[-1]) < 1e-3
    assert LatticeStream().pvalue(l).eq(1).all()


def test_too_few_photographs_are_an_error(photographs: pd.DataFrame, manifest_path: Path) -> None:
    with pytest.raises(UserError, match="takes 4 or more.*block_dct"):
        fit_lattice(LatticeStream(), photographs.head(3), manifest_path.parent)


def test_evidence_is_bounded_below_and_a_strong_lattice_decides() -> None:
    head = EvidenceFusion({"pixel": 4, "lattice": 1}, dropout=0.0).eval()
    head.calibrate(2.0, 0.5)
    l = torch.tensor([-50.0, 0.0, 3.0, 50.0])  # noqa: E741
    expected = torch.log(1 - LATTICE_SHARE + LATTICE_SHARE * torch.exp(l.double())).float()
    torch.testing.assert_close(head.of_lattice(l), expected)
    assert float(head.of_lattice(torch.tensor(-1e6))) == pytest.approx(math.log(1 - LATTICE_SHARE))
    p = torch.linspace(-8, 40, 101)
    said = head.of_learnt(p)
    x = 2.0 * p.double() + 0.5
    torch.testing.assert_close(
        said.double(), torch.log(1 - LEARNT_SHARE + LEARNT_SHARE * torch.exp(x)), atol=1e-5, rtol=1e-5
    )
    assert bool((said[1:] >= said[:-1]).all())
    assert float(head.of_learnt(torch.tensor(-1e6))) == pytest.approx(math.log(1 - LEARNT_SHARE))


def test_until_it_is_calibrated_the_learnt_logit_stands_as_it_is() -> None:
    head = EvidenceFusion({"pixel": 4, "lattice": 1}, dropout=0.0).eval()
    p, lattice = torch.linspace(-60, 60, 25), torch.linspace(-9, 30, 25)
    torch.testing.assert_close(head.of_learnt(p) + head.of_lattice(lattice), p)


def test_the_whole_image_is_read_and_not_the_crop(manifest_path: Path, tmp_path: Path) -> None:
    """A detector of 64-pixel crops sees a lattice that lies outside of its crop."""
    train(manifest_path, tmp_path / "run", replace(CONFIG, detector="lattice", crop=32))
    detector = load_detector(tmp_path / "run")
    random = np.random.default_rng(0)
    image = random.integers(100, 156, (256, 256, 3), dtype=np.uint8)
    lattice = np.zeros((256, 256), dtype=np.int64)
    lattice[::2, ::2] = 24
    lattice[96:160, 96:160] = 0  # the centre crop shows none
    fake = np.clip(image + lattice[..., None], 0, 255).astype(np.uint8)
    import cv2

    for name, picture in (("photo", image), ("fake", fake)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    table = predict_files(detector, [tmp_path / "photo.png", tmp_path / "fake.png"])
    assert table["lattice_pvalue"].iloc[1] < 0.03 < table["lattice_pvalue"].iloc[0]


def test_mirrored_and_turned_images_are_read_as_the_fit_takes_them() -> None:
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.integers(0, 256, (128, 128, 3), dtype=np.uint8), (0, 0), 0.7)
    image = PlantedLattice().plant(np.asarray(smooth, dtype=np.uint8), random)
    expected = _turned(read_lattice_of_image(image)[None], 8)
    for read, same in zip(
        expected, (image, image.swapaxes(0, 1), image[::-1], image[::-1].swapaxes(0, 1)), strict=True
    ):
        # Which pixels tell the usual size changes a little.
        np.testing.assert_allclose(read_lattice_of_image(np.ascontiguousarray(same))[:SCORES], read[:SCORES], atol=0.03)
