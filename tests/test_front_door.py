"""What a new user types first: folders, patterns, bad files, mistyped commands, other settings, small images."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.config.detector import DetectorConfig
from fakefreq.errors import UserError
from tests.helpers.commands import error_of

pytestmark = pytest.mark.slow

FAST = ["--backbone", "test_resnet", "--pretrained", "none", "--batch-size", "16", "--workers", "0", "--allow-biased"]
TRAIN = ["--detector", "pixel", "--epochs", "1", "--train-on", "alpha", "--crop", "96", *FAST]


@pytest.fixture(scope="module")
def manifest(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("front_door") / "manifest.csv"
    assert main(["index", str(tiny_set), "--out", str(path)]) == 0
    assert main(["split", str(path), "--fractions", "0.6", "0.2", "0.2"]) == 0
    return path


@pytest.fixture(scope="module")
def run(manifest: Path) -> Path:
    out = manifest.parent / "run"
    assert main(["train", str(manifest), "--out", str(out), *TRAIN]) == 0
    return out


@pytest.mark.parametrize("help_flag", [(), ("--help",), ("-h",)])
@pytest.mark.parametrize(
    ("words", "needles"),
    [
        (["nonsense"], ["unknown command 'nonsense'", "index", "train"]),
        (["pedict"], ["did you mean 'predict'?"]),
        (["zoo", "bild"], ["unknown command of zoo 'bild'", "did you mean 'build'?"]),
        (["manifest", "marge"], ["did you mean 'merge'?"]),
    ],
)
def test_an_unknown_command_is_named_with_those_that_come_close(
    words: list[str], needles: list[str], help_flag: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for given in ([*words, *help_flag], [*help_flag, *words]):
        line = error_of(capsys, *given)
        assert all(needle in line for needle in needles), line


@pytest.mark.parametrize("command", ["train", "compare", "audit", "split", "align"])
def test_a_folder_instead_of_a_manifest_names_the_commands_that_come_first(
    command: str, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of(capsys, command, str(tiny_set), "--out", str(tmp_path / "out"))
    assert f"`fakefreq index {tiny_set} --out {tiny_set / 'manifest.csv'}`" in line and "`fakefreq split" in line
    (tmp_path / "manifest.csv").write_text("path\n")
    assert f"its manifest is {tmp_path / 'manifest.csv'}" in error_of(
        capsys, command, str(tmp_path), "--out", str(tmp_path / "out")
    )


@pytest.mark.parametrize(("split", "count"), [("all", 180), ("test", 36)])
def test_score_indexes_and_splits_a_folder_on_the_way(
    run: Path, tiny_set: Path, tmp_path: Path, split: str, count: int
) -> None:
    out = tmp_path / "scores.csv"
    assert main(["score", str(run), str(tiny_set), "--out", str(out), "--split", split, "--workers", "0"]) == 0
    assert len(pd.read_csv(out)) == count
    assert (run / "indexed" / f"{tiny_set.name}.csv").is_file()


def test_score_takes_a_shard(run: Path, tiny_set: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as shard:
        for number, label in enumerate(("0_real", "1_fake")):
            name = tmp_path / f"{number}.cls"
            name.write_text(str(number))
            shard.add(next((tiny_set / "alpha" / label).iterdir()), f"{number}.jpg")
            shard.add(name, f"{number}.cls")
    words = ["score", str(run), str(tmp_path / "faces.tar"), "--out", str(tmp_path / "scores.csv"), "--workers", "0"]
    assert main(words) == 0
    assert sorted(pd.read_csv(tmp_path / "scores.csv")["label"]) == [0, 1]


def test_score_of_a_folder_without_labels_names_predict(
    run: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    picture = next((tiny_set / "alpha" / "0_real").iterdir())
    (tmp_path / "photos" / "a.jpg").write_bytes(picture.read_bytes())
    line = error_of(capsys, "score", str(run), str(tmp_path / "photos"), "--out", str(tmp_path / "out.csv"))
    assert "`fakefreq predict` needs no labels" in line and "`fakefreq index" in line


def test_predict_takes_folders_and_patterns_like_files(run: Path, tiny_set: Path, tmp_path: Path) -> None:
    folder, out = tiny_set / "beta" / "0_real", tmp_path / "out.csv"
    tables = []
    for given in ([str(folder)], [str(folder / "*.jpg")], [str(path) for path in sorted(folder.iterdir())]):
        assert main(["predict", *given, "--detector", str(run), "--out", str(out)]) == 0
        tables.append(pd.read_csv(out))
    assert len(tables[0]) == 40 and set(tables[0]["threshold_from"]) == {"validation"}
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])
    nested = str(tiny_set / "**" / "*real_0003.jpg")
    assert main(["predict", nested, "--detector", str(run), "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 2


def test_predict_of_nothing_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("none")
    assert "holds no image" in error_of(capsys, "predict", str(tmp_path), "--detector", str(run))
    pattern = str(tmp_path / "*.png")
    assert f"no file matches {pattern}" in error_of(capsys, "predict", pattern, "--detector", str(run))


@pytest.mark.parametrize("kind", ["text", "cut", "missing"])
def test_a_bad_file_among_good_ones_leaves_their_rows(
    kind: str, run: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted((tiny_set / "beta" / "1_fake").iterdir())[:2]
    bad, out = tmp_path / "bad.jpg", tmp_path / "out.csv"
    if kind != "missing":
        bad.write_bytes(b"no picture" if kind == "text" else good[0].read_bytes()[:-300])
    words = ["predict", str(good[0]), str(bad), str(good[1]), "--detector", str(run), "--out", str(out)]
    assert "1 of 3 images could not be scored, the first " + str(bad) in error_of(capsys, *words)
    assert pd.read_csv(out)["path"].tolist() == [str(path) for path in good]
    assert pd.read_csv(tmp_path / "out_skipped.csv")["path"].tolist() == [str(bad)]
    assert main([*words, "--on-error", "skip"]) == 0
    printed = capsys.readouterr().out
    assert f"not scored: {bad}" in printed and str(good[1]) in printed
    out.unlink()
    assert "bad.jpg" in error_of(capsys, *words, "--on-error", "stop")
    assert not out.exists()


def test_a_finished_run_names_the_settings_that_differ(
    run: Path, manifest: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (["--resume"], []):
        line = error_of(capsys, "train", str(manifest), "--out", str(run), *TRAIN, "--epochs", "2", *flags)
        assert "--epochs is 1 there, 2 here" in line and "digest" not in line
    line = error_of(capsys, "train", str(manifest), "--out", str(run), *TRAIN, "--seed", "3", "--train-on", "beta")
    assert "--seed is 0 there, 3 here" in line and "--train-on is alpha there, beta here" in line
    other = tmp_path / "other.csv"
    assert main(["index", str(tiny_set), "--out", str(other)]) == 0
    assert main(["split", str(other), "--seed", "5", "--fractions", "0.6", "0.2", "0.2"]) == 0
    line = error_of(capsys, "train", str(other), "--out", str(run), *TRAIN, "--resume")
    assert "its images are others" in line and "--" not in line.partition("images: ")[2].partition("; give")[0]
    assert main(["train", str(manifest), "--out", str(run), *TRAIN, "--resume"]) == 0


@pytest.mark.slow
def test_images_smaller_than_the_crop_are_told_once(
    run: Path, manifest: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = str(tmp_path / "scores.csv")
    commands = [
        ["train", str(manifest), "--out", str(tmp_path / "run"), *TRAIN],
        ["score", str(run), str(manifest), "--out", out, "--workers", "0"],
        ["predict", str(tiny_set / "control"), "--detector", str(run)],
        ["evaluate", str(run), str(manifest), "--draws", "100", "--workers", "0", "--out", str(tmp_path / "tables")],
    ]
    for words in commands:
        assert main(words) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
        assert len(lines) == 1, words
        assert (
            lines[0].startswith("warning: 100 % of the images are smaller than the crop of 96") and "--crop" in lines[0]
        )
    assert main(["train", str(manifest), "--out", str(tmp_path / "fits"), *TRAIN, "--crop", "64"]) == 0
    assert "warning: " not in capsys.readouterr().out


def test_a_name_of_timm_with_its_default_tag_is_the_same_network() -> None:
    assert DetectorConfig(backbone="resnet18.a1_in1k") == DetectorConfig(backbone="resnet18")
    assert DetectorConfig(backbone="timm/resnet18.a1_in1k") == DetectorConfig(backbone="resnet18")
    assert DetectorConfig(backbone="test_resnet.r160_in1k").backbone == "test_resnet"
    assert DetectorConfig(backbone="resnet18.a2_in1k").backbone == "resnet18.a2_in1k"
    with pytest.raises(UserError, match=r"no such weights of resnet18; give resnet18 or resnet18\.a1_in1k"):
        DetectorConfig(backbone="resnet18.a9_in1k")
