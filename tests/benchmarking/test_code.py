"""A cell's name changes with the code that its scores depend on, and with no other."""

import shutil
from pathlib import Path

import pytest

from fakefreq.benchmarking.code import PACKAGE, ROOTS, SAYS_ONLY, code_digest, deciding_modules

# A module of each floor, and whether a change in it makes other scores.
FLOORS = {
    "errors.py": True,
    "config/detector.py": True,
    "spectra/block_dct.py": True,
    "data/loading/loader.py": True,
    "data/audit/audit.py": False,
    "data/audit/learnt_checks.py": False,
    "simulated/upsamplers.py": True,
    "wheels/fetch.py": True,
    "zoo/build.py": False,
    "atlas/measure.py": False,
    "models/streams/fft.py": True,
    "models/peers/f3net.py": True,
    "evaluate/predict.py": True,
    "evaluate/measure.py": False,
    "evaluate/tables.py": False,
    "train/optim.py": True,
    "train/bias_check.py": False,
    "benchmarking/plan.py": False,
    "report/page.py": False,
    "commands/benchmark.py": False,
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "fakefreq"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", FLOORS)
def test_one_changed_line_makes_new_cells_where_scores_depend_on_it(package: Path, module: str) -> None:
    file = package / module
    before = file.read_text(encoding="utf-8")
    plain = code_digest.__wrapped__(package)
    assert plain == code_digest()
    try:
        file.write_text(f'{before}\n\n# a comment\n"""A text."""\n', encoding="utf-8")
        assert code_digest.__wrapped__(package) == plain
        file.write_text(f"{before}\nCHANGED = 1\n", encoding="utf-8")
        assert (code_digest.__wrapped__(package) != plain) == FLOORS[module]
    finally:
        file.write_text(before, encoding="utf-8")


def test_the_named_modules_are_there_and_all_that_is_imported_is_followed() -> None:
    for name in (*ROOTS, *SAYS_ONLY):
        path = PACKAGE.joinpath(*name.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name
    found = deciding_modules()
    assert {
        "models.peers.npr",
        "simulated.families",
        "simulated.fakes",
        "train.fit_lattice",
        "data.images.resample",
        "models",
    } <= found
    assert not any(name.startswith(("report", "commands", "benchmarking", "atlas")) for name in found)
