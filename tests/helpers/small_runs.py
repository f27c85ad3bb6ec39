"""A training that takes a second, and how two of them are compared."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from fakefreq.config.run import TrainConfig

CONFIG = TrainConfig(
    spectrum="block_dct",
    detector="two_stream",
    backbone="test_efficientnet",
    pretrained="none",
    train_on=("alpha",),
    crop=64,
    epochs=3,
    batch_size=16,
    workers=0,
    device="cpu",
    log_every=1,
)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "best.safetensors")


def last(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "last.pt", weights_only=True)["detector"]
    return state


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
