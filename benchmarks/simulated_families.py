"""What each simulated upsampler leaves behind in photographs: how faithful, how large a grid, how much detail lost.

Every family of one kernel and depth goes over the same photos with several seeds, that is several generators.
The grid is the power of the change (fake minus photo, luma) at cycles (1/2, 0), (0, 1/2) and (1/2, 1/2) over the
median of the other frequencies; the detail is the power above 0.35 cycles a pixel, fake over photo.

Example: python benchmarks/simulated_families.py --out benchmarks/results/simulated_families.csv
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from scipy import stats

from fakefreq.data.degrade.history import bring_to_size, parse_history
from fakefreq.files import atomic_path
from fakefreq.messages import shown_messages
from fakefreq.progress import track
from fakefreq.simulated.families import UPSAMPLERS, parse_family
from fakefreq.zoo.photos import read_reals

_LUMA = np.array([0.299, 0.587, 0.114])
_DETAIL = 0.35


@dataclass
class SimulatedFamilies:
    """Measure the simulated families; write a table."""

    out: Path = Path("benchmarks/results/simulated_families.csv")
    """the table to write"""
    reals: tuple[str, ...] = ("celeba",)
    """photos, as `fakefreq zoo build --reals` takes them"""
    photos: int = 50
    """how many of them"""
    size: int = 64
    """side in pixels"""
    seeds: int = 8
    """generators of each family"""
    settings: str = "kernel=3,depth=1"
    """the other parts of each family"""

    @shown_messages()
    def run(self) -> None:
        import torch

        from fakefreq.simulated.upsamplers import build_autoencoder, simulate

        torch.set_num_threads(1)
        history = parse_history(f"size={self.size},kernel=lanczos,antialias,codec=png")
        photos = np.stack([bring_to_size(photo.pixels(), history) for photo in read_reals(self.reals)[: self.photos]])
        rows = []
        for upsampler in track(UPSAMPLERS, "simulated families", unit="family"):
            family = parse_family(f"upsampler={upsampler},{self.settings}")
            for seed in range(self.seeds):
                started = time.perf_counter()
                build_autoencoder(family, seed)
                fitted = time.perf_counter()
                fakes = simulate(photos, family, seed)
                facts = measure_traces(photos, fakes)
                facts["fit_seconds"] = fitted - started
                facts["milliseconds_an_image"] = (time.perf_counter() - fitted) * 1e3 / len(photos)
                rows.append({"family": str(family), "upsampler": upsampler, **facts})
        each = pd.DataFrame(rows).groupby(["family", "upsampler"], sort=False)
        table = each.mean()
        for name in ("psnr_db", "grid_db", "detail_db"):
            half = stats.t.ppf(0.975, self.seeds - 1) * each[name].std() / np.sqrt(self.seeds)
            table[f"{name}_low"], table[f"{name}_high"] = table[name] - half, table[name] + half
        table = table.assign(n_photos=len(photos), n_seeds=self.seeds).round(3).reset_index()
        with atomic_path(self.out) as temporary:
            table.to_csv(temporary, index=False)
        print(table.drop(columns="family").to_string(index=False))


def measure_traces(photos: NDArray[np.uint8], fakes: NDArray[np.uint8]) -> dict[str, float]:
    """PSNR, grid and detail in dB, each over all images of one generator.

    Shape: (N, H, W, 3) uint8, twice; H and W even.
    """
    change = fakes.astype(np.float64) - photos
    power = _mean_power(change @ _LUMA)
    side = power.shape[0]
    grid = np.array([power[side // 2, 0], power[0, side // 2], power[side // 2, side // 2]])
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    ratio = _mean_power(fakes @ _LUMA)[radius > _DETAIL].sum() / _mean_power(photos @ _LUMA)[radius > _DETAIL].sum()
    return {
        "psnr_db": float(10 * np.log10(255**2 / (change**2).mean())),
        "grid_db": float(10 * np.log10(grid.mean() / np.median(power))),
        "detail_db": float(10 * np.log10(ratio)),
    }


def _mean_power(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    # A photo is not periodic: without a window its edges would fill the high frequencies.
    side = luma.shape[1]
    window = np.hanning(side + 1)[:-1]
    spectrum = np.abs(np.fft.fft2(luma * np.outer(window, window))) ** 2
    return np.asarray(spectrum.mean(0))


if __name__ == "__main__":
    tyro.cli(SimulatedFamilies, description=__doc__).run()
