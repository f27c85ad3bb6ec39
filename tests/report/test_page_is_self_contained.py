import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.evaluate.comparison import compare_scores
from fakefreq.report.page import headline, write_comparison_report

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
    rng = np.random.default_rng(0)
    rows = [
        (f"{name}/{label}/{number}.jpg", label, name if label else "", name)
        for name in names
        for label in (0, 1)
        for number in range(30)
    ]
    rows += [(f"resampled/{number}.jpg", 0, "", "resampled") for number in range(20)]
    facts = pd.DataFrame(rows, columns=["path", "label", "generator", "subset"]).assign(sha256="", group="")
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


Writer = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def written(
        names: tuple[str, ...] = ("alpha", "beta", "gamma"), seeds: tuple[int, ...] = (0,), **facts: Any
    ) -> str:
        scores = draw(names)
        thresholds = {"pixel": 0.5, "two_stream": 0.5}
        tables = [compare_scores(scores, thresholds, [names[0]], seed=seed, draws=100) for seed in seeds]
        labels = {(name if len(seeds) == 1 else f"{name}, seed {seed}"): name for seed in seeds for name in scores}
        rng = np.random.default_rng(1)
        path = tmp_path / "report.html"
        write_comparison_report(
            path,
            pd.concat(tables, ignore_index=True),
            {label: scores[name] for label, name in labels.items()},
            {label: draw_log(number) for number, label in enumerate(labels)},
            {name: {"real": rng.random((33, 33)), "fake": rng.random((33, 33))} for name in names},
            facts,
        )
        return path.read_text(encoding="utf-8")

    return written


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


def test_ids_are_unique_and_every_reference_finds_its_own(write: Writer) -> None:
    page = write()
    outline = Outline()
    outline.feed(page)
    assert len(outline.ids) == len(set(outline.ids))
    wanted = [address[1:] for address in outline.addresses if address.startswith("#")]
    wanted += re.findall(r"url\(#([^)]+)\)", page)
    assert wanted
    assert set(wanted) <= set(outline.ids)


def test_every_part_is_there(write: Writer) -> None:
    page = write(command="fakefreq compare", configuration={"epochs": 3}, seeds_of_all=[0, 1])
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Generator by generator",
        "What the AUC gains or loses",
        "ROC curves",
        "Controls: photographs called fake",
        "Training",
        "Mean spectra",
        "How it was made",
        "Cautions",
    ]
    assert page.count("<svg") == 1 + 3 + 2
    assert page.count("data:image/png;base64,") == 3 * 3
    for text in ("fakefreq compare", "&quot;epochs&quot;: 3", "0, 1", "resampled", "mean of unseen"):
        assert text in page


def test_names_from_outside_are_text_not_markup(write: Writer) -> None:
    page = write(("<script>alert(1)</script>", 'a"b&c', "cost$x_$y$"), note="<img src=x onerror=alert(1)>")
    outline = Outline()
    outline.feed(page)
    assert not outline.open
    assert "script" not in outline.tags
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_results_give_the_same_page(write: Writer) -> None:
    assert write() == write()


def test_several_seeds_share_the_figures(write: Writer) -> None:
    page = write(seeds=(0, 1))
    assert page.count("<svg") == 1 + 3 + 2
    assert "the mean of 2 seeds" in page


@pytest.mark.parametrize(
    ("gain", "verdict"), [(1.5, "lies above zero"), (-0.9, "lies below zero"), (0.0, "holds zero")]
)
def test_the_headline_says_what_the_interval_says(gain: float, verdict: str) -> None:
    table = compare_scores(draw(gain=gain), {"pixel": 0.5, "two_stream": 0.5}, ["alpha"], draws=200)
    row = table[(table["kind"] == "mean") & (table["metric"] == "auc_difference")].iloc[0]
    text = headline(table)[0]
    assert text.startswith("On 2 generators unseen in training (beta, gamma) the two_stream detector")
    assert f"by {row['value']:+.3f} [" in text
    assert verdict in text


def test_the_headline_does_not_claim_what_was_not_tested() -> None:
    scores, thresholds = draw(("alpha", "beta")), {"pixel": 0.5, "two_stream": 0.5}
    one = headline(compare_scores(scores, thresholds, ["alpha"], draws=100))[0]
    assert one.startswith("On beta, the one generator unseen in training, the two_stream detector")
    assert "No generator" in headline(compare_scores(scores, thresholds, ["alpha", "beta"], draws=100))[0]
    reals = {name: table[table["label"] == 0] for name, table in scores.items()}
    assert "no AUC" in headline(compare_scores(reals, thresholds, ["alpha"], draws=100))[0]


def test_reals_alone_still_make_a_page(tmp_path: Path) -> None:
    scores = {name: table[table["label"] == 0] for name, table in draw().items()}
    table = compare_scores(scores, {"pixel": 0.5, "two_stream": 0.5}, ["alpha"], draws=100)
    write_comparison_report(tmp_path / "report.html", table, scores, {}, {}, {})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Controls: photographs called fake" in page
    assert "ROC" not in page


def test_a_failure_leaves_no_page(tmp_path: Path) -> None:
    scores = draw()
    table = compare_scores(scores, {"pixel": 0.5, "two_stream": 0.5}, ["alpha"], draws=100)
    planes = {"alpha": {"real": np.zeros((8, 8)), "fake": np.zeros((8, 9))}}
    with pytest.raises(UserError, match="planes of one size"):
        write_comparison_report(tmp_path / "report.html", table, scores, {}, planes, {})
    assert not list(tmp_path.iterdir())
