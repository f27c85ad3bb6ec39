"""`--config` reads YAML and JSON; flags win over files, later files over earlier ones; a run's own file repeats it."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.cli import COMMANDS, main
from fakefreq.commands.base import TrainingCommand
from fakefreq.config.files import RUN_SETTINGS, read_train_config, write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError
from tests.helpers.small_runs import CONFIG, assert_same, weights

TRAINING_COMMANDS = ["ablate", "benchmark", "compare", "train"]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The settings of the training commands that are run; nothing is trained."""
    found: list[TrainConfig] = []
    for name in TRAINING_COMMANDS:
        monkeypatch.setattr(COMMANDS[name], "run", lambda self: found.append(self.config))
    return found


def test_every_command_with_the_settings_of_a_training_reads_files(tmp_path: Path, taken: list[TrainConfig]) -> None:
    assert sorted(name for name, kind in COMMANDS.items() if issubclass(kind, TrainingCommand)) == TRAINING_COMMANDS  # type: ignore[arg-type]
    (tmp_path / "a.yaml").write_text("crop: 96\nlearning_rate: 5e-4\ntrain_on: [alpha]\nfreeze: 2\nflip: false\n")
    (tmp_path / "b.json").write_text(json.dumps({"crop": 128, "epochs": 3}))
    for name in TRAINING_COMMANDS:
        words = [name, "m.csv", "--epochs", "5", "--config", str(tmp_path / "a.yaml"), str(tmp_path / "b.json")]
        assert main([*words, "--out", "runs"]) == 0
    expected = TrainConfig(crop=128, learning_rate=5e-4, train_on=("alpha",), freeze="2", flip=False, epochs=5)
    assert taken == [expected] * 4


def test_flags_win_even_where_they_give_the_default(tmp_path: Path, taken: list[TrainConfig]) -> None:
    (tmp_path / "a.yaml").write_text("crop: 96\nseed: 3\nflip: false\ntrain_on: [alpha]\n")
    words = ["train", "m.csv", "--out", "runs", "--config", str(tmp_path / "a.yaml")]
    assert main([*words, "--crop", "224", "--flip", "--train-on", "beta", "gamma"]) == 0
    assert taken == [TrainConfig(seed=3, train_on=("beta", "gamma"))]


def test_settings_survive_their_file_to_the_bit(tmp_path: Path) -> None:
    odd = replace(
        CONFIG,
        learning_rate=1 / 3e5,
        degrade="0.5*jpeg:60..95",
        train_on=("no", "2020", "ä: #"),
        freeze="2",
        teacher="~",
    )
    for config in (TrainConfig(), CONFIG, odd):
        write_train_config(config, tmp_path / "a.yaml")
        assert read_train_config([tmp_path / "a.yaml"]) == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "crp: 96", r"unknown setting 'crp'; did you mean 'crop'\? a.yaml takes: detector, "),
        ("a.yaml", "learning-rate: 1", "unknown setting 'learning-rate'; did you mean 'learning_rate'"),
        ("a.yaml", "crop: 96.5", "a.yaml: crop takes a whole number; got 96.5"),
        ("a.yaml", "crop: true", "crop takes a whole number; got true"),
        ("a.yaml", "flip: 1", "flip takes true or false; got 1"),
        ("a.yaml", "dropout: much", "dropout takes a number; got much"),
        ("a.yaml", "degrade: off", r"degrade takes a text \(in quotes, .*\); got false"),
        ("a.yaml", "train_on: alpha", r"train_on takes a list of texts, such as \[stylegan, stylegan2\]; got alpha"),
        (
            "a.yaml",
            "optimizer: adamv",
            "unknown value 'adamv'; did you mean .*a.yaml: optimizer takes: adamw, adam, sgd",
        ),
        ("a.yaml", "crop: 96\ncrop: 128", "a.yaml give crop twice"),
        ("a.json", '{"crop": 96, "crop": 128}', "a.json give crop twice"),
        ("a.yaml", "crop: [96", "a.yaml are no YAML: "),
        ("a.json", "crop: 96", "a.json are no JSON: "),
        ("a.yaml", "- crop", "a.yaml are no table"),
        ("a.yaml", "crop: 64\n? [a, b]\n: 1", "a.yaml, line 2: a name is a list or a table; it takes lines such as"),
        ("a.yaml", "{a: 1}: 2", "a.yaml, line 1: a name is a list or a table"),
        ("a.yaml", f"learning_rate: {'9' * 400}", r"learning_rate takes a number; got 9{77}\.\.\.$"),
        ("a.json", f'{{"learning_rate": {"9" * 400}}}', r"learning_rate takes a number; got 9{77}\.\.\.$"),
        ("a.yaml", "", "a.yaml are no table"),
        (
            "a.toml",
            "crop = 96",
            r"unknown kind of file, a.toml, with the ending '.toml'; .*--config takes: .yaml, .yml, ",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_train_config([name])


def test_a_missing_file_and_a_repeated_flag_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: list[TrainConfig]
) -> None:
    words = ["train", "m.csv", "--out", "runs", "--config", str(tmp_path / "none.yaml")]
    assert main(words) == 2
    assert "none.yaml: there is no such file" in capsys.readouterr().err
    assert main([*words, f"--config={tmp_path / 'a.yaml'}"]) == 2
    assert "--config is given twice" in capsys.readouterr().err
    assert taken == []


def test_a_value_out_of_range_is_refused_as_the_flag_is(
    manifest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 0\n")
    assert (
        main(["train", str(manifest_path), "--config", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "run")]) == 2
    )
    assert "--epochs is 0; it takes 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_file_of_a_run_repeats_it_to_the_bit(
    manifest_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_train_config(replace(CONFIG, history="size=64,codec=jpeg:75", seed=3), tmp_path / "first.yaml")
    common = ["train", str(manifest_path), "--allow-biased"]
    first, again = tmp_path / "first", tmp_path / "again"
    assert main([*common, "--config", str(tmp_path / "first.yaml"), "--epochs", "2", "--out", str(first)]) == 0
    assert main([*common, "--config", str(first / RUN_SETTINGS), "--out", str(again)]) == 0
    assert_same(weights(again), weights(first))
    assert (again / RUN_SETTINGS).read_bytes() == (first / RUN_SETTINGS).read_bytes()
    # The same file is the folder's own settings, with which a run goes on.
    with caplog.at_level(logging.INFO, "fakefreq"):
        assert main([*common, "--config", str(first / RUN_SETTINGS), "--out", str(first), "--resume"]) == 0
    assert "is finished already" in caplog.text
