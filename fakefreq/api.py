"""What `import fakefreq` offers beyond detectors and spectra: predict, explain, audit, benchmark, tables of scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.scores import load_scores

if TYPE_CHECKING:
    import pandas as pd

    from fakefreq.config.run import TrainConfig
    from fakefreq.data.audit.audit import AuditResult
    from fakefreq.explaining.explanation import Explanation
    from fakefreq.models import Detector

__all__ = ["audit", "benchmark", "explain", "load_scores", "predict", "tables"]


def predict(detector: "Detector", images: str | Path | Sequence[str | Path], batch_size: int = 32) -> "pd.DataFrame":
    """Score image files.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        images: one file, folder or pattern (`photos/*.jpg`), or several; of a folder all images in it and below.
        batch_size: images a step.

    Returns:
        A row an image: path, logit, probability (of fake, uncalibrated), label (at the validated threshold),
        lattice_pvalue where the detector reads it, conformal (the labels that validation does not exclude), warning
        (where the image is outside of what validation knows), what its header says, threshold, and trained_on.

    Raises:
        UserError: a file is missing or does not decode; a folder without images; fewer than 1 image a step.
    """
    from fakefreq.evaluate.predict import predict_files

    return predict_files(detector, images, batch_size)


def explain(
    detector: "Detector", images: str | Path | Sequence[str | Path], out: str | Path | None = None
) -> "list[Explanation]":
    """Say why a detector calls image files fake or real.

    Args:
        detector: as `fakefreq.load_detector` returns it.
        images: image files, folders and patterns, one or several.
        out: folder that gets a page, figures and numbers of each image; None writes nothing.

    Returns:
        One explanation an image: terms that add up to the logit, heat map, spectra, lattice. `as_dict()` gives the
        numbers.

    Raises:
        UserError: a file is missing or does not decode.
    """
    from fakefreq.explaining.page import explain_files

    return explain_files(detector, images, out)[0]


def audit(manifest: str | Path, out: str | Path | None = None, **settings: Any) -> "AuditResult":
    """Say whether a detector could learn a codec, a size or a photo source instead of the generator.

    Args:
        manifest: the table of images.
        out: the JSON file to write; None writes none.
        settings: of `fakefreq.data.audit.audit.audit_manifest`.
    """
    from fakefreq.data.audit.audit import audit_manifest

    return audit_manifest(manifest, out, **settings)


def benchmark(
    manifest: str | Path,
    protocol: str | Sequence[str] = "leave_one_out",
    out: str | Path = "runs/benchmark",
    detectors: Sequence[str] = ("pixel", "two_stream"),
    seeds: Sequence[int] = (0,),
    *,
    config: "TrainConfig | None" = None,
    native: str | Path | None = None,
    aligned: str | Path | None = None,
    jobs: int = 1,
    **settings: Any,
) -> Mapping[str, "pd.DataFrame"]:
    """Train and test detectors by protocol; what is finished in `out` is not done again.

    Args:
        manifest: with its splits filled: the track `raw`.
        protocol: one or more of chosen, one_to_all, leave_one_out, matrix and all_seen.
        out: folder of trainings and tables.
        detectors: NAME, or LABEL=NAME for another configuration of one; the first is the baseline.
        seeds: one training of every detector and training set for each.
        config: the training; its `train_on` is that of the protocols `chosen` and `one_to_all`.
        native: manifest of the track `native`.
        aligned: manifest of the track `aligned`.
        jobs: trainings at a time.
        settings: of `fakefreq.benchmarking.plan.make_plan`, such as draws or allow_biased.

    Returns:
        Name -> table, as `fakefreq.benchmarking` lists them.

    Raises:
        UserError: anything that the user can mend.
    """
    from fakefreq.benchmarking.plan import make_plan
    from fakefreq.benchmarking.run import benchmark as run
    from fakefreq.config.run import TrainConfig
    from fakefreq.engines import Engine

    tracks = {"raw": manifest, "native": native, "aligned": aligned}
    plan = make_plan(
        {name: None if path is None else Path(path) for name, path in tracks.items()},
        protocols=[protocol] if isinstance(protocol, str) else protocol,
        detectors=detectors,
        seeds=seeds,
        config=config or TrainConfig(),
        **settings,
    )
    return run(plan, out, Engine(jobs=jobs)).tables


def tables(
    scores: "pd.DataFrame",
    protocol: str = "chosen",
    baseline: str = "",
    detectors: Sequence[str] = (),
    draws: int = DEFAULT_DRAWS,
    *,
    prevalence: float = 0.01,
    metrics: Sequence[str] = (),
) -> Mapping[str, "pd.DataFrame"]:
    """Return all tables of any scores.

    Args:
        scores: as `load_scores` returns them. Test images that not all cells of a training set score are left out.
        protocol: decides which test rows are reported: `matrix` and `all_seen` take the test split alone, the others
            all images of unseen generators.
        baseline: the detector that the others are compared with; the first by default.
        detectors: only these; all by default.
        draws: bootstrap draws.
        prevalence: that the precision is stated for.
        metrics: only these, and only the tables metrics, summary, matrix and differences; none: all.

    Returns:
        Name -> table, as `fakefreq.benchmarking` lists them: metrics, summary, matrix, differences, curves, errors,
        calibration, reliability and abstention. They are those that `benchmark` wrote beside the scores.

    Raises:
        UserError: an unknown protocol or detector, or scores that cannot be measured.
    """
    from fakefreq.benchmarking.plan import find_protocol
    from fakefreq.errors import choose
    from fakefreq.evaluate.measure import score_sets
    from fakefreq.evaluate.tables import derive_tables

    names = list(detectors) or list(dict.fromkeys(scores["detector"].astype(str)))
    chosen = choose(baseline or names[0], names, "baseline", "baseline")
    only = find_protocol(protocol).test_rows == "test_split"
    return derive_tables(score_sets(scores, protocol, only, draws, names), chosen, prevalence, metrics=metrics)
