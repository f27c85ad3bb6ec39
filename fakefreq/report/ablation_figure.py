"""One figure of all ablations: what each variant gains or loses against the default, with its interval."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakefreq.files import atomic_path
from fakefreq.report.figures import COLOURS, MARKERS, STYLE


def draw_ablations(table: pd.DataFrame, path: Path) -> Figure:
    """Draw the differences in AUC to the default: on average over seen and over unseen generators, or on the only one.

    Args:
        table: as `fakefreq.ablation.ablate` returns it.
        path: PNG file to write.
    """
    means = [test for test in ("mean of unseen", "mean of seen") if (table["test"] == test).any()]
    for of_mean, is_seen in (("mean of unseen", False), ("mean of seen", True)):
        of_kind = table[table["seen"].eq(is_seen) & ~table["test"].str.startswith(("mean of ", "pooled"))]
        if of_mean not in means and of_kind["test"].nunique() == 1:
            means.append(of_kind["test"].iloc[0])
    tests = means or sorted(table["test"].unique())
    rows = list(dict.fromkeys(zip(table["experiment"], table["variant"], strict=True)))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.1 + 0.26 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for number, test in enumerate(tests):
            part = table[table["test"] == test].set_index(["experiment", "variant"]).reindex(rows)
            place = np.arange(len(rows)) + (number - (len(tests) - 1) / 2) * 0.3
            values = part["difference"].to_numpy(float)
            errors = np.abs(np.stack([values - part["low"], part["high"] - values]).astype(float))
            axes.errorbar(
                values, place, xerr=errors, fmt=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
                label=test, markersize=4, elinewidth=1.2,
            )  # fmt: skip
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [f"{experiment}: {variant}" for experiment, variant in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        for number in range(1, len(rows)):
            if rows[number][0] != rows[number - 1][0]:
                axes.axhline(number - 0.5, color="0.6", linewidth=0.6)
        axes.set_xlabel("difference in AUC to the default, 95 %")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=len(tests))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return figure
