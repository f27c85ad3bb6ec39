"""The contract of every detector: RGB pixels in, one logit an image out."""

import copy
import itertools
from typing import Self

import torch
from torch import Tensor, nn

from fakefreq.config.detector import DetectorConfig
from fakefreq.config.input import InputConfig
from fakefreq.config.known import Known
from fakefreq.errors import UserError
from fakefreq.models.fusion import Fusion, Rows, make_fusion
from fakefreq.models.streams.lattice import LatticeStream
from fakefreq.spectra import to_float
from fakefreq.threads import keep_freed_memory

_DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
# What rounding may add to [0, 1].
_ROUNDING = 1e-3


class Detector(nn.Module):
    """Base of all detectors; a subclass gives `streams`, `head` and `minimum_size`.

    Normalisation and spectra happen inside, so whoever calls it needs nothing but pixels. Their shape and type are
    checked at every call. The range of floats is checked on a CPU at every call too; on another device, where looking
    at values waits for all work that is under way, at the first call after `train()` or `eval()`; and not at all in
    compiled and exported code. uint8, which the loaders give, needs no such check.

    Args:
        config: what the detector is made of; it is stored beside the weights.
        streams: stream name -> module that maps RGB floats in [0, 1], (B, 3, H, W), to features (B, D)
            and has the attributes `width` (D) and `minimum_size`.
        head: features by stream -> logits; by default the fusion that the configuration names.
        minimum_size: of an image, in pixels a side; by default the largest that a stream has.

    Shape:
        - input: (B, 3, H, W), RGB, uint8 or float in [0, 1], H and W at least `minimum_size`
        - output: (B,) logits that grow towards fake

    Raises:
        UserError: images of another shape, type or range.

    Attributes:
        input: what happens to an image before it is read: in validation, and therefore in scoring.
        threshold: the logit above which an image is called fake; 0 until a training run has validated one.
        known: what its training and validation knew; None until a training run has ended.
        revision: the published detector that the weights are of, with its commit; empty for others.

    They are read-only, and all but the revision are stored beside the weights; `replace` gives a detector with others.
    """

    def __init__(
        self,
        config: DetectorConfig,
        streams: dict[str, nn.Module],
        head: Fusion | None = None,
        minimum_size: int | None = None,
    ) -> None:
        super().__init__()
        keep_freed_memory()
        self.config = config
        self.streams = nn.ModuleDict(streams)
        widths = {name: int(stream.width) for name, stream in streams.items()}  # type: ignore[arg-type]
        self.head = head or make_fusion(config.fusion, widths, config.dropout, config.stream_dropout)
        smallest = (int(stream.minimum_size) for stream in streams.values())  # type: ignore[arg-type]
        self.minimum_size = minimum_size or max(smallest)
        self._input = InputConfig()
        self._threshold = 0.0
        self._revision = ""
        self._known: Known | None = None
        self._has_seen_floats = False

    @property
    def input(self) -> InputConfig:
        """What happens to an image before it is read."""
        return self._input

    @property
    def threshold(self) -> float:
        """The logit above which an image is called fake."""
        return self._threshold

    @property
    def known(self) -> Known | None:
        """What training and validation knew."""
        return self._known

    @property
    def revision(self) -> str:
        """The published detector that the weights are of, such as `hf://owner/name@COMMIT`; empty for others."""
        return self._revision

    def replace(
        self,
        input: InputConfig | None = None,
        threshold: float | None = None,
        known: Known | None = None,
        revision: str | None = None,
    ) -> Self:
        """Return a detector of the same weights, which both share, with another input or threshold.

        Args:
            input: None keeps it.
            threshold: on the scale of the logit; None keeps it.
            known: what training and validation knew; None keeps it.
            revision: None keeps it.

        >>> import fakefreq
        >>> detector = fakefreq.create_detector("frequency", spectrum="block_dct")
        >>> other = detector.replace(InputConfig(crop=96), threshold=0.5)
        >>> other.input.crop, other.threshold, detector.input.crop, other.head is detector.head
        (96, 0.5, 224, True)
        """
        other = copy.copy(self)
        other._input = self._input if input is None else input
        other._threshold = self._threshold if threshold is None else threshold
        other._revision = self._revision if revision is None else revision
        other._known = self._known if known is None else known
        return other

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as of any module; the next floats' range is then checked on every device."""
        self._has_seen_floats = False
        return super().train(mode)

    def forward(self, images: Tensor, lattice: Tensor | None = None) -> Tensor:
        """Return one logit an image, (B,).

        Args:
            images: RGB.
            lattice: what `fakefreq.models.streams.lattice.read_lattice` found in the whole images that `images` are
                crops of, (B, 167); None reads it in `images`.
        """
        return self.head(self.features(images, lattice))  # type: ignore[no-any-return]

    def features(self, images: Tensor, lattice: Tensor | None = None) -> dict[str, Tensor]:
        """Return what each stream sees in the images: stream name -> (B, width)."""
        pixels = self._pixels(images)
        # Spectra need contiguous rows; a channels_last backbone converts its own copy.
        return {
            name: stream.judge(lattice) if isinstance(stream, LatticeStream) and lattice is not None else stream(pixels)
            for name, stream in self.streams.items()
            # In training the lattice stream is silent: it is fitted afterwards.
            if not (self.training and isinstance(stream, LatticeStream) and len(self.streams) > 1)
        }

    @property
    def lattice(self) -> LatticeStream | None:
        """The stream that reads the lattice of whole images, where the detector has one."""
        return next((stream for stream in self.streams.values() if isinstance(stream, LatticeStream)), None)

    def training_outputs(self, images: Tensor, rows: Rows | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what training learns from: the logits, and by name those of parts that have a loss of their own.

        Args:
            images: as `forward`.
            rows: which they are of a batch that several processes share.

        Shape:
            - input: as `forward`
            - output: (B,), and (B,) for every name
        """
        return self.head.outputs(self.features(images), rows)

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
        return self._any_tensor.device

    @property
    def _any_tensor(self) -> Tensor:
        # The lattice has no parameters.
        return next(itertools.chain(self.parameters(), self.buffers()))

    def _pixels(self, images: Tensor) -> Tensor:
        """Return images, once they were checked, as floats in the weights' precision."""
        self._check(images)
        pixels = to_float(images)
        # float64 images are welcome to float32 weights, which lose nothing of 8 bits.
        return pixels.double() if self._any_tensor.dtype == torch.float64 else pixels.float()

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3:
            raise UserError(
                f"a detector takes RGB batches of shape (B, 3, H, W); got {tuple(images.shape)}: "
                "repeat a grey channel three times, add the batch dimension, or permute to channels first"
            )
        if images.dtype not in _DTYPES:
            raise UserError(
                f"a detector takes uint8 in 0 to 255 or floats in [0, 1]; got {images.dtype}: "
                "bring pixels of 0 to 255 to uint8 by .to(torch.uint8)"
            )
        height, width = images.shape[-2:]
        if height < self.minimum_size or width < self.minimum_size:
            raise UserError(
                f"images of {height}x{width} are below this detector's minimum of {self.minimum_size} pixels a side: "
                f"pad them by reflection, or train with --crop {self.minimum_size} or more"
            )
        if images.dtype != torch.uint8 and not _has_no_values() and images.numel():
            if images.device.type == "cpu" or not self._has_seen_floats:
                _check_range(images)
            self._has_seen_floats = True


def _has_no_values() -> bool:
    """Whether code is compiled, exported or traced: what depends on values cannot be."""
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _check_range(images: Tensor) -> None:
    low, high = (float(value) for value in images.detach().aminmax())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return
    if low >= 0 and high > 2:
        advice = "divide 0 to 255 by 255, or give uint8"
    elif low < 0:
        advice = (
            "give pixels as they are: a detector normalises them itself; after a resize that overshoots, clamp(0, 1)"
        )
    else:
        advice = "clamp(0, 1) what a resize has overshot, and give no image with NaN"
    raise UserError(f"a detector takes floats in [0, 1]; got {low:.4g} to {high:.4g}: {advice}")
