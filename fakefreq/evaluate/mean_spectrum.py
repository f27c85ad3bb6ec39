"""Mean log power spectra of image sets, streamed: memory does not grow with the number of images."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fakefreq.data.degrade.history import History
from fakefreq.data.loading.loader import make_batches
from fakefreq.spectra import power_spectrum, rgb_to_gray, to_float


def mean_log_spectrum(
    rows: pd.DataFrame, root: str | Path, crop: int, limit: int = 200, history: History | None = None
) -> np.ndarray:
    """Return the mean over images of the Hann-windowed log power spectrum of their grey centre crops.

    Args:
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        crop: side of the centre crop in pixels.
        limit: at most this many images, evenly spread over the rows.
        history: what every image goes through first.

    Shape:
        - output: (crop, crop), natural log(1 + power), frequency 0 at [crop // 2, crop // 2]
    """
    if len(rows) > limit:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, limit).astype(int)]
    total, count = torch.zeros(crop, crop, dtype=torch.float64), 0
    rows = rows.reset_index(drop=True)
    for batch in make_batches(rows, root, crop=crop, batch_size=32, train=False, workers=0, history=history):
        power = power_spectrum(rgb_to_gray(to_float(batch.images)) * 255.0, window="hann", scale="log1p", half=False)
        total += torch.fft.fftshift(power, dim=(-2, -1)).sum(dim=(0, 1)).double()
        count += len(batch.images)
    return (total / count).numpy()


def mean_spectra(
    rows: pd.DataFrame, root: str | Path, crop: int, limit: int = 200, history: History | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return for each generator the mean log spectrum of its fakes and of the reals that stand against them.

    Args:
        rows: rows of a manifest.
        root: the folder that their paths are relative to.
        crop: side of the centre crop in pixels.
        limit: at most this many images of each kind.
        history: what every image goes through first.

    Returns:
        Generator -> {"real": spectrum, "fake": spectrum}; a generator without reals is left out.
    """
    spectra = {}
    for generator, fakes in rows[rows["label"] == 1].groupby("generator"):
        reals = rows[(rows["label"] == 0) & rows["subset"].isin(set(fakes["subset"]))]
        if len(reals):
            spectra[str(generator)] = {
                "real": mean_log_spectrum(reals, root, crop, limit, history),
                "fake": mean_log_spectrum(fakes, root, crop, limit, history),
            }
    return spectra
