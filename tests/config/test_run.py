"""Each setting belongs to one concept, and a training consists of all of them."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from fakefreq.config.augment import AugmentConfig
from fakefreq.config.input import InputConfig
from fakefreq.config.learner import LearnerConfig
from fakefreq.config.optim import OptimConfig
from fakefreq.config.run import RunConfig, TrainConfig
from fakefreq.errors import UserError
from fakefreq.train.train import check_settings

PARTS = (LearnerConfig, InputConfig, AugmentConfig, OptimConfig, RunConfig)


def test_no_setting_is_defined_twice_and_none_outside_of_a_concept() -> None:
    names = [item.name for part in PARTS for item in fields(part)]
    assert names == [item.name for item in fields(TrainConfig)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("part", [*PARTS, TrainConfig])
def test_settings_are_frozen(part: type) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(part(), fields(part)[0].name, 1)


def test_a_part_is_taken_by_name() -> None:
    config = TrainConfig(crop=96, views=2, history="raw", detector="frequency", spectrum="fft", condition="quality")
    assert config.input == InputConfig(crop=96, views=2, history="raw")
    network = config.network
    assert (network.name, network.spectrum, network.condition) == ("frequency", "fft", "quality")


def test_what_a_run_computes_leaves_out_how_it_is_carried_out() -> None:
    config = TrainConfig()
    assert replace(config, workers=3, device="cpu", cache="memory").what_it_computes() == config.what_it_computes()
    for change in ({"seed": 1}, {"crop": 96}, {"flip": False}, {"epochs": 1}, {"precision": "bf16"}):
        assert replace(config, **change).what_it_computes() != config.what_it_computes()


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"lattice_pairs": 49}, "--lattice-pairs is 49; it takes 50 or more"),
        ({"lattice_simulated": 1.5}, "--lattice-simulated is 1.5"),
        ({"false_alarms": 0.5}, "--false-alarms is 0.5"),
        ({"simulate": -0.1}, "--simulate is -0.1"),
        ({"patience": -1}, "--patience is -1"),
        ({"schedule": "step"}, "unknown schedule 'step'"),
        ({"balance": "both"}, "unknown balance 'both'"),
        ({"workers": -2}, "--workers is -2"),
        ({"log_every": 0}, "--log-every is 0"),
        ({"checkpoint_seconds": float("nan")}, "--checkpoint-seconds is nan"),
        ({"checkpoint_steps": -1}, "--checkpoint-steps is -1"),
        ({"history": "sise=3"}, "unknown part of a history 'sise'"),
    ],
)
def test_a_training_asks_each_part(change: dict[str, object], flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        check_settings(replace(TrainConfig(), **change))  # type: ignore[arg-type]
