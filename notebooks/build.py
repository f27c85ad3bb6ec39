"""Execute the plain-text notebooks (jupytext percent scripts) and write their .ipynb pairs, figures included.

Example: python notebooks/build.py            # all
         python notebooks/build.py 01_spectra
         python notebooks/build.py --check    # do the pairs agree? nothing is executed
"""

import argparse
import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
LARGEST = 400_000  # bytes of a notebook with its figures


def scripts(names: list[str]) -> list[Path]:
    """The plain-text notebooks of these names, or all."""
    known = sorted(path for path in HERE.glob("[0-9]*.py"))
    unknown = [name for name in names if name not in {path.stem for path in known}]
    if unknown:
        sys.exit(f"error: no notebook is called {', '.join(unknown)}; there are {', '.join(p.stem for p in known)}")
    return [path for path in known if not names or path.stem in names]


def sources(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Kind and text of each cell: what a pair has to agree in."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def is_fresh(script: Path) -> bool:
    """Whether the executed pair has the script's cells, ran to its end without an error, and is not too large."""
    pair = script.with_suffix(".ipynb")
    if not pair.exists() or pair.stat().st_size > LARGEST:
        return False
    executed = nbformat.read(pair, as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    failed = any(output.output_type == "error" for cell in code for output in cell.outputs)
    ran = all(cell.execution_count for cell in code if cell.source.strip())
    return ran and not failed and sources(executed) == sources(jupytext.read(script))


def execute(script: Path, seconds: int = 600) -> nbformat.NotebookNode:
    """Run a script's cells in a new kernel of this Python, with the repository as working folder."""
    notebook = jupytext.read(script)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    # Messages of this machine (progress bars, warnings of libraries) are nothing that a reader came for.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    client = NotebookClient(notebook, timeout=seconds, kernel_name="python3", resources={"metadata": {"path": "."}})
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.pop("id", None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
    return notebook


def smaller(encoded: str) -> str:
    """A PNG with a palette of 256 colours, a third of the size, as base64."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def main() -> None:
    """Build or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as 01_spectra; all by default")
    parser.add_argument("--check", action="store_true", help="compare the pairs, execute nothing")
    arguments = parser.parse_args()
    chosen = scripts(arguments.names)
    if arguments.check:
        stale = [path.stem for path in chosen if not is_fresh(path)]
        if stale:
            sys.exit(f"error: {', '.join(stale)}: the .ipynb is not what the .py makes; run python notebooks/build.py")
        print(f"{len(chosen)} notebooks agree with their scripts")
        return
    for path in chosen:
        notebook = execute(path)
        # Cells without ids: they are drawn anew each time and would make every build a change.
        notebook.nbformat, notebook.nbformat_minor = 4, 4
        target = path.with_suffix(".ipynb")
        with tempfile.NamedTemporaryFile("w", dir=HERE, suffix=".tmp", delete=False, encoding="utf-8") as file:
            nbformat.write(notebook, file)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(target)
        print(f"{target} ({target.stat().st_size // 1000} kB)")


if __name__ == "__main__":
    main()
