"""The audit finds what was planted and nothing else; an alignment repeats, resumes and takes the short cut away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fakefreq.cli import main
from fakefreq.data.audit.audit import audit_manifest, audit_verdict
from fakefreq.data.audit.probe import probe, weighted_areas
from fakefreq.data.audit.verdict import Thresholds
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.loading.sampling import EpochOrder, effective_counts, image_weights
from fakefreq.data.manifest.align import align_manifest
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.report.audit_page import write_audit_page

Draw = Callable[..., NDArray[np.uint8]]
COUNT = 30


@pytest.fixture
def biased(tmp_path: Path, pixels: Draw) -> Path:
    """Pictures of one law; those that are called fake are PNG, the others JPEG."""
    for number in range(2 * COUNT):
        fake = number % 2
        path = (
            tmp_path / "faces" / "gen" / ("1_fake" if fake else "0_real") / f"{number:03d}{'.png' if fake else '.jpg'}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels(number, 48, 48)[..., ::-1])
    index_folder(tmp_path / "faces", tmp_path / "manifest.csv", sources={"gen": "drawn"})
    return tmp_path / "manifest.csv"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_codec_of_one_class_fails_and_is_named(biased: Path) -> None:
    found = audit_verdict(read_manifest(biased))
    assert found.verdict == "fail"
    assert found.facts["auc"]["auc"] > 0.99 and any("format alone" in reason for reason in found.reasons)


@pytest.mark.slow
def test_an_alignment_takes_it_away_and_the_same_command_gives_the_same_bytes(biased: Path, tmp_path: Path) -> None:
    history = parse_history("size=32,kernel=any,codec=jpeg:70-95")
    table = align_manifest(biased, tmp_path / "a", history)
    again = align_manifest(biased, tmp_path / "b", history)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    pd.testing.assert_frame_equal(table, again)
    before = read_manifest(biased)
    assert sorted(table["group"]) == sorted(before["group"]) and set(table["width"]) == {32}
    facts = audit_verdict(table).facts
    assert facts["auc_without_file_size"]["low"] < 0.55 and facts["auc"]["low"] < 0.55
    # Resumed: what is there is kept, what is missing is made again.
    victim = tmp_path / "a" / str(table["path"].iloc[3])
    whole = _files(tmp_path / "a")
    victim.unlink()
    align_manifest(biased, tmp_path / "a", history)
    assert _files(tmp_path / "a") == whole
    with pytest.raises(UserError, match="another history"):
        align_manifest(biased, tmp_path / "a", parse_history("size=24"))


def test_small_images_are_refused_or_listed_never_enlarged(biased: Path, tmp_path: Path, pixels: Draw) -> None:
    small = tmp_path / "faces" / "gen" / "1_fake" / "small.png"
    assert cv2.imwrite(str(small), pixels(99, 20, 40))
    index_folder(tmp_path / "faces", biased)
    with pytest.raises(UserError, match="--too-small skip"):
        align_manifest(biased, tmp_path / "out", parse_history("size=32"))
    table = align_manifest(biased, tmp_path / "out", parse_history("size=32"), too_small="skip")
    listed = pd.read_csv(tmp_path / "out" / "skipped.csv")
    assert len(table) == 2 * COUNT and listed["path"].tolist() == ["faces/gen/1_fake/small.png"]


@pytest.mark.slow
def test_the_loader_s_history_gives_the_pixels_of_the_aligned_files_cached_or_not(biased: Path, tmp_path: Path) -> None:
    history = parse_history("size=32,kernel=any,codec=jpeg:70-95")
    rows = read_manifest(biased)
    aligned = align_manifest(biased, tmp_path / "a", history)
    by_name = {name.split("/")[-1][:16]: name for name in aligned["path"]}
    files = aligned.set_index("path").loc[[by_name[sha256[:16]] for sha256 in rows["sha256"]]].reset_index()
    expected = np.concatenate([b.images.numpy() for b in make_batches(files, tmp_path / "a", 32, 16, False, workers=0)])
    for cache, workers in (("none", 0), ("memory", 0), ("memory", 2), (str(tmp_path / "cache"), 2)):
        batches = make_batches(rows, biased.parent, 32, 16, False, workers=workers, history=history, cache=cache)
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate([batch.images.numpy() for batch in batches]), expected)


@pytest.mark.slow
def test_the_command_s_exit_status_tells_the_verdict(biased: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["audit", str(biased), "--out", str(tmp_path / "audit")])
    assert caught.value.code == 3
    assert read_json(tmp_path / "audit" / "audit.json", "the audit")["verdict"] == "fail"
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [1, 5])
def test_images_that_do_not_decode_are_counted_and_listed(
    biased: Path, tmp_path: Path, logged: pytest.LogCaptureFixture, damaged: int
) -> None:
    rows = read_manifest(biased)
    bad = rows["path"].iloc[:damaged].tolist()
    (biased.parent / bad[0]).unlink()
    for path in bad[1:]:
        (biased.parent / path).write_bytes(b"no image")
    audit = audit_manifest(biased, tmp_path / "audit.json")
    count = f"{len(rows) - damaged} of {len(rows)} judged; {damaged} cannot be decoded and are left out: {bad[0]} ("
    assert any(count in line for line in logged.messages)
    written = read_json(tmp_path / "audit.json", "the audit")
    (pixels,) = [finding for finding in written["findings"] if finding["part"] == "pixels"]
    assert pixels["verdict"] in ("warn", "fail")
    assert [image["path"] for image in pixels["facts"]["left_out"]] == bad
    assert all(image["reason"] for image in pixels["facts"]["left_out"])
    write_audit_page(tmp_path / "audit.html", audit)
    assert all(path in (tmp_path / "audit.html").read_text() for path in bad)


@pytest.mark.slow
def test_an_audit_of_some_images_says_of_how_many(biased: Path, logged: pytest.LogCaptureFixture) -> None:
    audit_manifest(biased, images=20)
    assert any(f"20 of 20 judged, drawn from {len(read_manifest(biased))}" in line for line in logged.messages)


@pytest.mark.parametrize(("flags", "message"), [
    ({"seed": -1}, "--seed is -1; it takes 0 or more"),
    ({"images": -1}, "--images is -1; it takes 0 or more"),
    ({"thresholds": Thresholds(history_fail=float("inf"))}, "--history-fail takes a number; got inf"),
    ({"thresholds": Thresholds(pixels_warn=float("nan"))}, "--pixels-warn takes a number; got nan"),
])  # fmt: skip
def test_an_audit_s_numbers_out_of_range_are_refused(biased: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        audit_manifest(biased, **flags)


@pytest.mark.slow
def test_leaks_are_failures_that_name_both_files(biased: Path) -> None:
    rows = read_manifest(biased)
    rows["split"] = "train"
    rows.loc[1, ["split", "sha256"]] = ["test", rows["sha256"].iloc[0]]
    write_manifest(rows, biased)
    found = {finding.part: finding for finding in audit_manifest(biased, images=0).findings}
    assert found["duplicates"].verdict == "fail"
    assert all(str(rows["path"].iloc[number]) in " ".join(found["duplicates"].reasons) for number in (0, 1))


@pytest.mark.slow
def test_noise_is_a_coin_and_its_interval_seldom_says_otherwise() -> None:
    labels = np.arange(200) % 2
    found = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        table = pd.DataFrame({"noise": random.random(200), "word": random.choice(list("abc"), 200)})
        result = probe(table, labels, np.arange(200), explain=False)
        assert result is not None
        found.append(result)
    # The standard error of one is .04, of the mean .012.
    assert np.mean([result.auc for result in found]) == pytest.approx(0.5, abs=0.04)
    assert sum(result.low > 0.5 for result in found) <= 2
    constant = probe(pd.DataFrame({"size": np.full(200, 64)}), labels, np.arange(200))
    assert constant is not None and constant.auc == 0.5


def test_a_group_is_never_on_both_sides_of_a_fold() -> None:
    # Each group has a number of its own and a label: known groups are certain, new ones a coin.
    groups = np.repeat(np.arange(60), 5)
    labels = np.repeat(np.random.default_rng(1).integers(0, 2, 60), 5)
    table = pd.DataFrame({"key": np.repeat(np.random.default_rng(2).random(60), 5)})
    found = probe(table, labels, groups, explain=False)
    assert found is not None and found.auc < 0.75


def test_weighted_areas_are_scikit_learn_s() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 9, 80).astype(float), random.integers(0, 2, 80)
    weights = random.poisson(1.0, (3, 80)).astype(float)
    expected = [roc_auc_score(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(weighted_areas(scores, labels, weights), expected)


@pytest.mark.parametrize("sampling", ["oversample", "undersample", "weighted"])
def test_sampling_evens_out_classes_and_generators(sampling: str) -> None:
    rows = pd.DataFrame({"label": [0] * 60 + [1] * 40, "generator": [""] * 60 + ["a"] * 30 + ["b"] * 10, "source": "s"})
    order = EpochOrder(rows, sampling, "generator")  # type: ignore[arg-type]
    drawn = np.concatenate([order.rows(epoch) for epoch in range(40)])
    counts = np.array([(drawn < 60).sum(), ((drawn >= 60) & (drawn < 90)).sum(), (drawn >= 90).sum()])
    np.testing.assert_allclose(counts / len(drawn), [0.5, 0.25, 0.25], atol=0.0 if sampling != "weighted" else 0.03)
    table = effective_counts(rows, sampling, "generator")  # type: ignore[arg-type]
    np.testing.assert_allclose(table["epoch"], np.array([0.5, 0.25, 0.25]) * len(order))
    weights = image_weights(rows, "generator")
    np.testing.assert_allclose([weights[:60].sum(), weights[60:90].sum(), weights[90:].sum()], [50, 25, 25])
