"""`predict` says of each image what the detector knew, and where the image is outside of it."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

import fakefreq
from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Conformal, Known
from fakefreq.errors import UserError
from fakefreq.evaluate.predict import PREDICTED, predict_images
from fakefreq.models import Detector, create_detector, load_detector, save_detector
from tests.helpers.photo_files import photo, save

KNOWN = Known(
    trained_on={"real": {"ffhq": 90}, "fake": {"gan_a": 40, "gan_b": 50}},
    validated={"real": 20, "fake": 20},
    formats={"jpeg": (20, 15), "webp": (0, 5)},
    sides=(64, 128),
    qualities=(75, 95),
    conformal=Conformal(0.9, -100.0, 100.0),
    audit="pass",
)


def make(known: Known | None = KNOWN, name: str = "pixel") -> Detector:
    detector = create_detector(name, backbone="test_resnet", pretrained="none", spectrum="block_dct")
    return detector.replace(known=known).eval()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (("jpeg", 128, 64, 80), []),
        (("png", 100, 100, 0), ["a PNG file, and validation knows JPEG and WebP"]),
        (("webp", 100, 100, 0), ["a WebP file, and none of validation's photographs is one: the codec may decide"]),
        (("jpeg", 129, 100, 80), ["129x100 pixels, and validation knows sides of 64 to 128"]),
        (("jpeg", 100, 63, 80), ["100x63 pixels, and validation knows sides of 64 to 128"]),
        (("jpeg", 100, 100, 74), ["JPEG quality 74, and validation knows 75 to 95"]),
    ],
)
def test_what_is_outside_is_said_in_plain_words(facts: tuple[str, int, int, int], expected: list[str]) -> None:
    assert KNOWN.outside(*facts) == expected


def test_a_class_that_validation_lacks_is_not_missed_in_a_format() -> None:
    photographs = Known({"real": {"": 9}, "fake": {}}, {"real": 4, "fake": 0}, {"png": (4, 0)}, None, None,
                        Conformal(0.9, -math.inf, 2.0), "skipped")  # fmt: skip
    assert photographs.outside("png", 5000, 2, 0) == []
    assert photographs.describe() == "9 photographs and no fakes"
    assert [photographs.conformal.name(logit) for logit in (1.0, 3.0)] == ["real or fake", "fake"]


def test_it_is_stored_beside_the_weights(tmp_path: Path) -> None:
    for known in (
        KNOWN,
        None,
        Known.from_dict({**KNOWN.to_dict(), "conformal": {"coverage": 0.9, "lowest_fake": None}}),
    ):
        save_detector(make(known), tmp_path / "best.safetensors")
        assert load_detector(tmp_path).known == known
    unlimited = Known.from_dict(json.loads(json.dumps({**KNOWN.to_dict(), "conformal": {"coverage": 0.5}})))
    assert unlimited.conformal == Conformal(0.5, -math.inf, math.inf)
    assert Known.from_dict(json.loads(json.dumps(unlimited.to_dict(), allow_nan=False))) == unlimited


@pytest.mark.parametrize("damage", [{}, [], {"trained_on": 3}, {**KNOWN.to_dict(), "sides": [1]}])
def test_a_damaged_header_is_one_clear_line(damage: object) -> None:
    with pytest.raises(UserError, match="validation knew is damaged"):
        Known.from_dict(damage)


def test_the_table_has_a_warning_where_an_image_is_outside(tmp_path: Path) -> None:
    inside = save(tmp_path / "inside.jpg", photo(1, 96))
    png = save(tmp_path / "png.png", photo(1, 160))
    table = fakefreq.predict(make(), [inside, png]).set_index("path")
    assert table.loc[str(inside), "warning"] == ""
    assert table.loc[str(png), "warning"] == (
        "a PNG file, and validation knows JPEG and WebP; 160x160 pixels, and validation knows sides of 64 to 128"
    )
    assert table["conformal"].tolist() == ["real or fake"] * 2
    assert set(table["trained_on"]) == {"90 photographs of ffhq and 90 fakes of gan_a, gan_b"}
    assert table["threshold_from"].tolist() == ["validation"] * 2
    assert (table["label"] == (table["logit"] > 0)).all()


def test_a_logit_unlike_both_classes_is_a_warning(tmp_path: Path) -> None:
    far = Known.from_dict({**KNOWN.to_dict(), "conformal": {"coverage": 0.9, "lowest_fake": 1e3, "highest_real": -1e3}})
    table = fakefreq.predict(make(far), save(tmp_path / "a.jpg", photo(1, 96)))
    assert table["conformal"].tolist() == ["neither"]
    assert "a logit unlike those of validation's photographs and of its fakes" in table["warning"].iloc[0]


def test_a_detector_of_an_older_version_says_that_it_does_not_know(tmp_path: Path) -> None:
    table = fakefreq.predict(make(None), save(tmp_path / "a.png", photo(1, 96)))
    assert table[["conformal", "trained_on"]].iloc[0].tolist() == ["", ""]
    assert "does not say what its validation knew" in table["warning"].iloc[0]


def test_csv_and_json_lines_hold_what_python_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_detector(make(name="frequency"), tmp_path / "best.safetensors")
    images = [str(save(tmp_path / "a, b.jpg", photo(1, 96))), str(save(tmp_path / "ü.png", photo(2, 96)))]
    expected = fakefreq.predict(load_detector(tmp_path), images)
    assert expected.columns.tolist() == [name for name in PREDICTED if name not in ("lattice_pvalue", "revision")]
    for name in ("found.csv", "found.jsonl"):
        assert main(["predict", *images, "--detector", str(tmp_path), "--out", str(tmp_path / name)]) == 0
        printed = capsys.readouterr().out
        assert "warning: " in printed and "a PNG file" in printed and "trained on 90 photographs" in printed
    found = pd.read_csv(tmp_path / "found.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    lines = (tmp_path / "found.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["path"] for record in records] == images
    assert [record["warning"] for record in records] == [[], ["a PNG file, and validation knows JPEG and WebP"]]
    assert [record["logit"] for record in records] == pytest.approx(expected["logit"].tolist(), abs=1e-6)
    assert records[0]["label"] in (0, 1) and list(records[0]) == expected.columns.tolist()


def test_a_name_that_is_too_long_is_an_image_that_is_not_there(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", photo(1, 96))
    long = f"{'a' * 300}.png"
    table, skipped = predict_images(make(), [long, tmp_path / "a.jpg"], on_error="skip")
    assert len(table) == 1
    assert skipped == [(long, "cannot be read (File name too long)")]
    with pytest.raises(UserError, match="no file matches"):
        fakefreq.predict(make(), f"[{long}")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that not even root can read")
@pytest.mark.parametrize("history", ["", "size=64,codec=png"])
def test_a_file_that_cannot_be_read_does_not_lose_the_others(history: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", photo(1, 96))
    (tmp_path / "b.png").symlink_to("/proc/self/mem")
    detector = make().replace(InputConfig(crop=64, history=history))
    table, skipped = predict_images(detector, tmp_path, on_error="skip")
    assert [Path(path).name for path in table["path"]] == ["a.png"]
    assert skipped == [(str(tmp_path / "b.png"), "cannot be read (Input/output error)")]


def test_no_image_a_step_is_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "a.jpg", photo(1, 96))
    for size in (0, -1):
        with pytest.raises(UserError, match=f"--batch-size is {size}; it takes 1 or more"):
            fakefreq.predict(make(), image, batch_size=size)


def test_another_ending_is_refused_before_anything_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "none.png", "--detector", str(tmp_path), "--out", str(tmp_path / "found.xlsx")]
    assert main(words) == 2
    assert "ends neither in .csv nor in .jsonl" in capsys.readouterr().err
