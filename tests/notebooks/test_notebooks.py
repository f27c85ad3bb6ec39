"""The notebooks are what their plain-text pairs make, and they run."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fakefreq.config.files import RUN_SETTINGS, write_train_config
from fakefreq.config.run import TrainConfig
from tests.helpers.drawn_scores import draw_benchmark, draw_cell

FOLDER = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_notebooks() -> None:
    assert [path.stem for path in SCRIPTS] == ["01_spectra", "02_roc", "03_cross_generator", "04_lattice"]


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_committed_notebook_is_what_the_script_makes(script: Path, build: ModuleType) -> None:
    assert build.is_fresh(script), f"run python notebooks/build.py {script.stem}"


def test_a_changed_script_is_noticed(tmp_path: Path, build: ModuleType) -> None:
    copy = tmp_path / SCRIPTS[0].name
    copy.write_text(SCRIPTS[0].read_text() + "\n# %%\nprint('more')\n")
    copy.with_suffix(".ipynb").write_bytes(SCRIPTS[0].with_suffix(".ipynb").read_bytes())
    assert not build.is_fresh(copy)


def pictures(executed: Any) -> int:
    return sum(
        "image/png" in output.get("data", {})
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_notebook_runs_on_small_data(
    script: Path, build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKEFREQ_NOTEBOOK_SIZE", "small")
    draw_benchmark(tmp_path)
    monkeypatch.setenv("FAKEFREQ_FOLDER", str(tmp_path))
    monkeypatch.chdir(FOLDER.parent)
    executed = build.execute(script, seconds=240)
    assert pictures(executed) >= 2
    text = "".join(
        output.text for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )
    if script.stem == "02_roc":
        assert "12 cells" in text and "trained on alpha" in text
        assert "needs 1000 reals, there are" in text  # a metric that these few images have no number for
    if script.stem == "03_cross_generator":
        assert "baseline pixel; trained on: alpha; beta; gamma" in text and "by permutation" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_roc", "03_cross_generator"])
def test_the_notebook_opens_a_run_folder(
    name: str, build: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cell = draw_cell("alpha", "pixel", 0)
    write_train_config(TrainConfig(detector="pixel", train_on=("alpha",)), tmp_path / RUN_SETTINGS)
    for role, file in (("val", "val_scores.csv"), ("test", "scores.csv")):
        cell[cell["role"] == role].drop(columns=["role", "detector", "train_on", "seed", "track", "cell"]).to_csv(
            tmp_path / file, index=False
        )
    monkeypatch.setenv("FAKEFREQ_FOLDER", str(tmp_path))
    monkeypatch.chdir(FOLDER.parent)
    assert pictures(build.execute(FOLDER / f"{name}.py", seconds=240)) >= 1
