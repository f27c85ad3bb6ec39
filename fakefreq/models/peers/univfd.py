"""UnivFD (Ojha, Li and Lee 2023, "Towards universal fake image detectors that generalize across generative models",
CVPR): a linear probe on the frozen image encoder of CLIP ViT-L/14."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig, Pretrained
from fakefreq.errors import UserError, choose
from fakefreq.models.detector import Detector
from fakefreq.models.peers.base import PeerDetector, load_backbone
from fakefreq.models.pixel import centre


class FrozenStream(nn.Module):
    """A timm network that no training moves, on the centre crop of the size that it was made for.

    Args:
        backbone: a timm model. A CLIP model keeps its projection to the space shared with text, 768 wide for ViT-L/14
            (the paper's) and 512 for ViT-B/16; any other gives its pooled features.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1], H and W at least `minimum_size`
        - output: (B, width)

    Raises:
        UserError: timm has no model of that name.
    """

    frozen = ("network.",)
    mean: Tensor
    std: Tensor
    # As of `PixelStream`.
    weights_from = "none"

    def __init__(self, backbone: str) -> None:
        super().__init__()
        choose(backbone.partition(".")[0], timm.list_models(), "backbone (a timm model)", "--backbone")
        network: Any = timm.create_model(backbone, pretrained=False)
        self.network: nn.Module = network
        self.minimum_size = int(network.pretrained_cfg["input_size"][-1])
        self.is_clip = "clip" in backbone
        self.width = int(network.num_classes if self.is_clip else network.num_features)
        for name in ("mean", "std"):
            values = torch.tensor(network.pretrained_cfg[name], dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def freeze(self) -> None:
        """Drop the classifier, except CLIP's projection, and hold the rest still; once the weights are in."""
        network: Any = self.network
        if not self.is_clip:
            if not hasattr(network, "reset_classifier"):
                raise UserError("this backbone has no classifier to remove; choose another --backbone")
            network.reset_classifier(0)
        self.network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrozenStream":
        """Keep the network in evaluation mode: frozen features do not change with batch or dropout."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the network's features, (B, width)."""
        # Training needs no gradient here; what explains an image asks for that of its pixels.
        with torch.set_grad_enabled(pixels.requires_grad and torch.is_grad_enabled()):
            return self.network((centre(pixels, self.minimum_size) - self.mean) / self.std).float()  # type: ignore[no-any-return]


def build(config: DetectorConfig, pretrained: Pretrained, name: str) -> Detector:
    """Build `peer/univfd`."""
    del name
    stream = FrozenStream(config.backbone)
    stream.weights_from = load_backbone(stream.network, config, pretrained)
    stream.freeze()
    return PeerDetector(config, stream)
