"""What the processes of one job do, started by torchrun: `... -m tests.helpers.job_of_processes MANIFEST DAMAGED OUT`.

The exit status of each command goes into OUT/status-RANK.json.
"""

import errno
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakefreq.cli import main
from fakefreq.config.files import write_train_config
from fakefreq.config.run import TrainConfig
from fakefreq.ranks import current, joined
from tests.helpers.small_runs import CONFIG

# 48 images in steps of 13: shares of 7 and 6, and a last step of 9.
_BASE = replace(CONFIG, epochs=2, batch_size=13, optimizer="sgd", learning_rate=1e-2, head_learning_rate=1e-2)
CASES: dict[str, TrainConfig] = {
    # All that is drawn at random, weighted, averaged or fitted afterwards.
    "all": replace(
        _BASE,
        spectrum="block_dct+lattice",
        lattice_pairs=60,
        simulate=0.4,
        simulate_families="nearest",
        mixup=0.3,
        dropout=0.3,
        stream_dropout=0.2,
        ema=0.9,
        clip_gradient=1.0,
        balance="weighted",
        balance_by="generator",
        label_smoothing=0.1,
        degrade="0.5*jpeg:60..95",
    ),
    # Steps of 45 and 3 images, in parts of 15 and 3; the backbone rests for an epoch.
    "parts": replace(
        _BASE,
        batch_size=45,
        accumulate=3,
        freeze_epochs=1,
        balance="weights",
        simulate=0.4,
        simulate_families="nearest",
    ),
    "bf16": replace(_BASE, epochs=1, precision="bf16", dropout=0.0),
}


def _words(case: str, out: Path, manifest: str, *more: str) -> list[str]:
    settings = out / f"{case}-{os.environ['RANK']}.yaml"
    write_train_config(CASES[case], settings)
    return ["train", manifest, "--config", str(settings), "--out", str(out / case), "--allow-biased", *more]


def _full_disk(self: Path, *args: Any, **options: Any) -> Any:
    if self.name.startswith(".last.") and (args or (options.get("mode"),))[0] == "wb":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
    return _open(self, *args, **options)


_open = Path.open


def work(manifest: str, damaged: str, out: Path) -> dict[str, int]:
    rank = int(os.environ["RANK"])
    status = {"index": main(["index", str(out), "--out", str(out / "no.csv")])}
    status["different"] = main(_words("bf16", out, manifest, "--epochs", "3" if rank else "1"))
    with pytest.MonkeyPatch.context() as patch:
        if rank == 0:
            patch.setattr(Path, "open", _full_disk)
        status["full"] = main(_words("bf16", out, manifest))
    for case in CASES:
        status[case] = main(_words(case, out, manifest, "--resume"))
    score = ["score", str(out / "all"), damaged, "--batch-size", "8"]
    status["score"] = main([*score, "--out", str(out / "scores.csv"), "--on-error", "skip"])
    status["stop"] = main([*score, "--out", str(out / "none.csv")])
    with joined("cpu") as ranks:
        assert ranks is current() and ranks.gather(rank) == [0, 1]
    return status


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    codes = work(sys.argv[1], sys.argv[2], folder)
    (folder / f"status-{os.environ['RANK']}.json").write_text(json.dumps(codes))
