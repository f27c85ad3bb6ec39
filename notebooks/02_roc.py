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
# # From scores to ROC curves, and to probabilities that mean what they say
#
# A detector leaves one number for each image. This notebook goes from those numbers to curves with bands, to an
# interval for each AUC, and to calibration. It opens any finished folder of `fakefreq benchmark`, `fakefreq compare`
# or one run:
#
#     FAKEFREQ_FOLDER=runs/benchmark python notebooks/build.py 02_roc
#
# The committed figures show the scores of the README's main table: trained on `stylegan` alone, native track, three
# seeds. `dcgan` and `mobilestylegan_native` were looked at when the lattice was found, so for it they are not unseen.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fakefreq

COMMITTED = "benchmarks/results/scores/lattice_one_to_all_native.parquet"
ROOT = Path.cwd() if Path(COMMITTED).exists() else Path.cwd().parent
FOLDER = os.environ.get("FAKEFREQ_FOLDER", ROOT / COMMITTED)  # the one thing to change
TRAIN_ON = ""  # a training set of the folder; the first by default
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]
DASHES = ["--", "-", "-.", ":"]
plt.rcParams.update({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

scores = fakefreq.load_scores(FOLDER)
print(f"{scores.groupby(['detector', 'train_on', 'seed'], observed=True).ngroups} cells, {len(scores)} scores")
train_on = TRAIN_ON or min(scores["train_on"].astype(str))
scores = scores[(scores["train_on"] == train_on) & (scores["track"] == scores["track"].iloc[0])]
tables = fakefreq.tables(scores, draws=500)
metrics = tables["metrics"]
detectors, test = list(dict.fromkeys(metrics["detector"])), scores[scores["role"] == "test"]
print(f"shown: trained on {train_on}; {test['path'].nunique()} test images, {test['group'].nunique()} groups")

# %% [markdown]
# ## The scores themselves
#
# Logits grow towards fake. The threshold (dotted) was chosen on validation images of the training set: what it does
# to generators that training never saw is seen here before any metric hides it.

# %%
seed = metrics["seed"].min()
sets = metrics[metrics["kind"] == "generator"].drop_duplicates("test").set_index("test")["seen"]
figure, axes = plt.subplots(
    len(detectors), len(sets), figsize=(2.1 * len(sets) + 0.6, 2 * len(detectors)), squeeze=False,
    layout="constrained", sharex="row",
)  # fmt: skip
for line, detector in enumerate(detectors):
    cell = test[(test["detector"] == detector) & (test["seed"] == seed)]
    threshold = metrics[(metrics["detector"] == detector) & (metrics["seed"] == seed)]["threshold"].iloc[0]
    edges = np.linspace(*np.quantile(cell["logit"], [0.005, 0.995]), 24)
    for place, (generator, seen) in zip(axes[line], sets.items(), strict=True):
        fakes = cell["generator"] == generator
        against = (cell["label"] == 0) & cell["subset"].isin(set(cell.loc[fakes, "subset"]))
        for label, name, colour in ((0, "photographs", "#0072B2"), (1, "fakes", "#D55E00")):
            logits = cell.loc[fakes if label else against, "logit"]
            place.hist(np.clip(logits, edges[0], edges[-1]), edges, color=colour, alpha=0.6, label=name)
        place.axvline(threshold, color="black", linestyle=":")
        place.set_title(f"{generator} ({'seen' if seen == 'true' else 'unseen'})", fontsize=8)
    axes[line, 0].set_ylabel(f"{detector}\nimages")
    axes[line, 0].set_xlabel("logit")
axes[0, 0].legend(fontsize=7, frameon=False)
plt.show()

# %% [markdown]
# ## ROC and DET curves with bands
#
# A line is the mean over seeds. Its band holds 95 % at each false-positive rate by itself: a bootstrap that draws
# whole groups of images (a photograph and the fake made of it stay together), with the seeds' own spread added
# (Student's t: of two or three seeds it is wide, and rightly so). The
# DET curve is the same data with both errors on logarithmic axes: it spreads out the corner where a detector would
# have to work.

# %%
curves = tables["curves"]
reals = metrics.drop_duplicates("test").set_index("test")["n_real"]
shown = [name for name in ("pooled seen", "pooled unseen") if (curves["test"] == name).any()]
figure, axes = plt.subplots(2, len(shown), figsize=(3.6 * len(shown), 6.8), squeeze=False, layout="constrained")
for column, name in enumerate(shown):
    for number, detector in enumerate(detectors):
        line = curves[(curves["test"] == name) & (curves["detector"] == detector)]
        style = {"color": COLOURS[number % 4], "linestyle": DASHES[number % 4], "label": detector}
        roc, det = axes[:, column]
        roc.plot(line["fpr"], line["tpr"], **style)
        roc.fill_between(line["fpr"], line["low"], line["high"], color=COLOURS[number % 4], alpha=0.2, linewidth=0)
        det.plot(line["fpr"], 1 - line["tpr"], **style)
        det.fill_between(
            line["fpr"], 1 - line["high"], 1 - line["low"], color=COLOURS[number % 4], alpha=0.2, linewidth=0
        )
    roc.plot([0, 1], [0, 1], color="#777777", linestyle=":", linewidth=1)
    roc.set(title=f"{name}: ROC", xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    few = 1 / reals[name]
    det.axvline(few, color="#777777", linestyle=":", linewidth=1)
    det.set(title=f"{name}: DET", xlabel=f"false-positive rate (dotted: one of {reals[name]})")
    det.set(ylabel="miss rate", xscale="log", yscale="log", xlim=(few / 3, 1), ylim=(0.01, 1.1))
axes[0, 0].legend(loc="lower right", frameon=False)
plt.show()

# %% [markdown]
# ## An interval for each AUC
#
# A bootstrap by group. A metric that needs more images than there are says so instead of printing a number; a threshold
# for a stated rate of false alarms is chosen on validation photographs, and the rate is then looked at on the test's.

# %%
kept = ["auc", "tpr_at_fpr_01", "found_at_5", "false_alarms_at_5"]
chosen = metrics[(metrics["seed"] == seed) & metrics["metric"].isin(kept)]
chosen = chosen[chosen["kind"].isin(["generator", "pooled"])]
columns = ["detector", "test", "seen", "metric", "value", "low", "high", "n_real", "n_fake", "groups", "note"]
print(chosen[columns].round(3).to_string(index=False))

# %% [markdown]
# ## Calibration, before and after
#
# Temperature, Platt and isotonic maps, each fitted to validation images alone. Bins of equal mass; on the diagonal,
# of the images called fake with 70 % seven in ten are fake. What mends the generators that training saw need not mend
# the others: no map of the logit can, where the logit itself no longer orders the images.

# %%
bins = tables["reliability"]
figure, axes = plt.subplots(
    len(detectors), len(shown), figsize=(3.4 * len(shown), 3.1 * len(detectors)), squeeze=False,
    layout="constrained", sharex=True, sharey=True,
)  # fmt: skip
for line, detector in enumerate(detectors):
    for place, name in zip(axes[line], shown, strict=True):
        place.plot([0, 1], [0, 1], color="#777777", linestyle=":", linewidth=1)
        chosen = bins[(bins["test"] == name) & (bins["detector"] == detector) & (bins["seed"] == seed)]
        for number, (method, of_method) in enumerate(chosen.groupby("method", sort=False)):
            errors = [of_method["observed"] - of_method["low"], of_method["high"] - of_method["observed"]]
            place.errorbar(of_method["predicted"], of_method["observed"], errors if method == "none" else None,
                           color=COLOURS[number], marker="os^D"[number], markersize=4, linewidth=1,
                           label=method)  # fmt: skip
        place.set(title=f"{detector}, {name}", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
for place in axes[-1]:
    place.set_xlabel("predicted probability of fake")
for place in axes[:, 0]:
    place.set_ylabel("observed share")
axes[0, 0].legend(frameon=False)
plt.show()

errors = tables["calibration"]
errors = errors[errors["test"].isin(shown) & (errors["metric"].isin(["ece", "nll"]))]
print(errors.pivot_table(index=["detector", "test"], columns=["metric", "method"], values="value").round(3).to_string())

# %% [markdown]
# ## Saying nothing rather than something wrong
#
# Split-conformal sets promise that the true label is among those named, with a stated probability, for images like
# those of validation. The promise is checked here: it should hold on the seen generators (a few tens of validation
# images promise little) and it breaks on the others, which is the honest summary of what transfers.

# %%
abstained = tables["abstention"]
abstained = abstained[abstained["test"].isin(shown)]
columns = ["detector", "seed", "test", "stated", "coverage", "low", "high", "abstained", "error"]
print(abstained[columns].round(3).to_string(index=False))
