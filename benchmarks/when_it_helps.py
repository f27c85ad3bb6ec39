"""When does the frequency branch help? Two streams less pixels by JPEG quality, resize and kind of upsampler.

Fakes are made of test photographs by generators of the zoo and by simulated upsamplers, at native size. Photograph and
fake are then reduced by the same factor and saved as JPEG of the same quality. Each run gives the AUC of its pixel
stream, of its lattice and of both for each cell of the map; the gain is the mean over runs, its standard error holds
images (DeLong, by group) and runs.

The last panel holds theory beside measurement. The strongest z of luma is what a pattern leaves; for a frequency at
which noise has z^2 exponential with mean 1, a pattern of mean z gives a noncentral chi-square, and a search over m
frequencies at a false-alarm rate a finds P(z^2 > -log(1 - (1 - a)^(1/m))) of the images.

Expectation, written first: the gain is large for transposed convolutions, pixel shuffle and nearest neighbours at the
size that they were made at, survives JPEG down to about 75, falls with every resize that is not by a whole factor, and
is nothing for bilinear enlargement and for alias-free or diffusion generators, which leave no lattice.

Example: python benchmarks/when_it_helps.py --runs runs/seed0 runs/seed1 --reals celeba --out runs/when_it_helps
"""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import torch
import tyro
from lattice_selection import Parts
from numpy.typing import NDArray
from scipy.stats import ncx2

from fakefreq.cli import main as fakefreq
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError
from fakefreq.evaluate.delong import delong
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.predict import score_degraded
from fakefreq.files import atomic_path
from fakefreq.models import load_detector
from fakefreq.models.streams.lattice import FREQUENCIES

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RATE = 0.05
KEYS = ["subset", "scale", "quality"]


@dataclass
class Config:
    """What to run.

    Args:
        runs: runs of `two_stream` with the lattice: one a seed, of one training set.
        reals: test photographs that the fakes are made of, as `fakefreq zoo build --reals` takes them.
        generators: of the zoo.
        simulate: simulated upsamplers.
        count: images of each set and class.
        qualities: of the JPEG that photograph and fake go through; 0 is none.
        scales: that both are resized by after the fake was made.
        out: folder of images, kept scores, table and figure.
    """

    runs: tuple[Path, ...]
    reals: tuple[str, ...] = ("celeba",)
    generators: tuple[str, ...] = ("dcgan", "cyclegan", "srgan", "srresnet", "realesrgan_compact")
    simulate: tuple[str, ...] = (
        "upsampler=nearest", "upsampler=bilinear", "upsampler=zero_insertion", "upsampler=transposed2",
        "upsampler=transposed3", "upsampler=transposed4,kernel=3", "upsampler=pixel_shuffle",
    )  # fmt: skip
    count: int = 40
    qualities: tuple[int, ...] = (0, 95, 85, 75, 60)
    scales: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    out: Path = Path("runs/when_it_helps")


def build(config: Config) -> Path:
    """Make the images where they are missing; return their manifest."""
    manifest = config.out / "images" / "manifest.csv"
    if not manifest.exists():
        words = ["zoo", "build", "--generators", *config.generators, "--simulate", *config.simulate]
        words += ["--reals", *config.reals, "--share-photos", "--count", str(config.count), "--history", "raw"]
        if fakefreq([*words, "--out", str(manifest.parent)]):
            raise UserError(f"the images in {manifest.parent} could not be built")
    return manifest


def score(run: Path, manifest: Path, config: Config) -> pd.DataFrame:
    """Return one row an image and cell of the map: logits of pixels, lattice and both, and the strongest z of luma."""
    rows = read_manifest(manifest)
    # The sets share their photographs.
    unique = rows.drop_duplicates("sha256").reset_index(drop=True)
    detector = load_detector(run)
    parts, strongest = Parts(detector), list[NDArray[np.float32]]()
    detector.register_forward_pre_hook(
        lambda _, given: strongest.append(given[1][:, :FREQUENCIES].amax(dim=1).cpu().numpy())
    )
    tables = []
    for scale in config.scales:
        for quality in config.qualities:
            words = [f"rescale:{scale}:any"] * (scale != 1.0) + [f"jpeg:{quality}"] * (quality > 0)
            fused = score_degraded(detector, unique, manifest.parent, parse_degradation("+".join(words) or "none"))
            found = unique[["sha256"]].join(parts.take()).assign(fused=fused, z=np.concatenate(strongest))
            strongest.clear()
            table = rows[["sha256", "subset", "label", "group"]].merge(found, on="sha256")
            tables.append(table.assign(scale=scale, quality=quality))
            print(f"{run}: scale {scale:g}, quality {quality}", flush=True)
    return pd.concat(tables, ignore_index=True)


def judge(scores: pd.DataFrame) -> pd.DataFrame:
    """A row a cell of the map: AUCs, gain with its standard error, share found at 5 % and the strongest z.

    The threshold of `found` is the quantile of the same cell's photographs: what a user gets who knows the history.
    """
    rows = []
    for key, cell in scores.groupby(KEYS, sort=False):
        subset, scale, quality = key
        seeds = []
        for _, part in cell.groupby("seed"):
            labels, of_lattice = part["label"].to_numpy(), part["lattice"].to_numpy()
            test = delong(labels, part["fused"], part["learnt"], part["group"])
            fakes = labels == 1
            seeds.append({
                "pixel": test.auc_b, "two_stream": test.auc_a, "lattice": auc(labels, of_lattice),
                "gain": test.difference, "error": test.standard_error or 0.0,
                "found": float((of_lattice[fakes] > np.quantile(of_lattice[~fakes], 1 - RATE)).mean()),
            })  # fmt: skip
        table, first = pd.DataFrame(seeds), cell[cell["seed"] == cell["seed"].iloc[0]]
        means = table.mean()
        of_seeds = float(table["gain"].var()) / len(table) if len(table) > 1 else 0.0
        rows.append({
            "subset": subset, "scale": scale, "quality": quality, "n_real": int((first["label"] == 0).sum()),
            "n_fake": int((first["label"] == 1).sum()), "n_seeds": len(table),
            **means[["pixel", "lattice", "two_stream", "gain"]].to_dict(),
            "standard_error": float(np.sqrt((table["error"] ** 2).mean() + of_seeds)), "found_at_5%": means["found"],
            "z_fakes": first.loc[first["label"] == 1, "z"].median(),
            "z_photographs": first.loc[first["label"] == 0, "z"].median(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def found_by_theory(z: NDArray[np.float64], count: int = FREQUENCIES, rate: float = RATE) -> NDArray[np.float64]:
    """Share found of images whose pattern adds z^2 - 1 to one of `count` frequencies, at a false-alarm rate.

    >>> found_by_theory(np.array([1.0, 3.0, 5.0])).round(2)
    array([0.  , 0.66, 1.  ])
    """
    threshold = -math.log(1 - (1 - rate) ** (1 / count))
    return np.asarray(ncx2.sf(2 * threshold, 2, 2 * np.clip(z**2 - 1, 1e-9, None)))


def draw(table: pd.DataFrame, path: Path) -> None:
    """The map of gains, and what was found against the strongest z, with theory's line."""
    scales, qualities = list(dict.fromkeys(table["scale"])), list(dict.fromkeys(table["quality"]))
    order = table[table["scale"] == 1.0].groupby("subset")["gain"].mean().sort_values(ascending=False).index
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 0.42 * len(order) + 2.2), layout="constrained", width_ratios=(2.4, 1)
    )
    columns = [(scale, quality) for scale in scales for quality in qualities]
    wide = table.pivot_table(index="subset", columns=["scale", "quality"], values="gain").loc[order, columns]
    values = wide.to_numpy(dtype=np.float64)
    limit = float(np.abs(values).max())
    image = left.imshow(wide, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        colour = "white" if abs(value) > 0.6 * limit else "black"
        text = f"{value:+.2f}".replace("0.", ".", 1) if abs(value) >= 0.005 else "0"
        left.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    left.set_xticks(range(len(columns)), ["PNG" if quality == 0 else str(quality) for _, quality in columns])
    left.set_yticks(range(len(order)), order)
    left.set_xlabel("JPEG quality after the resize")
    for number, scale in enumerate(scales):
        start = number * len(qualities)
        text = "as made" if scale == 1.0 else f"resized by {scale:g}"
        left.text(start + (len(qualities) - 1) / 2, -0.75, text, ha="center", va="bottom", fontsize=10)
        if number:
            left.axvline(start - 0.5, color="black", linewidth=1)
    figure.colorbar(image, ax=left, label="AUC of two_stream less AUC of pixel", pad=0.01)
    for scale in scales:
        part = table[table["scale"] == scale]
        label = "as made" if scale == 1.0 else f"resized by {scale}"
        right.scatter(part["z_fakes"], part["found_at_5%"], s=16, label=label, alpha=0.8)
    z = np.linspace(1, max(12.0, float(table["z_fakes"].quantile(0.9))), 200)
    right.plot(z, found_by_theory(z), color="black", label="theory: one frequency")
    right.axhline(RATE, color="0.5", linestyle=":", label="photographs")
    right.set_xscale("log")
    right.set_xticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"], minor=False)
    right.minorticks_off()
    right.set_xlabel("strongest z of luma, median over the fakes")
    right.set_ylabel("fakes found by the lattice at 5 % false alarms")
    right.legend(fontsize=8, loc="center right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def main(config: Config) -> None:
    """Build, score what is missing, write the table whole, draw it."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if not config.runs:
        raise UserError("--runs takes one run or more of two_stream with the lattice")
    manifest = build(config)
    tables = []
    for seed, run in enumerate(config.runs):
        kept = config.out / f"scores-{run.resolve().parent.name}-{run.name}.parquet"
        if not kept.exists():
            with atomic_path(kept) as temporary:
                score(run, manifest, config).to_parquet(temporary, index=False)
        tables.append(pd.read_parquet(kept).assign(seed=seed))
    table = judge(pd.concat(tables, ignore_index=True))
    with atomic_path(config.out / "when_it_helps.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    draw(table, config.out / "when_it_helps.png")
    print(table.pivot_table(index="subset", columns=["scale", "quality"], values="gain").round(2).to_string())


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
