import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import make_score_set
from fakefreq.evaluate.tables import derive_tables, write_csv
from fakefreq.files import write_json
from fakefreq.report.page import headline, write_report
from fakefreq.report.tables import read_benchmark

VOID = {"meta", "img", "br", "use", "path", "rect", "image", "stop"}


class Outline(HTMLParser):
    """Checks that elements are closed in order, and gathers ids, addresses and alternative texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.addresses += [found[name] or "" for name in ("src", "href", "xlink:href") if name in found]
        if tag in ("img", "svg") and not (found.get("alt") or found.get("aria-label")):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def draw(names: tuple[str, ...] = ("alpha", "beta", "gamma"), gain: float = 1.0) -> dict[str, pd.DataFrame]:
    """Validation and test scores of two detectors that were trained on the first generator."""
    rng = np.random.default_rng(0)
    rows = [
        (
            f"{name}/{label}/{number}.jpg",
            label,
            name if label else "",
            name,
            "val" if name == names[0] and number < 9 else "test",
        )
        for name in names
        for label in (0, 1)
        for number in range(30)
    ]
    rows += [(f"resampled/{number}.jpg", 0, "", "resampled", "test") for number in range(20)]
    facts = pd.DataFrame(rows, columns=["path", "label", "generator", "subset", "role"])
    facts = facts.assign(sha256="", group="", source="", split=facts["role"])
    noise = rng.normal(size=len(facts))
    return {
        "pixel": facts.assign(logit=noise + facts["label"]),
        "two_stream": facts.assign(logit=noise + 0.2 * rng.normal(size=len(facts)) + (1 + gain) * facts["label"]),
    }


def draw_log(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for epoch in (1, 2, 3):
        rows += [
            {"epoch": epoch, "step": 20 * epoch - 20 + step, "phase": "train", "loss": 0.7 / epoch + rng.normal() / 50}
            for step in (10, 20)
        ]
        rows.append({"epoch": epoch, "step": 20 * epoch, "phase": "val", "loss": 0.8 / epoch, "auc": 0.9 - 0.2 / epoch})
    return pd.DataFrame(rows)


def write_tables(
    folder: Path, scores: dict[str, pd.DataFrame], train_on: str, seeds: tuple[int, ...] = (0,), **facts: Any
) -> Path:
    """A folder as `fakefreq benchmark` leaves it."""
    draws = Draws.of(next(iter(scores.values())), 200)
    cells = {(name, seed): table for seed in seeds for name, table in scores.items()}
    tables = derive_tables([make_score_set("chosen", "raw", [train_on], cells, draws)], "pixel")
    logs = [
        draw_log(number).assign(track="raw", train_on=train_on, detector=key[0], seed=key[1])
        for number, key in enumerate(cells)
    ]
    tables["training"] = pd.concat(logs, ignore_index=True)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    tracks = {"raw": {"manifest": "manifest.csv", "digest": "d1gest"}}
    write_json(folder / "benchmark.json", {"baseline": "pixel", "seeds": list(seeds), "tracks": tracks, **facts})
    rng = np.random.default_rng(1)
    names = sorted(set(next(iter(scores.values()))["generator"]) - {""})
    planes = {f"{name}/{kind}/log_power": rng.random((32, 17)) for name in names for kind in ("real", "fake")}
    (folder / "spectra" / "raw").mkdir(parents=True, exist_ok=True)
    np.savez(folder / "spectra" / "raw" / "spectra.npz", **planes)  # type: ignore[arg-type]
    return folder


Writer = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def written(
        names: tuple[str, ...] = ("alpha", "beta", "gamma"), seeds: tuple[int, ...] = (0,), **facts: Any
    ) -> str:
        folder = write_tables(tmp_path, draw(names), names[0], seeds, **facts)
        return write_report(folder)[0].read_text(encoding="utf-8")

    return written


@pytest.mark.slow
def test_it_asks_nothing_of_the_network_and_runs_nothing(write: Writer) -> None:
    page = write()
    outline = Outline()
    outline.feed(page)
    assert not outline.open
    assert not {"script", "link", "iframe", "object"} & set(outline.tags)
    assert outline.addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in outline.addresses)
    assert not re.findall(r"(?<!xmlns=\")(?<!xlink=\")https?://", page)
    assert "@import" not in page
    assert not outline.unnamed


@pytest.mark.slow
def test_ids_are_unique_and_every_reference_finds_its_own(write: Writer) -> None:
    page = write()
    outline = Outline()
    outline.feed(page)
    assert len(outline.ids) == len(set(outline.ids))
    wanted = [address[1:] for address in outline.addresses if address.startswith("#")]
    wanted += re.findall(r"url\(#([^)]+)\)", page)
    assert wanted
    assert set(wanted) <= set(outline.ids)


@pytest.mark.slow
def test_every_part_is_there(write: Writer) -> None:
    page = write(environment={"command": "fakefreq compare"}, configuration={"epochs": 3})
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Audit of the images",
        "What the AUC gains or loses",
        "Trained on one, tested on another",
        "ROC and DET curves",
        "Reliability",
        "Training",
        "Mean spectra",
        "Tables",
        "How it was made",
        "Cautions",
    ]
    assert page.count("Mean spectrum, ") >= 3 * 3
    for text in ("fakefreq compare", "&quot;epochs&quot;: 3", "resampled", "mean of unseen"):
        assert text in page


@pytest.mark.slow
def test_names_from_outside_are_text_not_markup(write: Writer) -> None:
    page = write(("<script>alert(1)<script>", 'a"b&c', "cost$x_$y$"), note="<img src=x onerror=alert(1)>")
    outline = Outline()
    outline.feed(page)
    assert not outline.open
    assert "script" not in outline.tags
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;script&gt;" in page


@pytest.mark.slow
def test_the_same_results_give_the_same_page(write: Writer) -> None:
    assert write() == write()


@pytest.mark.slow
def test_several_seeds_share_the_figures(write: Writer) -> None:
    one, two = write(), write(seeds=(0, 1))
    assert one.count("<svg") == two.count("<svg")
    assert "2 seeds" in two


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "verdict"), [(1.5, "lies above zero"), (-0.9, "lies below zero"), (0.0, "holds zero")]
)
def test_the_headline_says_what_the_interval_says(gain: float, verdict: str, tmp_path: Path) -> None:
    benchmark = read_benchmark(write_tables(tmp_path, draw(gain=gain), "alpha"))
    table = benchmark.tables["differences"]
    chosen = (table["test"] == "mean of unseen") & (table["metric"] == "auc") & (table["seed"].astype(str) == "all")
    text = headline(benchmark)[0]
    assert text.startswith("chosen, raw, trained on alpha: on unseen generators two_stream changes the mean AUC")
    assert f"by {table[chosen].iloc[0]['value']:+.3f} [" in text
    assert verdict in text


def test_the_headline_does_not_claim_what_was_not_tested(tmp_path: Path) -> None:
    seen = {name: table[table["subset"] == "alpha"] for name, table in draw().items()}
    assert "No difference in AUC on unseen" in headline(read_benchmark(write_tables(tmp_path, seen, "alpha")))[0]


@pytest.mark.slow
def test_biased_training_images_are_named_first(write: Writer) -> None:
    page = write(biased=[{"track": "raw", "train_on": "alpha", "reason": "the images of alpha fail: <size>."}])
    first = page[page.index('class="headline"') :][:200]
    assert "Biased (raw): the images of alpha fail: &lt;size&gt;." in first


@pytest.mark.slow
def test_a_failure_leaves_no_page(tmp_path: Path) -> None:
    folder = write_tables(tmp_path, draw(), "alpha")
    (folder / "differences.csv").write_text('a,b\n"1,2\n', encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read"):
        write_report(folder)
    assert not (folder / "report.html").exists()
