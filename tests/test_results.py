"""The committed tables are made of the committed scores, and what README and docs say is read from the tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fakefreq.benchmarking.plan import PROTOCOLS
from fakefreq.cli import main
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.scores import load_scores
from fakefreq.models.fusion import LATTICE_SHARE, LEARNT_SHARE, EvidenceFusion
from fakefreq.models.streams.lattice import FREQUENCIES, read_lattice_of_image
from fakefreq.simulated.planted import PlantedLattice
from tests.helpers.scripts import BENCHMARKS, script

RESULTS = BENCHMARKS / "results"
SCORES = sorted((RESULTS / "scores").glob("*.parquet"))
pytest.importorskip("pyarrow", reason="the committed scores are Parquet: pip install 'fakefreq[large]'")


@pytest.mark.slow
@pytest.mark.parametrize("path", SCORES, ids=lambda path: path.stem)
def test_the_committed_tables_come_out_of_the_committed_scores_byte_for_byte(path: Path, tmp_path: Path) -> None:
    protocol = next(name for name in PROTOCOLS if name in path.stem)
    words = ["report", str(path), "--out", str(tmp_path), "--protocol", protocol, "--metrics", "auc", "fpr"]
    assert main(words) == 0
    for name in ("summary", "differences"):
        committed = (RESULTS / f"{path.stem}_cpu_{name}.csv").read_text().splitlines()
        column = committed[0].split(",").index("metric")
        kept = [line for line in committed[1:] if line.split(",")[column] in ("auc", "fpr")]
        assert (tmp_path / f"{name}.csv").read_text().splitlines() == [committed[0], *kept]


def test_the_committed_scores_are_small() -> None:
    assert SCORES
    assert sum(path.stat().st_size for path in SCORES) < 5 * 2**20


numbers = script("page_numbers")


@pytest.mark.slow
@pytest.mark.parametrize("page", numbers.pages(), ids=lambda page: page.name)
def test_the_numbers_of_a_page_are_those_of_the_tables(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert numbers.filled(text) == text, "run: python benchmarks/page_numbers.py"


def test_a_number_that_drifts_is_found() -> None:
    page = BENCHMARKS.parent / "README.md"
    text = page.read_text(encoding="utf-8")
    changed = text.replace("<!-- numbers: main -->\n", "<!-- numbers: main -->\n| drifted |\n", 1)
    assert changed != text
    assert numbers.filled(changed) == text


@pytest.mark.parametrize("track", ["raw", "native", "aligned"])
def test_two_streams_said_what_pixels_and_lattice_add_up_to(track: str) -> None:
    scores = load_scores(RESULTS / "scores" / f"lattice_one_to_all_{track}.parquet")
    parts = script("evidence_parts")
    for _, cell in scores.groupby("seed"):
        both = cell[cell["detector"] == "two_stream"].set_index("path")["logit"]
        variants = {table["detector"].iloc[0]: table.set_index("path")["logit"] for table in parts.variants_of(cell)}
        assert set(variants) == {"pixel", *parts.VARIANTS}
        np.testing.assert_allclose(variants["evidence"], both.loc[variants["evidence"].index], atol=1e-3)
        for other in set(parts.VARIANTS) - {"evidence"}:
            assert np.abs(variants[other] - variants["evidence"]).max() > 0.1


def test_the_default_among_other_constants_is_what_two_streams_said(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = script("evidence_constants")
    monkeypatch.setattr(constants, "RHO", (LEARNT_SHARE, 0.2))
    monkeypatch.setattr(constants, "PI", (LATTICE_SHARE,))
    scores = load_scores(RESULTS / "scores" / "lattice_one_to_all_native.parquet")
    cell = scores[scores["seed"] == 0]
    table = constants.trade(constants.gains(cell), "stylegan").set_index("rho")
    tested = cell[cell["role"] != "val"]
    areas = {
        (str(detector), str(subset)): auc(part["label"].to_numpy(), part["logit"].to_numpy())
        for (detector, subset), part in tested.groupby(["detector", "subset"], observed=True)
    }
    gains = {name: areas["two_stream", name] - areas["pixel", name] for name in cell["subset"].unique()}
    for name in gains:
        assert table.loc[LEARNT_SHARE, f"auc_{name}"] == pytest.approx(areas["two_stream", name], abs=1e-4)
    unseen = [gain for name, gain in gains.items() if name != "stylegan"]
    assert table.loc[LEARNT_SHARE, "gain_unseen"] == pytest.approx(np.mean(unseen), abs=1e-4)
    assert table.loc[LEARNT_SHARE, "worst_change"] == pytest.approx(min(gains.values()), abs=1e-4)
    assert table.loc[0.2, "auc_dcgan"] > table.loc[LEARNT_SHARE, "auc_dcgan"] + 0.02
    assert table.loc[0.2, "worst_change"] < table.loc[LEARNT_SHARE, "worst_change"]
    monkeypatch.setattr(constants, "WEIGHTS", ((1, 1), (10, 1)))
    monkeypatch.setattr(constants, "SPLINES", {6: 10.0})
    by = ("weight_found", "weight_kept")
    bound = constants.trade(constants.gains_of_fitted(cell, constants.Config(scores=())), "stylegan", by)
    even, found = bound.set_index("weight_found").loc[1], bound.set_index("weight_found").loc[10]
    assert even["gain_unseen"] > table.loc[LEARNT_SHARE, "gain_unseen"]
    assert found["auc_dcgan"] > even["auc_dcgan"] > table.loc[LEARNT_SHARE, "auc_dcgan"]
    assert found["worst_change"] < even["worst_change"]
    with pytest.raises(UserError, match="hold no lattice"):
        constants.gains(cell[cell["detector"] != "lattice"])


@pytest.mark.parametrize("shape", [(16, 16), (64, 64), (100, 128), (256, 300)])
def test_the_reading_that_others_are_compared_with_is_the_detectors(shape: tuple[int, int]) -> None:
    readings = script("lattice_readings")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    own = readings.reading(8, readings.median)
    np.testing.assert_allclose(own(image), read_lattice_of_image(image), atol=1e-4)


@pytest.mark.parametrize("period", [2, 4])
def test_the_strongest_score_of_a_period_is_that_of_its_own_frequencies(period: int) -> None:
    strongest = script("lattice_limits").strongest
    random = np.random.default_rng(0)
    photo = np.asarray(random.normal(128, 8, (128, 128, 3)).clip(0, 255), dtype=np.uint8)
    planted = PlantedLattice(periods=(period,), amplitude=(20.0, 20.0), follow=False).plant(photo, random)
    read = read_lattice_of_image(planted)
    assert strongest(read, period) == read[:FREQUENCIES].max() > 2 * strongest(read_lattice_of_image(photo), period)
    assert strongest(read, 8) == read[:FREQUENCIES].max()


def test_the_selection_table_says_what_constants_do_to_the_seen_and_the_unseen() -> None:
    selection = script("lattice_selection")
    random = np.random.default_rng(0)

    def part(source: str, subset: str, label: int, learnt: float, lattice: float) -> pd.DataFrame:
        values = {"learnt": random.normal(learnt, 1, 60), "lattice": random.normal(lattice, 1, 60)}
        names = [f"{source}{subset}{label}{number}" for number in range(60)]
        return pd.DataFrame({"sha256": names, "source": source, "subset": subset, "label": label, **values})

    parts = pd.concat([
        part("validation", "stylegan", 0, -2, -2), part("validation", "stylegan", 1, 0, -2),
        part("celeba", "srgan", 0, -3, -2), part("celeba", "srgan", 1, -3, 4),
        part("ffhq", "control_webp", 0, -3, 0),
    ], ignore_index=True)  # fmt: skip
    parts = pd.concat([parts.assign(history=history) for history in ("raw", "native")], ignore_index=True)
    parts["fused"] = selection.evidence(parts, LEARNT_SHARE, LATTICE_SHARE)
    head = EvidenceFusion({"pixel": 1, "lattice": 1}, dropout=0.0)
    head.calibrate(1.0, 0.0)
    learnt, lattice = (torch.tensor(parts[name].to_numpy()) for name in ("learnt", "lattice"))
    np.testing.assert_allclose(parts["fused"], head.of_learnt(learnt) + head.of_lattice(lattice), atol=1e-5)

    judged = selection.judge(parts).set_index(["source", "set", "history", "detector"]).sort_index()
    unseen = judged.loc["celeba", "srgan", "native"]
    assert unseen.loc["pixel", "auc"] < 0.65 < 0.99 < unseen.loc["lattice", "auc"]
    assert unseen.loc["two_stream", "auc"] > 0.95
    assert judged.loc[("validation", "stylegan", "raw", "lattice"), "alarms_at_5%"] == pytest.approx(0.05, abs=0.01)
    assert judged.loc[("ffhq", "control_webp", "raw", "lattice"), "alarms_at_5%"] > 0.3
    assert ("crossed", "ffhq control_webp", "raw", "pixel") in judged.index
    table = selection.compare(parts)
    default, other = table[table["is_default"].eq(True)], table[table["sum"] == "pixel"]
    assert len(default) == 1 and other["seen_worst"].item() == 0.0
    assert default["mean"].item() == pytest.approx(
        judged.xs("two_stream", level="detector").loc["celeba", "auc"].mean()
    )
    assert default["seen_worst"].item() < default["seen_mean"].item() <= 0
    deeper = table.query("rho == @LEARNT_SHARE and pi > @LATTICE_SHARE")
    assert (deeper["mean"].to_numpy() >= default["mean"].item()).all()
