"""A run goes to the hub as one commit and comes back as a detector, whose tables of scores name that commit."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import fakefreq
from fakefreq.benchmarking.run import benchmark
from fakefreq.cli import main
from fakefreq.config.files import read_train_config
from fakefreq.evaluate.scores import load_scores
from fakefreq.hub import HubName, is_hub_name, parse_hub_name
from fakefreq.models import create_detector, save_detector
from fakefreq.version import __version__
from tests.benchmarking.conftest import TINY, make_small_manifest, tiny_plan
from tests.helpers.hub_server import Hub, serve_hub

pytestmark = pytest.mark.slow

NAME = "owner/detector"


@pytest.fixture(scope="module")
def small_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_manifest(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def benchmarked(small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of one cell, whose run was evaluated too."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    config = replace(TINY, train_on=("alpha",), cache=str(out.parent / "cache"))
    benchmark(tiny_plan(small_manifest, protocols=["one_to_all"], detectors=["pixel"], config=config), out)
    words = ["evaluate", str(run_of(out)), str(small_manifest), "--draws", "100", "--workers", "0"]
    assert main(words) == 0
    return out


def run_of(benchmarked: Path) -> Path:
    return next((benchmarked / "cells").glob("pixel-*")) / "run"


@pytest.fixture
def run(benchmarked: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(run_of(benchmarked), tmp_path / "run"))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serve_hub(tmp_path / "cache") as served:
        yield served


def publish(run: Path, *words: str, name: str = NAME, licence: str = "apache-2.0") -> int:
    return main(["publish", str(run), name, "--license", licence, *words])


def commit_of(hub: Hub, name: str = NAME) -> str:
    return next(reversed(hub.repositories["model", name].commits))


def refused(capsys: pytest.CaptureFixture[str], status: int) -> str:
    error = capsys.readouterr().err
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1, error
    return error


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


def test_the_card_is_made_from_the_run(run: Path, tmp_path: Path) -> None:
    assert publish(run, "--out", str(tmp_path / "folder")) == 0
    text = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    about = yaml.safe_load(head)
    assert about["license"] == "apache-2.0" and about["library_name"] == "fakefreq"
    assert about["pipeline_tag"] == "image-classification"
    metrics = pd.read_csv(run / "evaluation" / "metrics.csv")
    row = metrics[(metrics["test"] == "beta") & (metrics["metric"] == "auc")].iloc[0]
    results = {one["dataset"]["type"]: one["metrics"][0]["value"] for one in about["model-index"][0]["results"]}
    assert results["beta"] == round(row["value"], 4)
    line = next(line for line in body.splitlines() if line.startswith("| beta | no |"))
    assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in line
    assert f"| {int(row['n_real'])} | {int(row['n_fake'])} |" in line
    fpr = metrics[(metrics["kind"] == "control") & (metrics["metric"] == "fpr")].iloc[0]
    controls = body.split("## Controls")[1].split("## ")[0]
    assert f"| {fpr['test']} | {int(fpr['n_real'])} | {fpr['value']:.3f} [{fpr['low']:.3f}, " in controls
    summary = json.loads((run / "summary.json").read_text())
    for needle in (
        "generators: alpha",
        summary["manifest_digest"],
        "## Limits",
        "## Misuse",
        "seed 0",
        "None was made",
    ):
        assert needle.lower() in body.lower(), needle
    for name in ("metrics.csv", "trained_images.txt", "config.yaml"):
        assert name in body and (tmp_path / "folder" / name).is_file()


@pytest.mark.parametrize(("verdict", "told"), [("pass", "Passed"), ("warn", "**Warns**"), ("fail", "**Failed**")])
def test_the_card_tells_the_verdict_of_the_audit(run: Path, tmp_path: Path, verdict: str, told: str) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "audit": verdict}))
    assert publish(run, "--out", str(tmp_path / "folder")) == 0
    assert told in (tmp_path / "folder" / "README.md").read_text().split("## Audit")[1].split("##")[0]


def test_a_run_that_nothing_has_tested_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder"
    assert "--untested contradicts" in refused(capsys, publish(run, "--out", str(out), "--untested"))
    shutil.rmtree(run / "evaluation")
    line = refused(capsys, publish(run, "--out", str(out)))
    assert "fakefreq evaluate" in line and "--untested" in line and not out.exists()
    assert publish(run, "--out", str(out), "--untested") == 0
    card = (out / "README.md").read_text()
    assert "**Not tested on any image**: its validation AUC is" in card and "model-index" not in card
    assert not (out / "metrics.csv").exists()


def test_a_benchmark_s_table_serves_as_well_with_its_audit(run: Path, benchmarked: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "evaluation")
    table = pd.read_csv(benchmarked / "metrics.csv")
    table.assign(biased="codec tells the class").to_csv(tmp_path / "metrics.csv", index=False)
    for number, (folder, told) in enumerate([(benchmarked, "Not failed"), (tmp_path, "codec tells the class")]):
        out = tmp_path / f"folder{number}"
        assert publish(run, "--evaluation", str(folder), "--out", str(out)) == 0
        card = (out / "README.md").read_text()
        assert "| beta | no |" in card and told in card
        assert ("**Failed**" in card) == bool(number)


def test_tests_of_other_weights_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = pd.read_csv(run / "evaluation" / "metrics.csv")
    metrics.assign(threshold=metrics["threshold"] + 1).to_csv(run / "evaluation" / "metrics.csv", index=False)
    assert "has no row of seed 0 and threshold" in refused(capsys, publish(run, "--out", str(tmp_path / "folder")))
    (run / "evaluation" / "metrics.csv").write_text("a,b\n1,2\n")
    assert "is no table of `fakefreq evaluate`" in refused(capsys, publish(run, "--out", str(tmp_path / "folder")))
    assert not (tmp_path / "folder").exists()


@pytest.fixture
def published(run: Path, hub: Hub) -> str:
    """The name of the published run with its commit."""
    assert publish(run) == 0
    return f"hf://{NAME}@{commit_of(hub)}"


def test_every_score_table_names_the_commit(
    published: str, run: Path, small_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores: dict[str, pd.DataFrame] = {}
    for name in (str(run), f"hf://{NAME}"):
        out = tmp_path / f"of_{len(scores)}" / "scores.csv"
        assert main(["score", name, str(small_manifest), "--out", str(out), "--workers", "0"]) == 0
        scores[name] = pd.read_csv(out)
    local, fetched = scores.values()
    assert set(fetched["revision"]) == {published} and "revision" not in local
    np.testing.assert_allclose(fetched["logit"], local["logit"], atol=1e-5)
    image = str(small_manifest.parent / local["path"][0])
    words = ["predict", image, "--detector", f"hf://{NAME}", "--out", str(tmp_path / "p.csv")]
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"detector: {published}"
    assert pd.read_csv(tmp_path / "p.csv")["revision"].tolist() == [published]
    assert fakefreq.predict(fakefreq.load_detector(published), image)["revision"].tolist() == [published]


def test_a_published_detector_is_evaluated_as_its_run(
    published: str, run: Path, small_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(small_manifest), "--draws", "100", "--workers", "0"]
    assert "--out FOLDER" in refused(capsys, main(["evaluate", f"hf://{NAME}", *words]))
    assert main(["evaluate", f"hf://{NAME}", *words, "--out", str(tmp_path / "found")]) == 0
    keys = ["test", "metric"]
    found, expected = (
        pd.read_csv(folder / "metrics.csv").set_index(keys)["value"].sort_index()
        for folder in (tmp_path / "found", run / "evaluation")
    )
    pd.testing.assert_series_equal(found, expected, atol=1e-4, rtol=1e-4)
    assert set(pd.read_csv(tmp_path / "found" / "scores.csv")["revision"]) == {published}
    # Of another manifest it knows by their bytes which images trained and validated it.
    folder = str(small_manifest.parent)
    assert main(["evaluate", f"hf://{NAME}", folder, "--out", str(tmp_path / "new"), *words[1:]]) == 0
    manifest, scored = pd.read_csv(small_manifest), pd.read_csv(tmp_path / "new" / "scores.csv")
    used = manifest[(manifest["subset"] == "alpha") & manifest["split"].isin(["train", "val"])]
    assert not set(scored["sha256"]) & set(used["sha256"]) and len(scored) == len(manifest) - len(used)
    assert (tmp_path / "new" / "indexed").is_dir()


def test_explain_and_export_take_it(published: str, small_manifest: Path, tmp_path: Path) -> None:
    image = small_manifest.parent / pd.read_csv(small_manifest)["path"][0]
    words = ["explain", str(image), "--detector", f"hf://{NAME}", "--out", str(tmp_path / "why")]
    assert main(words) == 0
    told = json.loads(next((tmp_path / "why").rglob("explanation.json")).read_text())
    assert told["detector"]["revision"] == published
    onnx = pytest.importorskip("onnx", reason="export needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="export needs the extra onnx")
    assert main(["export", f"hf://{NAME}", "--out", str(tmp_path / "a.onnx")]) == 0
    properties = {item.key: item.value for item in onnx.load(str(tmp_path / "a.onnx")).metadata_props}
    assert json.loads(properties["fakefreq"])["revision"] == published


def test_a_folder_that_was_not_sent_is_a_detector_too(run: Path, small_manifest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    assert publish(run, "--out", str(folder)) == 0
    assert fakefreq.load_detector(folder).threshold == fakefreq.load_detector(run).threshold
    words = ["evaluate", str(folder), str(small_manifest), "--draws", "100", "--workers", "0"]
    assert main(words) == 0 and (folder / "evaluation" / "metrics.csv").is_file()


def test_revisions_are_told_apart_and_an_old_one_stays(run: Path, hub: Hub) -> None:
    assert publish(run) == 0
    first = commit_of(hub)
    hub.repositories["model", NAME].tags["v1"] = first
    old = fakefreq.load_detector(f"hf://{NAME}@v1")
    stored = load_file(run / "best.safetensors")
    summary = json.loads((run / "summary.json").read_text())
    moved = old.replace(threshold=old.threshold + 1e-8)
    save_detector(moved, run / "best.safetensors")
    (run / "summary.json").write_text(json.dumps({**summary, "threshold": moved.threshold}))
    assert publish(run, licence="mit") == 0
    assert commit_of(hub) != first and len(stored) == len(load_file(run / "best.safetensors"))
    assert fakefreq.load_detector(f"hf://{NAME}").revision == f"hf://{NAME}@{commit_of(hub)}"
    again = fakefreq.load_detector(f"hf://{NAME}@v1")
    assert again.revision == f"hf://{NAME}@{first}" and again.threshold == old.threshold


def test_what_was_fetched_needs_no_network(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fakefreq.load_detector(f"hf://{NAME}")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in (f"hf://{NAME}", published):
        assert fakefreq.load_detector(name).revision == published


# What cannot be published: nothing is asked of the hub that writes, and no folder is made.


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


# What cannot be loaded.


@pytest.mark.parametrize(
    ("name", "needle"),
    [
        ("hf://owner/absent", "the hub has no model owner/absent"),
        ("hf://owner/detector@v9", "the model owner/detector has no revision 'v9'"),
        ("hf://detector", "hf://detector is no name on the hub; it is hf://owner/name[@revision]"),
        ("hf://owner/detector/best.safetensors", "is no name on the hub"),
        ("hf://owner/detector@", "'' is no branch, tag or commit"),
        ("hf://datasets/owner/faces", "names a data set; a model is due here"),
        ("hf://owner/other", "holds no config.yaml"),
        ("hf://owner/half", "holds no model.safetensors"),
        ("hf://owner/foreign", "was not written by fakefreq"),
    ],
)
@pytest.mark.usefixtures("published")
def test_what_is_no_detector_is_named(
    hub: Hub, name: str, needle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    hub.add("owner/other", {"config.json": b"{}", "model.safetensors": b"large"})
    hub.add("owner/half", {"config.yaml": b"crop: 64\n"})
    hub.add("owner/foreign", {"config.yaml": b"", "model.safetensors": (tmp_path / "foreign.safetensors").read_bytes()})
    capsys.readouterr()
    line = refused(capsys, main(["predict", "a.jpg", "--detector", name, "--out", str(tmp_path / "p.csv")]))
    assert needle in line and not (tmp_path / "p.csv").exists()
    if name == "hf://owner/other":  # gigabytes may be spared
        assert not [one for one in hub.asked if "owner/other" in one and one.endswith("model.safetensors")]


def test_a_private_detector_needs_the_token(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(run, "--private") == 0
    assert fakefreq.load_detector(f"hf://{NAME}").revision
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_ENDPOINT", hub.address + "/")
    shutil.rmtree(run.parent / "cache")
    capsys.readouterr()
    assert "or does not show it; log in" in refused(capsys, main(["predict", "a", "--detector", f"hf://{NAME}"]))


def test_weights_of_another_version_are_one_line(tmp_path: Path) -> None:
    detector = create_detector("frequency", spectrum="block_dct")
    save_detector(detector, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    header = {"fakefreq": "9.0", "detector": {"name": "frequency", "ears": 2}, "input": {}, "threshold": 0.0}
    save_file(tensors, tmp_path / "b.safetensors", metadata={"fakefreq": json.dumps(header)})
    with pytest.raises(fakefreq.UserError, match="was written by fakefreq 9.0 and this is .*'ears'"):
        fakefreq.load_detector(tmp_path / "b.safetensors")
    for broken in ("[1, 2]", "{}", "no json"):
        save_file(tensors, tmp_path / "c.safetensors", metadata={"fakefreq": broken})
        with pytest.raises(fakefreq.UserError, match="of an unknown version"):
            fakefreq.load_detector(tmp_path / "c.safetensors")


def test_names_are_parsed() -> None:
    assert parse_hub_name("hf://owner/name@refs/pr/1", "model") == HubName("model", "owner/name", "refs/pr/1")
    assert parse_hub_name("hf://models/owner/name", "model") == HubName("model", "owner/name")
    assert parse_hub_name(Path("hf://datasets/owner/name"), "dataset") == HubName("dataset", "owner/name")
    assert str(HubName("dataset", "owner/name", "v1")) == "hf://datasets/owner/name@v1"
    assert not is_hub_name("hf/owner") and not is_hub_name(Path("./hf:"))
    with pytest.raises(fakefreq.UserError, match="names a model; a data set is due here"):
        parse_hub_name("hf://owner/name", "dataset")


def test_loading_scores_of_a_run_is_as_before(run: Path, small_manifest: Path) -> None:
    assert main(["score", str(run), str(small_manifest), "--out", str(run / "scores.csv"), "--workers", "0"]) == 0
    assert "revision" not in load_scores(run)
