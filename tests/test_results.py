"""The committed tables are made of the committed scores, and what README and docs say is read from the tables."""

from pathlib import Path

import pytest

from fakefreq.benchmarking.plan import PROTOCOLS
from fakefreq.cli import main
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
