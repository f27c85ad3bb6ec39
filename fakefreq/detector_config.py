"""What a detector is made of, as plain data: readable without importing torch."""

from dataclasses import dataclass
from typing import Literal

Pretrained = Literal["auto", "hub", "wheel", "none"]

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
DEFAULT_SPECTRUM = "block_dct"


@dataclass(frozen=True)
class DetectorConfig:
    """Everything that `create_detector` needs to build the same network again.

    Args:
        name: a name of `fakefreq.list_detectors()`.
        backbone: a timm model that has pooled features; the pixel stream.
        spectrum: the frequency stream: `block_dct`, `fft`, or both joined by `+`.
        dropout: probability of dropping a feature before the last layer, in [0, 1).
    """

    name: str = "two_stream"
    backbone: str = DEFAULT_BACKBONE
    spectrum: str = DEFAULT_SPECTRUM
    dropout: float = 0.2
