"""A user's ONNX file, TorchScript file and callable make the same images, and programs run only where trusted."""

import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from fakefreq.cli import main
from fakefreq.errors import UserError
from fakefreq.zoo.own import make_own, measure_own
from fakefreq.zoo.own_inputs import Inputs
from tests.conftest import draw_pixels

# The exporters and formats that users have are older than what torch recommends.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
INPUTS = Inputs(latent=(6,), classes=3, extra=(0.5,), batch=4)


class Toy(nn.Module):
    """A class-conditional generator of 32x32 with a truncation, as StyleGAN has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.classes = nn.Embedding(3, 6)
        self.latent = nn.Linear(6, 8 * 8 * 8)
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=4)

    def forward(self, latents: Tensor, classes: Tensor, truncation: float) -> Tensor:
        mixed = truncation * latents + self.classes(classes)
        return torch.tanh(self.up(self.latent(mixed).reshape(-1, 8, 8, 8)))


class WithTensor(nn.Module):
    """ONNX has no plain numbers as inputs: the truncation is a tensor of one element."""

    def __init__(self) -> None:
        super().__init__()
        self.toy = Toy()

    def forward(self, latents: Tensor, classes: Tensor, truncation: Tensor) -> Tensor:
        mixed = truncation * latents + self.toy.classes(classes)
        return torch.tanh(self.toy.up(self.toy.latent(mixed).reshape(-1, 8, 8, 8)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy.onnx and toy.pt, made as data/README.md shows."""
    folder = tmp_path_factory.mktemp("exported")
    torch.jit.script(Toy().eval()).save(folder / "toy.pt")  # type: ignore[no-untyped-call]
    pytest.importorskip("onnx", reason="exporting to ONNX needs the package onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs the package onnxruntime")
    example = (torch.zeros(4, 6), torch.zeros(4, dtype=torch.int64), torch.tensor([0.5]))
    names = ["latents", "classes", "truncation"]
    torch.onnx.export(
        WithTensor().eval(), example, str(folder / "toy.onnx"), input_names=names, output_names=["images"],
        dynamic_axes={"latents": {0: "n"}, "classes": {0: "n"}, "images": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    return folder


def test_all_three_kinds_make_the_same_images(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_module_of_the_test.py").write_text(
        "import torch\n"
        f"module = torch.jit.load({str(exported / 'toy.pt')!r}).eval()\n"
        "class Box:\n    make = staticmethod(lambda *inputs: module(*inputs))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []
    for text in (str(exported / "toy.onnx"), str(exported / "toy.pt"), "toy_module_of_the_test:Box.make"):
        sampler = make_own(text, INPUTS, trust=True).load()
        made.append(sampler.sample_at(range(4, 8), seed=7))
    sys.modules.pop("toy_module_of_the_test")
    assert made[0].shape == (4, 32, 32, 3)
    assert made[0].std() > 10
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1
    np.testing.assert_array_equal(made[1], made[2])


def test_the_command_builds_with_an_onnx_file_and_keeps_its_hash(exported: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "photos").mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), draw_pixels(number, 40, 40))
    words = ["zoo", "build", "--generator", str(exported / "toy.onnx"), "--latent", "6", "--classes", "3"]
    words += ["--extra", "0.5", "--batch", "4", "--count", "3", "--size", "32"]
    words += ["--reals", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    table = pd.read_csv(tmp_path / "out" / "zoo.csv", keep_default_na=False)
    fakes = table[table["path"].str.startswith("toy/1_fake/")]
    assert len(fakes) == 3
    assert fakes["package_sha256"].str.len().eq(64).all()
    assert list(fakes["index"]) == [0, 1, 2]
    words[words.index("32")] = "40"
    words[-1] = str(tmp_path / "large")
    assert main(words) == 2
    assert not (tmp_path / "large").exists()


def test_programs_are_not_run_without_trust(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module_of_the_test.py").write_text("raise SystemExit('it was run')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for text in (str(exported / "toy.pt"), "evil_module_of_the_test:make"):
        with pytest.raises(UserError, match="--trust"):
            make_own(text, INPUTS)
    assert "evil_module_of_the_test" not in sys.modules


def test_latents_are_the_image_s_own_and_truncation_cuts_them() -> None:
    inputs = Inputs(latent=(400,), truncation=0.5, classes=10, class_input="onehot")
    many, classes = inputs.draw(range(6), seed=1)
    np.testing.assert_array_equal(many[3:5], inputs.draw([3, 4], seed=1)[0])
    assert np.abs(many).max() <= 0.5
    assert np.abs(many).max() > 0.49
    np.testing.assert_array_equal(classes.sum(1), np.ones(6))
    assert len({tuple(row) for row in classes}) > 1
    fixed = Inputs(latent=(2,), classes=10, class_index=7).draw(range(3), seed=0)[1]
    np.testing.assert_array_equal(fixed, [7, 7, 7])


def test_value_range_layout_and_grey_are_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain_module_of_the_test.py").write_text(
        "import torch\n"
        "def ramp(latents):\n"
        "    image = torch.arange(256.0).reshape(16, 16, 1).expand(16, 16, 3)\n"
        "    return image.expand(len(latents), 16, 16, 3)\n"
        "def grey(latents):\n    return torch.full((len(latents), 1, 16, 16), 0.5)\n"
        "def flat(latents):\n    return torch.zeros(len(latents), 10)\n"
        "def nan(latents):\n    return torch.full((len(latents), 3, 16, 16), float('nan'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, inputs: Inputs) -> np.ndarray:
        sampler = make_own(f"plain_module_of_the_test:{name}", inputs, trust=True).load()
        images: np.ndarray = sampler.sample_at([0, 1], seed=0)
        return images

    ramp = make("ramp", Inputs(latent=(2,), value_range=(0, 255), layout="NHWC"))
    np.testing.assert_array_equal(ramp[1, ..., 2].ravel(), np.arange(256))
    assert (make("grey", Inputs(latent=(2,), value_range=(0, 1))) == 128).all()
    with pytest.raises(UserError, match="--layout"):
        make("flat", Inputs(latent=(2,)))
    with pytest.raises(UserError, match="not finite"):
        make("nan", Inputs(latent=(2,)))
    with pytest.raises(UserError, match="--layout"):
        make("ramp", Inputs(latent=(2,)))


def test_wrong_descriptions_say_which_flag_to_change(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for text, match in [
        (str(tmp_path / "none.onnx"), "there is no file"),
        (str(tmp_path), "cannot tell"),
        (str(tmp_path / "a b.onnx"), "--name"),
    ]:
        with pytest.raises(UserError, match=match):
            make_own(text, INPUTS, trust=True)
    with pytest.raises(UserError, match="taken"):
        make_own(str(exported / "toy.onnx"), INPUTS, name="dcgan")
    with pytest.raises(UserError, match="does not open as ONNX"):
        measure_own(make_own(str(tmp_path / "broken.onnx"), INPUTS))
    with pytest.raises(UserError, match="--classes"):
        measure_own(make_own(str(exported / "toy.onnx"), Inputs(latent=(6,))))
    with pytest.raises(UserError, match="does not run"):
        measure_own(make_own(str(exported / "toy.onnx"), Inputs(latent=(5,), classes=3, extra=(1.0,))))
    with pytest.raises(UserError, match="cannot import"):
        make_own("no_such_module_anywhere:make", INPUTS, trust=True).load()
    for wrong in ({"latent": (0,)}, {"value_range": (1.0, 1.0)}, {"classes": 2, "class_index": 2}, {"batch": 0}):
        with pytest.raises(UserError, match="--"):
            Inputs(**wrong)


def test_the_example_of_the_data_guide_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="exporting to ONNX needs the package onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs the package onnxruntime")
    guide = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n(import torch\n.*?)```", guide, re.DOTALL)
    command = re.search(r"^fakefreq (zoo build --generator toy\.onnx .*)$", guide, re.MULTILINE)
    assert program and command
    monkeypatch.chdir(tmp_path)
    exec(compile(program.group(1), "data/README.md", "exec"), {})
    (tmp_path / "photos").mkdir()
    for number in range(20):
        assert cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), draw_pixels(number, 64, 64))
    assert main([*shlex.split(command.group(1)), "--reals", "photos"]) == 0
    assert len(list((tmp_path / "toy" / "toy" / "1_fake").glob("*.jpg"))) == 20
