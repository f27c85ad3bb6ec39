"""`align --face`: the largest face of every image of either class, found once, cut by one law, and told of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fakefreq.cli import main
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.face_detectors import Mtcnn, YuNet, load_mtcnn
from fakefreq.data.manifest.align import align_manifest, refuse_second_history
from fakefreq.data.manifest.faces import FaceCrop, largest, square_around
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.threads import one_torch_thread
from fakefreq.wheels.torch_weights import load_strictly

RAW = parse_history("raw")
Draw = Callable[..., NDArray[np.uint8]]


@dataclass
class WhitePatches:
    """Calls white patches faces."""

    name: str = "white-patches"
    seen: list[int] = field(default_factory=list)

    def find(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.seen.append(image.shape[0])
        _, _, found, _ = cv2.connectedComponentsWithStats((image.min(axis=2) == 255).astype(np.uint8))
        return np.array([[x, y, x + w, y + h] for x, y, w, h, _ in found[1:]], np.float64).reshape(-1, 4)


@pytest.fixture
def faces(tmp_path: Path, pixels: Draw) -> Path:
    """Four images of each class, 64x72: a face of 20x24; two, of which the right one is larger; one at the border;
    none."""
    for label in ("0_real", "1_fake"):
        for number in range(4):
            image = pixels(number + 10 * (label == "1_fake"), 64, 72).clip(0, 254)
            if number in (0, 1):
                image[20:44, 10:30] = 255
            if number == 1:
                image[10:40, 40:68] = 255
            if number == 2:
                image[40:64, 0:20] = 255
            path = tmp_path / "faces" / "gen" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image[..., ::-1])
    index_folder(tmp_path / "faces", tmp_path / "manifest.csv", sources={"gen": "drawn"})
    return tmp_path / "manifest.csv"


def aligned(faces: Path, out: Path, detector: WhitePatches, **given: Any) -> pd.DataFrame:
    settings: dict[str, Any] = {"history": RAW, "without_face": "skip", "jobs": 2, **given}
    crop = FaceCrop(detector, settings.pop("margin", 0.0))
    return align_manifest(faces, out, face=crop, **settings)


def test_the_square_of_the_largest_face_is_what_is_written(
    faces: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    table = aligned(faces, tmp_path / "out", WhitePatches())
    assert sorted(zip(table["label"], table["width"], table["height"], strict=True)) == [
        (label, side, side) for label in (0, 1) for side in (24, 24, 30)
    ]
    rows = read_manifest(faces)
    written = table.set_index(table["path"].str.split("/").str[-1].str[:16])["path"]
    for name, top, left, side in (("0.png", 20, 8, 24), ("1.png", 10, 39, 30), ("2.png", 40, 0, 24)):
        for row in rows[rows["path"].str.endswith(name)].itertuples():
            original = read_image(faces.parent / str(row.path))
            expected = original[top : top + side, left : left + side]
            np.testing.assert_array_equal(read_image(tmp_path / "out" / written[str(row.sha256)[:16]]), expected)
    for word in ("real", "fake"):
        told = f"faces, {word}: 3 of 4 images are cropped to one; 1 have several, and the largest is taken; 1 squares"
        assert any(message.startswith(told) for message in logged.messages)
    listed = pd.read_csv(tmp_path / "out" / "skipped.csv")
    assert listed["path"].str.endswith("3.png").all() and set(listed["reason"]) == {"no face is found"}
    assert len(listed) == 2


def test_the_history_names_detector_and_margin(faces: Path, tmp_path: Path) -> None:
    aligned(faces, tmp_path / "out", WhitePatches(), margin=-0.25)
    recipe = read_json(tmp_path / "out" / "align.json", "the recipe")
    assert recipe["history"] == f"face=white-patches,margin=-0.25,{RAW}"
    with pytest.raises(UserError, match="gone through face=white-patches"):
        refuse_second_history(tmp_path / "out" / "manifest.csv", "native", "leave it")
    with pytest.raises(UserError, match="another history"):
        aligned(faces, tmp_path / "out", WhitePatches())


def test_images_without_a_face_stop_before_any_image_is_written(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 of 8 images .* 2 have none.*3\.png.*--without-face skip") as caught:
        aligned(faces, tmp_path / "out", WhitePatches(), without_face="stop")
    assert "--face-margin" not in str(caught.value)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["faces.csv"]


def test_faces_are_found_once_whatever_is_cut_and_written_then(faces: Path, tmp_path: Path) -> None:
    detector, again = WhitePatches(), WhitePatches()
    with pytest.raises(UserError, match="6 of 8 faces are smaller than size 40"):
        aligned(faces, tmp_path / "out", detector, history=parse_history("size=40"))
    table = aligned(faces, tmp_path / "out", again, history=parse_history("size=16"))
    assert (len(detector.seen), again.seen, len(table)) == (8, [], 6)
    other = aligned(faces, tmp_path / "other", WhitePatches(), history=parse_history("size=16"), jobs=1)
    pd.testing.assert_frame_equal(table, other)
    # Of another detector, nothing is taken over.
    renamed = WhitePatches("other")
    with pytest.raises(UserError, match="another history"):
        aligned(faces, tmp_path / "out", renamed)
    (tmp_path / "out" / "align.json").unlink()
    with pytest.raises(UserError, match="not empty"):
        aligned(faces, tmp_path / "out", renamed)


def test_a_square_that_no_image_holds_names_the_margin_at_which_all_fit(faces: Path, tmp_path: Path) -> None:
    # 64 rows and a face of 30: at a margin of 1.1333 and more the square is too large.
    with pytest.raises(UserError, match=r"2 have none, 2 do not hold its square.*at --face-margin 1\.1 all squares"):
        aligned(faces, tmp_path / "out", WhitePatches(), margin=1.5, without_face="stop")
    assert len(aligned(faces, tmp_path / "out", WhitePatches(), margin=1.1)) == 6
    with pytest.raises(UserError, match=r"--face-margin takes -0\.8 to 2; got 3"):
        FaceCrop(WhitePatches(), 3.0)


def test_a_damaged_image_is_listed_or_stops(faces: Path, tmp_path: Path) -> None:
    victim = faces.parent / "faces" / "gen" / "0_real" / "0.png"
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(UserError, match="--on-error skip"):
        aligned(faces, tmp_path / "out", WhitePatches())
    table = aligned(faces, tmp_path / "out", WhitePatches(), on_error="skip")
    assert len(table) == 5 and len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--face-margin", "0.3"], "--face-margin means nothing without --face"),
        (["--without-face", "skip"], "--without-face means nothing without --face"),
        (["--face", "--face-model", "nowhere.onnx"], "there is no file nowhere.onnx"),
        (["--face", "--face-model", "README"], "OpenCV cannot use README as YuNet"),
    ],
)
def test_wrong_flags_are_one_line(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README").write_text("no network")
    assert main(["align", str(faces), "--out", "out", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not Path("out").exists()


def write_toy_yunet(path: Path) -> Path:
    """An ONNX file with the outputs of YuNet that calls bright cells faces, with boxes of the cell's size."""
    onnx = pytest.importorskip("onnx", reason="the toy network is made by onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    arrays = {"mean": np.full((1, 3, 1, 1), 1 / 765, np.float32)}
    for count in (1, 4, 10):
        arrays[f"shape{count}"] = np.array([1, -1, count], np.int64)
        arrays[f"zero{count}"] = np.zeros((count, 1, 1, 1), np.float32)
    nodes = [helper.make_node("Conv", ["input", "mean"], ["grey"])]
    outputs = []
    for side in (8, 16, 32):
        kernel = {"kernel_shape": [side, side], "strides": [side, side]}
        nodes.append(helper.make_node("AveragePool", ["grey"], [f"cells{side}"], **kernel))
        for name, count in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            given = f"cells{side}"
            if count > 1:
                given = f"{name}{side}"
                nodes.append(helper.make_node("Conv", [f"cells{side}", f"zero{count}"], [given]))
            nodes.append(helper.make_node("Reshape", [given, f"shape{count}"], [f"{name}_{side}"]))
            outputs.append(helper.make_tensor_value_info(f"{name}_{side}", 1, [1, None, count]))
    taken = [helper.make_tensor_value_info("input", 1, [1, 3, "rows", "columns"])]
    constants = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "toy", taken, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_boxes_of_yunet_are_in_pixels_of_the_image_also_where_it_is_reduced(tmp_path: Path) -> None:
    detector = YuNet(write_toy_yunet(tmp_path / "toy.onnx"))
    assert detector.name.startswith("yunet:") and len(detector.name) == 18
    assert detector.find(np.zeros((50, 70, 3), np.uint8)).shape == (0, 4)
    image = np.zeros((96, 128, 3), np.uint8)
    image[32:64, 64:96] = 255
    # YuNet counts boxes from the corner of a cell.
    assert largest(detector.find(image)).tolist() == [48, 16, 80, 48]
    large = image.repeat(10, axis=0).repeat(10, axis=1)  # 1280 columns are seen as 640
    found = detector.find(large)
    assert largest(found).tolist() == [608, 288, 672, 352]
    assert (found >= [608, 288] * 2).all() and (found <= [960, 640] * 2).all()


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    try:
        return load_mtcnn()
    except UserError as error:
        pytest.skip(f"MTCNN's weights cannot be fetched: {error}")


def test_weights_of_mtcnn_load_strictly(mtcnn: Mtcnn) -> None:
    weights = mtcnn.judge.state_dict()
    assert sum(value.numel() for value in weights.values()) == 389_040
    del weights["prelu4.weight"]
    with pytest.raises(UserError, match=r"Missing key.*prelu4\.weight"):
        load_strictly(Mtcnn().judge, weights, "MTCNN's onet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "middle", "longer"),
    [
        # Those who made the sets laid eyes and mouths where they lie in each image: the face is in the middle.
        ("stylegan/0_real", 0.54, 0.72),
        ("stylegan/1_fake", 0.54, 0.72),
        ("dcgan/0_real", 0.55, 0.66),
        ("stylegan2/0_real", 0.5, 1.08),
    ],
)
def test_mtcnn_finds_the_face_of_portraits(
    mtcnn: Mtcnn, facebench: Path, folder: str, middle: float, longer: float
) -> None:
    images = [read_image(path) for path in sorted((facebench / folder).iterdir())[:8]]
    with one_torch_thread():
        boxes = [mtcnn.find(image) for image in images]
        again = mtcnn.find(images[0])
    np.testing.assert_array_equal(again, boxes[0])
    found = [(largest(box), image) for box, image in zip(boxes, images, strict=True) if len(box)]
    assert len(found) == 8
    shares = np.array([np.concatenate([(box[:2] + box[2:]) / 2, [max(box[2:] - box[:2])]]) / len(image)
                       for box, image in found])  # fmt: skip
    # Medians over 50 images; the tolerance is twice their spread.
    np.testing.assert_allclose(np.median(shares, axis=0), [0.5, middle, longer], atol=0.1)
    # At a margin of -.4 every square lies in its image, and tight portraits are framed as the others are.
    assert all(square_around(box, len(image), image.shape[1], -0.4) for box, image in found)


def test_mtcnn_finds_no_face_in_noise(mtcnn: Mtcnn, pixels: Draw) -> None:
    with one_torch_thread():
        assert mtcnn.find(pixels(0, 96, 64)).shape == (0, 4)
        assert mtcnn.find(np.zeros((5, 7, 3), np.uint8)).shape == (0, 4)
