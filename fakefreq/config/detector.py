"""What a detector is made of, as plain data: readable without importing torch."""

from dataclasses import dataclass
from typing import Literal

from fakefreq.errors import UserError

Pretrained = Literal["auto", "hub", "wheel", "none"]

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
DEFAULT_SPECTRUM = "lattice"
DEFAULT_FUSION = "evidence"


@dataclass(frozen=True)
class DetectorConfig:
    """Everything that `create_detector` needs to build the same network again.

    Args:
        name: a name of `fakefreq.list_detectors()`.
        backbone: a timm model that has pooled features; the pixel stream. A name with the tag of the weights that
            timm loads by default, such as `resnet18.a1_in1k`, is the name without it.
        spectrum: the frequency stream: one or several of `fakefreq.models.streams.SPECTRA`, joined by `+`,
            with an option after a colon where it has such: `block_dct:rgb`, `fft:none` (no window).
        dropout: probability of dropping a feature before the last layer, in [0, 1).
        fusion: how the streams become one logit: `evidence`, `concat`, `logit_sum`, `gated`, `film` or `attention`.
        stream_dropout: probability in training of silencing one whole stream of an image, in [0, 1).
        condition: what modulates the frequency stream's features: `none`, or `quality`, the last JPEG's as estimated
            from the pixels.
    """

    name: str = "two_stream"
    backbone: str = DEFAULT_BACKBONE
    spectrum: str = DEFAULT_SPECTRUM
    dropout: float = 0.2
    fusion: str = DEFAULT_FUSION
    stream_dropout: float = 0.0
    condition: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "backbone", without_default_tag(self.backbone))


def without_default_tag(backbone: str) -> str:
    """Return timm's name of a model without the tag of its default weights, and without the hub's `timm/`.

    The tag of other weights stays.

    Raises:
        UserError: a tag that timm does not have.

    >>> without_default_tag("resnet18.a1_in1k")
    'resnet18'
    """
    name, dot, tag = backbone.removeprefix("hf-hub:").removeprefix("hf_hub:").removeprefix("timm/").partition(".")
    if not dot:
        return name
    import timm

    if not timm.is_model(name):
        return backbone  # refused where the network is built, with the names that come close
    default = timm.get_pretrained_cfg(name)
    if default is not None and default.tag == tag:
        return name
    known = timm.list_pretrained(f"{name}.*")
    if f"{name}.{tag}" not in known:
        raise UserError(
            f"--backbone {backbone}: timm has no such weights of {name}; give {' or '.join([name, *known])}"
        )
    return f"{name}.{tag}"
