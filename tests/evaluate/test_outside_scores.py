"""Anyone's scores stand in the same table; what cannot be joined is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.manifests import index_folder, manifest_digest, rewrite_split
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.outside_scores import read_outside_scores


@pytest.fixture(scope="module")
def manifest(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    path = tmp_path_factory.mktemp("outside") / "manifest.csv"
    index_folder(tiny_set, path)
    return path, rewrite_split(path, path, (0.5, 0.2, 0.3), seed=0, keep=True)


@pytest.mark.slow
def test_a_table_by_sha256_gives_the_same_comparison_as_one_by_path(
    manifest: tuple[Path, pd.DataFrame], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, rows = manifest
    random = np.random.default_rng(0)
    good, poor = (rows["label"] * strength + random.standard_normal(len(rows)) for strength in (2.0, 0.5))
    pd.DataFrame({"path": rows["path"], "score": poor}).to_csv(tmp_path / "poor.csv", index=False)
    shuffled = pd.DataFrame({"sha256": rows["sha256"], "logit": good}).sample(frac=1, random_state=1)
    shuffled.to_csv(tmp_path / "good.csv", index=False)
    command = [
        "compare-scores",
        str(path),
        "--scores",
        f"poor={tmp_path / 'poor.csv'}",
        f"good={tmp_path / 'good.csv'}",
    ]
    assert main([*command, "--train-on", "alpha", "--out", str(tmp_path / "out.csv"), "--draws", "100"]) == 0
    capsys.readouterr()
    table = pd.read_csv(tmp_path / "out.csv")
    chosen = table[(table["generator"] == "beta") & (table["metric"] == "auc")].set_index("detector")["value"]
    test = rows[rows["subset"] == "beta"]
    for name, values in (("good", good), ("poor", poor)):
        assert chosen[name] == pytest.approx(auc(test["label"].to_numpy(), values[test.index].to_numpy()), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"score": "points"}), "path or sha256, and score or logit"),
        (lambda t: t.assign(score=t["score"].where(t.index != 3)), "1 scores are no finite numbers"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice"),
        (lambda t: pd.concat([t, pd.DataFrame({"path": ["x.jpg"], "score": [0.1]})]), "does not have, the first x.jpg"),
        (lambda t: t.assign(manifest="0" * 16), "made of the manifest with digest"),
        (lambda t: t.iloc[:0], "holds no score"),
    ],
)
def test_what_cannot_be_joined_is_named(
    manifest: tuple[Path, pd.DataFrame], tmp_path: Path, change: "object", message: str
) -> None:
    _, rows = manifest
    table = pd.DataFrame({"path": rows["path"], "score": np.linspace(0, 1, len(rows))})
    assert callable(change)
    change(table).to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(UserError, match=message):
        read_outside_scores(tmp_path / "scores.csv", rows)


def test_the_right_digest_is_accepted(manifest: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    _, rows = manifest
    table = pd.DataFrame({"path": rows["path"], "score": 0.5, "manifest": manifest_digest(rows)})
    table.to_csv(tmp_path / "scores.csv", index=False)
    assert len(read_outside_scores(tmp_path / "scores.csv", rows).rows) == len(rows)
