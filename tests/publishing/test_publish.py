"""A run goes to the hub as one commit, or not at all."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

import fakefreq
from fakefreq.cli import main
from fakefreq.config.files import read_train_config
from fakefreq.version import __version__
from tests.helpers.hub_server import Hub, serve_hub
from tests.helpers.publishing import NAME, commit_of, publish, refused

pytestmark = pytest.mark.slow


def test_a_published_run_is_the_same_detector(run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(run) == 0
    pinned = f"hf://{NAME}@{commit_of(hub)}"
    assert capsys.readouterr() == (f"published: {pinned}\n", "")
    local = fakefreq.load_detector(run)
    for name in (f"hf://{NAME}", f"hf://{NAME}@main", pinned):
        detector = fakefreq.load_detector(name)
        assert detector.revision == pinned and detector.threshold == local.threshold
        assert detector.input == local.input
        assert all(torch.equal(value, local.state_dict()[key]) for key, value in detector.state_dict().items())
    assert fakefreq.load_detector(Path(pinned)).revision == pinned
    assert local.revision == ""


def test_nothing_of_the_owner_s_machine_is_sent(run: Path, hub: Hub, small_manifest: Path) -> None:
    assert publish(run) == 0
    files = hub.repositories["model", NAME].commits[commit_of(hub)]
    assert set(files) == {
        *("README.md", "model.safetensors", "config.yaml", "environment.json", "summary.json"),
        *("trained_images.txt", "val_scores.csv", "metrics.csv"),
    }
    known = pd.read_csv(small_manifest)
    names = {str(small_manifest.parent), *known["path"], *(Path(path).name for path in known["path"])}
    for name, content in files.items():
        assert [one for one in names if one.encode() in content] == [], name
    assert "command" not in json.loads(files["environment.json"])


def test_its_settings_repeat_the_run(run: Path, tmp_path: Path) -> None:
    assert publish(run, "--out", str(tmp_path / "folder")) == 0
    own, there = (read_train_config([folder / "config.yaml"]) for folder in (run, tmp_path / "folder"))
    assert there.what_it_computes() == own.what_it_computes()
    assert own.cache != "none" and there.cache == "none"


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        ({"licence": ""}, "--license is empty"),
        ({"licence": "  "}, "--license is empty"),
        ({"licence": "Apache 2.0"}, "--license 'Apache 2.0' is no short form"),
        ({"name": "detector"}, "'detector' is no name on the hub; it is owner/name"),
        ({"name": "owner/de tector"}, "is no name on the hub"),
        ({"name": "owner/-x--y"}, "is no name on the hub"),
        ({"name": "hf://owner/x"}, "is no name on the hub; it is owner/name"),
        ({"name": "somebody/else"}, "the token is of owner, lab"),
    ],
)
@pytest.mark.parametrize("sends", [True, False])
def test_bad_words_are_refused_first(
    run: Path, hub: Hub, tmp_path: Path, words: dict[str, str], needle: str, sends: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if words.get("name") == "somebody/else" and not sends:
        return  # a folder is written for whomever
    flags = [] if sends else ["--out", str(tmp_path / "folder")]
    assert needle in refused(capsys, publish(run, *flags, **words))
    assert hub.written() == [] and not hub.repositories and not (tmp_path / "folder").exists()


def test_a_licence_must_be_named_at_all(run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--license is empty" in refused(capsys, main(["publish", str(run), NAME]))
    assert hub.asked == []


@pytest.mark.parametrize("what", ["unfinished", "other version", "no run", "nothing"])
def test_what_is_no_finished_run_is_refused(run: Path, hub: Hub, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    if what == "unfinished":
        (run / "summary.json").unlink()
        needle = "has not ended: go on with `fakefreq train ... --resume`"
    elif what == "other version":
        environment = json.loads((run / "environment.json").read_text())
        (run / "environment.json").write_text(json.dumps({**environment, "fakefreq": "0.0.9"}))
        needle = f"was trained by fakefreq 0.0.9, and this is {__version__}"
    elif what == "no run":
        (run / "config.yaml").unlink()
        needle = "is no run folder"
    else:
        run, needle = run / "absent", "no trained detector at"
    assert needle in refused(capsys, publish(run))
    assert hub.asked == []


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "File name too long" in refused(capsys, publish(tmp_path / ("a" * 300)))


def test_an_unfinished_run_without_weights_is_called_so(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "summary.json").unlink()
    (run / "best.safetensors").unlink()
    assert "has not ended" in refused(capsys, publish(run))
    assert hub.asked == []


def test_a_folder_that_holds_something_is_kept(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    assert "holds something already" in refused(capsys, publish(run, "--out", str(folder)))
    assert "--private is of the repository" in refused(capsys, publish(run, "--out", str(tmp_path / "a"), "--private"))
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    (folder / "mine.txt").unlink()
    assert publish(run, "--out", str(folder)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "run"]


def test_without_a_token_nothing_is_written(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "there is no token to write to the hub with" in refused(capsys, publish(run))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "refuses the token (401" in refused(capsys, publish(run))
    assert hub.written() == [] and not hub.repositories


def test_without_a_network_nothing_is_half_done(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve_hub(tmp_path / "cache"):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        assert "the hub at http://127.0.0.1:9 cannot be reached" in refused(capsys, publish(run))
        line = refused(capsys, main(["predict", "a.jpg", "--detector", f"hf://{NAME}"]))
        assert "the hub at http://127.0.0.1:9 cannot be reached" in line and "the cache does not hold it" in line


@pytest.mark.parametrize(
    "step", ["POST /api/models/owner/detector/preupload", "PUT /lfs", "POST /api/models/owner/detector/commit"]
)
def test_a_failure_on_the_way_leaves_no_file_there(
    run: Path, hub: Hub, step: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.fail_at = step
    line = refused(capsys, publish(run))
    assert "the hub answered 500" in line or "owner/detector" in line
    assert "the empty repository owner/detector that was made for it stays" in line
    assert hub.repositories["model", NAME].commits == {}
    hub.fail_at = "-"
    assert publish(run) == 0  # the same command again fills it


def test_a_card_that_the_hub_refuses_is_told(run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.wrong_card = '"license" must be one of [apache-2.0, mit]'
    assert '"license" must be one of' in refused(capsys, publish(run, licence="my-own"))
    assert hub.repositories["model", NAME].commits == {}


def test_what_is_not_ours_is_not_written_over(run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.add("owner/other", {"README.md": b"", "pytorch_model.bin": b"x"})
    assert "holds something else (pytorch_model.bin)" in refused(capsys, publish(run, name="owner/other"))
    assert len(hub.repositories["model", "owner/other"].commits) == 1
    assert publish(run, "--private", name="lab/detector") == 0
    assert hub.repositories["model", "lab/detector"].private
    assert publish(run) == 0
    assert "is there already, and public" in refused(capsys, publish(run, "--private"))
