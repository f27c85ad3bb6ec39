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
# # Trained on one generator, tested on another
#
# The train x test matrix, what a retraining alone changes in it, and the paired test of a detector against its
# baseline. Any finished folder of `fakefreq benchmark`, `fakefreq compare` or one run can be opened:
#
#     FAKEFREQ_FOLDER=runs/benchmark python notebooks/build.py 03_cross_generator
#
# The committed figures are measured: each of five generators was left out of training once (native track, crops of 128
# pixels, 3 epochs, one seed: a small budget). `dcgan` and `mobilestylegan_native` were looked at when the lattice was
# found. A folder of the protocol `matrix` gives one row for each generator instead.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import fakefreq

COMMITTED = "benchmarks/results/scores/small_leave_one_out_native.parquet"
ROOT = Path.cwd() if Path(COMMITTED).exists() else Path.cwd().parent
FOLDER = os.environ.get("FAKEFREQ_FOLDER", ROOT / COMMITTED)  # the one thing to change
BASELINE = ""  # a detector of the folder; the first by default
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]
SMALL = os.environ.get("FAKEFREQ_NOTEBOOK_SIZE") == "small"
plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

scores = fakefreq.load_scores(FOLDER)
scores = scores[scores["track"] == scores["track"].iloc[0]]
names = list(dict.fromkeys(scores["detector"].astype(str)))
baseline = BASELINE or names[0]
names = [baseline, *(name for name in names if name != baseline)]
tables = fakefreq.tables(scores, "matrix", baseline, names, draws=500)
trained = sorted(set(scores["train_on"].astype(str)))
known = set(scores.loc[scores["label"] == 1, "generator"].astype(str))


def short(name):
    """A training set by what it leaves out, where that is less."""
    left_out = sorted(known - set(name.split("+")))
    return f"all but {', '.join(left_out)}" if "+" in name and 0 < len(left_out) < 3 else name


print(f"track {scores['track'].iloc[0]}; baseline {baseline}; trained on: {'; '.join(map(short, trained))}")

# %% [markdown]
# ## The matrix
#
# AUC, mean over seeds: rows are training sets, columns are what is tested. Where training saw the generator, its test
# images are others. A row that is good where training saw the generator and near .5 elsewhere has learnt that one.

# %%
matrix = tables["matrix"]
matrix = matrix[(matrix["kind"] == "generator") & (matrix["metric"] == "auc")]
tests = sorted(set(matrix["test"]))
figure, axes = plt.subplots(
    1, len(names), figsize=(1 + len(names) * (1.0 + 0.62 * len(tests)), 1.6 + 0.45 * len(trained)), squeeze=False,
    layout="constrained", sharey=True,
)  # fmt: skip
for place, detector in zip(axes[0], names, strict=True):
    grid = matrix[matrix["detector"] == detector].pivot_table(index="train_on", columns="test", values="value")
    image = place.imshow(grid, cmap="cividis", vmin=0.5, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        place.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.75 else "black")
    place.set_xticks(range(len(grid.columns)), grid.columns, rotation=40, ha="right")
    place.set_yticks(range(len(grid.index)), [short(name) for name in grid.index])
    place.set(title=detector, xlabel="tested on")
axes[0, 0].set_ylabel("trained on")
figure.colorbar(image, ax=axes, label="AUC (.5 and below: one colour)", extend="min")
plt.show()

# %% [markdown]
# ## What retraining alone does
#
# One mark a seed. A difference between detectors that is smaller than the distance between two seeds of one detector
# is nothing that this folder can show.

# %%
metrics = tables["metrics"]
spread = metrics[(metrics["test"] == "mean of unseen") & (metrics["metric"] == "auc")]
spread = spread[spread["train_on"].isin(trained)]
figure, place = plt.subplots(figsize=(5.4, 0.8 + 0.5 * len(trained)), layout="constrained")
for number, name in enumerate(names):
    line = spread[spread["detector"] == name]
    offset = 0.16 * (number - (len(names) - 1) / 2)
    height = [trained.index(entry) + offset for entry in line["train_on"]]
    place.plot(line["value"], height, "os^D"[number % 4], color=COLOURS[number % 4], label=name)
place.axvline(0.5, color="#777777", linestyle=":")
place.set_yticks(range(len(trained)), [short(name) for name in trained])
place.invert_yaxis()
place.set(xlabel="AUC, mean over unseen generators", ylabel="trained on")
place.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## The paired test
#
# Both detectors met the same images, so it is the difference that gets the interval. Over seeds, images and seeds are
# both random; `p_holm` is corrected over the generators of a training set; `detectable` is the smallest true
# difference that so many images and seeds would find four times in five. Read `detectable` before `p`.

# %%
table = tables["differences"]
if table.empty:
    print("there is one detector only, so there is no difference to test")
else:
    auc = table[(table["metric"] == "auc") & (table["seed"] == "all")].reset_index(drop=True)
    chosen = auc[auc["kind"].isin(["generator", "mean"])]
    columns = ["train_on", "detector", "test", "value", "low", "high", "p", "p_holm", "detectable", "n_real", "n_fake"]
    print(chosen[columns].round(3).to_string(index=False))

# %%
if not table.empty:
    means = auc[(auc["kind"] == "mean") & (auc["test"] == "mean of unseen")]
    figure, place = plt.subplots(figsize=(5.4, 0.9 + 0.4 * len(means)), layout="constrained")
    place.axvline(0, color="#444444", linewidth=1)
    for height, (_, row) in enumerate(means.iterrows()):
        whole = row["train_on"] == "(each)"
        place.plot([row["low"], row["high"]], [height, height], color="#D55E00", linewidth=3 if whole else 1.6)
        place.plot(row["value"], height, "D" if whole else "o", color="#D55E00", markersize=8 if whole else 6)
    sets = means["train_on"].replace("(each)", "all training sets")
    labels = [f"{name}, {short(trained_on)}" for name, trained_on in zip(means["detector"], sets, strict=True)]
    place.set_yticks(range(len(means)), labels)
    place.invert_yaxis()
    place.set(xlabel=f"AUC on unseen generators less that of {baseline}, 95 %")
    plt.show()

# %% [markdown]
# ## Is the test right?
#
# DeLong's p-value against a permutation test (E. Venkatraman and C. Begg 1996): each image's two ranks are swapped or
# not, by a coin, and the AUCs are taken again. On one pair of runs and all unseen images. The table's test draws the
# images of a group together; the permutation knows of no groups, so it is the bolder of the two where there are such.

# %%
chosen = scores[(scores["train_on"] == trained[0]) & (scores["role"] == "test") & (scores["split"] == "test")]
known = set(trained[0].split("+"))
unseen = set(chosen.loc[(chosen["label"] == 1) & ~chosen["generator"].isin(known), "subset"])
chosen = chosen[chosen["subset"].isin(unseen) & ~chosen["generator"].isin(known)]
other = next((name for name in names if name != baseline), None)
if other is not None and len(chosen):
    rng, seed = np.random.default_rng(0), int(chosen["seed"].min())
    pair = {
        name: chosen[(chosen["detector"] == name) & (chosen["seed"] == seed)].set_index("path")
        for name in (other, baseline)
    }
    label = pair[other]["label"].to_numpy()
    ranks = [cell["logit"].reindex(pair[other].index).rank().to_numpy() for cell in pair.values()]
    fakes, reals = (label == 1).sum(), (label == 0).sum()

    def area(values: np.ndarray) -> float:
        return (pd.Series(values).rank().to_numpy()[label == 1].sum() - fakes * (fakes + 1) / 2) / (fakes * reals)

    seen = abs(area(ranks[0]) - area(ranks[1]))
    larger = 0
    trials = 200 if SMALL else 4000
    for _ in range(trials):
        swap = rng.random(len(label)) < 0.5
        swapped = np.where(swap, ranks[1], ranks[0]), np.where(swap, ranks[0], ranks[1])
        larger += abs(area(swapped[0]) - area(swapped[1])) >= seen - 1e-12
    row = (table["train_on"] == trained[0]) & (table["test"] == "pooled unseen") & (table["metric"] == "auc")
    test = table[row & (table["seed"] == str(seed)) & (table["detector"] == other)].iloc[0]
    print(f"difference {test['value']:+.3f}: p = {test['p']:.3f} after DeLong, {larger / trials:.3f} by permutation")
