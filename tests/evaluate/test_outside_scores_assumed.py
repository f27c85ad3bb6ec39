"""A score's scale and threshold are the table's, a flag's or validation's; what is only assumed is called so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakefreq.cli import main
from fakefreq.data.manifests import index_folder, rewrite_split
from fakefreq.errors import UserError
from fakefreq.evaluate.outside_scores import OutsideScores, read_outside_scores

Images = tuple[Path, pd.DataFrame]


@pytest.fixture(scope="module")
def images(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Images:
    path = tmp_path_factory.mktemp("assumed") / "manifest.csv"
    index_folder(tiny_set, path)
    return path, rewrite_split(path, path, (0.5, 0.2, 0.3), seed=0, keep=True)


def inside(rows: pd.DataFrame) -> np.ndarray:
    """Scores in (0, 1), not very good ones."""
    noise = np.random.default_rng(0).normal(0, 1.5, len(rows))
    return np.asarray(1 / (1 + np.exp(-(rows["label"] - 0.5 + noise))))


def read(images: Images, tmp_path: Path, columns: dict[str, object], **given: object) -> OutsideScores:
    _, rows = images
    path = tmp_path / "scores.csv"
    pd.DataFrame({"path": rows["path"], **columns}).to_csv(path, index=False)
    return read_outside_scores(path, rows, **given)  # type: ignore[arg-type]


def test_the_name_of_a_column_says_its_scale(images: Images, tmp_path: Path) -> None:
    values = inside(images[1])
    of_logit = read(images, tmp_path, {"logit": values})
    assert (of_logit.scale_text, of_logit.usual_threshold()) == ("logit", (0.0, "assumed: logit 0"))
    np.testing.assert_allclose(of_logit.rows["logit"], values)
    of_share = read(images, tmp_path, {"probability": values})
    assert (of_share.scale_text, of_share.usual_threshold()) == ("probability", (0.0, "assumed: probability 0.5"))
    np.testing.assert_allclose(of_share.rows["logit"], np.log(values / (1 - values)), atol=1e-9)
    assert of_logit.threshold is of_share.threshold is None


@pytest.mark.parametrize(("stretch", "scale"), [(1, "probability"), (9, "logit")])
def test_a_column_that_says_nothing_is_assumed(images: Images, tmp_path: Path, stretch: int, scale: str) -> None:
    found = read(images, tmp_path, {"score": stretch * inside(images[1])})
    assert found.scale_text == f"assumed: {scale}"
    assert read(images, tmp_path, {"score": inside(images[1])}, scale="logit").scale_text == "logit"


def test_a_table_says_scale_and_threshold_itself(images: Images, tmp_path: Path) -> None:
    said = {"score": inside(images[1]), "scale": "probability", "threshold": 0.25, "threshold_from": "their paper"}
    found = read(images, tmp_path, said)
    assert found.scale_text == "probability" and found.threshold == pytest.approx(np.log(1 / 3))
    assert found.threshold_from == "score table: their paper"
    found = read(images, tmp_path, said, threshold=0.5)
    assert (found.threshold, found.threshold_from) == (0.0, "given")


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        ({"probability": 2.0}, {}, "which is no probability"),
        ({"score": -1.0}, {"scale": "probability"}, "which is no probability"),
        ({"score": 0.5, "scale": "logit"}, {"scale": "probability"}, "--scale says probability; leave one"),
        ({"score": 0.5, "scale": "odds"}, {}, "unknown scale 'odds'"),
        ({"score": 0.5}, {"scale": "percent"}, "unknown scale 'percent'"),
        ({"score": 0.5, "threshold": "high"}, {}, "'high' is no finite number"),
        ({"probability": 0.5, "threshold": 1.5}, {}, "1.5 is no probability"),
        ({"score": 0.5}, {"threshold": float("nan")}, "finite number"),
    ],
)
def test_contradictions_are_named(
    images: Images, tmp_path: Path, columns: dict[str, object], given: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(images, tmp_path, columns, **given)


def test_two_thresholds_in_one_table_are_refused(images: Images, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is one for all rows"):
        read(images, tmp_path, {"score": inside(images[1]), "threshold": np.arange(len(images[1])) % 2})


def compared(images: Images, tmp_path: Path, tables: dict[str, pd.DataFrame], *flags: str) -> pd.DataFrame:
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    files = [f"{name}={tmp_path / name}.csv" for name in tables]
    command = ["compare-scores", str(images[0]), "--scores", *files, "--out", str(tmp_path / "out.csv"), *flags]
    assert main([*command, "--draws", "100"]) == 0
    return pd.read_csv(tmp_path / "out.csv").groupby("detector").first()


@pytest.mark.slow
def test_without_validation_rows_the_heading_and_the_table_say_assumed(
    images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = images[1][images[1]["split"] != "val"]
    tables = {
        "named": pd.DataFrame({"path": rows["path"], "logit": inside(rows)}),
        "silent": pd.DataFrame({"path": rows["path"], "score": inside(rows)}),
    }
    found = compared(images, tmp_path, tables)
    assert found["threshold_from"].to_dict() == {"named": "assumed: logit 0", "silent": "assumed: probability 0.5"}
    assert found["scale"].to_dict() == {"named": "logit", "silent": "assumed: probability"}
    printed = capsys.readouterr().out
    assert "validation threshold" not in printed
    assert "at the thresholds of named (assumed: logit 0), silent (assumed: probability 0.5)" in printed
    assert "named: all of its scores lie above the threshold" in printed
    found = compared(images, tmp_path, tables, "--scale", "named=probability", "--threshold", "silent=0.4")
    assert found["threshold_from"].to_dict() == {"named": "assumed: probability 0.5", "silent": "given"}
    assert found["threshold"]["silent"] == pytest.approx(np.log(0.4 / 0.6), rel=1e-4)


@pytest.mark.slow
def test_validation_rows_of_trained_generators_alone_choose_a_threshold(
    images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = images[1]
    tables = {name: pd.DataFrame({"path": rows["path"], "score": inside(rows)}) for name in ("one", "other")}
    # Only the unseen generator's validation images differ: they must choose nothing.
    moved = (rows["subset"] == "beta") & (rows["split"] == "val")
    tables["other"].loc[moved.to_numpy(), "score"] = 1 - rows.loc[moved, "label"]
    found = compared(images, tmp_path, tables, "--train-on", "alpha")
    assert found["threshold_from"].tolist() == ["validation"] * 2
    assert found["threshold"]["one"] == found["threshold"]["other"]
    assert "at the validation threshold" in capsys.readouterr().out
