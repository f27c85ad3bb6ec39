"""Which code decides a cell's scores: what its training and scoring import, directly or through others."""

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOTS = ("train.train", "train.selection", "evaluate.predict", "models")
"""What `run_cell` calls to make scores."""
SAYS_ONLY = ("messages", "progress", "train.bias_check")
"""Modules on the way that look at the images and say something, or refuse; no score depends on them."""
LAZY = re.compile(r"fakefreq((?:\.\w+)+)(?::\w+)?")


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Return 8 hexadecimal digits that change with the code that decides a cell's scores.

    Comments, layout and docstrings do not count.

    Args:
        package: the folder of the package `fakefreq`.
    """
    digest = hashlib.sha256()
    for name in sorted(deciding_modules(package)):
        tree = _without_docstrings(_file_of(package, name))
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:8]


def deciding_modules(package: Path = PACKAGE) -> set[str]:
    """Return the names, below `fakefreq`, of all modules that decide a cell's scores.

    Imports inside functions count, and so do modules that are named in a text (`fakefreq.a.b` or `fakefreq.a.b:name`)
    to be imported when they are wanted; an f-string that names a package counts as all of its modules.

    Args:
        package: the folder of the package `fakefreq`.
    """
    found: set[str] = set()
    waiting = [*ROOTS]
    while waiting:
        name = waiting.pop()
        if name in found or name in SAYS_ONLY:
            continue
        found.add(name)
        waiting += _imports(package, name)
        # A package's own file runs before its modules; the topmost only names what is imported when it is wanted.
        waiting += [parent] if (parent := name.rpartition(".")[0]) else []
    return found


def _file_of(package: Path, name: str) -> Path:
    path = package.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(package: Path, name: str) -> list[str]:
    named: list[str] = []
    for node in ast.walk(ast.parse(_file_of(package, name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            named += [node.module, *(f"{node.module}.{item.name}" for item in node.names)]
        elif isinstance(node, ast.Import):
            named += [item.name for item in node.names]
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            folder = str(node.values[0].value).rstrip(".")
            if folder.startswith("fakefreq."):
                modules = package.joinpath(*folder.split(".")[1:]).glob("*.py")
                named += [f"{folder}.{module.stem}" for module in modules if module.stem != "__init__"]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := LAZY.fullmatch(node.value)):
            named.append(f"fakefreq{match[1]}")
    below = [item.removeprefix("fakefreq.") for item in named if item.startswith("fakefreq.")]
    return [item for item in below if _file_of(package, item).is_file()]


def _without_docstrings(file: Path) -> ast.Module:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return tree


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
