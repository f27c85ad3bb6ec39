"""Experiments over what a detector is made of: streams, spectra, fusion, backbone."""

from dataclasses import dataclass

from fakefreq.experiments.base import Experiment, Variant


@dataclass(frozen=True)
class Streams(Experiment):
    """What does each stream know alone?

    Expected: Pixels far ahead of any spectrum; block DCT ahead of global spectra on JPEG images.
    Cost: 3 trainings; `frequency` takes about a tenth of the time.
    """

    pixel: Variant = ("detector=pixel",)
    frequency: Variant = ("detector=frequency",)


@dataclass(frozen=True)
class Spectrum(Experiment):
    """Which spectrum helps the pixels most?

    Expected: Differences within the spread of seeds; those that see processing most (fft) transfer worst.
    Cost: 13 trainings of about the default's time; by operations `fad` 1.8, `srm` 1.4, `bayar` 1.2 times it.
    """

    bayar: Variant = ("spectrum=bayar",)
    block_dct: Variant = ("spectrum=block_dct",)
    dct: Variant = ("spectrum=dct",)
    fad: Variant = ("spectrum=fad",)
    fft: Variant = ("spectrum=fft",)
    fft_residual: Variant = ("spectrum=fft_residual",)
    median: Variant = ("spectrum=median",)
    npr: Variant = ("spectrum=npr",)
    profiles: Variant = ("spectrum=profiles",)
    srm: Variant = ("spectrum=srm",)
    wavelet: Variant = ("spectrum=wavelet",)
    block_dct_and_fft_residual: Variant = ("spectrum=block_dct+fft_residual",)


@dataclass(frozen=True)
class SpectrumAlone(Experiment):
    """What does each spectrum know without the pixels?

    Expected: Far below the default everywhere; NPR and block DCT best, profiles last.
    Cost: 12 trainings, by operations a tenth of the default's or less; `npr`, `median`, `wavelet` .2, `bayar` .3,
    `srm` .5, `fad` .9.
    """

    bayar: Variant = ("detector=frequency", "spectrum=bayar")
    block_dct: Variant = ("detector=frequency", "spectrum=block_dct")
    dct: Variant = ("detector=frequency", "spectrum=dct")
    fad: Variant = ("detector=frequency", "spectrum=fad")
    fft: Variant = ("detector=frequency", "spectrum=fft")
    fft_residual: Variant = ("detector=frequency", "spectrum=fft_residual")
    median: Variant = ("detector=frequency", "spectrum=median")
    npr: Variant = ("detector=frequency", "spectrum=npr")
    profiles: Variant = ("detector=frequency", "spectrum=profiles")
    srm: Variant = ("detector=frequency", "spectrum=srm")
    wavelet: Variant = ("detector=frequency", "spectrum=wavelet")


@dataclass(frozen=True)
class Window(Experiment):
    """Does the window of the Fourier spectrum matter, where a network reads it?

    Expected: Hann ahead of none by a little: without one the borders' cross lies over the peaks, but each frequency is
    normalised by itself and the borders are in both classes.
    Cost: 4 trainings of the frequency stream alone, well below the default's time, and the default's own.
    """

    hann: Variant = ("detector=frequency", "spectrum=fft:hann")
    hamming: Variant = ("detector=frequency", "spectrum=fft:hamming")
    none: Variant = ("detector=frequency", "spectrum=fft:none")


@dataclass(frozen=True)
class Colour(Experiment):
    """In which colour space should blocks be transformed?

    Expected: YCbCr first, since it is the codec's own; the luma alone loses what generators do wrong with chroma.
    Cost: 7 trainings, three of them of the frequency stream alone, a tenth of the default's time.
    """

    ycbcr: Variant = ("spectrum=block_dct:ycbcr",)
    rgb: Variant = ("spectrum=block_dct:rgb",)
    gray: Variant = ("spectrum=block_dct:gray",)
    ycbcr_alone: Variant = ("detector=frequency", "spectrum=block_dct:ycbcr")
    rgb_alone: Variant = ("detector=frequency", "spectrum=block_dct:rgb")
    gray_alone: Variant = ("detector=frequency", "spectrum=block_dct:gray")


@dataclass(frozen=True)
class Fusion(Experiment):
    """How should the streams become one logit?

    Expected: Sums of logits and gates harm least where the spectrum misleads; concatenation overfits it.
    Cost: 6 trainings of the default's time.
    """

    attention: Variant = ("fusion=attention",)
    concat: Variant = ("fusion=concat",)
    film: Variant = ("fusion=film",)
    gated: Variant = ("fusion=gated",)
    logit_sum: Variant = ("fusion=logit_sum",)


@dataclass(frozen=True)
class Condition(Experiment):
    """Does it help the frequency stream to be told how strongly the image was compressed last?

    Expected: Nothing where all images have one quality, as here (75); more where qualities are drawn for both classes.
    Cost: 4 trainings; the estimate takes 2.0 ms of one core for an image of 224 pixels, a scoring 30.6.
    """

    quality: Variant = ("condition=quality",)
    jpeg_any: Variant = ("degrade=0.5*jpeg:40..95",)
    quality_and_jpeg_any: Variant = ("condition=quality", "degrade=0.5*jpeg:40..95")


@dataclass(frozen=True)
class Freezing(Experiment):
    """How much of the backbone must move?

    Expected: All of it: traces lie in low stages.
    Cost: 5 trainings; a frozen backbone takes about a third of the operations, since its gradient is not needed.
    """

    all_frozen: Variant = ("freeze=all",)
    two_stages: Variant = ("freeze=2",)
    first_epoch: Variant = ("freeze_epochs=1",)
    layer_decay: Variant = ("layer_decay=0.7",)


@dataclass(frozen=True)
class Backbone(Experiment):
    """Does the frequency stream add to other backbones alike? (weights from timm's hub)

    Expected: Less to larger ones, which see more of the trace by themselves.
    Cost: 11 trainings, two of each backbone; by operations each takes 4 (resnet18), 10 (resnet50), 37 (vgg16),
    1 (efficientnet_b0) and 11 (convnext_tiny) times the default's. Without the hub they fail, and are listed.
    """

    resnet18: Variant = ("backbone=resnet18",)
    resnet18_pixel: Variant = ("backbone=resnet18", "detector=pixel")
    resnet50: Variant = ("backbone=resnet50",)
    resnet50_pixel: Variant = ("backbone=resnet50", "detector=pixel")
    vgg16: Variant = ("backbone=vgg16",)
    vgg16_pixel: Variant = ("backbone=vgg16", "detector=pixel")
    efficientnet_b0: Variant = ("backbone=efficientnet_b0",)
    efficientnet_b0_pixel: Variant = ("backbone=efficientnet_b0", "detector=pixel")
    convnext_tiny: Variant = ("backbone=convnext_tiny",)
    convnext_tiny_pixel: Variant = ("backbone=convnext_tiny", "detector=pixel")


@dataclass(frozen=True)
class Pretraining(Experiment):
    """What are the ImageNet weights worth?

    Expected: Most of it, at this number of images.
    Cost: 2 trainings of the default's time.
    """

    random_weights: Variant = ("pretrained=none",)
