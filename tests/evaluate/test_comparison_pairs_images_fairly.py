from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fakefreq.errors import UserError
from fakefreq.evaluate.comparison import (
    COLUMNS,
    MEAN_NAME,
    compare_scores,
    format_markdown,
    format_table,
    read_comparison,
    wide,
)
from fakefreq.evaluate.statistics import delong, wilson_interval

THRESHOLDS = {"pixel": 0.4, "two_stream": 0.6}
Scores = dict[str, pd.DataFrame]


def draw_scores(count: int = 40, shared_reals: bool = False) -> Scores:
    """Scores of three generators and a control; in `shared_reals` one set of reals stands against all fakes."""
    rng = np.random.default_rng(0)
    rows = []
    for strength, name in enumerate(("alpha", "beta", "gamma"), start=1):
        for label in (0, 1):
            if shared_reals and label == 0 and name != "alpha":
                continue
            subset = "" if shared_reals else name
            for number in range(count):
                noise = rng.normal()
                logits = [noise + 0.5 * rng.normal() + label / strength for _ in range(2)]
                rows.append((f"{name}/{label}/{number}.jpg", label, name * label, subset, *logits))
    for number in range(count // 2):
        rows.append((f"resampled/0/{number}.jpg", 0, "", "resampled", rng.normal(), rng.normal() + 1))
    table = pd.DataFrame(rows, columns=["path", "label", "generator", "subset", "pixel", "two_stream"])
    table.insert(1, "sha256", [f"{number:064x}" for number in range(len(table))])
    table["group"], table["source"], table["split"] = table["path"], "", "test"
    facts = table.drop(columns=["pixel", "two_stream"])
    return {name: facts.assign(logit=table[name]) for name in ("pixel", "two_stream")}


@pytest.fixture(scope="module")
def scores() -> Scores:
    return draw_scores()


@pytest.fixture(scope="module")
def comparison(scores: Scores) -> pd.DataFrame:
    return compare_scores(scores, THRESHOLDS, ["beta"], seed=7, draws=300)


def pick(table: pd.DataFrame, generator: str, detector: str, metric: str) -> "pd.Series[Any]":
    chosen = (table["generator"] == generator) & (table["detector"] == detector) & (table["metric"] == metric)
    assert chosen.sum() == 1
    return table[chosen].iloc[0]


def test_each_row_is_of_the_generator_and_its_own_reals(scores: Scores, comparison: pd.DataFrame) -> None:
    for generator in ("alpha", "beta", "gamma"):
        for name, table in scores.items():
            rows = table[table["subset"] == generator]
            area = pick(comparison, generator, name, "auc")
            assert area["value"] == pytest.approx(roc_auc_score(rows["label"], rows["logit"]))
            assert area["low"] < area["value"] < area["high"]
            assert (area["n_real"], area["n_fake"], area["seed"]) == (40, 40, 7)
            precision = pick(comparison, generator, name, "ap")["value"]
            assert precision == pytest.approx(average_precision_score(rows["label"], rows["logit"]))
            called = rows["logit"] > THRESHOLDS[name]
            assert pick(comparison, generator, name, "accuracy")["value"] == (called == rows["label"]).mean()
            false = pick(comparison, generator, name, "fpr")
            assert false["value"] == pytest.approx(called[rows["label"] == 0].mean())
            assert (false["low"], false["high"]) == wilson_interval(called[rows["label"] == 0].sum(), 40)


def test_the_difference_carries_its_paired_test(scores: Scores, comparison: pd.DataFrame) -> None:
    first, second = (table[table["subset"] == "alpha"] for table in scores.values())
    test = delong(first["label"], second["logit"], first["logit"])
    row = pick(comparison, "alpha", "two_stream", "auc_difference")
    assert row["value"] == pytest.approx(test.difference)
    assert row["p"] == pytest.approx(test.p)
    assert row["baseline"] == "pixel"
    assert not (comparison["detector"].eq("pixel") & comparison["metric"].str.endswith("difference")).any()


def test_seen_generators_come_first_and_the_mean_is_over_the_others(comparison: pd.DataFrame) -> None:
    assert list(comparison.columns) == COLUMNS
    order = list(dict.fromkeys(comparison["generator"]))
    assert order == ["beta", "alpha", "gamma", MEAN_NAME, "resampled"]
    assert comparison.groupby("generator")["seen"].first()[["beta", "alpha"]].tolist() == [True, False]
    for metric in ("auc", "auc_difference"):
        unseen = [pick(comparison, name, "two_stream", metric)["value"] for name in ("alpha", "gamma")]
        mean = pick(comparison, MEAN_NAME, "two_stream", metric)
        assert mean["value"] == pytest.approx(np.mean(unseen))
        assert mean["low"] < mean["value"] < mean["high"]


def test_a_control_has_only_a_false_positive_rate(scores: Scores, comparison: pd.DataFrame) -> None:
    rows = comparison[comparison["kind"] == "control"]
    assert rows["metric"].tolist() == ["fpr", "fpr"]
    assert rows["seen"].isna().all()
    reals = scores["two_stream"].query("subset == 'resampled'")["logit"]
    assert pick(rows, "resampled", "two_stream", "fpr")["value"] == (reals > THRESHOLDS["two_stream"]).mean()


def test_reals_that_all_share_stand_against_every_generator() -> None:
    shared = draw_scores(shared_reals=True)
    table = compare_scores(shared, THRESHOLDS, ["alpha"], draws=100)
    rows = shared["pixel"].query("subset == '' and generator in ('', 'gamma')")
    row = pick(table, "gamma", "pixel", "auc")
    assert row["value"] == pytest.approx(roc_auc_score(rows["label"], rows["logit"]))
    assert pick(table, MEAN_NAME, "pixel", "auc")["n_real"] == 40  # the same reals, counted once


def test_the_order_of_the_rows_does_not_matter(scores: Scores, comparison: pd.DataFrame) -> None:
    shuffled = {name: table.sample(frac=1, random_state=len(name)) for name, table in scores.items()}
    pd.testing.assert_frame_equal(compare_scores(shuffled, THRESHOLDS, ["beta"], seed=7, draws=300), comparison)


def test_equal_detectors_do_not_differ(scores: Scores) -> None:
    same = {"pixel": scores["pixel"], "two_stream": scores["pixel"]}
    table = compare_scores(same, {"pixel": 0.4, "two_stream": 0.4}, ["beta"], draws=100)
    row = pick(table, "alpha", "two_stream", "auc_difference")
    assert (row["value"], row["low"], row["high"], row["p"]) == (0.0, 0.0, 0.0, 1.0)
    assert "alike" in row["note"]


def test_few_images_and_fakes_without_reals_say_so(scores: Scores) -> None:
    def part(table: pd.DataFrame) -> pd.DataFrame:
        alpha, gamma = table[table["subset"] == "alpha"], table.query("subset == 'gamma' and label == 1")
        return pd.concat([alpha.groupby("label").head(3), gamma])

    table = compare_scores({name: part(rows) for name, rows in scores.items()}, THRESHOLDS, ["beta"], draws=100)
    assert "only 3 independent groups" in pick(table, "alpha", "pixel", "auc")["note"]
    lonely = pick(table, "gamma", "pixel", "auc")
    assert np.isnan(lonely["value"])
    assert "no real image" in lonely["note"]
    assert pick(table, "gamma", "pixel", "tpr")["n_real"] == 0
    assert "gamma" in format_table(table)


def test_the_table_survives_its_file(comparison: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "comparison.csv"
    comparison.to_csv(path, index=False)
    read = read_comparison(path)
    pd.testing.assert_frame_equal(read, comparison, rtol=1e-5)
    assert format_table(read) == format_table(comparison)
    with pytest.raises(UserError, match="is missing"):
        read_comparison(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UserError, match="not a comparison"):
        read_comparison(tmp_path / "other.csv")


def test_tables_for_people_hold_the_numbers(comparison: pd.DataFrame) -> None:
    area = pick(comparison, "alpha", "pixel", "auc")["value"]
    row = wide(comparison).set_index("generator").loc["alpha"]
    assert row["pixel_auc"] == area
    assert row["two_stream_auc_difference_p"] == pick(comparison, "alpha", "two_stream", "auc_difference")["p"]
    for text in (format_table(comparison), format_markdown(comparison)):
        assert f"{area:.3f} [" in text
        assert "resampled" in text
    lines = format_table(comparison).splitlines()
    assert len({line.index("seen") for line in lines if " seen " in line[:30]}) == 1
    assert max(map(len, lines)) <= 120
    markdown = [line for line in format_markdown(comparison).splitlines() if line.startswith("|")]
    assert markdown[0].count("|") == markdown[1].count("|") == markdown[2].count("|")


def test_several_seeds_stand_below_each_other(comparison: pd.DataFrame) -> None:
    both = pd.concat([comparison, comparison.assign(seed=8)], ignore_index=True)
    starts = [line.split()[:2] for line in format_table(both).splitlines()[3:7]]
    assert starts == [["beta", "7"], ["beta", "8"], ["alpha", "7"], ["alpha", "8"]]


def broken(scores: Scores, case: str) -> Scores:
    first, second = scores["pixel"], scores["two_stream"].copy()
    if case == "missing":
        second = second.iloc[1:]
    elif case == "twice":
        second = pd.concat([second, second.iloc[:1]])
    elif case == "nan":
        second.loc[3, "logit"] = np.nan
    elif case == "other bytes":
        second.loc[3, "sha256"] = "f" * 64
    elif case == "other label":
        second["label"] = second["label"].where(second.index != 3, 1 - second["label"])
    elif case == "no logit":
        second = second.drop(columns="logit")
    elif case == "empty":
        second = second.iloc[:0]
    return {"pixel": first, "two_stream": second}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "1 only in the first, 0 only in the second, such as alpha/0/0.jpg"),
        ("twice", "two_stream list 1 images twice, such as alpha/0/0.jpg"),
        ("nan", "two_stream: 1 of 260 logits are not finite"),
        ("other bytes", "different images"),
        ("other label", "disagree on the label"),
        ("no logit", "two_stream lack the columns logit"),
        ("empty", "two_stream are empty"),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(scores: Scores, case: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare_scores(broken(scores, case), THRESHOLDS, ["beta"], draws=100)


def test_wrong_arguments_are_refused(scores: Scores) -> None:
    with pytest.raises(UserError, match="baseline 'frequency'"):
        compare_scores(scores, THRESHOLDS, [], baseline="frequency", draws=100)
    with pytest.raises(UserError, match="another detector"):
        compare_scores({"pixel": scores["pixel"]}, THRESHOLDS, [], draws=100)
    with pytest.raises(UserError, match="threshold of two_stream"):
        compare_scores(scores, {"pixel": 0.0}, [], draws=100)
    with pytest.raises(UserError, match="comparison is empty"):
        format_table(pd.DataFrame(columns=COLUMNS))
