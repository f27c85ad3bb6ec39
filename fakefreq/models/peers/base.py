"""What the peers share: a detector around one stream, and the first stages of a ResNet-50."""

from typing import Any, cast

import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.errors import UserError
from fakefreq.models.detector import Detector
from fakefreq.models.pretrained import load_pretrained


class PeerDetector(Detector):
    """A published detector: one stream named `peer` and a linear layer.

    Args:
        config: what it is made of; `spectrum` is not read.
        stream: maps RGB floats in [0, 1], (B, 3, H, W), to features (B, D); has `width` and `minimum_size`, and
            `pretrained_parameters()` where some of its weights may be pretrained.

    Shape:
        - input: (B, 3, H, W), RGB, uint8 or float in [0, 1], H and W at least `minimum_size`
        - output: (B,) logits that grow towards fake
    """

    def __init__(self, config: DetectorConfig, stream: nn.Module) -> None:
        super().__init__(config, {"peer": stream})

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Parameters that may start from pretrained weights and are trained on."""
        stream: Any = self.streams["peer"]
        return list(stream.pretrained_parameters()) if hasattr(stream, "pretrained_parameters") else []

    def new_parameters(self) -> list[nn.Parameter]:
        """All other parameters that are trained; a frozen backbone's are in neither list."""
        known = {id(parameter) for parameter in self.pretrained_parameters()}
        frozen = {id(p) for name, p in self.named_parameters() if name.startswith(self.frozen_prefixes)}
        return [parameter for parameter in self.parameters() if id(parameter) not in known | frozen]

    @property
    def frozen_prefixes(self) -> tuple[str, ...]:
        """Beginnings of the names of parameters that no training may move."""
        return tuple(f"streams.peer.{name}" for name in getattr(self.streams["peer"], "frozen", ()))


def first_stages() -> tuple[nn.Module, nn.Module]:
    """Return the first two stages of a ResNet-50, of 256 and 512 channels, with random weights."""
    # The stages that are left out are made as small as timm allows.
    network: Any = ResNet(cast(Any, Bottleneck), (3, 4, 1, 1), num_classes=0)
    return network.layer1, network.layer2


class TruncatedResNet50(nn.Module):
    """ResNet-50 up to its second stage, with a 3x3 stem: the network of NPR and SAFE (Tan et al. 2024).

    The stages are timm's bottleneck blocks (He et al. 2016, "Deep residual learning"), from random weights.

    Shape:
        - input: (B, 3, H, W), H and W at least 8
        - output: (B, 512)
    """

    width = 512

    def __init__(self) -> None:
        super().__init__()
        self.stage1, self.stage2 = first_stages()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        nn.init.kaiming_normal_(self.stem[0].weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]

    def forward(self, residual: Tensor) -> Tensor:
        """Return pooled features, (B, 512)."""
        maps: Tensor = self.stage2(self.stage1(self.stem(residual)))
        return maps.mean(dim=(2, 3))


def load_backbone(network: nn.Module, config: DetectorConfig, pretrained: Pretrained) -> str:
    """Fill a timm network with the weights that `pretrained` names; return where they came from."""
    return load_pretrained(network, config.backbone, pretrained)


def layers_in_order(network: nn.Module) -> dict[str, nn.Module]:
    """Return a timm network's layers up to its pooling, by name, in the order in which they run.

    Holds for networks that are a plain sequence of layers, such as Xception and ResNet.

    Raises:
        UserError: the network is none of them.
    """
    layers: dict[str, nn.Module] = {}
    for name, layer in network.named_children():
        if name == "global_pool":
            return layers
        layers[name] = layer
    raise UserError(
        "this backbone is no plain sequence of layers; this peer takes legacy_xception or a ResNet as --backbone"
    )


def widen_stem(network: nn.Module, channels: int) -> nn.Conv2d:
    """Replace a timm network's first convolution by one of another number of channels; return it.

    The weights are repeated over the new channels and scaled, so that a pretrained network sees activations as large
    as before.

    Args:
        network: has `pretrained_cfg["first_conv"]`.
        channels: of the new input.
    """
    name: str = network.pretrained_cfg["first_conv"]  # type: ignore[index, assignment]
    first: Any = network.get_submodule(name)
    new: nn.Conv2d = type(first)(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=first.bias is not None
    )
    with torch.no_grad():
        source = torch.arange(channels) % first.in_channels
        new.weight.copy_(first.weight[:, source] * (first.in_channels / channels))
        if first.bias is not None and new.bias is not None:
            new.bias.copy_(first.bias)
    network.set_submodule(name, new)
    return new
