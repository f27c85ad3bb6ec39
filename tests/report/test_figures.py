import colorsys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from fakefreq.errors import UserError
from fakefreq.report import figures
from fakefreq.report.atlas_page import draw_map
from fakefreq.report.figures import draw_ablations


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figures.training_figures(draw_log())
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("side", [16, 32])
def test_frequency_zero_lies_at_the_origin_of_the_axes(side: int) -> None:
    plane = np.zeros((side, side // 2 + 1))
    plane[0, 0] = 1.0
    axes = draw_map(plane, "cividis", 0.0, 1.0).axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    assert np.asarray(axes.images[0].get_array())[side // 2, 0] == 1.0
    rows, columns = (bottom - top) / side, (right - left) / (side // 2 + 1)
    assert top + (side // 2 + 0.5) * rows == pytest.approx(0.0)
    assert left + 0.5 * columns == pytest.approx(0.0)


def test_the_gain_is_drawn_at_its_values_with_seen_generators_on_top() -> None:
    rows = [
        {"generator": name, "detector": detector, "metric": "auc", "kind": "generator", "seen": name == "a",
         "value": value, "low": value - 0.1, "high": value + 0.05}
        for name, values in {"a": (0.6, 0.7), "b": (0.8, 0.9), "c": (0.5, 0.5)}.items()
        for detector, value in zip(("pixel", "two_stream"), values, strict=True)
    ]  # fmt: skip
    others = [{**rows[0], "metric": "ap"}, {**rows[0], "generator": "control", "kind": "control"}]
    axes = figures.gain_figure(pd.DataFrame([*rows, *others])).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "b", "a (seen)"]
    drawn = {bars.get_label(): bars for bars in axes.containers if isinstance(bars, ErrorbarContainer)}
    places = {name: np.asarray(bars.lines[0].get_xdata()).tolist() for name, bars in drawn.items()}
    assert places == {"pixel": [0.5, 0.8, 0.6], "two_stream": [0.5, 0.9, 0.7]}
    left, right = (np.asarray(cap.get_xdata(), dtype=float) for cap in drawn["pixel"].lines[1])
    np.testing.assert_allclose(left, [0.4, 0.7, 0.5])
    np.testing.assert_allclose(right, [0.55, 0.85, 0.65])


def draw_log() -> pd.DataFrame:
    log = pd.DataFrame(
        {
            "epoch": [1, 1, 1, 2, 2, 2],
            "step": [5, 10, 10, 15, 20, 20],
            "phase": ["train", "train", "val"] * 2,
            "loss": [0.7, 0.6, 0.65, 0.5, 0.4, 0.5],
            "auc": [np.nan, np.nan, 0.8, np.nan, np.nan, 0.9],
        }
    )
    return log.assign(track="raw", train_on="alpha", seed=0, detector="pixel")


def test_colours_differ_in_lightness_too() -> None:
    def lightness(colour: str) -> float:
        return colorsys.rgb_to_hls(*mpl.colors.to_rgb(colour))[1]

    assert len(set(figures.COLOURS)) == len(figures.COLOURS)
    assert abs(lightness(figures.COLOURS[0]) - lightness(figures.COLOURS[1])) > 0.05


def test_training_curves_put_steps_on_the_axis_of_epochs() -> None:
    drawn = figures.training_figures(draw_log())
    train, val = drawn["loss"].axes[0].lines
    np.testing.assert_allclose(np.asarray(train.get_xdata(), dtype=float), [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(np.asarray(val.get_xdata(), dtype=float), [1, 2])
    np.testing.assert_allclose(np.asarray(drawn["auc"].axes[0].lines[0].get_ydata(), dtype=float), [0.8, 0.9])


def test_seeds_of_a_detector_share_its_colour() -> None:
    logs = [draw_log().assign(detector=name, seed=seed) for name in ("pixel", "two_stream") for seed in (0, 1)]
    lines = figures.training_figures(pd.concat(logs))["auc"].axes[0].lines
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color() == lines[3].get_color()
    assert lines[0].get_marker() != lines[2].get_marker()  # apart in grey print too


def test_forest_plot_shows_each_difference_with_its_interval() -> None:
    table = pd.DataFrame(
        {
            "test": ["alpha", "beta", "mean of unseen"],
            "kind": ["generator", "generator", "mean"],
            "seen": ["true", "false", "false"],
            "detector": "two_stream",
            "baseline": "pixel",
            "value": [0.1, -0.05, 0.02],
            "low": [0.05, -0.1, np.nan],
            "high": [0.15, 0.01, np.nan],
        }
    )
    axes = figures.difference_figure(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["alpha", "beta", "mean of unseen"]
    spans = [tuple(np.asarray(line.get_xdata(), dtype=float)) for line in axes.lines[1:]]
    assert (0.05, 0.15) in spans
    assert (0.02,) in spans
    assert len(spans) == 5  # three points, two intervals
    with pytest.raises(UserError, match="no difference"):
        figures.difference_figure(table.assign(value=np.nan))


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


def drawn_texts(figure: mpl.figure.Figure) -> list[str]:
    """Texts of all legends, once the figure is drawn without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


@pytest.mark.parametrize("count", [3, 20])
def test_a_figure_of_many_detectors_keeps_its_axes_and_names_all_of_them(count: int) -> None:
    names = ["_mine", *(f"detector_{number}" for number in range(1, count))]
    steps = np.linspace(0, 1, 5)
    curves = pd.concat(
        [pd.DataFrame({"detector": name, "fpr": steps, "tpr": steps, "low": steps, "high": steps}) for name in names]
    )
    auc = pd.DataFrame({"detector": names, "value": np.linspace(0.5, 0.9, count)})
    cost = pd.DataFrame({"detector": names, "score_seconds": 1.0, "score_images": np.arange(1, count + 1)})
    rows = pd.DataFrame({"detector": np.repeat(names, 2), "generator": ["a", "b"] * count})
    rows = rows.assign(test=rows["generator"], metric="auc", kind="generator", seen=False, baseline="pixel")
    rows = rows.assign(value=0.7, low=0.6, high=0.8)
    drawn = {
        "roc": figures.curve_figure(curves, "ROC", det=False),
        "cost": figures.cost_figure(cost, auc),
        "gain": figures.gain_figure(rows, "_mine"),
        "difference": figures.difference_figure(rows),
    }
    for name, figure in drawn.items():
        assert drawn_texts(figure) == names, name
        box = figure.axes[0].get_position()
        width, height = figure.get_size_inches() * (box.width, box.height)
        assert height > 1 and width > 1.5, name
    marks = [(line.get_color(), line.get_marker()) for line in drawn["cost"].axes[0].get_lines()]
    assert len(set(marks)) == count


def test_a_map_of_leaving_one_out_has_room_for_its_numbers() -> None:
    names = ["stylegan", "stylegan2", "dcgan", "mobilestylegan_native", "began", "realesrgan_compact"]
    rows = [
        {"train_on": "+".join(other for other in names if other != name), "test": test, "value": 0.7}
        for name in names
        for test in names
    ]
    figure = figures.matrix_figure(pd.DataFrame(rows), "pixel")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert {label.get_text() for label in axes.get_yticklabels()} == {f"all but {name}" for name in names}
    assert axes.get_position().width * figure.get_size_inches()[0] > 0.5 * len(names)
