"""The loss, its optimisation and its schedule, as plain data."""

from dataclasses import dataclass
from typing import Literal

from fakefreq.errors import UserError, choose

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "one_cycle", "constant"]
Balance = Literal["none", "weights", "oversample", "undersample", "weighted"]
BalanceBy = Literal["class", "generator"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class OptimConfig:
    """What is minimised, and how.

    Args:
        label_smoothing: labels are this share of the way from 0 and 1 towards one half.
        epochs: passes over the training images, at most.
        batch_size: images a step, those of all processes together.
        accumulate: parts in which a step's images go through the network, one after the other, their gradients added
            up: a step then takes the memory of one part. A batch norm sees one part at a time.
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
        feature_passes: with `freeze` `all`, what a frozen backbone finds in the training images is kept, in so many
            passes over them (the first the centre crops as they are, each further one crops that are flipped, turned
            and degraded as training images are), and a linear head is fitted to it; 0 trains by gradient steps.
        patience: stop after this many epochs without a better validation AUC; 0 never stops early.
        balance: against unequal classes: `weights` in the loss, `oversample` the smaller or
            `undersample` the larger class, or images drawn with `weighted` probabilities.
        balance_by: what sampling makes equal: each `class`, or within them each `generator` and source too.
        max_steps: steps an epoch, at most; 0: as many as the images give.
        precision: of the network: `fp32`, or `bf16` by autocast; spectra and validation stay in float32.
        compile: hand the network to torch.compile.
    """

    label_smoothing: float = 0.0
    epochs: int = 8
    batch_size: int = 32
    accumulate: int = 1
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
    feature_passes: int = 0
    patience: int = 0
    balance: Balance = "none"
    balance_by: BalanceBy = "class"
    max_steps: int = 0
    precision: Precision = "fp32"
    compile: bool = False

    def check_optim(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        for flag, number, least in (
            ("--epochs", self.epochs, 1),
            ("--batch-size", self.batch_size, 2),
            ("--accumulate", self.accumulate, 1),
            ("--freeze-epochs", self.freeze_epochs, 0),
            ("--feature-passes", self.feature_passes, 0),
            ("--max-steps", self.max_steps, 0),
            ("--patience", self.patience, 0),
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
            ("--auxiliary", self.auxiliary),
            ("--distill", self.distill),
            ("--distill-features", self.distill_features),
        ):
            if not 0 <= value < float("inf"):
                raise UserError(f"{flag} is {value}; it takes 0 or more")
        for flag, share in (("--label-smoothing", self.label_smoothing), ("--ema", self.ema)):
            if not 0 <= share < 1:
                raise UserError(f"{flag} is {share}; it takes 0 or more and less than 1")
        if self.batch_size < 2 * self.accumulate:
            raise UserError(
                f"--accumulate {self.accumulate} leaves parts of less than two images of --batch-size "
                f"{self.batch_size}, too few for a batch norm; lower it, or raise --batch-size"
            )
        if not 0.1 <= self.distill_temperature <= 100:
            raise UserError(f"--distill-temperature is {self.distill_temperature}; it takes 0.1 to 100")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"--layer-decay is {self.layer_decay}; it takes more than 0 and at most 1")
        if self.freeze not in ("none", "all") and not self.freeze.isdecimal():
            raise UserError(f"--freeze is {self.freeze!r}; it takes none, all, or a number of stages")
        if self.feature_passes and self.freeze != "all":
            raise UserError(
                f"--feature-passes {self.feature_passes} keeps what a frozen backbone finds; give --freeze all with "
                "it, or leave it at 0"
            )
        choose(self.optimizer, ["adamw", "adam", "sgd"], "optimizer", "--optimizer")
        choose(self.schedule, ["cosine", "one_cycle", "constant"], "schedule", "--schedule")
        choose(self.balance, ["none", "weights", "oversample", "undersample", "weighted"], "balance", "--balance")
        choose(self.balance_by, ["class", "generator"], "way to balance", "--balance-by")
        choose(self.precision, ["fp32", "bf16"], "precision", "--precision")
        if self.balance_by == "generator" and self.balance not in ("oversample", "undersample", "weighted"):
            raise UserError("--balance-by generator needs --balance oversample, undersample or weighted")
