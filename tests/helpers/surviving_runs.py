"""Trainings in processes of their own that can be killed, and whether two of them ended in the same bits."""

import multiprocessing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fakefreq.config.run import TrainConfig
from fakefreq.train.train import train
from tests.helpers.small_runs import tiny_config

# All that a state has to hold is switched on: dropout, averages, mixing, moments, a schedule.
CONFIG = tiny_config(
    detector="two_stream",
    crop=64,
    epochs=2,
    batch_size=8,
    mixup=0.3,
    ema=0.9,
    dropout=0.3,
    degrade="0.5*jpeg:60..95",
    log_every=1,
    checkpoint_steps=1,
)


STEPS = 6  # an epoch: 24 + 24 images in batches of 8


class Processes:
    """Starts trainings in processes of their own, cheaply: torch is imported once for all of them."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["fakefreq.train.train"])

    def start(self, manifest: Path, out: Path, config: TrainConfig) -> BaseProcess:
        process = self.context.Process(target=train, args=(manifest, out, config), kwargs={"resume": True})
        process.start()
        return process

    def finish(self, manifest: Path, out: Path, config: TrainConfig) -> None:
        process = self.start(manifest, out, config)
        process.join(120)
        assert process.exitcode == 0


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries and lists."""
    if isinstance(value, dict):
        return {key: leaf for k, v in value.items() for key, leaf in leaves(v, f"{name}.{k}").items()}
    if isinstance(value, list | tuple):
        return {key: leaf for k, v in enumerate(value) for key, leaf in leaves(v, f"{name}.{k}").items()}
    return {name: value}


def assert_same_end(out: Path, whole: Path) -> None:
    assert (out / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    a, b = (leaves(torch.load(run / "last.pt", weights_only=True)) for run in (out, whole))
    assert a.keys() == b.keys()
    differing = [
        name
        for name, value in a.items()
        if not (torch.equal(value, b[name]) if isinstance(value, torch.Tensor) else value == b[name])
    ]
    assert differing == [".progress.seconds"]
    logs = [pd.read_csv(run / "log.csv").drop(columns="seconds") for run in (out, whole)]
    pd.testing.assert_frame_equal(logs[0], logs[1])
    assert [path.name for path in out.iterdir() if ".part" in path.name] == []


def lines(out: Path) -> int:
    log = out / "log.csv"
    return len(log.read_text().splitlines()) if log.exists() else 0
