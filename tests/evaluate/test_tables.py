"""What is derived from frozen scores is what it was before `compare` and `benchmark` became one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluate.frozen.freeze import FROZEN, all_tables

pytestmark = pytest.mark.slow

TEXTS = ["note", "detector", "baseline", "test", "kind", "seen", "train_on", "seed", "generator", "metric"]
TEXTS += ["trained_on"]
NAMES = sorted(path.name.removesuffix(".csv.gz") for path in FROZEN.glob("*.csv.gz") if "scores" not in path.name)


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("frozen")
    text = dict.fromkeys(["path", "sha256", "generator", "source", "subset", "group", "split"], str)
    manifest = pd.read_csv(FROZEN / "manifest.csv", dtype=text, keep_default_na=False)
    scores = pd.read_csv(FROZEN / "scores.csv.gz", dtype=text, keep_default_na=False)
    for name, table in all_tables(manifest, scores).items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.15g")
    return {name: read(folder / f"{name}.csv") for name in NAMES}


OF_BENCHMARK = [name for name in NAMES if not name.startswith("comparison")]


@pytest.mark.parametrize("name", OF_BENCHMARK)
def test_a_table_of_benchmark_is_as_it_was(name: str, tables: dict[str, pd.DataFrame]) -> None:
    # Where the fit of a calibration ends depends on the processor in the eighth digit.
    assert_same(tables[name], read(FROZEN / f"{name}.csv.gz"), 1e-6 if name in ("calibration", "reliability") else 1e-9)


@pytest.mark.parametrize("name", ["comparison", "comparison_one_unseen"])
def test_a_comparison_has_the_values_tests_and_rates_that_it_had(name: str, tables: dict[str, pd.DataFrame]) -> None:
    """Intervals of AUC, AP and accuracy come of benchmark's draws now, and a mean names the generator without reals."""
    keys = ["seed", "generator", "detector", "metric"]
    before = read(FROZEN / f"{name}.csv.gz")
    before = before[before["value"].notna() & (before["kind"] != "mean")]
    before = before.reset_index(drop=True)
    found = tables[name].set_index(keys).loc[pd.MultiIndex.from_frame(before[keys])].reset_index()
    found["p"] = found["p"].where(before["metric"] == "auc_difference")  # the others have tests now too
    same = ["kind", "value", "p", "threshold", "trained_on", "n_real", "n_fake"]
    assert_same(found[[*keys, *same]], before[[*keys, *same]])
    assert found["seen"].fillna("").str.lower().tolist() == before["seen"].fillna("").str.lower().tolist()
    rates = before["metric"].isin(["fpr", "tpr"]).to_numpy()
    # Where images without fakes or reals stand alone the groups of either class were counted apart.
    assert_same(found.loc[rates, ["low", "high"]], before.loc[rates, ["low", "high"]])


def test_a_mean_over_the_unseen_generators_is_that_of_all_of_them(tables: dict[str, pd.DataFrame]) -> None:
    one = tables["comparison_one_unseen"]
    auc = one[(one["metric"] == "auc") & (one["seed"] == "0")].set_index(["generator", "detector"])["value"]
    assert auc["mean of unseen", "pixel"] == auc["gamma", "pixel"]
    whole = tables["comparison"]
    mean = whole[(whole["generator"] == "mean of unseen") & (whole["metric"] == "auc")]
    assert mean["value"].isna().all() and mean["note"].str.contains("no value on epsilon").all()


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, tolerance: float = 1e-9) -> None:
    assert list(found) == list(expected) and len(found) == len(expected)
    for column in expected:
        ours, theirs = found[column], expected[column]
        if pd.api.types.is_numeric_dtype(theirs):
            np.testing.assert_allclose(
                ours.astype(float), theirs.astype(float), rtol=tolerance, atol=tolerance, err_msg=column
            )
        else:
            assert ours.fillna("").tolist() == theirs.fillna("").tolist(), column
