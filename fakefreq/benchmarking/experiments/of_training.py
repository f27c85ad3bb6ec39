"""Experiments over how a detector is trained and what it is shown."""

from fakefreq.benchmarking.experiments.base import TAUGHT_BY_DEFAULT, Experiment

EXPERIMENTS = (
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
        cost=(
            "4 trainings, of an eighth, a quarter and half of the default's time: the passes are the same, the "
            "steps fewer."
        ),
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
