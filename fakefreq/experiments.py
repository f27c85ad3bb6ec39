"""The experiments of `ablate`: each a frozen dataclass that says what is asked, what we expect, what it costs.

A field is a variant of the default detector: what differs from it, as FIELD=VALUE of `TrainConfig`. What is expected
was written before it was run. Costs are in trainings a seed, one of the default's included, and in the time of one
training of the default, by the operations that torch counts.
"""

import re
from dataclasses import dataclass, fields

Variant = tuple[str, ...]

# What stands for the weights of the default detector of the same seed, where a variant needs a teacher.
TAUGHT_BY_DEFAULT = "teacher=DEFAULT"


@dataclass(frozen=True)
class Experiment:
    """Base of all experiments: a subclass's docstring is its question, `Expected: ...` and `Cost: ...`."""

    @property
    def name(self) -> str:
        """Its key, such as `data_size`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def variants(self) -> dict[str, Variant]:
        """Label -> what differs from the default."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def trainings(self) -> int:
        """Trainings a seed, the default's included."""
        return 1 + len(self.variants)

    @property
    def question(self) -> str:
        """What is asked."""
        return self._parts()[0]

    @property
    def expected(self) -> str:
        """What we expect to see, and why; written before it was run."""
        return self._parts()[1]

    @property
    def cost(self) -> str:
        """What it takes."""
        return self._parts()[2]

    def _parts(self) -> tuple[str, str, str]:
        text = " ".join((type(self).__doc__ or "").split())
        question, _, rest = text.partition(" Expected: ")
        expected, _, cost = rest.partition(" Cost: ")
        return question, expected, cost


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
class Augmentation(Experiment):
    """What do one-law degradations of the training images do?

    Expected: A little lost in domain, more kept under other histories, controls called fake less often.
    Cost: 7 trainings of the default's time, if two cores decode: a JPEG of a 256-pixel image takes about a millisecond.
    """

    none: Variant = ("degrade=", "rotate=0")
    no_flip: Variant = ("degrade=", "rotate=0", "flip=false")
    jpeg: Variant = ("degrade=0.5*jpeg:50..95",)
    resize: Variant = ("degrade=0.5*rescale:0.6..1.25:any",)
    blur_and_jpeg: Variant = ("degrade=0.5*blur:0..3 0.5*jpeg:30..100",)
    rotation: Variant = ("rotate=10",)


@dataclass(frozen=True)
class Masks(Experiment):
    """Do random masks, in pixels or in frequencies, keep a detector from leaning on one place of face or spectrum?

    Expected: A gain on unseen generators from frequency masks (Doloriel and Cheung 2024 report one at 15 %), the
    highest band first; pixel masks near zero.
    Cost: 6 trainings; a frequency mask takes about four times the time of a JPEG, so one may have to wait for decoding.
    """

    pixels: Variant = ("degrade=0.5*mask:0.05..0.3",)
    all_frequencies: Variant = ("degrade=0.5*freqmask:0.05..0.15",)
    low: Variant = ("degrade=0.5*freqmask:0.15:low",)
    mid: Variant = ("degrade=0.5*freqmask:0.15:mid",)
    high: Variant = ("degrade=0.5*freqmask:0.15:high",)


@dataclass(frozen=True)
class Regularisation(Experiment):
    """Do averaged weights, mixed images or soft labels help?

    Expected: Averaged weights a little; mixing hurts traces that live in single pixels.
    Cost: 6 trainings of the default's time.
    """

    ema: Variant = ("ema=0.99",)
    mixup: Variant = ("mixup=0.2",)
    label_smoothing: Variant = ("label_smoothing=0.1",)
    no_auxiliary: Variant = ("auxiliary=0",)
    stream_dropout: Variant = ("stream_dropout=0.3",)


@dataclass(frozen=True)
class Simulated(Experiment):
    """Do self-made fakes, photos through simulated upsamplers, carry over to real generators?

    Expected: They teach upsampling traces, not faces: gains where the generator's last layers show.
    Cost: 3 trainings; a twin of a 256-pixel photo takes about .1 s of one core, and a batch grows by 12 and 25 %.
    """

    a_quarter: Variant = ("simulate=0.25",)
    half: Variant = ("simulate=0.5",)


@dataclass(frozen=True)
class History(Experiment):
    """What is left when every image, of either class and in training and scoring, goes through one more codec?

    Expected: In domain a little lost; real-vs-real controls fooled less, since one codec comes last for all; at a
    quarter of the size most of the trace is gone and it is the face that decides.
    Cost: 5 trainings of the default's time, the last of a quarter.
    """

    jpeg_75: Variant = ("history=crop=none,size=keep,codec=jpeg:75",)
    jpeg_any: Variant = ("history=crop=none,size=keep,codec=jpeg:50-95",)
    webp_any: Variant = ("history=crop=none,size=keep,codec=webp:50-95",)
    small: Variant = ("history=size=64,kernel=area,codec=jpeg:90", "crop=64")


@dataclass(frozen=True)
class CropOrResize(Experiment):
    """At one number of pixels: a crop that keeps them as they are, or the whole face made smaller?

    Expected: The crop ahead for the traces, the resized face ahead where faces differ (stylegan2's reals are framed
    otherwise); 64 pixels, since the smallest test images have no more.
    Cost: 4 trainings, the three of 64 pixels a twelfth of a 224-pixel one.
    """

    crop_64: Variant = ("crop=64",)
    area_64: Variant = ("crop=64", "history=size=64,kernel=area,codec=png")
    bilinear_64: Variant = ("crop=64", "history=size=64,kernel=bilinear,no-antialias,codec=png")


@dataclass(frozen=True)
class Crop(Experiment):
    """How large a crop does it take?

    Expected: Larger is better until the face is whole.
    Cost: 6 trainings; time goes with the square of the side: .18, .33, .51, .73 and 1 of a 224-pixel one.
    """

    crop_96: Variant = ("crop=96",)
    crop_128: Variant = ("crop=128",)
    crop_160: Variant = ("crop=160",)
    crop_192: Variant = ("crop=192",)
    crop_224: Variant = ("crop=224",)


@dataclass(frozen=True)
class Views(Experiment):
    """Do several crops of an image, averaged as logits in validation and scoring, tell more than its centre?

    Expected: A little, everywhere: noise of the crop's place is averaged out; nothing where images are no larger than
    the crop but for the mirror image.
    Cost: 4 trainings of the same weights; validation and scoring take 2, 6 and 10 times as long.
    """

    two: Variant = ("views=2",)
    six: Variant = ("views=6",)
    ten: Variant = ("views=10",)


@dataclass(frozen=True)
class DataSize(Experiment):
    """How much do more training images of the same generator give?

    Expected: Each doubling gives less in domain, and little on unseen generators: there another generator would help.
    Cost: 4 trainings, of an eighth, a quarter and half of the default's time: the passes are the same, the steps fewer.
    """

    an_eighth: Variant = ("train_share=0.125",)
    a_quarter: Variant = ("train_share=0.25",)
    half: Variant = ("train_share=0.5",)


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


@dataclass(frozen=True)
class Distillation(Experiment):
    """Can the pixel network alone learn what the two streams know, so that scoring costs nothing extra?

    Expected: Between `pixel` and the default: soft decisions carry over, the spectrum's own knowledge in part.
    Cost: 4 trainings of the default's time; by operations a taught one takes a third more, for its teacher.
    """

    pixel: Variant = ("detector=pixel",)
    pixel_taught: Variant = ("detector=pixel", TAUGHT_BY_DEFAULT)
    pixel_taught_features: Variant = ("detector=pixel", TAUGHT_BY_DEFAULT, "distill_features=1")


@dataclass(frozen=True)
class Optimiser(Experiment):
    """Adam or SGD?

    Expected: Alike, SGD at ten times the rate.
    Cost: 3 trainings of the default's time.
    """

    adam: Variant = ("optimizer=adam",)
    sgd: Variant = ("optimizer=sgd", "learning_rate=0.01", "head_learning_rate=0.02")


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Streams(),
        Spectrum(),
        SpectrumAlone(),
        Window(),
        Colour(),
        Fusion(),
        Condition(),
        Augmentation(),
        Masks(),
        Regularisation(),
        Simulated(),
        History(),
        CropOrResize(),
        Crop(),
        Views(),
        DataSize(),
        Freezing(),
        Backbone(),
        Pretraining(),
        Distillation(),
        Optimiser(),
    )
}
"""Name -> experiment."""
