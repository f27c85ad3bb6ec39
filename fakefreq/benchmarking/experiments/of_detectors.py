"""Experiments over what a detector is made of: streams, spectra, fusion, backbone."""

from fakefreq.benchmarking.experiments.base import Experiment

EXPERIMENTS = (
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
        expected="Sums of logits and gates harm least where the spectrum misleads; concatenation overfits it.",
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
