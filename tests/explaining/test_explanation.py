"""Explanations: terms add up, what was planted lights up, other weights explain otherwise."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import fakefreq
from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.explaining.explanation import Explanation, explain_image
from fakefreq.explaining.frequencies import explain_spectra
from fakefreq.explaining.pixels import map_pixels
from fakefreq.explaining.terms import CONSTANT, EVIDENCE, LEARNT, _shapley, split_logit
from fakefreq.models import Detector, create_detector, save_detector
from fakefreq.models.fusion import FUSIONS, EvidenceFusion
from fakefreq.models.streams.lattice import QUIET
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.spectra import (
    lattice_field_scores,
    lattice_pvalue,
    lattice_tile,
    rgb_to_ycbcr,
    studio_range_trace,
    to_float,
)
from tests.helpers.photo_files import photo, save

pytestmark = pytest.mark.slow


def make(name: str = "two_stream", seed: int = 0, crop: int = 96, views: int = 1, **settings: str) -> Detector:
    """A detector with random weights, and a lattice stream and a trust as training leaves them."""
    torch.manual_seed(seed)
    detector = create_detector(name, **{"backbone": "test_efficientnet", "pretrained": "none", **settings})  # type: ignore[arg-type]
    detector = detector.replace(InputConfig(crop=crop, views=views))
    generator = torch.Generator().manual_seed(1)
    if detector.lattice is not None:
        curves = detector.lattice.curves
        curves.copy_(torch.rand(curves.shape, generator=generator).cumsum(dim=-1) / 20)
        calibration = torch.tensor([[1.2, -3.0], [0.8, -2.0]]).unsqueeze(1)
        detector.lattice.calibration.copy_(calibration.expand_as(detector.lattice.calibration))
        detector.lattice.null.copy_(torch.linspace(-3, 1, len(detector.lattice.null)))
    if isinstance(detector.head, EvidenceFusion):
        detector.head.calibrate(1.5, 0.2)
    return detector.eval()


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).unsqueeze(0)


def planted(seed: int, side: int, period: int, amplitude: float) -> np.ndarray:
    """A photograph with one and the same pattern on it."""
    lattice = PlantedLattice(periods=(period,), amplitude=(amplitude, amplitude), follow=False)
    return lattice.plant(photo(seed, side), np.random.default_rng(3))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("images") / "a.png", planted(3, 128, 4, 6.0))


CASES = [
    ("lattice", {}),
    ("pixel", {}),
    ("frequency", {"spectrum": "block_dct+lattice", "fusion": "evidence"}),
    ("two_stream", {"spectrum": "lattice", "fusion": "evidence"}),
    ("two_stream", {"spectrum": "block_dct+lattice", "fusion": "evidence"}),
    *(("two_stream", {"spectrum": "block_dct", "fusion": fusion}) for fusion in sorted(FUSIONS)),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_terms_add_up_to_the_logit_that_predict_gives(name: str, settings: dict[str, str], image: Path) -> None:
    detector = make(name, 0, 96, 2, **settings)
    found = explain_image(detector, image)
    assert sum(found.terms.values()) == pytest.approx(found.logit, abs=1e-5)
    table = fakefreq.predict(detector, image)
    assert found.logit == pytest.approx(table["logit"].iloc[0], abs=1e-5)
    assert found.probability == pytest.approx(table["probability"].iloc[0], abs=1e-5)
    if found.lattice is not None:
        assert found.lattice.pvalue == pytest.approx(table["lattice_pvalue"].iloc[0], rel=1e-6)


def test_the_evidence_s_terms_are_the_formula_s(image: Path) -> None:
    found = explain_image(make(), image)
    of = found.made_of
    assert found.lattice is not None
    x = of["a"] * of["p"] + of["b"]
    assert 0 < of["rho"] < 1 and 0 < of["pi"] < 1
    assert found.terms[LEARNT] == pytest.approx(np.log(1 - of["rho"] + of["rho"] * np.exp(x)), abs=1e-5)
    assert found.terms[EVIDENCE] == pytest.approx(np.log(1 - of["pi"] + of["pi"] * np.exp(of["l"])), abs=1e-5)
    assert of["l"] == pytest.approx(found.lattice.likelihood, abs=1e-6)


def test_before_the_calibration_all_is_learnt_and_finite() -> None:
    head = EvidenceFusion({"pixel": 4, "lattice": 1}, dropout=0.0).eval()
    features = {"pixel": torch.randn(3, 4), "lattice": torch.tensor([[-2.0], [0.0], [20.0]])}
    terms, made_of = split_logit(head, features)
    torch.testing.assert_close(
        torch.stack(list(terms.values())).sum(dim=0), head.learnt({"pixel": features["pixel"]})[0]
    )
    assert all(bool(value.isfinite().all()) for value in made_of.values())


def test_shapley_values_of_a_linear_head_are_its_columns() -> None:
    head = make(spectrum="block_dct", fusion="concat").head
    features = {name: torch.randn(3, width) for name, width in head.widths.items()}
    expected, _ = split_logit(head, features)
    found = _shapley(head, features)
    assert set(found) == {"pixel", "frequency", CONSTANT}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_the_lattice_is_that_of_fakefreq_spectra_and_sums_to_l(image: Path) -> None:
    detector = make("lattice")
    found = explain_image(detector, image).lattice
    assert found is not None and detector.lattice is not None
    pixels = to_float(tensor(planted(3, 128, 4, 6.0)))
    luma = rgb_to_ycbcr(pixels)[:, :1]
    np.testing.assert_allclose(found.tile, lattice_tile(luma, 8, QUIET)[0, 0].numpy(), atol=1e-5)
    expected = lattice_field_scores(pixels, 8, QUIET)[0].numpy()
    for field, scores in zip(expected, found.scores, strict=True):
        assert np.isnan(found.as_plane(scores)[0, 0])
        np.testing.assert_allclose(np.nan_to_num(found.as_plane(scores)), field, atol=2e-3)
    assert found.side == 128
    assert found.studio_range == pytest.approx(float(studio_range_trace(pixels)), abs=1e-5)
    assert found.added.sum() + found.constant == pytest.approx(found.likelihood, abs=1e-4)
    assert len(set(found.places)) == 33


@pytest.mark.parametrize("period", [2, 4])
def test_a_planted_lattice_lights_up_at_its_frequencies(period: int, tmp_path: Path) -> None:
    detector = make("lattice")
    photograph, fake = (
        explain_image(detector, save(tmp_path / f"{number}.png", picture)).lattice
        for number, picture in enumerate((photo(5, 256), planted(5, 256, period, 6.0)))
    )
    assert photograph is not None and fake is not None
    step = 8 // period
    highest = fake.places[int(fake.scores[0].argmax())]
    assert highest[0] % step == 0 and highest[1] % step == 0
    assert fake.scores.max() > 3 * photograph.scores.max()
    assert fake.likelihood > photograph.likelihood
    planes = rgb_to_ycbcr(to_float(tensor(planted(5, 256, period, 6.0))))
    assert float(lattice_pvalue(planes)) < 1e-6


SPECTRA = ["bayar", "block_dct", "dct", "fft", "fft_residual", "lattice", "median", "profiles"]


@pytest.mark.parametrize("name", SPECTRA)
def test_what_a_spectrum_s_values_add_is_the_difference_from_the_mean(name: str) -> None:
    detector = make("frequency", spectrum=name, fusion="logit_sum")
    pictures = torch.cat([tensor(photo(seed)) for seed in range(8)])
    detector.train()(pictures)
    (seen,) = explain_spectra(detector.eval(), to_float(tensor(planted(9, 96, 2, 8.0))), None)
    added = seen.added
    if name == "lattice":  # a frequency whose negative one is in the plane is shown twice
        added = np.nan_to_num(added.copy())
        added[:, 5:, [0, 4]] = 0
    assert added.sum() == pytest.approx(seen.learnt - seen.learnt_of_mean, rel=0.05, abs=2e-3)
    assert [band.low for band in seen.bands] == sorted(band.low for band in seen.bands)
    assert any(abs(band.learnt - seen.learnt) > 1e-6 for band in seen.bands)


def test_a_trained_stream_loses_its_logit_with_the_planted_band() -> None:
    detector = make("frequency", spectrum="block_dct", fusion="logit_sum")
    reals = torch.cat([tensor(photo(seed)) for seed in range(24)])
    fakes = torch.cat([tensor(planted(100 + seed, 96, 2, 6.0)) for seed in range(24)])
    batch, labels = torch.cat([reals, fakes]), torch.arange(48).ge(24).float()
    optimizer = torch.optim.Adam(detector.parameters(), 1e-3)
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(detector.train()(batch), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    (seen,) = explain_spectra(detector.eval(), to_float(tensor(planted(300, 96, 2, 6.0))), None)
    assert seen.learnt > 0
    lost = [seen.learnt - band.learnt for band in seen.bands]
    # A period of 2 has the frequency 1/2 along an axis; of 8x8 blocks coefficient 7 is the nearest to it.
    assert seen.bands[int(np.argmax(lost))].low == 0.4375
    assert max(lost) > 0.3 * seen.learnt
    added = np.abs(seen.added).sum(axis=0)
    assert 7 in divmod(int(added.argmax()), 8)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize(
    ("name", "backbone", "method"),
    [
        ("pixel", "test_resnet", "Grad-CAM"),
        ("pixel", "test_vit", "integrated gradients"),
        ("peer/univfd", "test_vit", "integrated gradients"),
    ],
)
def test_other_weights_give_another_heat_map(name: str, backbone: str, method: str) -> None:
    """Adebayo et al. 2018, "Sanity checks for saliency maps"."""
    crop = to_float(tensor(photo(1, 192)))
    first, again, other = (map_pixels(make(name, seed, backbone=backbone), crop, None) for seed in (0, 0, 1))
    assert first is not None and again is not None and other is not None
    assert first.method == method
    assert likeness(first.values, again.values) > 0.999
    assert abs(likeness(first.values, other.values)) < 0.8


def test_trees_have_no_heat_map() -> None:
    assert map_pixels(make("peer/synthbuster"), to_float(tensor(photo(1, 64))), None) is None


PATCH = slice(16, 64)


def patched(seed: int) -> np.ndarray:
    """A photograph with a coarse chequered patch in its upper left."""
    picture = photo(seed, 160)
    rows, columns = np.mgrid[PATCH, PATCH] // 8
    picture[PATCH, PATCH] = np.where((rows + columns) % 2, 220, 30)[..., None]
    return picture


@pytest.fixture(scope="module")
def taught() -> Detector:
    """A detector that has learnt to call photographs with the patch fake."""
    detector = make("pixel", backbone="test_resnet", crop=160)
    batch = torch.cat([tensor(draw(seed)) for draw in (photo_160, patched) for seed in range(16)])
    labels = torch.arange(32).ge(16).float()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(detector.train()(batch), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        for _ in range(15):  # the batch norms' statistics come to those of the last weights
            detector(batch)
    return detector.eval()


def photo_160(seed: int) -> np.ndarray:
    return photo(seed, 160)


def heat_inside(detector: Detector, picture: np.ndarray) -> float:
    """The share of the heat towards fake that lies in the quarter of the patch."""
    heat = map_pixels(detector, to_float(tensor(picture)), None)
    assert heat is not None
    towards_fake = heat.values.clip(min=0)
    height, width = towards_fake.shape
    return float(towards_fake[: (height + 1) // 2, : (width + 1) // 2].sum() / towards_fake.sum())


def test_a_planted_patch_is_hot_and_occluding_it_lowers_the_logit(taught: Detector) -> None:
    pictures = [patched(seed) for seed in range(100, 104)]
    with torch.no_grad():
        for number, picture in enumerate(pictures):
            mean = picture.mean(axis=(0, 1)).round().astype(np.uint8)
            occluded, elsewhere = picture.copy(), picture.copy()
            occluded[PATCH, PATCH] = mean
            elsewhere[96:144, 96:144] = mean
            whole, without, control = (float(taught(tensor(one))) for one in (picture, occluded, elsewhere))
            assert whole > 0, number
            assert whole - without > 3 * abs(whole - control), number
            assert without < 0 < control, number
    assert np.mean([heat_inside(taught, picture) for picture in pictures]) > 0.5


def test_randomised_weights_lose_the_heat_of_a_learnt_patch(taught: Detector) -> None:
    """Adebayo et al. 2018, from the top down: first the head alone, then the last stage too, then all of it."""
    picture = patched(100)
    learnt = map_pixels(taught, to_float(tensor(picture)), None)
    assert learnt is not None
    random = make("pixel", 7, backbone="test_resnet", crop=160).state_dict()
    mixed, names = copy.deepcopy(taught), list(taught.state_dict())
    found = []
    for chosen in ("head.", "streams.pixel.network.layer4", ""):
        state = {name: random[name] if name.startswith(chosen) else mixed.state_dict()[name] for name in names}
        mixed.load_state_dict(state)
        heat = map_pixels(mixed.eval(), to_float(tensor(picture)), None)
        assert heat is not None
        found.append(likeness(learnt.values, heat.values))
    assert found[0] < 0.999 and abs(found[-1]) < 0.8, found


def test_other_weights_give_other_frequencies() -> None:
    pixels = to_float(tensor(photo(1)))
    first, other = (
        explain_spectra(make("frequency", seed, spectrum="fft", fusion="logit_sum"), pixels, None)[0].added
        for seed in (0, 1)
    )
    assert abs(likeness(first, other)) < 0.8


def test_integrated_gradients_of_pixels_are_complete() -> None:
    detector = make("pixel", backbone="test_vit", crop=160)
    crop = to_float(tensor(photo(2, 160)))
    found = map_pixels(detector, crop, None)
    with torch.no_grad():
        gap = detector(crop) - detector(crop.mean(dim=(2, 3), keepdim=True).expand_as(crop))
    assert found is not None
    assert found.values.sum() == pytest.approx(float(gap), rel=0.05, abs=2e-3)


def explained(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    return found


def test_the_command_writes_a_page_an_image_and_loses_none_to_a_bad_one(
    tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = make(spectrum="block_dct+lattice")
    save_detector(detector, tmp_path / "best.safetensors")
    (tmp_path / "text.png").write_text("no image")
    same_name = save(tmp_path / "a.jpg", photo(4))
    words = ["explain", str(tmp_path / "text.png"), str(image), str(same_name)]
    assert main([*words, "--detector", str(tmp_path), "--out", str(tmp_path / "why")]) == 2
    assert "1 of 3 images could not be explained" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == ["a", "a-2"]
    for folder, source in ((tmp_path / "why" / "a", image), (tmp_path / "why" / "a-2", same_name)):
        numbers = explained(folder)
        expected = explain_image(detector, source)
        assert numbers == json.loads(json.dumps(expected.as_dict()))
        page = (folder / "explanation.html").read_text(encoding="utf-8")
        pictures = sorted(path.name for path in folder.glob("*.png"))
        assert page.count("data:image/png;base64,") == len(pictures)
        assert {"terms.png", "pixels_heat_map.png", "block_dct_bands.png", "lattice_z.png"} <= set(pictures)
        for needle in (f"{expected.logit:+.3f}", *expected.terms, f"{expected.sight.sha256}", "p-value"):
            assert needle in page
        assert "http" not in page and "<script" not in page
        assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.png"], "1 of 1 images could not be explained"),
        (["{image}", "none.png", "--on-error", "stop"], "none.png"),
        (["{folder}"], "holds no image"),
        ([], "no image to explain"),
        (["{image}", "--detector", "{folder}/nowhere"], "no trained detector"),
        (["{image}", "--out", "{image}"], "cannot write"),
    ],
)
def test_bad_input_gives_one_line_and_nothing_half_written(
    words: list[str], message: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_detector(make("lattice"), tmp_path / "best.safetensors")
    given = [word.format(image=image, folder=tmp_path) for word in words]
    defaults = {"--detector": str(tmp_path), "--out": str(tmp_path / "why")}
    more = [word for pair in defaults.items() if pair[0] not in given for word in pair]
    assert main(["explain", *given, *more]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


def test_python_gives_the_explanations(image: Path) -> None:
    found = fakefreq.explain(make("lattice"), image)
    assert [type(item) for item in found] == [Explanation]
    again = fakefreq.explain(make("lattice"), [image, image])  # the name stays a function
    assert [item.logit for item in again] == [found[0].logit] * 2
    with pytest.raises(fakefreq.UserError, match=r"none\.png"):
        fakefreq.explain(make("lattice"), ["none.png"])
