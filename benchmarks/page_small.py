"""What trainings at a small budget measured, for the pages of README and docs; for page_numbers.py."""

from collections.abc import Sequence

from page_tables import (
    BOTH,
    FOUND_AND_ALARMS,
    GENERATORS,
    UNSEEN,
    counts,
    gain,
    interval,
    markdown,
    metric,
    named,
    one,
    short,
    table,
)


def learning_curve() -> str:
    """What 50, 200 and 700 fakes of the seen generator give, with and without the lattice."""
    name, rows = "small_one_to_all_curve_native_cpu", []
    for count, pixel, both in ((50, "pixel_50", "two_stream_50"), (200, "pixel_200", "two_stream_200"), (700, *BOTH)):
        of = f"{name}_differences" if pixel == "pixel" else f"{name}_pairs"
        change = one(of, detector=both, baseline=pixel, test=UNSEEN, metric="auc", seed="all")
        seen = short(metric(name, pixel, "stylegan"))
        areas = [short(metric(name, which, UNSEEN)) for which in (pixel, both)]
        rows.append([str(count), seen, counts(change), *areas, interval(change)])
    header = [
        "fakes in training",
        "pixel, seen",
        "unseen real / fake",
        "pixel, unseen",
        "two_stream, unseen",
        "gain, unseen",
    ]
    return markdown(header, rows)


def more_generators(name: str, generators: Sequence[str] = GENERATORS) -> str:
    """AUC on each generator that training left out, and what two streams gain."""
    detectors, rows = ("pixel", "lattice", "two_stream"), []
    changes = table(f"{name}_differences")
    changes = changes[(changes["detector"] == "two_stream") & (changes["metric"] == "auc") & (changes["seed"] == "all")]
    whole = "(each)" if "leave_one_out" in name else changes["train_on"].iloc[0]
    for generator in generators:
        unseen = (changes["test"] == generator) & ~changes["seen"].astype(bool)
        if generator == UNSEEN:
            unseen &= changes["train_on"] == whole
        for _, change in changes[unseen].iterrows():
            of = {"train_on": change["train_on"], "test": generator, "metric": "auc"}
            areas = [float(one(f"{name}_summary", detector=detector, **of)["value"]) for detector in detectors]
            label = generator if generator == UNSEEN else f"`{generator}`"
            rows.append([label, counts(change), *map(short, areas), interval(change)])
    header = ["test", "real / fake", *(f"{detector} AUC" for detector in detectors), "two_stream − pixel"]
    return markdown(header, rows)


def zoo_left_out() -> str:
    """AUC on each family of the zoo that training left out."""
    name = "small_zoo_leave_one_out_native_cpu"
    changes = table(f"{name}_differences")
    families = changes[(changes["kind"] == "generator") & ~changes["seen"].astype(bool)]["test"]
    return more_generators(name, (*dict.fromkeys(families), UNSEEN))


def clip() -> str:
    """Frozen CLIP as the pixel stream, without and with the lattice, beside the default on the same images."""
    name, detectors, rows = "clip_one_to_all_native_cpu", (*BOTH, "clip", "clip_two_stream"), []
    for generator in GENERATORS:
        areas = [short(metric(name, detector, generator)) for detector in detectors]
        change = one(f"{name}_pairs", detector="clip_two_stream", test=generator, metric="auc", seed="all")
        shares = " / ".join(short(metric(name, "clip_two_stream", generator, which), 2) for which in FOUND_AND_ALARMS)
        rows.append([named(generator), counts(change), *areas, interval(change), shares])
    header = [
        "generator",
        "real / fake",
        "pixel",
        "two_stream",
        "CLIP",
        "CLIP and lattice",
        "lattice's gain",
        "found / alarms",
    ]
    return markdown(header, rows)


PARTS = {
    "pixel": "no lattice",
    "logit_sum": "`logit_sum`",
    "gated": "`gated`",
    "concat": "`concat`",
    "two_stream": "`evidence`, the default",
    "lattice": "lattice alone, 2,000 planted pairs",
    "quarter": "lattice alone, 500 planted pairs",
    "simulated": "lattice alone, 2,000 simulated pairs",
}


EVIDENCE = {
    "pixel": "no lattice",
    "evidence": "`evidence`, the default",
    "without calibration": "without calibration of the pixels' logit",
    "pixels without floor": "pixels' term not bounded below",
    "plain sum": "plain sum of both logits",
}
READINGS = {
    "lattice": "period 8, 3x3 median, whole image",
    "period 4": "period 4",
    "period 16": "period 16",
    "laplacian": "Laplacian",
    "without fields": "without fields",
    "with chroma": "Cb and Cr too",
    "with flat areas": "flat areas too",
    "crop of 128": "crop of 128 pixels",
}
_TESTS = ("stylegan", "stylegan2", "dcgan", "mobilestylegan_native", UNSEEN)


def _by_variant(name: str, labels: dict[str, str], baseline: str, first: str) -> str:
    rows = []
    for detector, label in labels.items():
        areas = [short(metric(name, detector, test)) for test in _TESTS]
        change = "" if detector == baseline else interval(gain(name, detector))
        shares = " / ".join(short(metric(name, detector, UNSEEN, which), 2) for which in FOUND_AND_ALARMS)
        rows.append([label, *areas, change, shares])
    return markdown([first, "stylegan (seen)", *_TESTS[1:], "difference", "found / alarms"], rows)


def evidence_parts() -> str:
    """What the sum `evidence` is worth with one part left out."""
    return _by_variant("evidence_one_to_all_parts_native_cpu", EVIDENCE, "pixel", "sum")


def lattice_readings() -> str:
    """What the detector `lattice` is worth with another period, residual or view."""
    return _by_variant("readings_one_to_all_native_cpu", READINGS, "lattice", "reading")


def every_detector() -> str:
    """Every spectrum and peer beside the lattice, on the native track, in the order of the table."""
    name = "small_one_to_all_every_native_cpu"
    renamed = {"two_stream": "two_stream (lattice)", "block_dct_sum": "two_stream (block DCT)"}
    detectors = dict.fromkeys(table(f"{name}_summary")["detector"])
    return _by_variant(name, {one: f"`{renamed.get(one, one)}`" for one in detectors}, "pixel", "detector")


def lattice_parts() -> str:
    """What the fusion and the pairs of the lattice stream are worth."""
    name, rows = "small_one_to_all_parts_native_cpu", []
    for detector, label in PARTS.items():
        areas = [short(metric(name, detector, test)) for test in ("stylegan", "dcgan", "mobilestylegan_native", UNSEEN)]
        change = "" if detector == "pixel" else interval(gain(name, detector))
        shares = " / ".join(short(metric(name, detector, UNSEEN, which), 2) for which in FOUND_AND_ALARMS)
        rows.append([label, *areas, change, shares])
    header = ["fusion or fit", "stylegan (seen)", "dcgan", "mobilestylegan_native", UNSEEN, "gain", "found / alarms"]
    return markdown(header, rows)
