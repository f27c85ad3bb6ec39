"""A training that takes a second, and how two of them are compared."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fakefreq.config.run import TrainConfig


def tiny_config(**changes: Any) -> TrainConfig:
    """Settings of a training of a second; changes are fields of `TrainConfig`."""
    tiny = TrainConfig(
        spectrum="block_dct",
        lattice_pairs=60,
        backbone="test_efficientnet",
        pretrained="none",
        train_on=("alpha",),
        crop=48,
        epochs=1,
        workers=0,
        device="cpu",
    )
    return replace(tiny, **changes)


CONFIG = tiny_config(detector="two_stream", crop=64, epochs=3, batch_size=16, log_every=1)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best.safetensors")


def last(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "last.pt", weights_only=True)["detector"]
    return state


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
