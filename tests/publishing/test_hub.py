"""What was published comes back as a detector, whose tables of scores name the commit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import fakefreq
from fakefreq.cli import main
from fakefreq.evaluate.scores import load_scores
from fakefreq.hub import HubName, is_hub_name, parse_hub_name
from fakefreq.models import create_detector, save_detector
from tests.helpers.hub_server import Hub
from tests.helpers.publishing import NAME, commit_of, publish, refused

pytestmark = pytest.mark.slow


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
    assert fakefreq.load_detector(tmp_path / "a.onnx").revision == published


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
