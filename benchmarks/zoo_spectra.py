"""What a plain probe of spectra sees in each family and control of the zoo, all of one history.

Builds every generator and control from CelebA's photos, draws their mean log spectra beside the reals', and
tells each from reals by logistic regression, in folds that part no photo from its fakes: (a) on what the files'
headers say, which must not work (AUC .45 to .55), else the history leaks; (b) on the size of the files; (c) on
log spectra of grey pixels. Families made from photos and controls stand against those very photos; families
made from latents against other photos, and two sets of photos against each other show what that costs.

Example: python benchmarks/zoo_spectra.py --count 150 --folder zoo_spectra_images
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fakefreq.data.audit.learnt_checks import FILE_SIZE, header_table
from fakefreq.data.audit.probe import probe
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.loading.loader import make_batches
from fakefreq.data.manifests import fill_headers, read_manifest
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.report.figures import STYLE
from fakefreq.spectra import power_spectrum, rgb_to_gray, to_float
from fakefreq.zoo.build import Subset, build_subsets
from fakefreq.zoo.photos import read_celeba
from fakefreq.zoo.registry import expand_controls, expand_generators, find_generator

REALS, OTHER_REALS = "reals", "other_reals"


@dataclass
class ZooSpectra:
    """Build the zoo at one history, probe it, write a table and a figure."""

    folder: Path
    """where the images go; kept, so that a second call makes what is missing only"""
    out: Path = Path("benchmarks/results/zoo_spectra_64.csv")
    """the table to write; the figure goes beside it as PNG"""
    generators: tuple[str, ...] = ("all",)
    """generators by name, or all; those that make less than the history's size are left out and named"""
    controls: tuple[str, ...] = ("all",)
    """controls by name, or all"""
    count: int = 150
    """images of each kind, or as many as a ready-made set has"""
    slow_count: int = 90
    """images of generators that take more than a quarter of a second each"""
    history: str = "size=64,kernel=lanczos,antialias,codec=jpeg:80-95"
    """of every image; a range of qualities puts the check of headers to the test"""
    seed: int = 0
    """of photos, latents, qualities and folds"""

    @shown_messages()
    def run(self) -> None:
        history = parse_history(self.history)
        if history.size is None:
            raise SystemExit("spectra are compared at one size: name it in --history size=")
        found = [find_generator(name) for name in expand_generators(self.generators)]
        generators = [entry for entry in found if entry.size is None or entry.size >= history.size]
        for entry in found:
            if entry not in generators:
                print(f"{entry.name} makes {entry.size} pixels, fewer than {history.size}: left out")
        photos = read_celeba()
        order = np.random.default_rng(self.seed).permutation(len(photos))[: 2 * self.count]
        first, second = ([photos[index] for index in half] for half in np.split(order, [self.count]))
        subsets = [Subset(REALS, first, reals_only=True), Subset(OTHER_REALS, second, reals_only=True)]
        for entry in generators:
            wanted = min(self.count, entry.limit or self.count, self.slow_count if entry.seconds > 0.25 else self.count)
            subsets.append(Subset(entry.name, (first if entry.paired else second)[:wanted], wanted))
        subsets += [Subset(name, first) for name in expand_controls(self.controls)]
        manifest = read_manifest(build_subsets(self.folder, subsets, history, self.seed))
        names = [subset.name for subset in subsets]
        table, spectra = self._probe(fill_headers(manifest, self.folder), names, history.size)
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)
        with atomic_path(self.out.with_suffix(".png")) as temporary:
            draw(spectra, table, str(history)).savefig(temporary, format="png", dpi=110)
        print(table.to_string(index=False))

    def _probe(
        self, images: pd.DataFrame, names: list[str], size: int
    ) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
        reals = images[images["subset"] == REALS]
        rows, spectra = [], {REALS: mean_log_spectrum(reals, self.folder, size)}
        features = {REALS: log_spectra(reals, self.folder, size)}
        for name in names[1:]:
            of_subset = images[images["subset"] == name]
            kind = "generator" if of_subset["label"].any() else "control"
            members = of_subset[of_subset["label"] == 1] if kind == "generator" else of_subset
            spectra[name] = mean_log_spectrum(members, self.folder, size)
            features[name] = log_spectra(members, self.folder, size)
            pair = pd.concat([reals, members])
            labels = np.repeat([0, 1], [len(reals), len(members)])
            header = header_table(pair)
            views: dict[str, pd.DataFrame] = {
                "header": header.drop(columns=FILE_SIZE),
                "file size": header[[FILE_SIZE]],
                "log spectrum": pd.DataFrame(np.concatenate([features[REALS], features[name]])),
            }
            for view, table in views.items():
                found = probe(table, labels, pair["group"].to_numpy(), self.seed, explain=False, model="linear")
                if found is None:
                    raise SystemExit(f"{name} has too few images to probe; raise --count")
                facts = {
                    key: round(value, 4) for key, value in found.as_dict().items() if key in ("auc", "low", "high")
                }
                counts = {"n_real": found.negatives, "n_other": found.positives, "groups": found.groups}
                setting = {"history": str(parse_history(self.history)), "seed": self.seed}
                rows.append({"name": name, "kind": kind, "features": view, **facts, **counts, **setting})
        return pd.DataFrame(rows), spectra


def mean_log_spectrum(rows: pd.DataFrame, root: Path, crop: int) -> NDArray[np.float64]:
    """Return the mean over images of the Hann-windowed log power spectrum of their grey centre crops.

    Args:
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        crop: side of the centre crop in pixels.

    Shape:
        - output: (crop, crop), natural log(1 + power), frequency 0 at [crop // 2, crop // 2]
    """
    total, count = torch.zeros(crop, crop, dtype=torch.float64), 0
    rows = rows.reset_index(drop=True)
    for batch in make_batches(rows, root, crop=crop, batch_size=32, train=False, workers=0):
        power = power_spectrum(rgb_to_gray(to_float(batch.images)) * 255.0, window="hann", scale="log1p", half=False)
        total += torch.fft.fftshift(power, dim=(-2, -1)).sum(dim=(0, 1)).double()
        count += len(batch.images)
    mean: NDArray[np.float64] = (total / count).numpy()
    return mean


def log_spectra(rows: pd.DataFrame, root: Path, size: int) -> NDArray[np.float64]:
    """Hann-windowed log power spectra of grey pixels, half-plane.

    Shape: -> (N, size * (size // 2 + 1)).
    """
    batches = make_batches(rows.reset_index(drop=True), root, crop=size, batch_size=64, train=False, workers=0)
    powers = [
        power_spectrum(rgb_to_gray(to_float(batch.images)) * 255.0, window="hann", scale="log1p").flatten(1).numpy()
        for batch in batches
    ]
    return np.concatenate(powers).astype(np.float64)


def draw(spectra: dict[str, NDArray[np.float64]], table: pd.DataFrame, history: str) -> Figure:
    """Mean log spectra on one scale, and below each its difference from the reals' on another."""
    to_decibel = 10.0 / np.log(10.0)
    areas = table[table["features"] == "log spectrum"].set_index("name")["auc"]
    names, columns = list(spectra), 5
    blocks = -(-len(names) // columns)
    low, high = (to_decibel * bound for bound in np.quantile(np.stack(list(spectra.values())), [0.001, 0.999]))
    differences = {name: to_decibel * (values - spectra[REALS]) for name, values in spectra.items()}
    reach = float(np.quantile(np.abs(np.stack([differences[name] for name in names[1:]])), 0.995))
    with mpl.rc_context({**STYLE, "axes.grid": False, "font.size": 8, "axes.titlesize": 8}):
        figure = Figure(figsize=(2.0 * columns, 4.2 * blocks), layout="constrained")
        axes = figure.subplots(2 * blocks, columns, sharex=True, sharey=True, squeeze=False)
        for panel in axes.flat:
            panel.set_axis_off()
        maps = {}
        for index, name in enumerate(names):
            top, column = 2 * (index // columns), index % columns
            shown = {
                "spectrum": (axes[top, column], to_decibel * spectra[name], "cividis", low, high),
                "difference": (axes[top + 1, column], differences[name], "PuOr", -reach, reach),
            }
            for kind, (panel, values, colours, bottom, ceiling) in shown.items():
                if kind == "difference" and name == REALS:
                    continue
                panel.set_axis_on()
                maps[kind] = panel.imshow(
                    values, cmap=colours, vmin=bottom, vmax=ceiling, extent=(-0.5, 0.5, 0.5, -0.5), interpolation="none"
                )
                panel.set(xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
            title = f"{name}\nAUC {areas[name]:.3f}" if name in areas else f"{name}\n(CelebA photos)"
            axes[top, column].set_title(title)
            axes[top + 1, column].set_title("less reals" if name != REALS else "")
        for kind, label in {
            "difference": "less reals: difference of the means (dB)",
            "spectrum": "mean of 10 log10(1 + power) (dB)",
        }.items():
            figure.colorbar(maps[kind], ax=axes, location="bottom", shrink=0.6, aspect=50, label=label)
        axes[-1, columns // 2].set_xlabel("horizontal frequency (cycles/pixel)")
        figure.supylabel("vertical frequency (cycles/pixel)")
        figure.suptitle(f"Mean log spectra at one history: {history}", fontsize=10)
    return figure


if __name__ == "__main__":
    tyro.cli(ZooSpectra, description=__doc__).run()
