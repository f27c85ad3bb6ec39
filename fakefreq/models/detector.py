"""The contract of every detector: RGB pixels in, one logit an image out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig
from fakefreq.errors import UserError
from fakefreq.models.fusion import make_fusion
from fakefreq.spectra import to_float

if TYPE_CHECKING:
    import pandas as pd


class Detector(nn.Module):
    """Base of all detectors; a subclass gives `streams`, `head` and `minimum_size`.

    Normalisation and spectra happen inside, so whoever calls it needs nothing but pixels.

    Args:
        config: what the detector is made of; it is stored beside the weights.
        streams: stream name -> module that maps RGB floats in [0, 1], (B, 3, H, W), to features (B, D)
            and has the attributes `width` (D) and `minimum_size`.

    Shape:
        - input: (B, 3, H, W), RGB, uint8 or float in [0, 1], H and W at least `minimum_size`
        - output: (B,) logits that grow towards fake

    Attributes:
        threshold: the logit above which an image is called fake; 0 until a training run has validated one.
        crop: the side in pixels of the centre crop that the detector was validated on.
        views: how many crops of an image are scored and their logits averaged, 1 to 10; see
            `fakefreq.data.images.crops.crop_views`.
        history: what every image went through before that crop, in the words of `align`, and what scoring therefore
            does to every image too; empty: nothing.
    """

    def __init__(self, config: DetectorConfig, streams: dict[str, nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.streams = nn.ModuleDict(streams)
        widths = {name: int(stream.width) for name, stream in streams.items()}  # type: ignore[arg-type]
        self.head = make_fusion(config.fusion, widths, config.dropout, config.stream_dropout)
        self.minimum_size = max(int(stream.minimum_size) for stream in streams.values())  # type: ignore[arg-type]
        self.threshold = 0.0
        self.crop = 224
        self.history = ""
        self.views = 1

    def forward(self, images: Tensor) -> Tensor:
        """Return one logit an image, (B,)."""
        return self.head(self.features(images))  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return what each stream sees in the images: stream name -> (B, width)."""
        pixels = to_float(self._checked(images))
        # Spectra need contiguous rows; a channels_last backbone converts its own copy.
        return {name: stream(pixels) for name, stream in self.streams.items()}

    def training_outputs(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what training learns from: the logits, and by name those of parts that have a loss of their own.

        Shape:
            - input: as `forward`
            - output: (B,), and (B,) for every name
        """
        return self.head.outputs(self.features(images))

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Parameters that may start from pretrained weights: those of the pixel stream's backbone."""
        return list(self.streams["pixel"].parameters()) if "pixel" in self.streams else []

    def new_parameters(self) -> list[nn.Parameter]:
        """All parameters that always start from scratch: frequency streams and head."""
        known = {id(parameter) for parameter in self.pretrained_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in known]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def predict(self, paths: Sequence[str | Path], batch_size: int = 32) -> "pd.DataFrame":
        """Score image files.

        Args:
            paths: image files; each is decoded, brought through `self.history` and centre-cropped to `self.crop` as in
                validation.
            batch_size: images a step.

        Returns:
            A table with the columns path, logit, probability (of fake, uncalibrated) and label
            (1 where the logit exceeds the validated threshold).

        Raises:
            UserError: a file is missing or does not decode.
        """
        from fakefreq.evaluate.predict import predict_files

        return predict_files(self, paths, batch_size=batch_size)

    def _checked(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise UserError(
                f"a detector takes RGB batches of shape (B, 3, H, W); got {tuple(images.shape)}: "
                "repeat a grey channel three times, add the batch dimension, or permute to channels first"
            )
        height, width = images.shape[-2:]
        if height < self.minimum_size or width < self.minimum_size:
            raise UserError(
                f"images of {height}x{width} are below this detector's minimum of {self.minimum_size} pixels a side: "
                f"pad them by reflection, or train with --crop {self.minimum_size} or more"
            )
        return images
