"""The experiments of `ablate`, each with what is asked, what we expected before it was run, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass

Variant = tuple[str, ...]
"""What differs from the default detector, as FIELD=VALUE of `TrainConfig`."""

# What stands for the weights of the default detector of the same seed, where a variant needs a teacher.
TAUGHT_BY_DEFAULT = "teacher=DEFAULT"


@dataclass(frozen=True)
class Experiment:
    """Variants of the default detector that answer a question.

    Args:
        name: its key, such as `data_size`.
        question: what is asked.
        expected: what we expect to see, and why; written before it was run.
        cost: in trainings a seed, one of the default's included, and in the time of one training of the default, by
            the operations that torch counts.
        variants: label -> what differs from the default.
    """

    name: str
    question: str
    expected: str
    cost: str
    variants: Mapping[str, Variant]

    @property
    def trainings(self) -> int:
        """Trainings a seed, the default's included."""
        return 1 + len(self.variants)


_OF_DETECTORS = (
    Experiment(
        name="streams",
        question="What does each stream know alone?",
        expected="Pixels far ahead of any spectrum; block DCT ahead of global spectra on JPEG images.",
        cost="3 trainings; `frequency` takes about a tenth of the time.",
        variants={
            "pixel": ("detector=pixel",),
            "frequency": ("detector=frequency",),
        },
    ),
    Experiment(
        name="spectrum",
        question="Which spectrum helps the pixels most?",
        expected="Differences within the spread of seeds; those that see processing most (fft) transfer worst.",
        cost="14 trainings of about the default's time; by operations `fad` 1.8, `srm` 1.4, `bayar` 1.2 times it.",
        variants={
            "bayar": ("spectrum=bayar",),
            "block_dct": ("spectrum=block_dct",),
            "dct": ("spectrum=dct",),
            "fad": ("spectrum=fad",),
            "fft": ("spectrum=fft",),
            "fft_residual": ("spectrum=fft_residual",),
            "lattice": ("spectrum=lattice",),
            "median": ("spectrum=median",),
            "npr": ("spectrum=npr",),
            "profiles": ("spectrum=profiles",),
            "srm": ("spectrum=srm",),
            "wavelet": ("spectrum=wavelet",),
            "block_dct_and_fft_residual": ("spectrum=block_dct+fft_residual",),
        },
    ),
    Experiment(
        name="spectrum_alone",
        question="What does each spectrum know without the pixels?",
        expected="Far below the default everywhere; NPR and block DCT best, profiles last.",
        cost=(
            "13 trainings, by operations a tenth of the default's or less; `npr`, `median`, `wavelet` .2, `bayar` "
            ".3, `srm` .5, `fad` .9."
        ),
        variants={
            "bayar": ("detector=frequency", "spectrum=bayar"),
            "block_dct": ("detector=frequency", "spectrum=block_dct"),
            "dct": ("detector=frequency", "spectrum=dct"),
            "fad": ("detector=frequency", "spectrum=fad"),
            "fft": ("detector=frequency", "spectrum=fft"),
            "fft_residual": ("detector=frequency", "spectrum=fft_residual"),
            "lattice": ("detector=frequency", "spectrum=lattice"),
            "median": ("detector=frequency", "spectrum=median"),
            "npr": ("detector=frequency", "spectrum=npr"),
            "profiles": ("detector=frequency", "spectrum=profiles"),
            "srm": ("detector=frequency", "spectrum=srm"),
            "wavelet": ("detector=frequency", "spectrum=wavelet"),
        },
    ),
    Experiment(
        name="window",
        question="Does the window of the Fourier spectrum matter, where a network reads it?",
        expected=(
            "Hann ahead of none by a little: without one the borders' cross lies over the peaks, but each "
            "frequency is normalised by itself and the borders are in both classes."
        ),
        cost="4 trainings of the frequency stream alone, well below the default's time, and the default's own.",
        variants={
            "hann": ("detector=frequency", "spectrum=fft:hann"),
            "hamming": ("detector=frequency", "spectrum=fft:hamming"),
            "none": ("detector=frequency", "spectrum=fft:none"),
        },
    ),
    Experiment(
        name="colour",
        question="In which colour space should blocks be transformed?",
        expected="YCbCr first, since it is the codec's own; the luma alone loses what generators do wrong with chroma.",
        cost="7 trainings, three of them of the frequency stream alone, a tenth of the default's time.",
        variants={
            "ycbcr": ("spectrum=block_dct:ycbcr",),
            "rgb": ("spectrum=block_dct:rgb",),
            "gray": ("spectrum=block_dct:gray",),
            "ycbcr_alone": ("detector=frequency", "spectrum=block_dct:ycbcr"),
            "rgb_alone": ("detector=frequency", "spectrum=block_dct:rgb"),
            "gray_alone": ("detector=frequency", "spectrum=block_dct:gray"),
        },
    ),
    Experiment(
        name="fusion",
        question="How should the streams become one logit?",
        expected=(
            "`evidence` gains most on unseen generators with a lattice and loses least elsewhere; the others train "
            "the lattice's features on the seen generator, so they learn its history."
        ),
        cost="7 trainings of the default's time.",
        variants={
            "attention": ("fusion=attention",),
            "concat": ("fusion=concat",),
            "evidence": ("fusion=evidence",),
            "film": ("fusion=film",),
            "gated": ("fusion=gated",),
            "logit_sum": ("fusion=logit_sum",),
        },
    ),
    Experiment(
        name="lattice",
        question="What should the lattice stream be fitted to, and to how many pairs?",
        expected=(
            "Planted patterns cover all frequencies, simulated upsamplers those of a few kernels: alone they find less "
            "of other generators. A quarter of the pairs loses a little."
        ),
        cost="4 trainings, which share their pixel stream; a simulated fake takes .1 s, a planted one 1 ms.",
        variants={
            "simulated": ("lattice_simulated=1",),
            "half_simulated": ("lattice_simulated=0.5",),
            "quarter_of_pairs": ("lattice_pairs=500",),
        },
    ),
    Experiment(
        name="condition",
        question="Does it help the frequency stream to be told how strongly the image was compressed last?",
        expected=(
            "Nothing where all images have one quality, as here (75); more where qualities are drawn for both classes."
        ),
        cost="5 trainings; the estimate takes 2.0 ms of one core for an image of 224 pixels, a scoring 30.6.",
        variants={
            "none": ("spectrum=block_dct",),
            "quality": ("spectrum=block_dct", "condition=quality"),
            "jpeg_any": ("spectrum=block_dct", "degrade=0.5*jpeg:40..95"),
            "quality_and_jpeg_any": ("spectrum=block_dct", "condition=quality", "degrade=0.5*jpeg:40..95"),
        },
    ),
    Experiment(
        name="freezing",
        question="How much of the backbone must move?",
        expected="All of it: traces lie in low stages.",
        cost=(
            "5 trainings; a frozen backbone takes about a third of the operations, since its gradient is not needed."
        ),
        variants={
            "all_frozen": ("freeze=all",),
            "two_stages": ("freeze=2",),
            "first_epoch": ("freeze_epochs=1",),
            "layer_decay": ("layer_decay=0.7",),
        },
    ),
    Experiment(
        name="backbone",
        question="Does the frequency stream add to other backbones alike? (weights from timm's hub)",
        expected="Less to larger ones, which see more of the trace by themselves.",
        cost=(
            "11 trainings, two of each backbone; by operations each takes 4 (resnet18), 10 (resnet50), 37 "
            "(vgg16), 1 (efficientnet_b0) and 11 (convnext_tiny) times the default's. Without the hub they fail, "
            "and are listed."
        ),
        variants={
            "resnet18": ("backbone=resnet18",),
            "resnet18_pixel": ("backbone=resnet18", "detector=pixel"),
            "resnet50": ("backbone=resnet50",),
            "resnet50_pixel": ("backbone=resnet50", "detector=pixel"),
            "vgg16": ("backbone=vgg16",),
            "vgg16_pixel": ("backbone=vgg16", "detector=pixel"),
            "efficientnet_b0": ("backbone=efficientnet_b0",),
            "efficientnet_b0_pixel": ("backbone=efficientnet_b0", "detector=pixel"),
            "convnext_tiny": ("backbone=convnext_tiny",),
            "convnext_tiny_pixel": ("backbone=convnext_tiny", "detector=pixel"),
        },
    ),
    Experiment(
        name="pretraining",
        question="What are the ImageNet weights worth?",
        expected="Most of it, at this number of images.",
        cost="2 trainings of the default's time.",
        variants={
            "random_weights": ("pretrained=none",),
        },
    ),
)

_OF_TRAINING = (
    Experiment(
        name="augmentation",
        question="What do one-law degradations of the training images do?",
        expected="A little lost in domain, more kept under other histories, controls called fake less often.",
        cost=(
            "8 trainings of the default's time, if two cores decode: a JPEG of a 256-pixel image takes about a "
            "millisecond."
        ),
        variants={
            "none": ("degrade=", "rotate=0"),
            "no_flip": ("degrade=", "rotate=0", "flip=false"),
            "jpeg": ("degrade=0.5*jpeg:50..95",),
            "resize": ("degrade=0.5*rescale:0.6..1.25:any",),
            "blur_and_jpeg": ("degrade=0.5*blur:0..3 0.5*jpeg:30..100",),
            "jpeg_or_webp": ("degrade=0.5*jpeg:50..95|webp:50..95",),
            "rotation": ("rotate=10",),
        },
    ),
    Experiment(
        name="masks",
        question=(
            "Do random masks, in pixels or in frequencies, keep a detector from leaning on one place of face or "
            "spectrum?"
        ),
        expected=(
            "A gain on unseen generators from frequency masks (Doloriel and Cheung 2024 report one at 15 %), the "
            "highest band first; pixel masks near zero."
        ),
        cost=(
            "6 trainings; a frequency mask takes about four times the time of a JPEG, so one may have to wait for "
            "decoding."
        ),
        variants={
            "pixels": ("degrade=0.5*mask:0.05..0.3",),
            "all_frequencies": ("degrade=0.5*freqmask:0.05..0.15",),
            "low": ("degrade=0.5*freqmask:0.15:low",),
            "mid": ("degrade=0.5*freqmask:0.15:mid",),
            "high": ("degrade=0.5*freqmask:0.15:high",),
        },
    ),
    Experiment(
        name="regularisation",
        question="Do averaged weights, mixed images or soft labels help?",
        expected="Averaged weights a little; mixing hurts traces that live in single pixels.",
        cost="6 trainings of the default's time.",
        variants={
            "ema": ("ema=0.99",),
            "mixup": ("mixup=0.2",),
            "label_smoothing": ("label_smoothing=0.1",),
            "no_auxiliary": ("auxiliary=0",),
            "stream_dropout": ("stream_dropout=0.3",),
        },
    ),
    Experiment(
        name="balance",
        question="Does it matter how unequal classes, or generators, are made equal?",
        expected=(
            "Nothing where one generator is trained on and classes are equal; with several of unequal number, "
            "equal generators ahead on those that were never seen, and undersampling last, for the images that it "
            "leaves out."
        ),
        cost=("6 trainings of the default's time; undersampling takes less, oversampling more, with the images drawn."),
        variants={
            "weights": ("balance=weights",),
            "oversample": ("balance=oversample",),
            "undersample": ("balance=undersample",),
            "weighted": ("balance=weighted",),
            "generators": ("balance=oversample", "balance_by=generator"),
        },
    ),
    Experiment(
        name="simulated",
        question="Do self-made fakes, photos through simulated upsamplers, carry over to real generators?",
        expected="They teach upsampling traces, not faces: gains where the generator's last layers show.",
        cost=(
            "3 trainings; a twin of a 256-pixel photo takes about .1 s of one core, and a batch grows by 12 and 25 %."
        ),
        variants={
            "a_quarter": ("simulate=0.25",),
            "half": ("simulate=0.5",),
        },
    ),
    Experiment(
        name="history",
        question=(
            "What is left when every image, of either class and in training and scoring, goes through one more codec?"
        ),
        expected=(
            "In domain a little lost; real-vs-real controls fooled less, since one codec comes last for all; at a "
            "quarter of the size most of the trace is gone and it is the face that decides."
        ),
        cost="5 trainings of the default's time, the last of a quarter.",
        variants={
            "jpeg_75": ("history=crop=none,size=keep,codec=jpeg:75",),
            "jpeg_any": ("history=crop=none,size=keep,codec=jpeg:50-95",),
            "webp_any": ("history=crop=none,size=keep,codec=webp:50-95",),
            "small": ("history=size=64,kernel=area,codec=jpeg:90", "crop=64"),
        },
    ),
    Experiment(
        name="crop_or_resize",
        question="At one number of pixels: a crop that keeps them as they are, or the whole face made smaller?",
        expected=(
            "The crop ahead for the traces, the resized face ahead where faces differ (stylegan2's reals are "
            "framed otherwise); 64 pixels, since the smallest test images have no more."
        ),
        cost="4 trainings, the three of 64 pixels a twelfth of a 224-pixel one.",
        variants={
            "crop_64": ("crop=64",),
            "area_64": ("crop=64", "history=size=64,kernel=area,codec=png"),
            "bilinear_64": ("crop=64", "history=size=64,kernel=bilinear,no-antialias,codec=png"),
        },
    ),
    Experiment(
        name="crop",
        question="How large a crop does it take?",
        expected="Larger is better until the face is whole.",
        cost="6 trainings; time goes with the square of the side: .18, .33, .51, .73 and 1 of a 224-pixel one.",
        variants={
            "crop_96": ("crop=96",),
            "crop_128": ("crop=128",),
            "crop_160": ("crop=160",),
            "crop_192": ("crop=192",),
            "crop_224": ("crop=224",),
        },
    ),
    Experiment(
        name="views",
        question=(
            "Do several crops of an image, averaged as logits in validation and scoring, tell more than its centre?"
        ),
        expected=(
            "A little, everywhere: noise of the crop's place is averaged out; nothing where images are no larger "
            "than the crop but for the mirror image."
        ),
        cost="4 trainings of the same weights; validation and scoring take 2, 6 and 10 times as long.",
        variants={
            "two": ("views=2",),
            "six": ("views=6",),
            "ten": ("views=10",),
        },
    ),
    Experiment(
        name="data_size",
        question="How much do more training images of the same generator give?",
        expected=(
            "Each doubling gives less in domain, and little on unseen generators: there another generator would help."
        ),
        cost="4 trainings, of an eighth, a quarter and half of the default's time: as many passes, fewer steps.",
        variants={
            "an_eighth": ("train_share=0.125",),
            "a_quarter": ("train_share=0.25",),
            "half": ("train_share=0.5",),
        },
    ),
    Experiment(
        name="distillation",
        question="Can the pixel network alone learn what the two streams know, so that scoring costs nothing extra?",
        expected="Between `pixel` and the default: soft decisions carry over, the spectrum's own knowledge in part.",
        cost="4 trainings of the default's time; by operations a taught one takes a third more, for its teacher.",
        variants={
            "pixel": ("detector=pixel",),
            "pixel_taught": ("detector=pixel", TAUGHT_BY_DEFAULT),
            "pixel_taught_features": ("detector=pixel", TAUGHT_BY_DEFAULT, "distill_features=1"),
        },
    ),
    Experiment(
        name="optimiser",
        question="Adam or SGD?",
        expected="Alike, SGD at ten times the rate.",
        cost="3 trainings of the default's time.",
        variants={
            "adam": ("optimizer=adam",),
            "sgd": ("optimizer=sgd", "learning_rate=0.01", "head_learning_rate=0.02"),
        },
    ),
)

_ORDER = [
    *("streams", "spectrum", "spectrum_alone", "window", "colour", "fusion", "lattice", "condition"),
    *("augmentation", "masks"),
    *("regularisation", "balance", "simulated", "history", "crop_or_resize", "crop", "views", "data_size", "freezing"),
    *("backbone", "pretraining", "distillation", "optimiser"),
]
_OF_NAME = {experiment.name: experiment for experiment in (*_OF_DETECTORS, *_OF_TRAINING)}
EXPERIMENTS: dict[str, Experiment] = {name: _OF_NAME[name] for name in _ORDER}
"""Name -> experiment."""
