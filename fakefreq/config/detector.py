"""What a detector is made of, as plain data: readable without importing torch."""

from dataclasses import dataclass, field
from typing import Literal

from fakefreq.errors import UserError

Pretrained = Literal["auto", "hub", "wheel", "none"]

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
DEFAULT_SPECTRUM = "lattice"
DEFAULT_FUSION = "evidence"
DEFAULT_FEATURES = "pooled"
CLIP_BACKBONE = "vit_base_patch16_clip_quickgelu_224"
# Whose weights a name without a tag means, where timm itself would take others: those of the pinned package.
DEFAULT_TAGS = {CLIP_BACKBONE: "openai"}


@dataclass(frozen=True)
class TokenFeatures:
    """What the pixel stream gives of its backbone, as `--features` says it.

    Args:
        text: one or several of `pooled`, `blocks:4,8` and `cls`, joined by `+`.

    Attributes:
        pooled: the backbone's pooled output, after its last norm.
        blocks: mean and standard deviation of the patch tokens after each of these blocks of a ViT, counted from 1,
            in rising order.
        cls: the class token after each block of a ViT.

    Raises:
        UserError: another word, one twice, or numbers that are none.

    >>> TokenFeatures("blocks:8,4+pooled")
    TokenFeatures(text='blocks:8,4+pooled', pooled=True, blocks=(4, 8), cls=False)
    """

    text: str
    pooled: bool = field(init=False, default=False)
    blocks: tuple[int, ...] = field(init=False, default=())
    cls: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        for word in self.text.split("+"):
            name, _, numbers = word.partition(":")
            value: bool | tuple[int, ...] = True
            if name == "blocks":
                parts = numbers.split(",")
                if not all(part.isdecimal() and int(part) > 0 for part in parts) or len({*parts}) < len(parts):
                    raise UserError(f"--features blocks takes different numbers from 1, as blocks:4,8; got {word!r}")
                value = tuple(sorted(int(part) for part in parts))
            elif word not in ("pooled", "cls"):
                raise UserError(
                    f"--features takes pooled, blocks:N,... or cls, or several joined by +; got {self.text!r}"
                )
            if getattr(self, name):
                raise UserError(f"--features is {self.text!r}; it takes {name} at most once")
            object.__setattr__(self, name, value)

    @property
    def needs_tokens(self) -> bool:
        """Whether the backbone has to be a ViT."""
        return bool(self.blocks) or self.cls


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
        features: what the pixel stream gives of its backbone: `pooled`, or of a ViT also `blocks:4,8` (mean and
            standard deviation of the patch tokens after these blocks) and `cls` (the class token after each block);
            several joined by `+`.
    """

    name: str = "two_stream"
    backbone: str = DEFAULT_BACKBONE
    spectrum: str = DEFAULT_SPECTRUM
    dropout: float = 0.2
    fusion: str = DEFAULT_FUSION
    stream_dropout: float = 0.0
    condition: str = "none"
    features: str = DEFAULT_FEATURES

    def __post_init__(self) -> None:
        object.__setattr__(self, "backbone", without_default_tag(self.backbone))
        TokenFeatures(self.features)


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
    configuration = timm.get_pretrained_cfg(name)
    default = DEFAULT_TAGS.get(name, "" if configuration is None else configuration.tag)
    if default == tag:
        return name
    known = timm.list_pretrained(f"{name}.*")
    if f"{name}.{tag}" not in known:
        raise UserError(
            f"--backbone {backbone}: timm has no such weights of {name}; give {' or '.join([name, *known])}"
        )
    return f"{name}.{tag}"
