"""`compare-scores --model`: anyone's detector in a process of its own; what it fails on is listed, never lost."""

import sys
import tarfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.manifests import index_folder, manifest_digest, read_manifest, rewrite_split
from fakefreq.errors import UserError
from fakefreq.evaluate import outside_models
from fakefreq.evaluate.outside_models import ModelRun, score_model
from fakefreq.evaluate.outside_scores import read_outside_scores
from tests.helpers.commands import error_of

SIZE = "import os\ndef predict(path):\n    return os.path.getsize(path)\n"


@pytest.fixture(scope="module")
def manifest(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    path = tmp_path_factory.mktemp("models") / "manifest.csv"
    index_folder(tiny_set, path)
    return path, rewrite_split(path, path, (0.5, 0.2, 0.3), seed=0, keep=True)


Images = tuple[Path, pd.DataFrame]


def write(folder: Path, code: str, name: str = "theirs.py") -> Path:
    (folder / name).write_text(textwrap.dedent(code), encoding="utf-8")
    return folder / name


def score(manifest: Images, file: Path, count: int = 40, run: ModelRun | None = None, scale: str = "") -> pd.DataFrame:
    """Return the table of scores of some images."""
    path, rows = manifest
    images = rows.iloc[:: len(rows) // count].assign(manifest=manifest_digest(rows))
    out = file.with_name("scores.csv")
    score_model(file, "theirs", images, path.parent, out, run=run or ModelRun(), scale=scale)
    return pd.read_csv(out)


def sizes(manifest: Images, table: pd.DataFrame) -> list[int]:
    return [(manifest[0].parent / path).stat().st_size for path in table["path"]]


@pytest.mark.slow
def test_a_detector_stands_in_the_table_beside_others(
    manifest: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str], logged: pytest.LogCaptureFixture
) -> None:
    path, rows = manifest
    few = rows[rows["subset"] != "control"]
    noise = np.random.default_rng(0).standard_normal(len(few))
    pd.DataFrame({"path": few["path"], "logit": few["label"] + noise}).to_csv(tmp_path / "pixel.csv", index=False)
    code = "import os\nSCALE = 'probability'\ndef predict_batch(paths):\n"
    code += "    return [os.path.getsize(path) / 1e5 for path in paths]\n"
    words = ["--scores", f"pixel={tmp_path / 'pixel.csv'}", "--model", str(write(tmp_path, code))]
    flags = ["--train-on", "alpha", "--out", str(tmp_path / "c.csv"), "--draws", "100"]
    assert main(["compare-scores", str(path), *words, *flags]) == 0
    assert "theirs" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "c.csv").groupby("detector").first()
    assert table["scale"].to_dict() == {"pixel": "logit", "theirs": "probability"}
    assert set(table["threshold_from"]) == {"validation"}
    scores = pd.read_csv(tmp_path / "c_theirs.csv")
    # No training image, and none that the other table lacks.
    trained = (few["subset"] == "alpha") & (few["split"] == "train")
    assert sorted(scores["path"]) == sorted(few.loc[~trained, "path"])
    np.testing.assert_allclose(scores["score"], np.array(sizes(manifest, scores)) / 1e5)
    assert (scores["seconds"] > 0).all() and not (tmp_path / "c_theirs_failed.csv").exists()
    assert any(f"theirs: {len(scores)} of {len(scores)} images in " in line for line in logged.messages)
    read = read_outside_scores(tmp_path / "c_theirs.csv", rows)
    assert read.scale_text == "probability" and len(read.rows) == len(scores)


def test_one_detector_alone_is_enough(manifest: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", f"mine={write(tmp_path, SIZE)}", "--out", str(tmp_path / "c.csv"), "--draws", "100"]
    assert main(["compare-scores", str(manifest[0]), *words]) == 0
    capsys.readouterr()
    assert set(pd.read_csv(tmp_path / "c.csv")["detector"]) == {"mine"}


def test_the_file_s_surroundings_are_those_of_a_script(
    manifest: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `metrics` and `scores` are modules beside the worker, too.
    (tmp_path / "lib").mkdir()
    (tmp_path / "here").mkdir()
    write(tmp_path / "lib", "FACTOR = 2.0\n", "metrics.py")
    (tmp_path / "here" / "weights.txt").write_text("3")
    monkeypatch.chdir(tmp_path / "here")
    code = """
        import os, sys
        from dataclasses import dataclass
        from metrics import FACTOR
        print("loading ...")
        @dataclass
        class Net:
            weight: float = float(open("weights.txt").read())
        assert sys.stdin.read() == "" and "fakefreq" not in sys.modules
        def predict(path):
            print('{"scores": [1]}', flush=True)
            os.write(1, b"noise")
            assert os.path.isabs(path)
            return Net().weight * FACTOR * os.path.getsize(path)
    """
    table = score(manifest, write(tmp_path / "lib", code))
    assert table["score"].tolist() == [6.0 * size for size in sizes(manifest, table)]


FAILURES = {
    "raise ValueError('no\\n face')": "ValueError: no face (line 4)",
    "return float('nan')": "it returned nan, which is no finite number",
    "return float('inf')": "it returned inf, which is no finite number",
    "return 'fake'": "it returned 'fake', which is no number",
    "return '0.5'": "it returned '0.5', which is no number",
    "return None": "it returned NoneType, which is no number",
    "return [0.1, 0.2]": "it returned list, which is no number",
    "sys.exit(3)": "SystemExit: 3 (line 4)",
    "os.kill(os.getpid(), 11)": "it died (SIGSEGV)",
    "print('bye', flush=True); os._exit(7)": "it died (exit status 7; it printed last: bye)",
    "os.kill(os.getpid(), 9)": "it died (SIGKILL, perhaps for lack of memory)",
    "time.sleep(60)": "it gave no answer within 0.7 s (--timeout)",
}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["one", "batch"])
@pytest.mark.parametrize("failure", FAILURES)
def test_an_image_on_which_it_fails_is_listed_and_no_other_is_lost(
    manifest: Images, tmp_path: Path, logged: pytest.LogCaptureFixture, failure: str, form: str
) -> None:
    bad = manifest[1]["path"].iloc[9 * 6]
    code = f"import os, sys, time\ndef one(path):\n    if path.endswith({Path(bad).name!r}):\n        {failure}\n"
    code += "    return os.path.getsize(path)\n"
    batch = "def predict_batch(paths):\n    return [one(path) for path in paths]\n"
    code += "predict = one\n" if form == "one" else batch
    table = score(manifest, write(tmp_path, code), 30, ModelRun(timeout=0.7, batch_size=8))
    assert len(table) == 29 and bad not in set(table["path"])
    assert table["score"].tolist() == sizes(manifest, table)
    failed = pd.read_csv(tmp_path / "scores_failed.csv")
    assert failed.to_numpy().tolist() == [[bad, FAILURES[failure]]]
    label = manifest[1].set_index("path")["label"][bad]
    told = f"theirs: 1 images failed, {1 - label} real and {label} fake, and no detector is judged by them"
    assert any(told in line for line in logged.messages)


def test_scores_that_a_batch_leaves_out_are_found_out(manifest: Images, tmp_path: Path) -> None:
    code = (
        "import os\ndef predict_batch(paths):\n    return [os.path.getsize(p) for p in paths if 'fake_0006' not in p]\n"
    )
    table = score(manifest, write(tmp_path, code), 90)
    failed = pd.read_csv(tmp_path / "scores_failed.csv")
    assert set(failed["reason"]) == {"ValueError: it returned 0 scores for 1 images"}
    assert failed["path"].str.contains("fake_0006").all() and len(failed) + len(table) == 90


def test_a_probability_above_one_is_a_failure(manifest: Images, tmp_path: Path) -> None:
    code = SIZE.replace("return os.path.getsize(path)", "return 0.5 + ('real_0000' in path)")
    table = score(manifest, write(tmp_path, code), 180, scale="probability")
    assert set(table["score"]) == {0.5}
    assert set(pd.read_csv(tmp_path / "scores_failed.csv")["reason"]) == {"it returned 1.5, which is no probability"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "there is no file"),
        ("x = 1\n", "it defines neither predict(path) nor predict_batch(paths)"),
        ("predict = 0.5\n", "it defines neither predict(path)"),
        ("def predict(path:\n", "cannot be used: SyntaxError"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name' (line 1)"),
        (SIZE + "SCALE = 'percent'\n", "unknown scale 'percent'"),
        (SIZE + "SCALE = 'logit'\n", "on the scale logit, --scale says probability"),
        ("def predict(path):\n    1 / 0\n", "failed on all of 20 images, such as "),
        ("import time\ntime.sleep(60)\n", "it gave no answer within 3 s"),
        ("import os\nprint('out of luck')\nos.abort()\n", "it died (SIGABRT; it printed last: "),
    ],
)
def test_a_file_that_is_no_detector_is_one_line_and_nothing_is_written(
    manifest: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str | None, message: str
) -> None:
    file = tmp_path / "theirs.py" if code is None else write(tmp_path, code)
    words = ["--model", str(file), "--out", str(tmp_path / "c.csv"), "--scale", "probability", "--timeout", "0.3"]
    line = error_of(capsys, "compare-scores", str(manifest[0]), *words)
    assert message in line and str(file) in line
    assert {left.name for left in tmp_path.iterdir()} <= {"theirs.py", "__pycache__"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --scores NAME=FILE.csv or --model NAME=FILE.py"),
        (["--model", "a=x.py", "a=y.py"], "--model names one detector twice"),
        (["--model", "a/b=x.py"], "cannot take the name 'a/b'"),
        (["--timeout", "5"], "mean nothing without --model"),
        (["--model", "x.py", "--timeout", "0"], "--timeout takes seconds above 0"),
        (["--model", "x.py", "--batch-size", "0"], "--batch-size takes 1 or more"),
        (["--model", "x.py", "--train-on", "gama"], "unknown generator 'gama'"),
    ],
)
def test_wrong_flags_are_one_line(
    manifest: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert message in error_of(capsys, "compare-scores", str(manifest[0]), "--out", str(tmp_path / "c.csv"), *words)


@pytest.mark.slow
def test_a_detector_that_keeps_dying_is_given_up(
    manifest: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside_models, "STARTS", 2)
    code = SIZE.replace("    return", "    if 'fake' in os.path.basename(path): os.abort()\n    return")
    with pytest.raises(UserError, match=r"given up: it was started again 2 times.*SIGABRT.*10 of 45 images had scores"):
        score(manifest, write(tmp_path, code))
    assert not (tmp_path / "scores.csv").exists()


def test_what_it_has_started_ends_with_it(manifest: Images, tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open(os.path.join(os.path.dirname(__file__), "pid"), "w").write(str(child.pid))
        def predict(path):
            return 1.0
    """
    score(manifest, write(tmp_path, code), 2)
    child = Path("/proc", (tmp_path / "pid").read_text())
    until = time.monotonic() + 5
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2] and time.monotonic() < until:
        time.sleep(0.05)
    assert not child.exists() or (child / "stat").read_text().split()[2] == "Z"


def test_another_interpreter_runs_it(manifest: Images, tmp_path: Path) -> None:
    script = write(tmp_path, f'#!/bin/sh\nOF="the other" exec {sys.executable} "$@"\n', "python")
    script.chmod(0o755)
    code = "import os\nassert os.environ['OF'] == 'the other'\ndef predict(path):\n    return 1.0\n"
    assert len(score(manifest, write(tmp_path, code), 4, ModelRun(python=str(script)))) == 4
    with pytest.raises(UserError, match="--python takes a Python interpreter"):
        score(manifest, write(tmp_path, code), 4, ModelRun(python=str(tmp_path / "nowhere")))


def test_images_of_shards_are_files_for_it(tiny_set: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar", "w") as shard:
        for number, label in enumerate(("0_real", "1_fake")):
            name = tmp_path / f"{number}.cls"
            name.write_text(str(number))
            shard.add(next((tiny_set / "alpha" / label).iterdir()), f"{number}.jpg")
            shard.add(name, f"{number}.cls")
    index_folder(tmp_path / "faces.tar", tmp_path / "manifest.csv")
    images = read_manifest(tmp_path / "manifest.csv").assign(manifest="")
    gone = images.iloc[:1].assign(path="faces.tar::gone.jpg")
    code = "def predict(path):\n    assert path.endswith('.jpg')\n    return len(open(path, 'rb').read())\n"
    out = tmp_path / "scores.csv"
    score_model(write(tmp_path, code), "theirs", pd.concat([images, gone]), tmp_path, out, run=ModelRun())
    assert (pd.read_csv(out)["score"] > 500).tolist() == [True, True]
    assert "no such member" in pd.read_csv(tmp_path / "scores_failed.csv")["reason"].item()


def test_images_of_a_manifest_behind_a_link_are_found(tiny_set: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "a" / "b", target_is_directory=True)
    images, _ = index_folder(tiny_set, tmp_path / "runs" / "manifest.csv")
    out = tmp_path / "scores.csv"
    rows = images.iloc[::20].assign(manifest="")
    score_model(write(tmp_path, SIZE), "theirs", rows, tmp_path / "runs", out, run=ModelRun())
    assert len(pd.read_csv(out)) == len(rows)


def test_the_help_says_whose_code_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare-scores", "--help"])
    assert "YOUR code" in capsys.readouterr().out
