"""Which published detectors there are, what their papers state, and how they are trained: plain data."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Peer:
    """One published detector.

    Args:
        module: the file of this package that builds it, by a function `build(config, pretrained, name)`.
        paper: authors and year, title, venue.
        reads: what the network sees.
        differs: what is done otherwise here than in the paper, and why; empty where nothing is.
        backbone: the timm network that the paper takes; empty where the network is the paper's own.
        parameters: what the paper, or the table that is quoted for it, states, in millions; None where nothing is.
        macs: multiply-accumulates of one image in billions that are stated (papers call them FLOPs); None likewise.
        macs_size: side in pixels of the image that `macs` holds for.
        smallest: side in pixels of the smallest image that it takes.
        fitted: the head is fitted to all training images at once, by `fit`, not by gradient steps.
    """

    module: str
    paper: str
    reads: str
    differs: str = ""
    backbone: str = ""
    parameters: float | None = None
    macs: float | None = None
    macs_size: int = 256
    smallest: int = 32
    fitted: bool = False


_FRANK = "Frank et al. 2020, Leveraging frequency analysis for deep fake image recognition, ICML"
_DURALL = "Durall, Keuper and Keuper 2020, Watch your up-convolution, CVPR"

PEERS: dict[str, Peer] = {
    "cnndetection": Peer(
        "cnndetection",
        "Wang et al. 2020, CNN-generated images are surprisingly easy to spot... for now, CVPR",
        "pixels; ResNet-50 from ImageNet weights, trained on blurred and recompressed images",
        backbone="resnet50",
        parameters=23.5,
        macs=4.09,
        macs_size=224,
    ),
    "univfd": Peer(
        "univfd",
        "Ojha, Li and Lee 2023, Towards universal fake image detectors, CVPR",
        "pixels; frozen CLIP ViT-L/14 and a linear layer",
        "images above 224 pixels are cropped, none is resized",
        backbone="vit_large_patch14_clip_224.openai",
        parameters=304.0,
        macs_size=224,
        smallest=224,
    ),
    "frank_dct_ridge": Peer(
        "frank",
        _FRANK,
        "log DCT of the whole 128x128 centre crop, each coefficient standardised; ridge regression",
        "log1p of 8-bit steps; the penalty by leave-one-out error of the training images, not on validation",
        smallest=128,
        fitted=True,
    ),
    "frank_dct_cnn": Peer(
        "frank",
        _FRANK,
        "the same spectrum; four small convolutions and a linear layer",
        "log1p of 8-bit steps; mean and deviation gathered in training",
        smallest=128,
    ),
    "durall_svm": Peer(
        "durall",
        _DURALL,
        "radial profile of the log power spectrum at 64 frequencies; support vector machine, Gaussian kernel",
        "rings centred on frequency 0, none beyond 1/2 cycles/pixel",
        smallest=64,
        fitted=True,
    ),
    "durall_lr": Peer(
        "durall",
        _DURALL,
        "the same profile; logistic regression",
        "rings centred on frequency 0, none beyond 1/2 cycles/pixel",
        smallest=64,
        fitted=True,
    ),
    "synthbuster": Peer(
        "synthbuster",
        "Bammey 2023, Synthbuster, IEEE Open Journal of Signal Processing",
        "Fourier magnitudes of the cross-difference at periods 2, 4 and 8, each channel; gradient-boosted trees",
        "magnitudes a pixel; one crop, not the whole image; trees of depth 3 with scikit-learn's other settings, "
        "which the author searches for",
        smallest=32,
        fitted=True,
    ),
    "f3net": Peer(
        "f3net",
        "Qian et al. 2020, Thinking in frequency (F3-Net), ECCV",
        "three learnable DCT bands (FAD) and six statistics of a sliding DCT (LFS); two Xceptions, mixed by attention",
        "learnt gains of the bands on a 64x64 grid, so that any size works; statistics of luma, log1p of 8-bit steps",
        backbone="legacy_xception",
        smallest=64,
    ),
    "spsl": Peer(
        "spsl",
        "Liu et al. 2021, Spatial-phase shallow learning (SPSL), CVPR",
        "pixels and an image rebuilt from phase alone; the first layers of Xception",
        "how shallow is chosen here: Xception's stem and first three blocks",
        backbone="legacy_xception",
    ),
    "freqnet": Peer(
        "freqnet",
        "Tan et al. 2024, Frequency-aware deepfake detection, AAAI",
        "high-passed image and feature maps; 1x1 convolutions between FFT and inverse FFT",
        "the convolutions take real and imaginary part, as the figures in the literature were obtained; "
        "the text says amplitude and phase, whose angle jumps at pi",
        parameters=1.85,
        macs=2.58,
    ),
    "npr": Peer(
        "npr",
        "Tan et al. 2024, Rethinking the up-sampling operations in CNN-based generative network, CVPR",
        "image minus itself sampled down and up by nearest neighbour; ResNet-50 to its second stage",
        "odd sizes work",
        parameters=1.44,
        macs=2.29,
    ),
    "safe": Peer(
        "safe",
        "Li et al. 2025, Improving synthetic image detection towards generalization, KDD",
        "HH band of the bior1.3 wavelet, resized to the image; NPR's network",
        "colour jitter and patch masks of its training are left to the harness",
        parameters=1.44,
        macs=2.30,
    ),
    "ferretnet": Peer(
        "ferretnet",
        "Liang et al. 2025, FerretNet, NeurIPS",
        "image minus the median of the eight neighbours; depthwise, dilated and separable convolutions",
        "border continued by its pixels instead of zeros",
        parameters=1.06,
        macs=2.38,
    ),
}

# What a paper trains otherwise than `TrainConfig` does by itself: overrides of its fields. All are trained on the same
# images, histories and budget; a paper's number of epochs and its data are not taken over.
PEER_TRAINING: dict[str, dict[str, Any]] = {
    "cnndetection": {
        "degrade": "0.5*blur:0..3 0.5*jpeg:30..100",
        "dropout": 0.0,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "head_learning_rate": 1e-4,
        "weight_decay": 0.0,
    },
    "univfd": {"dropout": 0.0, "optimizer": "adamw", "head_learning_rate": 1e-3, "weight_decay": 0.0},
    "frank_dct_ridge": {"epochs": 1, "dropout": 0.0},
    "frank_dct_cnn": {"dropout": 0.0, "optimizer": "adam", "head_learning_rate": 1e-3, "weight_decay": 0.0},
    "durall_svm": {"epochs": 1, "dropout": 0.0},
    "durall_lr": {"epochs": 1, "dropout": 0.0},
    "synthbuster": {"epochs": 1, "dropout": 0.0, "degrade": "jpeg:60..100"},
    "f3net": {
        "dropout": 0.0,
        "optimizer": "sgd",
        "learning_rate": 2e-3,
        "head_learning_rate": 2e-3,
        "weight_decay": 0.0,
    },
    "spsl": {
        "dropout": 0.0,
        "optimizer": "adam",
        "learning_rate": 2e-4,
        "head_learning_rate": 2e-4,
        "weight_decay": 0.0,
    },
    "npr": {"dropout": 0.0, "optimizer": "adam", "head_learning_rate": 2e-4, "weight_decay": 0.0},
    "safe": {"dropout": 0.0, "optimizer": "adamw", "head_learning_rate": 1e-3, "weight_decay": 0.01, "rotate": 180.0},
    "ferretnet": {"dropout": 0.2, "optimizer": "adam", "head_learning_rate": 2e-4, "weight_decay": 5e-4},
    "freqnet": {"dropout": 0.0, "optimizer": "adam", "head_learning_rate": 2e-4, "weight_decay": 0.0},
}
