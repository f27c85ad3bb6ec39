# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The lattice of an upsampler
#
# The tile (mean residual by position modulo 8) and the z-scores of photographs, of each upsampler and of real
# generators; what blur, resizing and JPEG do to them; and how many fakes and photographs lie above a threshold that was
# set on photographs. The formulas are in `docs/lattice.md`. Faces are read from the folder that the variable
# FAKEFREQ_FACEBENCH names, where it is set, and from two photographs of scikit-learn else.

# %%
import os
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_sample_image

from fakefreq.data.degrade.distortions import blur, jpeg, rescale, resize
from fakefreq.data.images.decode import read_image
from fakefreq.simulated.families import UPSAMPLERS, SimulatedFamily
from fakefreq.simulated.planted import PlantedLattice
from fakefreq.simulated.upsamplers import simulate
from fakefreq.spectra import (
    lattice_field_scores,
    lattice_frequencies,
    lattice_pvalue,
    lattice_scores,
    lattice_tile,
    rgb_to_gray,
)
from fakefreq.spectra.lattice_fields import FIELDS

SMALL = os.environ.get("FAKEFREQ_NOTEBOOK_SIZE") == "small"  # CI runs this notebook on fewer, smaller pictures
FACES = os.environ.get("FAKEFREQ_FACEBENCH")
COUNT, SIDE = (3, 96) if SMALL else (40, 192)
plt.rcParams.update({"figure.dpi": 110, "image.cmap": "cividis", "font.size": 8})


def photographs() -> list[np.ndarray]:
    """Squares out of photographs that were halved first, so that their own JPEG leaves no lattice of period 8."""
    if FACES:
        paths = sorted((Path(FACES) / "stylegan" / "0_real").glob("*"))[:COUNT]
        photos = [read_image(path) for path in paths]
        return [photo[3 : 3 + SIDE, 3 : 3 + SIDE] for photo in photos]
    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    halves = [cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for photo in photos]
    return [half[:SIDE, x : x + SIDE] for half in halves for x in range(0, half.shape[1] - SIDE + 1, SIDE // 4)][:COUNT]


def luma(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) bytes -> (1, 1, H, W)."""
    return rgb_to_gray(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0))


def mean_tile(images: list[np.ndarray], period: int = 8) -> np.ndarray:
    """Mean over images of the tile; pictures of one generator share their phase."""
    return np.mean([lattice_tile(luma(image), period)[0, 0].numpy() for image in images], axis=0)


def mean_z(images: list[np.ndarray], period: int = 8) -> np.ndarray:
    """Root mean square of z over images, rows from -1/2 to 3/8 cycles/pixel; 1 is noise."""
    squares = np.mean([lattice_scores(luma(image), period)[0, 0].square().numpy() for image in images], axis=0)
    return np.fft.fftshift(np.sqrt(squares), axes=0)


def show(sets: dict[str, list[np.ndarray]]) -> None:
    """A column a set: an image, the mean tile, the z-map."""
    figure, axes = plt.subplots(
        3, len(sets), figsize=(1.5 * len(sets), 4.8), layout="constrained", squeeze=False, gridspec_kw={"hspace": 0.02}
    )
    for column, (name, images) in enumerate(sets.items()):
        tile, z = mean_tile(images), mean_z(images)
        axes[0, column].imshow(images[0])
        axes[0, column].set_title(name)
        limit = max(0.05, float(np.abs(tile).max()))
        axes[1, column].imshow(tile, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[1, column].set_xlabel(f"±{limit:.2f}")
        drawn = axes[2, column].imshow(z, vmin=0, vmax=8, extent=(-0.0625, 0.5625, 0.4375, -0.5625), aspect="auto")
        axes[2, column].set(xticks=[0, 0.25, 0.5], yticks=[-0.5, -0.25, 0, 0.25], xlabel=f"largest z {z.max():.1f}")
        for row in (0, 1):
            axes[row, column].set(xticks=[], yticks=[])
        if column:
            axes[2, column].set_yticklabels([])
    axes[1, 0].set_ylabel("tile, 8 x 8")
    axes[2, 0].set_ylabel("z, cycles/pixel")
    figure.colorbar(drawn, ax=axes[2, :], shrink=0.9, label="z")
    plt.show()


photos = photographs()
print(f"{len(photos)} photographs of {photos[0].shape[0]} pixels a side")

# %% [markdown]
# ## Photographs, and the same photographs out of each upsampler
#
# The tile of a photograph is noise, and its z lies near 1 everywhere. Each simulated upsampler (a small untrained
# decoder after AutoGAN) leaves its own frequencies. Nearest neighbours and bilinear interpolation, smoothed by the
# convolution that follows, leave little.

# %%
made = {name: list(simulate(np.stack(photos[:12]), SimulatedFamily(name, depth=2), seed=1)) for name in UPSAMPLERS}
show({"photographs": photos[:12], **made})

# %% [markdown]
# ## Real generators
#
# StyleGAN's faces were reduced from 1024 to 256 pixels after they were made: their lattice went with that. DCGAN and
# MobileStyleGAN at native size keep theirs. JPEG's lattice of period 8 shows in photographs and fakes alike.

# %%
if FACES:
    sets = {}
    for name in ("stylegan", "stylegan2", "dcgan", "mobilestylegan_native"):
        for kind in ("0_real", "1_fake"):
            paths = sorted((Path(FACES) / name / kind).glob("*"))[:COUNT]
            sets[f"{name.replace('_', chr(10))}\n{kind[2:]}"] = [read_image(path) for path in paths]
    show(sets)
else:
    print("set FAKEFREQ_FACEBENCH to a folder of faces to see real generators")

# %% [markdown]
# ## Under fields
#
# What an upsampler adds depends on what is drawn, so its sign may differ between bright and dark areas, and the mean
# cancels. Weighted with brightness, its square or a colour difference, the residual shows it. z² of photographs stays
# near 1 (dashed) under each field.


# %%
def mean_square(images: list[np.ndarray]) -> np.ndarray:
    """Mean of z² over images and frequencies, by field."""
    pictures = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0) for image in images]
    scores = torch.cat([lattice_field_scores(picture, 8, 0.5) for picture in pictures])
    return scores[:, :, lattice_frequencies(8)].square().mean(dim=(0, 2)).numpy()


sets = {"photographs": photos[:12], **made}
if FACES:
    for name in ("dcgan", "mobilestylegan_native"):
        for kind in ("0_real", "1_fake"):
            paths = sorted((Path(FACES) / name / kind).glob("*"))[:COUNT]
            sets[f"{name} {kind[2:]}"] = [read_image(path) for path in paths]
squares = np.array([mean_square(images) for images in sets.values()])
figure, axis = plt.subplots(figsize=(8.5, 2.8), layout="constrained")
for number, field in enumerate(FIELDS):
    axis.bar(np.arange(len(sets)) + 0.16 * (number - 2), squares[:, number], 0.15, label=field)
axis.axhline(1, color="black", linewidth=0.8, linestyle="--")
axis.set(ylabel="mean z² of luma", yscale="log", ylim=(0.6, None), xticks=range(len(sets)))
axis.set_xticklabels(list(sets), rotation=30, ha="right")
axis.legend(ncols=5, fontsize=7, loc="upper left")
plt.show()

# %% [markdown]
# ## What processing does
#
# A lattice of 2 grey levels with periods 2, 4 and 8 is planted on each photograph. The dots show the median of the
# largest z, of photographs and of fakes, after one processing step for both.

# %%
planted = PlantedLattice(periods=(2, 4, 8), amplitude=(2, 2), follow=False)
fakes = [planted.plant(photo, np.random.default_rng(number)) for number, photo in enumerate(photos)]
STEPS = {
    "none": lambda image: image,
    "blur .6": lambda image: blur(image, 0.6),
    "blur 1.2": lambda image: blur(image, 1.2),
    "resize .9": lambda image: rescale(image, 0.9),
    "resize .5": lambda image: rescale(image, 0.5),
    "down, up": lambda image: resize(image, 0.5),
    "sharpen": lambda image: cv2.addWeighted(image, 1.7, cv2.GaussianBlur(image, (0, 0), 1.0), -0.7, 0),
    "JPEG 95": lambda image: jpeg(image, 95),
    "JPEG 85": lambda image: jpeg(image, 85),
    "JPEG 60": lambda image: jpeg(image, 60),
}


def largest(image: np.ndarray) -> float:
    """Largest z at multiples of 1/8 cycles/pixel."""
    return float(lattice_scores(luma(image), 8).max())


figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
for name, images in (("photographs", photos), ("with a lattice", fakes)):
    values = [[largest(step(image)) for image in images] for step in STEPS.values()]
    middle = np.median(values, axis=1)
    low, high = np.quantile(values, [0.1, 0.9], axis=1)
    axis.errorbar(list(STEPS), middle, yerr=[middle - low, high - middle], fmt="o", capsize=3, label=name)
axis.set(ylabel="largest z of luma (10 to 90 %)", yscale="log", yticks=[2, 4, 8, 16], yticklabels=["2", "4", "8", "16"])
axis.tick_params(axis="x", rotation=30)
axis.legend()
plt.show()

# %% [markdown]
# ## A p-value without any training
#
# `lattice_pvalue` has a known null. Of photographs without JPEG it is uniform: the share below p is p. Off JPEG's own
# frequencies (period 16 without 8) this also holds for files that were saved as JPEG.
# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
sets = {
    "photographs": photos,
    "planted": fakes,
    **{name: made[name] for name in ("transposed3", "pixel_shuffle", "bilinear")},
}
for axis, (title, period, without, change) in zip(
    axes,
    (("as they are, period 8", 8, None, None), ("JPEG 85, period 16 without 8", 16, 8, 85)),
    strict=True,
):
    for name, images in sets.items():
        given = [jpeg(image, change) if change else image for image in images]
        p = np.sort([lattice_pvalue(luma(image), period, without).item() for image in given])
        shares = np.arange(1, len(p) + 1) / len(p)
        axis.step(np.concatenate([[1e-6], p, [1]]), np.concatenate([[0], shares, [1]]), where="post", label=name)
    law = np.geomspace(1e-6, 1, 200)
    axis.plot(law, law, color="0.6", linestyle=":", label="uniform")
    axis.set(xscale="log", xlim=(1e-6, 1), xlabel="p", ylabel="share of images below p", title=title)
axes[1].legend(fontsize=7)
plt.show()

# %% [markdown]
# ## The detector `lattice`: ROC and false alarms
#
# The detector is fitted to photographs and to the same photographs with planted lattices. No generator's image enters.
# Its threshold is a share of photographs. `dcgan` and `mobilestylegan_native` were looked at when the statistic was
# found, so they are not unseen for it.

# %%
import pandas as pd  # noqa: E402

from fakefreq.models.streams.lattice import LatticeStream, read_lattice_of_image  # noqa: E402
from fakefreq.train.fit_lattice import LatticeFit, fit_lattice  # noqa: E402

if FACES:
    root = Path(FACES)
    paths = sorted((root / "stylegan" / "0_real").glob("*"))
    fitted = paths[: 12 if SMALL else 400]
    stream = LatticeStream()
    rows = pd.DataFrame({"path": [str(path.relative_to(root)) for path in fitted]})
    found = fit_lattice(stream, rows, root, LatticeFit(pairs=60 if SMALL else 1600))
    print({name: round(value, 3) for name, value in found.items()})

    def judge(paths: list[Path]) -> np.ndarray:
        """l of whole images."""
        read = np.stack([read_lattice_of_image(read_image(path)) for path in paths])
        return stream.judge(torch.from_numpy(read)).squeeze(1).numpy()

    unseen = judge(paths[len(fitted) :][: COUNT * 5])
    threshold = np.quantile(unseen, 0.95)
    figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    rates = {}
    for name in ("stylegan", "stylegan2", "dcgan", "mobilestylegan_native", "began"):
        real, fake = (judge(sorted((root / name / kind).glob("*"))[: COUNT * 5]) for kind in ("0_real", "1_fake"))
        if name == "stylegan":
            real = unseen
        levels = np.sort(np.concatenate([real, fake, [np.inf]]))[::-1]
        axes[0].plot(
            [(real >= level).mean() for level in levels], [(fake >= level).mean() for level in levels], label=name
        )
        rates[name] = ((real > threshold).mean(), (fake > threshold).mean())
    axes[0].plot([0, 1], [0, 1], color="0.6", linestyle=":")
    axes[0].set(xlabel="photographs called fake", ylabel="fakes found", title="ROC of l, nothing trained on fakes")
    axes[0].legend(fontsize=7)
    places = np.arange(len(rates))
    axes[1].bar(places - 0.2, [rate[0] for rate in rates.values()], 0.4, label="photographs")
    axes[1].bar(places + 0.2, [rate[1] for rate in rates.values()], 0.4, label="fakes")
    axes[1].axhline(0.05, color="0.6", linestyle=":")
    axes[1].set_xticks(places, [name.replace("_", "\n") for name in rates], rotation=30)
    axes[1].set(ylabel="share above the threshold", title="threshold: 5 % of FFHQ photographs")
    axes[1].legend(fontsize=7)
    plt.show()
else:
    print("set FAKEFREQ_FACEBENCH to a folder of faces to fit the detector")
