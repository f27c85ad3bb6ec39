"""Which settings carry over: candidates are judged without a single test image.

Each candidate trains on one generator's training images and is judged on validation images that were taken out of
them, and on a generator of the zoo that nobody trains on, made of the same photographs; as they are, after other
histories, and smaller. Controls are photographs against the same photographs, processed: .5 is best.

Example (the held-out fakes first; the photographs are what the first command below leaves in its folder `photos`):
    python benchmarks/selection.py --prepare
    fakefreq zoo build --generators mobilestylegan --count 250 --size 256 --reals runs/selection/photos \\
        --history size=256,kernel=bicubic,codec=jpeg:75 --out runs/selection/held_out
    fakefreq zoo build --generators cyclegan srgan realesrgan_compact --count 150 --size 128 --reals celeba \\
        --share-photos --history size=128,kernel=area,codec=jpeg:75-95 --out runs/selection/celeba
    python benchmarks/selection.py --crop 160 --candidates pixel:detector=pixel two_stream: "plain:degrade=" \\
        --more celeba=runs/selection/celeba/manifest.csv
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro
from face_folder import FaceFolder

from fakefreq.benchmarking.plan import parse_detectors
from fakefreq.commands.base import TrainingCommand, with_config_files
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.manifests import read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import Array, auc
from fakefreq.evaluate.predict import score_degraded
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.models import load_detector
from fakefreq.train.train import train

# What both classes go through before they are scored.
HISTORIES = {
    "as trained": "none",
    "drawn": "rescale:0.6..1:any+jpeg:60..95",
    "128 pixels": "rescale:0.5:area+jpeg:75",
    "64 pixels": "rescale:0.25:area",
}
# What further sets go through: they have histories of their own.
FURTHER = {"as made": "none", "drawn": HISTORIES["drawn"]}
# What photographs go through before they are told from themselves.
CONTROLS = {
    "drawn": HISTORIES["drawn"],
    "bicubic": "resize:0.5:bicubic+jpeg:75",
    "quality 90": "jpeg:90",
    "quality 50": "jpeg:50",
}


@dataclass(kw_only=True)
class Config(TrainingCommand):
    """What to run.

    Args:
        faces: the folder.
        generator: the one that is trained on.
        validation: images of each class that are taken out of training.
        prepare: only choose the validation images and lay out their photographs.
        more: NAME=MANIFEST of further images that nothing trains on: each subset of fakes with its reals is another
            test, as made and after drawn histories.
        candidates: LABEL:FIELD=VALUE,FIELD=VALUE of `TrainConfig` each; nothing after the colon is the default.
        config: what candidates leave open.
        seeds: one training of every candidate for each.
        work: folder of the manifest, the photographs, the held-out fakes (`held_out/`) and the trainings.
        out: the table.
    """

    faces: Annotated[FaceFolder, tyro.conf.arg(name="")] = field(default_factory=FaceFolder)
    generator: str = "stylegan"
    validation: int = 250
    prepare: bool = False
    more: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ("pixel:detector=pixel", "two_stream:")
    seeds: tuple[int, ...] = (0,)
    work: Path = Path("runs/selection")
    out: Path = Path("runs/selection/selection.csv")


def choose_validation(config: Config) -> Path:
    """Write the manifest without its test images, more of it in validation; link the validation photographs."""
    path = config.work / "manifest.csv"
    if path.exists():
        return path
    whole = config.faces.index(config.work / "whole.csv")
    rows = read_manifest(whole)
    rows = rows[(rows["subset"] == config.generator) & (rows["split"] != "test")].reset_index(drop=True)
    random = np.random.default_rng(0)
    for _, of_class in rows.groupby("label"):
        in_training = of_class.index[of_class["split"] == "train"].to_numpy()
        more = config.validation - int((of_class["split"] == "val").sum())
        rows.loc[random.permutation(in_training)[: max(0, more)], "split"] = "val"
    photos = config.work / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for name in rows.loc[(rows["split"] == "val") & (rows["label"] == 0), "path"]:
        link = photos / Path(name).name
        if not link.exists():
            link.symlink_to((whole.parent / name).resolve())
    write_manifest(rows, path)
    return path


def judge(run: Path, manifest: Path, held_out: Path, more: dict[str, Path]) -> pd.DataFrame:
    """Return AUCs of one training: a row a generator and history, and a row a control."""
    detector = load_detector(run)
    own, other = read_manifest(manifest), read_manifest(held_out)
    own = own[own["split"] == "val"]
    sets = {"own": (own, manifest.parent), "held out": (other, held_out.parent)}
    rows = []
    for history, text in HISTORIES.items():
        for name, (table, root) in sets.items():
            logits = score_degraded(detector, table, root, parse_degradation(text))
            rows.append(_row("generator", name, history, table["label"].to_numpy(), logits))
    for name, path in more.items():
        for history, text in FURTHER.items():
            for subset, of_subset in read_manifest(path).groupby("subset"):
                table = of_subset.reset_index(drop=True)
                logits = score_degraded(detector, table, path.parent, parse_degradation(text))
                rows.append(_row("generator", f"{name} {subset}", history, table["label"].to_numpy(), logits))
    reals = own[own["label"] == 0]
    plain = score_degraded(detector, reals, manifest.parent, parse_degradation("none"))
    for control, text in CONTROLS.items():
        processed = score_degraded(detector, reals, manifest.parent, parse_degradation(text))
        labels = np.repeat([0, 1], len(reals))
        rows.append(_row("control", "photographs", control, labels, np.concatenate([plain, processed])))
    return pd.DataFrame(rows)


def _row(kind: str, test: str, history: str, labels: Array, logits: Array) -> dict[str, object]:
    n_fake = int(labels.sum())
    value = auc(labels, logits)
    # Hanley and McNeil 1982: the standard error of an area, from the area and the counts.
    q1, q2, n_real = value / (2 - value), 2 * value**2 / (1 + value), len(labels) - n_fake
    variance = (value * (1 - value) + (n_fake - 1) * (q1 - value**2) + (n_real - 1) * (q2 - value**2)) / n_real / n_fake
    return {
        "kind": kind, "test": test, "history": history, "auc": value, "standard_error": variance**0.5,
        "n_real": n_real, "n_fake": n_fake,
    }  # fmt: skip


@shown_messages()
def main(config: Config) -> None:
    """Train what is missing, judge all, write the table whole."""
    manifest = choose_validation(config)
    held_out = config.work / "held_out" / "manifest.csv"
    if config.prepare:
        return
    if not held_out.exists():
        raise UserError(f"{held_out} is missing: make the held-out fakes with the command in this script's docstring")
    more = {name: Path(path) for name, _, path in (entry.partition("=") for entry in config.more)}
    for name, path in more.items():
        if not path.is_file():
            raise UserError(f"--more {name}={path}: there is no such manifest; write NAME=MANIFEST")
    words = [candidate.partition(":") for candidate in config.candidates]
    tables = []
    for label, _, settings in words:
        chosen = [f"{label}.{setting}" for setting in settings.split(",") if setting]
        name = next((entry.partition("=")[2] for entry in chosen if ".detector=" in entry), config.config.detector)
        others = [entry for entry in chosen if ".detector=" not in entry]
        plan = parse_detectors([f"{label}={name}"], others, config.config)[label]
        for seed in config.seeds:
            run = config.work / "trainings" / f"{label}-seed{seed}"
            train(manifest, run, replace(plan, seed=seed, train_on=(config.generator,)), resume=True)
            judged = judge(run, manifest, held_out, more)
            judged.insert(0, "seed", seed)
            judged.insert(0, "candidate", label)
            print(judged.round(3).to_string(index=False))
            tables.append(judged)
    with atomic_path(config.out) as temporary:
        pd.concat(tables).to_csv(temporary, index=False, float_format="%.4f")


if __name__ == "__main__":
    try:
        main(with_config_files(tyro.cli(Config, description=__doc__), sys.argv[1:]))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
