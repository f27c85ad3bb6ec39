"""The notebooks are what their plain-text pairs make, and they run."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
    assert [path.stem for path in SCRIPTS][:1] == ["01_spectra"]


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_committed_notebook_is_what_the_script_makes(script: Path, build: ModuleType) -> None:
    assert build.is_fresh(script), f"run python notebooks/build.py {script.stem}"


def test_a_changed_script_is_noticed(tmp_path: Path, build: ModuleType) -> None:
    copy = tmp_path / SCRIPTS[0].name
    copy.write_text(SCRIPTS[0].read_text() + "\n# %%\nprint('more')\n")
    copy.with_suffix(".ipynb").write_bytes(SCRIPTS[0].with_suffix(".ipynb").read_bytes())
    assert not build.is_fresh(copy)


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_the_notebook_runs_on_small_data(script: Path, build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKEFREQ_NOTEBOOK_SIZE", "small")
    monkeypatch.chdir(FOLDER.parent)
    executed = build.execute(script, seconds=240)
    pictures = [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result") and "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 2
