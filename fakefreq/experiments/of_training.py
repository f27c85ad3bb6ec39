"""Experiments over how a detector is trained and what it is shown."""

from dataclasses import dataclass

from fakefreq.experiments.base import TAUGHT_BY_DEFAULT, Experiment, Variant


@dataclass(frozen=True)
class Augmentation(Experiment):
    """What do one-law degradations of the training images do?

    Expected: A little lost in domain, more kept under other histories, controls called fake less often.
    Cost: 8 trainings of the default's time, if two cores decode: a JPEG of a 256-pixel image takes about a millisecond.
    """

    none: Variant = ("degrade=", "rotate=0")
    no_flip: Variant = ("degrade=", "rotate=0", "flip=false")
    jpeg: Variant = ("degrade=0.5*jpeg:50..95",)
    resize: Variant = ("degrade=0.5*rescale:0.6..1.25:any",)
    blur_and_jpeg: Variant = ("degrade=0.5*blur:0..3 0.5*jpeg:30..100",)
    jpeg_or_webp: Variant = ("degrade=0.5*jpeg:50..95|webp:50..95",)
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
class Balance(Experiment):
    """Does it matter how unequal classes, or generators, are made equal?

    Expected: Nothing where one generator is trained on and classes are equal; with several of unequal number, equal
    generators ahead on those that were never seen, and undersampling last, for the images that it leaves out.
    Cost: 6 trainings of the default's time; undersampling takes less, oversampling more, with the images drawn.
    """

    weights: Variant = ("balance=weights",)
    oversample: Variant = ("balance=oversample",)
    undersample: Variant = ("balance=undersample",)
    weighted: Variant = ("balance=weighted",)
    generators: Variant = ("balance=oversample", "balance_by=generator")


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
