"""What the parts of the fusion `evidence` are worth: its sum anew, each time with one part left out.

The sum is a function of what `pixel` and `lattice` say of an image and of the pixels' validation scores, so the score
table of a benchmark holds all that it takes. Written is a score table with a detector for each variant; the variant
`evidence` has to agree with `two_stream`. `fakefreq report` makes the tables of it.

Example:
    python benchmarks/evidence_parts.py runs/benchmark/scores.parquet --out runs/evidence_parts/scores.parquet
    fakefreq report runs/evidence_parts/scores.parquet --out runs/evidence_parts --metrics auc found_at_5 fpr
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import best_threshold
from fakefreq.evaluate.scores import CELL_COLUMNS, load_scores, write_scores
from fakefreq.models.fusion import SILENT, EvidenceFusion
from fakefreq.train.evidence import platt

NEEDED = {"pixel", "lattice", "two_stream"}


@dataclass
class Config:
    """What to read and to write.

    Args:
        scores: of a benchmark with the detectors pixel, lattice and two_stream.
        out: the score table of the variants.
    """

    scores: tyro.conf.Positional[Path]
    out: Path = Path("runs/evidence_parts/scores.parquet")


def _uncalibrated(head: EvidenceFusion) -> None:
    head.scale.copy_(torch.tensor([1.0, 0.0]))


def _without_floor(head: EvidenceFusion) -> None:
    head.learnt_share.copy_(torch.tensor([0.0, SILENT]))


def _plain_sum(head: EvidenceFusion) -> None:
    _without_floor(head)
    head.lattice_share.copy_(torch.tensor([0.0, SILENT]))


VARIANTS: dict[str, Callable[[EvidenceFusion], None]] = {
    "evidence": lambda head: None,
    "without calibration": _uncalibrated,
    "pixels without floor": _without_floor,
    "plain sum": _plain_sum,
}


def check_detectors(cell: pd.DataFrame) -> None:
    """Raise UserError where the scores of a training lack one of the detectors that the sum is made of."""
    missing = NEEDED - set(cell["detector"])
    if missing:
        raise UserError(f"the scores hold no {', '.join(sorted(missing))}; give those of a benchmark with all three")


def variants_of(cell: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of `pixel`, and of each variant, of one training.

    Raises:
        UserError: a detector is missing, or `evidence` is not what `two_stream` said.
    """
    check_detectors(cell)
    of = {str(name): part.set_index("path") for name, part in cell.groupby("detector", observed=True)}
    pixel = of["pixel"]
    said = {
        name: of[name].loc[pixel.index, "logit"].to_numpy(np.float64) for name in ("pixel", "lattice", "two_stream")
    }
    validation = (pixel["role"] == "val").to_numpy()
    labels = pixel["label"].to_numpy(np.int64)
    calibration = platt(labels[validation], said["pixel"][validation])
    tables = [pixel]
    for name, change in VARIANTS.items():
        head = EvidenceFusion({"pixel": 1, "lattice": 1}, dropout=0.0)
        head.calibrate(*calibration)
        change(head)
        learnt, lattice = (torch.tensor(said[part], dtype=torch.float32) for part in ("pixel", "lattice"))
        logits = (head.of_learnt(learnt) + head.of_lattice(lattice)).double().numpy()
        apart = np.abs(logits - said["two_stream"]).max()
        if name == "evidence" and apart > 1e-2:
            raise UserError(f"the sum differs by {apart:.3f} from what two_stream said: it was made by other constants")
        threshold = best_threshold(labels[validation], logits[validation])
        tables.append(pixel.assign(detector=name, logit=logits, threshold=threshold))
    return [table.reset_index()[cell.columns] for table in tables]


def main(config: Config) -> None:
    """Make the variants of every training, write them whole."""
    scores = load_scores(config.scores).astype({name: str for name in CELL_COLUMNS if name != "seed"})
    cells = scores.groupby(["train_on", "seed", "track"], sort=False)
    tables = [table for _, cell in cells for table in variants_of(cell)]
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_scores(pd.concat(tables, ignore_index=True), config.out)
    print(f"{len(VARIANTS)} variants of {len(cells)} trainings: {config.out}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
