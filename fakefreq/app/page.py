"""The page in the browser: uploads, examples, and JSON for programs, on this machine alone.

Gradio draws the page and brings the files. An upload is looked at by its bytes, never by a copy that was encoded anew,
and it is deleted as soon as it was looked at.
"""

import contextlib
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fakefreq.app.look import CSS, Json, Limits, Look, block, look_at, show
from fakefreq.data.index.walk import find_images
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.models import Detector
from fakefreq.models.onnx_detector import LOGITS_ONLY, OnnxDetector
from fakefreq.report.html import paragraph

logger = logging.getLogger(__name__)

EXAMPLES = 8
"""Example images at most."""
OLDEST = (6, 31)
"""Version of gradio; older ones keep a history of what was looked at."""
T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """An image that the page offers.

    Args:
        path: of the file.
        what: what it is known to be, for the reader; empty where nothing says so.
    """

    path: Path
    what: str


def find_examples(run: str | Path, given: str | Path | None = None) -> list[Example]:
    """Return a few images to begin with: as many photographs as fakes where a manifest tells them apart.

    Args:
        run: the detector's run folder. Where it is a cell of a benchmark, as after `fakefreq demo`, the examples are
            test images of the benchmark's manifest.
        given: a manifest, a folder or a pattern instead.

    Raises:
        UserError: `given` holds no image.
    """
    if given is not None:
        if Path(given).suffix in (".csv", ".parquet"):
            return _of_manifest(Path(given))
        found = [Example(Path(path), "") for path in find_images([given])[0] if Path(path).is_file()]
        if not found:
            raise UserError(f"there is no image {given}; --examples takes a manifest, a folder or a pattern")
        return found[:EXAMPLES]
    told = next((folder / "benchmark.json" for folder in Path(run).resolve().parents[:4]
                 if (folder / "benchmark.json").is_file()), None)  # fmt: skip
    if told is None:
        return []
    tracks = read_json(told, "the record of a benchmark").get("tracks", {})
    manifest = next((Path(track["manifest"]) for track in tracks.values()), None)
    # It was noted from where the benchmark was called: the images may lie elsewhere now.
    return _of_manifest(manifest) if manifest is not None and manifest.is_file() else []


def _of_manifest(manifest: Path) -> list[Example]:
    rows = read_manifest(manifest)
    rows = rows[rows["split"].isin(["test", ""])]
    kinds = rows["generator"].where(rows["label"] == 1, rows["subset"])
    # The first of each generator and of each subset's photographs, then the second, and so on.
    rows = rows.assign(kind=kinds, turn=rows.groupby([rows["label"], kinds]).cumcount())
    parts = [rows[rows["label"] == label].sort_values(["turn", "kind"]).head(EXAMPLES // 2) for label in (0, 1)]
    return [
        Example(manifest.parent / str(row.path), f"fake, {row.kind}" if row.label else f"photograph, {row.kind}")
        for row in pd.concat(parts).itertuples()
        if (manifest.parent / str(row.path)).is_file()
    ]


def need_gradio() -> Any:
    """Return gradio, told to send nothing home.

    Raises:
        UserError: it is missing, or of another version.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise UserError("the page needs gradio 6: pip install 'fakefreq[app]'") from error
    found = tuple(int(part) for part in str(gradio.__version__).split(".")[:2])
    if not OLDEST <= found < (7,):
        raise UserError(
            f"the page needs gradio 6.31 or later of 6, not {gradio.__version__}: pip install 'fakefreq[app]'"
        )
    return gradio


def build_page(detector: Detector, limits: Limits, examples: list[Example]) -> Any:
    """Return the page as a `gradio.Blocks`; its routes `/predict` and `/explain` take a file and give JSON.

    Args:
        detector: as `fakefreq.load_detector` returns it; one image at a time goes through it.
        limits: of uploads.
        examples: images of this machine that are offered.

    Raises:
        UserError: gradio is missing.
    """
    gr = need_gradio()
    one_at_a_time = {"concurrency_limit": 1, "concurrency_id": "detector"}
    hidden = {**one_at_a_time, "api_visibility": "private", "show_progress": "minimal"}

    def shown(given: tuple[str, str] | None) -> tuple[str, None]:
        try:
            return "" if given is None else _use(
                given, lambda path, name: show(look_at(detector, path, name, limits))
            ), None
        except UserError as error:
            return block(paragraph(f"Refused: {error}", "refused")), None

    def shown_example(number: int | None) -> str:
        if number is None or not 0 <= number < len(examples):
            return ""
        example = examples[number]
        try:
            return show(look_at(detector, example.path, f"{example.path.name} ({example.what or 'example'})", limits))
        except UserError as error:
            return block(paragraph(f"Refused: {error}", "refused"))

    def asked(given: tuple[str, str] | None, answer: Callable[[Look], Json]) -> Json:
        try:
            if given is None:
                raise UserError("no file is given")
            return _use(given, lambda path, name: answer(look_at(detector, path, name, limits)))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def predict(image: tuple[str, str] | None) -> Json:
        """What `fakefreq predict` says of an image file."""
        return asked(image, lambda look: {"name": look.name, **look.said})

    def explain(image: tuple[str, str] | None) -> Json:
        """What `fakefreq explain` writes of an image file into explanation.json."""
        return asked(image, lambda look: {"name": look.name, **_without_path(look.explanation.as_dict())})

    def slot(label: str) -> None:
        file = _upload(gr, label, height=150)
        offered = None
        if examples:
            thumbnails = [[str(example.path)] for example in examples]
            offered = gr.Dataset(
                components=[gr.Image(visible=False)], samples=thumbnails, type="index", label="Examples",
                sample_labels=None, samples_per_page=EXAMPLES,
            )  # fmt: skip
        result = gr.HTML(block(""), apply_default_css=False)
        file.upload(shown, file, [result, file], **hidden)
        if offered is not None:
            offered.click(shown_example, offered, result, **hidden)

    with gr.Blocks(title="fakefreq", analytics_enabled=False, delete_cache=(60, 600)) as page:
        gr.HTML(_introduction(detector, limits), apply_default_css=False)
        with gr.Tab("One image"):
            slot("Image")
        with gr.Tab("Compare two"), gr.Row():
            for label in ("First image", "Second image"):
                with gr.Column(min_width=300):
                    slot(label)
        with gr.Row(visible=False):
            image, answer = _upload(gr, "image"), gr.JSON()
            for name, function in (("predict", predict), ("explain", explain)):
                gr.Button(name).click(function, image, answer, api_name=name, **one_at_a_time)
    return page


def _without_path(values: Json) -> Json:
    """Clients of gradio take whatever has a `path` for a file that they must fetch."""
    return {name: value for name, value in values.items() if name != "path"}


def _introduction(detector: Detector, limits: Limits) -> str:
    known = "" if detector.known is None else f", trained on {detector.known.describe()}"
    text = (
        f"Detector {detector.config.name}{known}. It is worth little on generators unlike those. Images stay on "
        f"the machine that runs this page, and are deleted once they were looked at; up to {limits.megabytes:g} MB and "
        f"{limits.pixels / 1e6:g} million pixels."
    )
    return f'<div class="why"><h1>Fake or photograph?</h1>{paragraph(text)}</div>'


def _upload(gr: Any, label: str, **settings: Any) -> Any:
    """Return an upload that is neither copied nor encoded anew, and that fetches nothing from an address.

    What it gives is the file's path and its name.
    """
    # Set on the object: gradio writes a file beside the module of a class that is derived from a component.
    file = gr.File(label=label, file_count="single", type="filepath", **settings)

    async def stay(given: str | Path | None) -> str | None:
        if given is not None and not Path(given).is_file():
            raise gr.Error("give an image file; a file is deleted once it was looked at", print_exception=False)
        return None if given is None else str(given)

    def give(payload: Any) -> tuple[str, str] | None:
        return None if payload is None else (payload.path, payload.orig_name or Path(payload.path).name)

    file.async_move_resource_to_block_cache, file.preprocess = stay, give
    return file


def _use(given: tuple[str, str], work: Callable[[str, str], T]) -> T:
    """Do something with an upload, and delete it whatever comes of it."""
    path = Path(given[0])
    try:
        return work(*given)
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@contextlib.contextmanager
def served(
    detector: Detector,
    limits: Limits | None = None,
    examples: list[Example] | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Iterator[str]:
    """Serve the page for as long as the context lasts, and yield its address.

    All files that come in lie in a temporary folder of its own, which is deleted at the end.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        limits: of uploads; by default `Limits()`.
        examples: images of this machine that are offered.
        host: the address to listen at; `0.0.0.0` is every network of this machine.
        port: None takes the first free one from 7860.

    Raises:
        UserError: an ONNX file instead of weights; a port out of range; gradio is missing; the address cannot be had.
    """
    if isinstance(detector, OnnxDetector):
        raise UserError(LOGITS_ONLY)
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"--port is {port}; it takes 1 to 65535, or 0 for the first free one from 7860")
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="fakefreq-app-") as folder, _environment(GRADIO_TEMP_DIR=folder):
        gr = need_gradio()
        page = build_page(detector, limits, examples or [])
        page.queue(max_size=32)
        theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # others are fetched
        try:
            # gradio itself would try a hundred ports of an address that is not this machine's, some seconds each.
            kind = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0][0]
            socket.create_server((host, port or 0), family=kind).close()
            address = page.launch(
                server_name=host, server_port=port, prevent_thread_lock=True, quiet=True, share=False, css=CSS,
                theme=theme, max_file_size=limits.bytes, run_history=False, footer_links=["api"], ssr_mode=False,
                enable_monitoring=False, pwa=False, mcp_server=False,
            )[1]  # fmt: skip
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot listen at {host}:{port or 'any port from 7860'}: {error}; change --host or --port"
            ) from error
        try:
            yield str(address)
        finally:
            page.close(verbose=False)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def serve(
    detector: Detector, limits: Limits, examples: list[Example], host: str = "127.0.0.1", port: int | None = None
) -> None:
    """Serve the page until Ctrl+C; arguments as `served` takes them."""
    with served(detector, limits, examples, host, port) as address:
        logger.info(f"the page is at {address} (Ctrl+C ends it)")
        if host != "127.0.0.1":
            logger.warning(f"warning: whoever reaches {host} can use the page; there is no password")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
