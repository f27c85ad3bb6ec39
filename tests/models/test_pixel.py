"""Any timm network with pooled features is a pixel stream: each family that the README names, and timm's small ones."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.models import Detector, PixelStream, create_detector
from fakefreq.train.optim import frozen_parameters, stages_of

pytestmark = pytest.mark.slow

# Name -> how many stages timm sees in it.
BACKBONES = {
    "resnet18": 5,
    "resnet50": 5,
    "vgg11": 9,
    "efficientnet_b0": 8,
    "mobilenetv3_small_100": 8,
    "convnext_atto": 6,
    "densenet121": 6,
    "regnety_002": 5,
    "xception41": 14,
    "vit_tiny_patch16_224": 13,
    "swin_tiny_patch4_window7_224": 6,
    "test_byobnet": 5,
    "test_coatnet": 5,
    "test_convnext": 6,
    "test_mambaout": 6,
    "test_maxvit": 5,
    "test_nfnet": 5,
    "test_vit": 7,
}
# Name -> side of the only images that it takes.
FIXED = {
    "vit_tiny_patch16_224": 224,
    "swin_tiny_patch4_window7_224": 224,
    "test_coatnet": 160,
    "test_maxvit": 160,
    "test_vit": 160,
}


def images(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(params=BACKBONES)
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    return create_detector("two_stream", request.param, "block_dct", "none")


def test_a_step_reaches_every_stage_at_an_odd_size(detector: Detector) -> None:
    side = FIXED.get(detector.config.backbone, 64)
    detector.train()(images(side + 5, side + 18)).square().sum().backward()
    stages = stages_of(detector)
    assert len(stages) == BACKBONES[detector.config.backbone]
    flat = [id(parameter) for stage in stages for parameter in stage]
    assert sorted(flat) == sorted(id(parameter) for parameter in detector.pretrained_parameters())
    for stage in stages:
        gradients = [parameter.grad for parameter in stage if parameter.grad is not None]
        assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert len(frozen_parameters(detector, "2")) == len(stages[0]) + len(stages[1])


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2", "test_vit3"])
def test_features_of_tokens_are_those_of_the_blocks(backbone: str) -> None:
    torch.manual_seed(0)
    network: Any = timm.create_model(backbone, pretrained=False, num_classes=0).eval()
    kept: list[Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, __, output: kept.append(output))
    has_class = network.cls_token is not None
    words = "pooled+blocks:3,1" + ("+cls" if has_class else "")
    stream = PixelStream(backbone, words).eval()
    stream.drop_classifier()
    stream.network.load_state_dict(network.state_dict())
    side = stream.minimum_size
    pixels = images(side, side).float() / 255
    with torch.inference_mode():
        parts = [network(stream.normalised(pixels))]
        found = stream(pixels)
        early = PixelStream(backbone, "blocks:1,3").eval()
        early.load_state_dict(stream.state_dict(), strict=False)
        without_pooled = early(pixels)
    depth, first = len(network.blocks), network.num_prefix_tokens
    for number in (1, 3):
        patches = kept[number - 1][:, first:].double()
        parts += [patches.mean(dim=1).float(), patches.std(dim=1, correction=0).float()]
    torch.testing.assert_close(without_pooled, torch.cat(parts[1:], dim=1), rtol=1e-4, atol=1e-4)
    if has_class:
        parts += [kept[number][:, 0] for number in range(depth)]
    assert found.shape[1] == stream.width
    torch.testing.assert_close(found, torch.cat(parts, dim=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", FIXED)
def test_a_fixed_size_network_reads_the_middle_of_a_larger_image(backbone: str) -> None:
    side = FIXED[backbone]
    stream = create_detector("pixel", backbone, pretrained="none").eval()
    assert stream.minimum_size == side
    large = images(side + 6, side + 9)
    with torch.inference_mode():
        torch.testing.assert_close(stream(large), stream(large[..., 3 : side + 3, 4 : side + 4]))
    with pytest.raises(UserError, match=f"minimum of {side} pixels a side"):
        stream(images(side - 1, side))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(2, 3, 33, 47), (1, 3, 64, 32)])
def test_the_layout_of_pixels_changes_no_bit_of_what_the_network_reads(
    layout: torch.memory_format, size: tuple[int, ...]
) -> None:
    stream = PixelStream("test_resnet")
    pixels = torch.rand(size).contiguous(memory_format=layout)
    read = stream.normalised(pixels)
    mean, std = stream.mean.flatten(), stream.std.flatten()
    expected = [(pixels[:, channel] - mean[channel]) / std[channel] for channel in range(3)]
    assert torch.equal(read, torch.stack(expected, dim=1))
    assert read.is_contiguous(memory_format=torch.channels_last)
