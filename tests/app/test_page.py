"""The page for single images: through its own server, by gradio's client and in a real browser."""

import json
import shutil
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fakefreq
from fakefreq.app.look import Limits, look_at, show
from fakefreq.app.page import Example, find_examples, need_gradio, served
from fakefreq.cli import main
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Conformal, Known
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.exporting import export_detector
from fakefreq.models import Detector, create_detector, save_detector
from tests.helpers.photo_files import photo, save

pytestmark = pytest.mark.slow

KNOWN = Known(
    {"real": {"ffhq": 9}, "fake": {"gan": 9}}, {"real": 9, "fake": 9}, {"jpeg": (9, 9)}, (64, 128), (90, 95),
    Conformal(0.9, -1e3, 1e3), "pass",
)  # fmt: skip
LIMITS = Limits(megabytes=0.2, pixels=100_000)


def gradio_or_skip() -> None:
    try:
        need_gradio()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def detector() -> Detector:
    made = create_detector("two_stream", backbone="test_resnet", pretrained="none", spectrum="block_dct+lattice")
    return made.replace(InputConfig(crop=64), known=KNOWN).eval()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save(folder / "a.jpg", photo(1, 96))
    save(folder / "b.png", photo(2, 160))
    return folder


def bomb(path: Path, side: int = 30_000) -> Path:
    """A PNG of a few bytes whose header promises a picture of gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


@pytest.fixture(scope="module")
def server(detector: Detector, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The page's address, and the folder where uploads lie; whoever is called beyond this machine fails the test."""
    gradio_or_skip()
    temporary = tmp_path_factory.mktemp("temporary")
    called = set()
    connect = socket.socket.connect

    def noted(own: socket.socket, address: Any) -> Any:
        called.add(address[0] if isinstance(address, tuple) else "local")
        return connect(own, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        patch.setattr(socket.socket, "connect", noted)
        examples = [Example(images / "a.jpg", "photograph")]
        with served(detector, LIMITS, examples, port=free_port()) as address:
            yield address, temporary
        assert called <= {"127.0.0.1", "localhost", "::1", "local"}
    assert list(temporary.iterdir()) == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def uploads(temporary: Path, names: set[str]) -> list[Path]:
    return [path for path in temporary.rglob("*") if path.name in names]


@pytest.fixture(scope="module")
def client(server: tuple[str, Path]) -> Any:
    import gradio_client

    return gradio_client.Client(server[0], verbose=False)


def test_the_routes_give_what_predict_and_explain_give(
    client: Any, server: tuple[str, Path], detector: Detector, images: Path, tmp_path: Path
) -> None:
    from gradio_client import handle_file

    file = shutil.copy(images / "b.png", tmp_path / "holiday.png")  # a name that no example has
    expected = fakefreq.predict(detector, file).iloc[0]
    found = client.predict(handle_file(file), api_name="/predict")
    assert found["name"] == "holiday.png" and "path" not in found
    assert found["logit"] == pytest.approx(expected["logit"], abs=1e-6)
    assert found["lattice_pvalue"] == pytest.approx(expected["lattice_pvalue"], rel=1e-6)
    assert found["warning"] == expected["warning"].split("; ") and len(found["warning"]) == 2
    assert found["trained_on"] == "9 photographs of ffhq and 9 fakes of gan"
    why = client.predict(handle_file(file), api_name="/explain")
    told = fakefreq.explain(detector, file)[0].as_dict()
    assert why["sha256"] == told["sha256"]  # the bytes are the file's own
    assert why["terms"] == pytest.approx(told["terms"], abs=1e-6)
    assert why["lattice"]["l"] == pytest.approx(told["lattice"]["l"], abs=1e-6)
    assert uploads(server[1], {"holiday.png"}) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.png", b"no image", "text.png: not an image that is known here"),
        ("bomb.png", None, "bomb.png: 30000x30000 pixels are above the limit of 100000"),
        ("empty.jpg", b"", "empty.jpg: the file is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name_and_deleted(
    name: str, content: bytes | None, message: str, client: Any, server: tuple[str, Path], tmp_path: Path
) -> None:
    from gradio_client import handle_file

    file = bomb(tmp_path / name) if content is None else tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Exception, match=message):
        client.predict(handle_file(str(file)), api_name="/predict")
    assert uploads(server[1], {name}) == []


def test_a_file_above_the_limit_of_bytes_is_refused_while_it_comes_in(
    client: Any, server: tuple[str, Path], tmp_path: Path
) -> None:
    from gradio_client import handle_file

    (tmp_path / "large.png").write_bytes(bytes(LIMITS.bytes + 1))
    with pytest.raises(Exception, match=r"413|size"):
        client.predict(handle_file(str(tmp_path / "large.png")), api_name="/predict")
    assert [path for path in server[1].rglob("*") if path.is_file() and path.stat().st_size > 100_000] == []


@pytest.mark.parametrize("path", ["{images}/a.jpg", "{images}/../a.jpg", "http://127.0.0.1:9/a.png"])
def test_no_other_file_and_no_address_is_looked_at(path: str, server: tuple[str, Path], images: Path) -> None:
    import httpx

    # Without gradio's client, which would upload a file of that name itself.
    given = {"path": path.format(images=images), "meta": {"_type": "gradio.FileData"}, "orig_name": "a.jpg"}
    route = f"{server[0]}gradio_api/call/predict"
    event = httpx.post(route, json={"data": [given]}).json()["event_id"]
    answer = httpx.get(f"{route}/{event}", timeout=60).text
    assert "event: error" in answer and "event: complete" not in answer and "logit" not in answer
    assert (images / "a.jpg").is_file()


def test_two_at_once_are_answered_one_after_the_other(client: Any, detector: Detector, tmp_path: Path) -> None:
    from gradio_client import handle_file

    files = [save(tmp_path / f"{number}.jpg", photo(20 + number, 80)) for number in range(3)]
    jobs = [client.submit(handle_file(str(file)), api_name="/predict") for file in files]
    expected = fakefreq.predict(detector, files)["logit"].tolist()
    assert [job.result()["logit"] for job in jobs] == pytest.approx(expected, abs=1e-6)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="playwright is not installed: no browser to look at the page with")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium to look at the page with")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_at_every_width_and_calls_nobody_else(
    width: int, server: tuple[str, Path], browser: Any, detector: Detector, images: Path
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    asked, errors = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server[0])
    files = page.locator("input[type=file]")
    files.first.wait_for(state="attached", timeout=60_000)
    files.first.set_input_files(images / "b.png")
    page.locator(".why .headline").first.wait_for(timeout=60_000)
    shown = page.locator(".why").filter(has=page.locator(".headline")).first
    expected = fakefreq.predict(detector, images / "b.png").iloc[0]
    text = shown.inner_text()
    needles = ["b.png", f"Logit {expected['logit']:+.3f}", "Lattice p-value", "No answer"]
    for needle in (*needles, *expected["warning"].split("; ")):
        assert needle in text
    assert shown.locator("img").count() >= 9
    assert shown.locator("img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = shown.locator("h3, p, li, figcaption, img").evaluate_all(
        "all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length"
    )
    assert over == 0
    page.get_by_role("tab", name="Compare two").click()
    for number, name in ((1, "a.jpg"), (2, "b.png")):
        files.nth(number).set_input_files(images / name)
        page.wait_for_function(f"document.querySelectorAll('.why .headline').length > {number}", timeout=60_000)
    boxes = [page.locator(".why .headline").nth(number).bounding_box() for number in (1, 2)]
    assert (boxes[1]["x"] > boxes[0]["x"]) == (width > 1000)  # side by side, or below each other on a phone
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert {address.split("/")[2] for address in asked if address.startswith("http")} == {server[0].split("/")[2]}
    assert errors == []
    assert uploads(server[1], {"b.png"}) == []
    page.close()


def test_an_example_is_looked_at_and_stays(server: tuple[str, Path], browser: Any, images: Path) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 844})
    page.goto(server[0])
    for _ in range(2):
        page.locator(".gallery-item, .gallery button").first.click(timeout=60_000)
        page.get_by_text("a.jpg (photograph)").first.wait_for(timeout=60_000)
    assert (images / "a.jpg").is_file()
    page.close()


def test_names_are_shown_as_text(detector: Detector, images: Path) -> None:
    shown = show(look_at(detector, images / "a.jpg", "<img src=x onerror=alert(1)>.jpg", LIMITS))
    assert "<img src=x" not in shown and "&lt;img src=x onerror=alert(1)&gt;.jpg" in shown
    assert "http" not in shown and "<script" not in shown


def test_limits_are_checked_before_anything_is_decoded(
    detector: Detector, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fakefreq.data.images.decode._pixels", None)
    with pytest.raises(UserError, match=r"^it: 160x160 pixels are above the limit of 9999$"):
        look_at(detector, images / "b.png", "it", Limits(pixels=9999))
    with pytest.raises(UserError, match=r"^it: .* MB are above the limit of 0\.001 MB$"):
        look_at(detector, images / "b.png", "it", Limits(megabytes=0.001))
    with pytest.raises(UserError, match="it: cannot be read"):
        look_at(detector, tmp_path / "none.png", "it", Limits())


def test_examples_are_test_images_of_the_benchmark(tmp_path: Path, manifest_path: Path) -> None:
    run = tmp_path / "demo" / "cells" / "two_stream" / "run"
    run.mkdir(parents=True)
    assert find_examples(run) == []
    tracks = {"raw": {"manifest": str(manifest_path)}}
    (tmp_path / "demo" / "benchmark.json").write_text(json.dumps({"tracks": tracks}))
    found = find_examples(run)
    assert [example.what.split(",")[0] for example in found] == ["photograph"] * 4 + ["fake"] * 4
    assert {example.what for example in found[4:]} == {"fake, alpha", "fake, beta"}
    rows = read_manifest(manifest_path).set_index("path")
    names = [str(example.path.relative_to(manifest_path.parent)) for example in found]
    assert set(rows.loc[names, "split"]) == {"test"}
    given = find_examples(run, found[0].path.parent)
    assert len(given) == 8 and {example.what for example in given} == {""}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}/nowhere"], "no trained detector"),
        (["{folder}", "--max-pixels", "0"], "--max-pixels is 0; it takes 1 to 100000000"),
        (["{folder}", "--max-megabytes", "0"], "--max-megabytes is 0"),
        (["{folder}", "--examples", "{folder}/none"], "none"),
        (["{folder}", "--port", "{taken}"], "change --host or --port"),
        (["{folder}", "--port", "99999"], "--port is 99999; it takes 1 to 65535"),
        (["{folder}", "--host", "192.0.2.1"], "change --host or --port"),
    ],
)
def test_bad_input_gives_one_line(
    words: list[str], message: str, detector: Detector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gradio_or_skip()
    save_detector(detector, tmp_path / "best.safetensors")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = [word.format(folder=tmp_path, taken=taken.getsockname()[1]) for word in words]
        assert main(["app", *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]


def test_an_onnx_file_is_refused_at_the_start(
    detector: Detector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gradio_or_skip()
    pytest.importorskip("onnxruntime")
    export_detector(detector, tmp_path / "a.onnx")
    with socket.socket() as taken:  # whoever looks at the file only later finds no port
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["app", str(tmp_path / "a.onnx"), "--port", str(taken.getsockname()[1])]) == 2
    assert "an ONNX file gives logits only: give the run folder" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    save_detector(detector, tmp_path / "best.safetensors")
    assert main(["app", str(tmp_path)]) == 2
    assert "pip install 'fakefreq[app]'" in capsys.readouterr().err
