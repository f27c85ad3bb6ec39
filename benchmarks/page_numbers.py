"""Fill the numbers of README and docs from the tables in benchmarks/results.

A passage between `<!-- numbers: NAME -->` and `<!-- /numbers -->` is what the function NAME of `BLOCKS` makes of the
tables. A test says whether a page has drifted from them; this script writes the pages anew.

Example: python benchmarks/page_numbers.py
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import tyro
from page_costs import costs_of_scoring, costs_of_the_lattice, costs_on_a_gpu, engines, speed_of_spectra
from page_small import (
    clip,
    every_detector,
    evidence_parts,
    lattice_parts,
    lattice_readings,
    learning_curve,
    more_generators,
    zoo_left_out,
)
from page_tables import (
    BOTH,
    FOUND_AND_ALARMS,
    GENERATORS,
    ROOT,
    UNSEEN,
    finding,
    gain,
    interval,
    markdown,
    metric,
    named,
    one,
    prose,
    short,
    table,
)

from fakefreq.files import write_text
from fakefreq.report.tables import number, p_value

BLOCK = re.compile(r"(<!-- numbers: (\S+) -->\n).*?(<!-- /numbers -->)", re.DOTALL)
TRACKS = ("raw", "native", "aligned")


def of_lattice(track: str) -> str:
    """Name of the main table of a track."""
    return f"lattice_one_to_all_{track}_cpu"


def main_rows(track: str, detectors: Sequence[str]) -> list[list[str]]:
    """AUC, gain, found and alarms of each generator."""
    name, rows = of_lattice(track), []
    for generator in GENERATORS:
        if generator not in set(table(f"{name}_summary")["test"]):
            continue
        areas = [short(metric(name, detector, generator)) for detector in detectors]
        shares = [
            " / ".join(short(metric(name, detector, generator, which), 2) for which in FOUND_AND_ALARMS)
            for detector in detectors
        ]
        rows.append([named(generator), *areas, interval(gain(name, "two_stream", generator)), *shares])
    return rows


def main_table(track: str, detectors: Sequence[str] = BOTH) -> str:
    """The main table of a track."""
    header = ["generator", *(f"{detector} AUC" for detector in detectors), "two_stream − pixel"]
    return markdown([*header, *(f"{detector} found / alarms" for detector in detectors)], main_rows(track, detectors))


def gains() -> str:
    """What two streams gain, track by track."""
    return "; ".join(f"{interval(gain(of_lattice(track), 'two_stream'))} ({track})" for track in TRACKS)


def question() -> str:
    """The answer in three sentences."""
    null = interval(gain("one_to_all_facebench_aligned_cpu", "two_stream"))
    return prose(f"""
        fakefreq trains a pixel network, and the same network with a stream that reads spectra, and compares the two on
        generated faces. Trained on one generator, a block-DCT stream adds nothing over unseen generators ({null} AUC at
        one history). The lattice stream, which learns from photographs alone, adds {gains()}, 3 seeds. Two of the
        generators behind these means were known when it was made.
    """)


def demo_rows(generators: Sequence[str] = ()) -> str:
    """The demo's table."""
    rows = []
    whole = table("demo_cpu")
    for generator in generators or list(dict.fromkeys(whole.loc[whole["kind"] != "control", "generator"])):
        both = [one("demo_cpu", generator=generator, detector=d, metric="auc") for d in BOTH]
        change = one("demo_cpu", generator=generator, metric="auc_difference")
        facts = [str(generator), "seen" if both[0]["seen"] is True or both[0]["seen"] == "true" else "unseen"]
        counts = [str(int(both[0][name])) for name in ("n_real", "n_fake")]
        values = [interval(row, signed=False) for row in both]
        rows.append([*facts, *counts, *values, interval(change), p_value(float(change["p"]))])
    header = ["generator", "training", "real", "fake", "pixel AUC", "two_stream AUC", "two_stream − pixel", "p"]
    return markdown(header, rows, texts=2)


def demo_controls() -> str:
    """False-positive rates of the demo."""
    whole, parts = table("demo_cpu"), []
    for control in dict.fromkeys(whole.loc[whole["kind"] == "control", "generator"]):
        rates = [one("demo_cpu", generator=control, detector=d, metric="fpr") for d in BOTH]
        parts.append(f"{control} {' and '.join(interval(row, signed=False) for row in rates)}")
    return prose(f"False-positive rates at the validation threshold, pixel and two_stream: {'; '.join(parts)}.")


def first_finding() -> str:
    """The gain of the lattice."""
    return finding(
        1,
        f"""
        With the lattice, `two_stream` less `pixel` over the unseen generators, trained on StyleGAN alone, 3 seeds, is
        {gains()}. Two of the generators were known to the statistic ([the lattice](#the-lattice)).
    """,
    )


def one_generator(track: str) -> str:
    """The former default, block DCT, trained on one generator."""
    name = f"one_to_all_facebench_{track}_cpu"
    rows = []
    for generator in ("stylegan", "began", "dcgan", "mobilestylegan_native", "stylegan2", UNSEEN):
        if generator not in set(table(f"{name}_summary")["test"]):
            continue
        both = [one(f"{name}_summary", detector=detector, test=generator, metric="auc") for detector in BOTH]
        change = gain(name, "two_stream", generator)
        p = change["p_holm"] if pd.notna(change["p_holm"]) else change["p"]
        areas = [interval(row, signed=False) for row in both]
        rows.append([named(generator), *areas, interval(change), p_value(float(p))])
    return markdown(["generator", "pixel AUC", "two_stream AUC (block DCT)", "two_stream − pixel", "p"], rows)


def all_small() -> str:
    """Every spectrum alone and the published detectors at one small budget."""
    names = {track: f"all_detectors_small_{track}_cpu" for track in ("aligned", "raw")}
    rows = []
    for detector in dict.fromkeys(table(f"{names['aligned']}_summary")["detector"]):
        cells = []
        for name in names.values():
            change = "" if detector == "pixel" else interval(gain(name, detector))
            cells += [number(metric(name, detector, "stylegan")), number(metric(name, detector, UNSEEN)), change]
        label = "two_stream (block DCT)" if detector == "two_stream" else detector
        rows.append([f"`{label}`", *cells])
    header = ["detector", *(f"{track}: {what}" for track in names for what in ("stylegan", UNSEEN, "less pixel"))]
    return markdown(header, rows)


def coverage(detector: str, test: str, stated: float = 0.9) -> str:
    """Measured coverage of conformal sets."""
    row = one("calibration_aligned_cpu_coverage", detector=detector, test=f"pooled {test}", stated=stated)
    return short(float(row["coverage"]), 2)


def error_of_calibration(detector: str, test: str) -> str:
    """Expected calibration error of the probabilities as they come."""
    chosen = {"detector": detector, "test": f"pooled {test}", "method": "none", "metric": "ece"}
    return short(float(one("calibration_aligned_cpu", **chosen)["mean"]), 2)


def probabilities() -> str:
    """What conformal sets and probabilities keep of their promise."""
    pixel, both = (coverage(detector, "unseen") for detector in BOTH)
    before, after = (error_of_calibration(detector, "unseen") for detector in BOTH)
    seen = " and ".join(coverage(detector, "seen") for detector in BOTH)
    return finding(
        2,
        f"""
        Split-conformal sets that promise .90 hold {seen} on the seen generator (pixels, two streams; aligned track, 3
        seeds). On unseen generators pixels keep {pixel} and two streams {both}; the expected calibration error falls
        from {before} to {after} ([probabilities](#probabilities)).
    """,
    )


def false_alarms() -> str:
    """Alarms on photographs that training has not seen."""
    rows = table("lattice_controls_native_cpu")

    def rates(detector: str) -> dict[str, float]:
        of = rows[rows["detector"] == detector].groupby("control")["alarms_at_5%"].mean()
        return {str(control): float(rate) for control, rate in of.items()}

    pixel, both, alone = (rates(detector) for detector in ("pixel", "two_stream", "lattice"))
    worst = max(both[control] - rate for control, rate in pixel.items())
    others = [rate for control, rate in alone.items() if control not in ("control_unsplash", "control_webp")]
    return finding(3, f"""
        The gain is not bought with false alarms: over {len(pixel)} sets of photographs, processed or of another source,
        the rate of `two_stream` is at most {short(worst)} above that of `pixel`, at a threshold that 5 % of FFHQ
        validation photographs exceed. The detector `lattice` alone has {short(min(others), 2)} to
        {short(max(others), 2)}, on Unsplash {short(alone["control_unsplash"], 2)}, on WebP
        {short(alone["control_webp"], 2)} ([table](../benchmarks/results/lattice_controls_native_cpu.csv)).
    """)  # fmt: skip


def map_of_gains() -> str:
    """Where two streams gain, by resize and quality."""
    cells = table("when_it_helps_cpu")

    def mean(rows: pd.DataFrame) -> str:
        return f"{float(rows['gain'].mean()):+.2f}"

    made = cells[cells["scale"] == 1.0]
    by_quality = [f"{mean(made[made['quality'] == q])} ({f'JPEG {q}' if q else 'PNG'})" for q in (0, 95, 85, 75, 60)]
    resized = [f"{mean(cells[cells['scale'] == scale])} (by {scale:g})" for scale in (0.75, 0.5, 0.25)]
    return finding(
        4,
        f"""
        Where it helps: mean gain over {made["subset"].nunique()} kinds of upsampler as they were made
        {", ".join(by_quality)}; after a resize {", ".join(resized)} ([map](#when-does-it-help)).
    """,
    )


def small_findings() -> str:
    """A frozen CLIP, and how many fakes training has, one seed each."""
    clip_name, curve = "clip_one_to_all_native_cpu", "small_one_to_all_curve_native_cpu"
    area = {which: short(metric(clip_name, which, UNSEEN)) for which in ("pixel", "clip", "clip_two_stream")}
    change = one(f"{clip_name}_pairs", detector="clip_two_stream", test=UNSEEN, metric="auc", seed="all")
    few = one(f"{curve}_pairs", detector="two_stream_50", baseline="pixel_50", test=UNSEEN, metric="auc", seed="all")
    many = one(f"{curve}_differences", detector="two_stream", baseline="pixel", test=UNSEEN, metric="auc", seed="all")
    out = one(
        "small_leave_one_out_native_cpu_differences",
        train_on="(each)", detector="two_stream", test=UNSEEN, metric="auc", seed="all",
    )  # fmt: skip
    return "\n".join([
        finding(5, f"""
            The two see different things: a frozen CLIP has {area["clip"]} over the unseen generators where the
            fine-tuned network has {area["pixel"]}, and the lattice adds {interval(change)} to it:
            {area["clip_two_stream"]} (native track, one seed; [table](#a-frozen-clip-as-the-pixel-stream))."""),
        finding(6, f"""
            The gain does not hang on the number of fakes: {interval(few)} with 50 in training, {interval(many)} with
            700. With each of five generators left out of training once it is {interval(out)} (native track, small
            budget, one seed; [tables](#fewer-fakes-more-generators))."""),
    ])  # fmt: skip


def null_findings() -> str:
    """What the former default gained."""
    raw, aligned = (interval(gain(f"one_to_all_facebench_{track}_cpu", "two_stream")) for track in ("raw", "aligned"))
    fft = interval(gain("all_detectors_small_raw_cpu", "fft"))
    fft_aligned = interval(gain("all_detectors_small_aligned_cpu", "fft"))
    return "\n".join([
        finding(7, f"""
            A stream that is trained on one generator's images adds nothing on others: block DCT gains {raw} (raw) and
            {aligned} (aligned) ([null results](#null-results))."""),
        finding(8, f"""
            The raw track misleads: `fft` alone leads on it by {fft}; once all images have one history it has
            {fft_aligned} ([table](#every-spectrum-alone-and-published-detectors))."""),
    ])  # fmt: skip


def synthbuster() -> str:
    """The lattice beside the published detector that is nearest to it."""
    rows = []
    for track in TRACKS:
        name = of_lattice(track)
        for detector in ("lattice", "synthbuster"):
            areas = [short(metric(name, detector, test)) for test in ("stylegan", "dcgan", "mobilestylegan_native")]
            mean = one(f"{name}_summary", detector=detector, test=UNSEEN, metric="auc")
            label = "`lattice`" if detector == "lattice" else "`peer/synthbuster`"
            rows.append([track, label, *areas, interval(mean, signed=False)])
    header = ["track", "detector", "stylegan (trained on)", "dcgan", "mobilestylegan_native", UNSEEN]
    return markdown(header, rows, texts=2)


def robustness() -> str:
    """AUC over the unseen generators after degradations of both classes."""
    whole = table("robustness_aligned_cpu")
    whole = whole[(whole["test"] == UNSEEN) & (whole["applied_to"] == "both")]
    detectors, rows = ("pixel", "lattice", "two_stream"), []
    for degradation in dict.fromkeys(whole["degradation"]):
        of = whole[whole["degradation"] == degradation]
        means = [float(of.loc[of["detector"] == detector, "value"].mean()) for detector in detectors]
        rows.append([f"`{degradation}`", *map(short, means), f"{means[2] - means[0]:+.3f}"])
    return markdown(["both classes after", *(f"{detector} AUC" for detector in detectors), "gain"], rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "question": question,
    "main": lambda: main_table("native"),
    "demo_short": lambda: demo_rows(["cyclegan", "realesrgan_compact", UNSEEN]),
    "demo": demo_rows,
    "demo_controls": demo_controls,
    "findings": lambda: "\n".join(
        [first_finding(), probabilities(), false_alarms(), map_of_gains(), small_findings(), null_findings()]
    ),
    "synthbuster": synthbuster,
    "robustness": robustness,
    "speed_of_spectra": speed_of_spectra,
    "costs_of_the_lattice": costs_of_the_lattice,
    "costs_on_a_gpu": costs_on_a_gpu,
    "costs_of_scoring": costs_of_scoring,
    "engines": engines,
    "clip": clip,
    "every_detector": every_detector,
    "evidence_parts": evidence_parts,
    "lattice_parts": lattice_parts,
    "lattice_readings": lattice_readings,
    "learning_curve": learning_curve,
    "leave_one_out": partial(more_generators, "small_leave_one_out_native_cpu"),
    "two_generators": partial(more_generators, "small_chosen_native_cpu"),
    "zoo_left_out": zoo_left_out,
    "all_small": all_small,
    **{f"lattice_{track}": partial(main_table, track, ("pixel", "lattice", "two_stream")) for track in TRACKS},
    **{f"one_generator_{track}": partial(one_generator, track) for track in ("raw", "aligned")},
}
"""Passage -> what makes it."""


def pages() -> list[Path]:
    """The pages that hold such passages."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if "<!-- numbers: " in page.read_text(encoding="utf-8")]


def filled(text: str) -> str:
    """Return a page with its numbers read anew.

    Raises:
        KeyError: a passage that nothing makes.
    """
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}", text)


@dataclass
class Config:
    """Write the pages anew."""


def main(_: Config) -> None:
    """Fill every page."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            write_text(page, new)
        print(f"{'filled' if new != text else 'as it was'}: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
