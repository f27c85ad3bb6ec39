import colorsys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from fakefreq.errors import UserError
from fakefreq.evaluate.metrics import auc
from fakefreq.report import figures
from fakefreq.report.ablation_figure import draw_ablations


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figures.roc_figure([0, 1, 0, 1], {"pixel": [0.0, 1.0, 0.5, 0.4]}, "alpha")
    assert dict(mpl.rcParams) == before


def test_roc_curve_keeps_its_area_without_its_inner_points() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    logits = np.round(rng.normal(size=500) + labels, 1)
    drawn = figures.roc_figure(labels, {"pixel": logits}, "alpha").axes[0].lines[0].get_xydata()
    assert isinstance(drawn, np.ndarray)
    area = np.trapezoid(drawn[:, 1], drawn[:, 0])
    assert area == pytest.approx(auc(labels, logits))
    assert len(drawn) <= len(np.unique(logits)) + 1


def test_seeds_of_a_detector_share_its_colour() -> None:
    names = ["pixel, seed 0", "two_stream, seed 0", "pixel, seed 1", "two_stream, seed 1"]
    lines = figures.roc_figure([0, 1, 1], {name: [0.0, 1.0, 2.0] for name in names}, "alpha").axes[0].lines
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color() == lines[3].get_color()
    assert lines[0].get_linestyle() != lines[1].get_linestyle()  # apart in grey print too


def test_reals_and_fakes_share_a_scale_and_zero_is_the_middle_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    real = rng.random((16, 16))
    maps = figures.spectrum_figures(real, real + 0.1)
    scales = {name: figure.axes[0].images[0].get_clim() for name, figure in maps.items()}
    assert scales["real"] == scales["fake"]
    low, high = scales["difference"]
    assert low == -high
    np.testing.assert_allclose(np.asarray(maps["difference"].axes[0].images[0].get_array()), 0.1)
    equal = figures.spectrum_figures(real, real)["difference"].axes[0].images[0].get_clim()
    assert equal == (-1.0, 1.0)


@pytest.mark.parametrize("side", [16, 17])
def test_frequency_zero_lies_at_the_origin_of_the_axes(side: int) -> None:
    plane = np.zeros((side, side))
    plane[side // 2, side // 2] = 1.0
    axes = figures.spectrum_figures(plane, plane)["real"].axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    pixel = 1.0 / side
    assert left + (side // 2 + 0.5) * pixel == pytest.approx(0.0)
    assert top + (side // 2 + 0.5) * pixel == pytest.approx(0.0)
    assert right - left == pytest.approx(1.0)
    assert bottom - top == pytest.approx(1.0)


def test_spectra_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(UserError, match="one size"):
        figures.spectrum_figures(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(UserError, match="not finite"):
        figures.spectrum_figures(np.zeros((4, 4)), np.full((4, 4), np.nan))


def test_colours_differ_in_lightness_too() -> None:
    def lightness(colour: str) -> float:
        return colorsys.rgb_to_hls(*mpl.colors.to_rgb(colour))[1]

    assert len(set(figures.COLOURS)) == len(figures.COLOURS)
    assert abs(lightness(figures.COLOURS[0]) - lightness(figures.COLOURS[1])) > 0.05


def test_training_curves_put_steps_on_the_axis_of_epochs() -> None:
    log = pd.DataFrame(
        {
            "epoch": [1, 1, 1, 2, 2, 2],
            "step": [5, 10, 10, 15, 20, 20],
            "phase": ["train", "train", "val"] * 2,
            "loss": [0.7, 0.6, 0.65, 0.5, 0.4, 0.5],
            "auc": [np.nan, np.nan, 0.8, np.nan, np.nan, 0.9],
        }
    )
    drawn = figures.training_figures({"pixel": log})
    train, val = drawn["loss"].axes[0].lines
    np.testing.assert_allclose(np.asarray(train.get_xdata(), dtype=float), [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(np.asarray(val.get_xdata(), dtype=float), [1, 2])
    np.testing.assert_allclose(np.asarray(drawn["auc"].axes[0].lines[0].get_ydata(), dtype=float), [0.8, 0.9])
    with pytest.raises(UserError, match="lacks the columns auc"):
        figures.training_figures({"pixel": log.drop(columns="auc")})


def test_forest_plot_shows_each_difference_with_its_interval() -> None:
    table = pd.DataFrame(
        {
            "generator": ["alpha", "beta", "mean of unseen"],
            "kind": ["generator", "generator", "mean"],
            "seen": pd.array([True, False, False], dtype="boolean"),
            "seed": 0,
            "detector": "two_stream",
            "baseline": "pixel",
            "metric": "auc_difference",
            "value": [0.1, -0.05, 0.02],
            "low": [0.05, -0.1, np.nan],
            "high": [0.15, 0.01, np.nan],
        }
    )
    axes = figures.comparison_figure(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["alpha", "beta", "mean of unseen"]
    spans = [tuple(np.asarray(line.get_xdata(), dtype=float)) for line in axes.lines[1:]]
    assert (0.05, 0.15) in spans
    assert (0.02,) in spans
    assert len(spans) == 5  # three points, two intervals
    with pytest.raises(UserError, match="no difference"):
        figures.comparison_figure(table.assign(metric="auc"))


def test_the_figure_of_ablations_shows_the_only_generator_of_a_kind(tmp_path: Path) -> None:
    def row(test: str, seen: bool | None, difference: float) -> dict[str, object]:
        facts = {"experiment": "fusion", "variant": "gated", "test": test, "seen": seen, "difference": difference}
        return {**facts, "low": difference - 0.01, "high": difference + 0.01}

    tests = [("a", True, 0.02), ("b", False, 0.1), ("c", False, 0.3), ("pooled seen", True, 0.0), ("ffhq", None, 0.0)]
    table = pd.DataFrame([row(*test) for test in [*tests, ("mean of unseen", False, 0.2)]])
    figure = draw_ablations(table, tmp_path / "ablations.png")
    drawn = {text.get_text() for text in figure.legends[0].get_texts()}
    assert drawn == {"mean of unseen", "a"}
    points = {round(float(np.asarray(line.get_xdata())[0]), 6) for line in figure.axes[0].lines}
    assert points >= {0.2, 0.02}
