"""What a training run is, as plain data: readable without importing torch."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from fakefreq.config.augment import AugmentConfig
from fakefreq.config.fields import typed_values
from fakefreq.config.input import InputConfig
from fakefreq.config.learner import LearnerConfig
from fakefreq.config.optim import OptimConfig
from fakefreq.errors import UserError, at_least, choose

LogWith = Literal["none", "tensorboard", "wandb", "trackio", "mlflow"]
TRACKERS: list[str] = list(get_args(LogWith))


@dataclass(frozen=True)
class RunConfig:
    """How a run is carried out, not what it computes: a finished run stays valid when these change.

    Args:
        cache: keeps decoded images for the next epoch: `none`, in `memory` those of training, or in a folder those of
            validation and test too, and the lattice read in them, for later runs and other detectors.
        workers: processes that decode images; -1 chooses by the number of cores.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; of several processes each takes a GPU of its own.
        log_every: steps between two lines of log.csv.
        log_with: a tracker that gets the numbers of log.csv too: `tensorboard` (into the run's folder), `wandb`,
            `trackio` or `mlflow`.
        checkpoint_seconds: time between two saved states within an epoch; 0: by steps only. Each epoch's end is saved.
        checkpoint_steps: saves the state after every so many steps of an epoch, too; 0: by time only.
    """

    cache: str = "none"
    workers: int = -1
    device: str = "auto"
    log_every: int = 10
    log_with: LogWith = "none"
    checkpoint_seconds: float = 300.0
    checkpoint_steps: int = 0

    def check_run(self) -> None:
        """Refuse values that cannot work.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        for flag, number, least in (
            ("--workers", self.workers, -1),
            ("--log-every", self.log_every, 1),
            ("--checkpoint-steps", self.checkpoint_steps, 0),
        ):
            at_least(number, least, flag)
        choose(self.log_with, TRACKERS, "tracker", "--log-with")
        if not 0 <= self.checkpoint_seconds < float("inf"):
            raise UserError(f"--checkpoint-seconds is {self.checkpoint_seconds}; it takes 0 or more")


@dataclass(frozen=True)
class TrainConfig(RunConfig, OptimConfig, AugmentConfig, InputConfig, LearnerConfig):
    """Everything that decides the weights of a run, apart from the images.

    It is each of its parts, so that a function which needs the optimisation alone takes an `OptimConfig`. Its fields,
    its flags and what cells store of it are flat.
    """

    @property
    def input(self) -> InputConfig:
        """What the detector makes of an image file."""
        return InputConfig(**{item.name: getattr(self, item.name) for item in fields(InputConfig)})

    def check(self) -> None:
        """Refuse values that cannot work; `fakefreq.train.train.check_settings` also reads the texts.

        Raises:
            UserError: names the value, what is allowed and the flag.
        """
        self.check_learner()
        self.check_augment()
        self.check_optim()
        self.check_run()
        self._check_passes()

    def _check_passes(self) -> None:
        """A head that is fitted to kept features takes no steps that these settings could change."""
        if not self.feature_passes:
            return
        plain = TrainConfig()
        for name in ("simulate", "mixup", "label_smoothing", "ema", "teacher", "balance"):
            if getattr(self, name) != getattr(plain, name):
                raise UserError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)!r}; with --feature-passes it has no effect: "
                    f"leave it at {getattr(plain, name)!r}, or train by gradient steps (--feature-passes 0)"
                )

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
        how = {item.name for item in fields(RunConfig)}
        return {name: value for name, value in self.to_dict().items() if name not in how}
