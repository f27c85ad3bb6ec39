"""Imports go down only: the floors of the package, proved from the import statements, lazy ones too."""

import ast
from pathlib import Path

import pytest

import fakefreq

ROOT = Path(fakefreq.__file__).parent
# From the lowest: a part may import its own line and the lines above it in this list. Commands import lazily.
FLOORS: list[set[str]] = [
    {"version", "errors", "engines", "files", "messages", "progress", "ranks", "threads"},
    {"config", "wheels", "hub"},
    {"spectra", "data"},
    {"simulated"},
    {"zoo", "atlas"},
    {"models"},
    {"evaluate"},
    {"train"},
    {"benchmarking"},
    {"report"},
    {"explaining", "exporting", "publishing"},
    {"app"},
    {"api", "commands", "cli"},
]
NO_ZOO = {"models", "train"}


def _part(name: str) -> str:
    return name.split(".")[1]


def _imports() -> set[tuple[str, str]]:
    """Pairs of modules below fakefreq: who imports, what is imported."""
    pairs = set()
    for file in ROOT.rglob("*.py"):
        name = ".".join(("fakefreq", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        if name in ("fakefreq", "fakefreq.__main__"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fakefreq":
                below = [_module_of(node.module, item.name) for item in node.names]
            elif isinstance(node, ast.Import):
                below = [item.name for item in node.names if item.name.startswith("fakefreq.")]
            else:
                continue
            pairs |= {(name, target) for target in below if target != "fakefreq.__version__"}
    return pairs


def _module_of(package: str, name: str) -> str:
    """The module that `from package import name` needs: a module of that name, or the package itself."""
    inside = ROOT.joinpath(*package.split(".")[1:], name)
    is_module = inside.with_suffix(".py").exists() or (inside / "__init__.py").exists()
    return f"{package}.{name}" if is_module or package == "fakefreq" else package


def test_every_part_has_one_floor() -> None:
    parts = {file.stem if file.is_file() else file.name for file in ROOT.iterdir() if _is_part(file)}
    assert sorted(part for floor in FLOORS for part in floor) == sorted(parts)


def _is_part(file: Path) -> bool:
    return (file / "__init__.py").exists() or (file.suffix == ".py" and file.stem not in ("__init__", "__main__"))


@pytest.mark.slow
def test_imports_go_down_only() -> None:
    height = {part: number for number, floor in enumerate(FLOORS) for part in floor}
    up = {
        (name, target)
        for name, target in _imports()
        if height[_part(target)] > height[_part(name)] or (_part(name) in NO_ZOO and _part(target) == "zoo")
    }
    assert up == set()


@pytest.mark.slow
def test_there_is_no_import_circle() -> None:
    """Not even one that hides in a function. A package stands for its `__init__`."""
    below: dict[str, set[str]] = {}
    for name, target in _imports():
        below.setdefault(name, set()).add(target)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join((*path[path.index(name) :], name))}"
        if name in done:
            return
        for target in sorted(below.get(name, ())):
            visit(target, (*path, name))
        done.add(name)

    for name in sorted(below):
        visit(name, ())
