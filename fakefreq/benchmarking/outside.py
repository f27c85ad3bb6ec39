"""Tables of detectors that no benchmark has trained: anyone's score tables, and single run folders."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from fakefreq.benchmarking.held_out import held_out_rows, trained_generators
from fakefreq.config.files import RUN_SETTINGS, read_run_config
from fakefreq.data.index.on_the_fly import manifest_or_index
from fakefreq.data.loading.cache import reflected_line
from fakefreq.data.manifest.align import refuse_second_history
from fakefreq.data.manifests import manifest_digest, read_manifest, write_skipped
from fakefreq.errors import UserError, choose
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.bootstrap import Draws
from fakefreq.evaluate.measure import ScoreSet, make_score_set
from fakefreq.evaluate.outside_models import ModelRun, score_model
from fakefreq.evaluate.outside_scores import SCALES, VALIDATION, OutsideScores, read_outside_scores, say_scale
from fakefreq.evaluate.predict import score_rows, threshold_origin
from fakefreq.evaluate.scores import (
    common_images,
    read_scores,
    without_training_images,
    write_scores,
)
from fakefreq.evaluate.tables import COLUMNS, comparison_view, derive_tables, write_csv
from fakefreq.files import read_json
from fakefreq.hub import is_hub_name
from fakefreq.models.weights import load_detector, pin, weights_path
from fakefreq.train.selection import generators_of, rows_of_generators

logger = logging.getLogger(__name__)

Facts = Mapping[str, tuple[str, str]]
"""Detector -> its scale, and where its threshold comes from: the columns `scale` and `threshold_from`."""
OF_ONE = [name for name in COLUMNS if name != "differences"]
"""Tables of one detector alone."""


def compare_outside(
    manifest: str | Path,
    files: Sequence[str],
    train_on: Sequence[str] = (),
    draws: int = DEFAULT_DRAWS,
    scales: Sequence[str] = (),
    thresholds: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare anyone's detectors by their scores alone, on the images that all of them score.

    Args:
        manifest: the table of images.
        files: NAME=FILE.csv each; the first is the baseline.
        train_on: generators that were trained on; the others count as unseen, and training images of these are left
            out. Their validation images choose thresholds that no table names.
        draws: bootstrap draws behind the intervals.
        scales: NAME=logit or NAME=probability each, or one without a name for all.
        thresholds: NAME=NUMBER each, on the table's scale, or one without a name for all.

    Returns:
        As `presets.compare`, with the columns `scale` and `threshold_from`, which name what is only assumed.

    Raises:
        UserError: no file, or a table that cannot be joined to the manifest.
    """
    paths = _named_files(files, "--scores")
    if not paths:
        raise UserError("give --scores NAME=FILE.csv or --model NAME=FILE.py, one or more")
    images = read_manifest(manifest)
    found = _read_all(paths, images, scales, thresholds)
    scores, facts = _score_set(found, images, train_on, draws)
    return _with_facts(comparison_view(derive_tables([scores], next(iter(paths)))), facts)


def score_models(
    manifest: str | Path,
    models: Sequence[str],
    out: Path,
    run: ModelRun,
    files: Sequence[str] = (),
    *,
    train_on: Sequence[str] = (),
    scales: Sequence[str] = (),
) -> list[str]:
    """Let anyone's detectors score the images that `compare_outside` needs of them, and write their tables.

    Args:
        manifest: the table of images.
        models: NAME=FILE.py each, Python files as `evaluate.outside_models.score_model` takes them.
        out: the table of the comparison; those of the scores are named after it, `OUT_NAME.csv`.
        run: how they are run.
        files: tables of scores that they are compared with: only images that all of them score are scored.
        train_on: as in `compare_outside`: training images are not scored.
        scales: likewise.

    Returns:
        NAME=TABLE.csv of each, as `compare_outside` takes them.

    Raises:
        UserError: a detector that cannot be used.
    """
    given, named = _named_files(files, "--scores"), _named_files(models, "--model")
    twice = [name for name in named if name in given or Path(name).name != name]
    if twice:
        raise UserError(f"--model cannot take the name {twice[0]!r}: --scores has it, or it is no file's name")
    of_scale = named_values(scales, [*given, *named], "--scale")
    whole = read_manifest(manifest)
    for name in train_on:
        choose(name, generators_of(whole), "generator", "--train-on")
    images = without_training_images(whole, train_on).assign(manifest=manifest_digest(whole))
    for name, file in given.items():
        images = images[images["path"].isin(read_outside_scores(file, whole, of_scale.get(name, "")).rows["path"])]
    if images.empty:
        raise UserError(f"no image is left for {', '.join(named)} to score: training images, and those that a table of "
                        "--scores lacks, are left out")  # fmt: skip
    tables = {name: out.with_name(f"{out.stem}_{name}.csv") for name in named}
    for name, file in named.items():
        score_model(
            Path(file), name, images, Path(manifest).parent, tables[name], run=run, scale=of_scale.get(name, "")
        )
    return [f"{name}={table}" for name, table in tables.items()]


def _named_files(entries: Sequence[str], flag: str) -> dict[str, str]:
    """Return name -> file of NAME=FILE entries; a file alone has its own name."""
    parts = [entry.partition("=") for entry in entries]
    files = {name if file else Path(name).stem: file or name for name, _, file in parts}
    if len(files) < len(entries):
        raise UserError(f"{flag} names one detector twice; give each a name of its own, NAME=FILE")
    return files


def evaluate_scores(
    path: Path,
    manifest: Path | None,
    out: Path,
    train_on: Sequence[str] = (),
    scale: str = "",
    *,
    threshold: float | None = None,
    draws: int = DEFAULT_DRAWS,
) -> pd.DataFrame:
    """Write the tables of one detector that is known by its scores alone.

    Args:
        path: its table of scores; see `evaluate.outside_scores.read_outside_scores`.
        manifest: the table of images; None: the table of scores, which then says path and label, and what else it
            knows.
        out: folder of the tables.
        train_on: as in `compare_outside`.
        scale: likewise, of this table.
        threshold: likewise.
        draws: bootstrap draws behind the intervals.

    Returns:
        The values of the terminal, as `evaluate.tables.comparison_view` has them.

    Raises:
        UserError: anything that the user can mend.
    """
    images = None if manifest is None else read_manifest(manifest)
    found = {path.stem: read_outside_scores(path, images, scale, threshold)}
    known = found[path.stem].rows if images is None else images
    scores, facts = _score_set(found, known, train_on, draws)
    return _write_tables(scores, facts, out)


def evaluate_run(
    given: str | Path,
    manifest: Path,
    out: Path | None = None,
    draws: int = DEFAULT_DRAWS,
    device: str = "auto",
    *,
    workers: int = -1,
    on_error: Literal["stop", "skip"] = "stop",
) -> tuple[pd.DataFrame, Path]:
    """Score the images that a run has not been trained on, and write the tables of its detector.

    Args:
        given: a run folder, RUN/best, an .onnx file of `fakefreq export` that lies in the run folder, or a published
            detector, `hf://owner/name[@revision]`.
        manifest: the table of images, or a folder, which is indexed into the run's folder, or for a published detector
            into `out`.
        out: folder of scores.csv and the tables; by default RUN/evaluation, of an ONNX file RUN/FILE_evaluation, for a
            published detector none.
        draws: bootstrap draws behind the intervals.
        device: that scores.
        workers: processes that decode.
        on_error: `stop` at an image that does not decode, or `skip` it and list it in skipped.csv.

    Returns:
        The values of the terminal, as `evaluate.tables.comparison_view` has them, and the folder.

    Raises:
        UserError: no finished run, or anything else that the user can mend.
    """
    is_published = is_hub_name(given)
    if is_published and out is None:
        raise UserError(f"{given} is no folder to write into: say where its tables go, --out FOLDER")
    given = pin(given)
    file = weights_path(given)
    run = file.parent
    if not (run / RUN_SETTINGS).exists():
        raise UserError(f"{run} is no run folder: it has no {RUN_SETTINGS} that says what was trained on; score with "
                        "`fakefreq score`, then `fakefreq evaluate SCORES.csv`")  # fmt: skip
    summary = read_json(run / "summary.json", f"the summary of {run}, which tells that a run has ended,")
    config = read_run_config(run)
    val = read_scores(run / "val_scores.csv")
    out = out or run / (f"{file.stem}_evaluation" if file.suffix == ".onnx" else "evaluation")
    manifest = manifest_or_index(manifest, (out if is_published else run) / "indexed", on_error)
    images = read_manifest(manifest)
    trained_on = trained_generators(config, val)
    rows = held_out_rows(run, manifest, images, trained_on, val)
    detector = load_detector(given if is_published else file, device)
    if detector.threshold != float(summary["threshold"]):
        raise UserError(f"{file} is not of the run {run}: its threshold is {detector.threshold:.6g}, the run's "
                        f"{summary['threshold']:.6g}; put an exported file into the folder of its run")  # fmt: skip
    if detector.input.history:
        refuse_second_history(manifest, detector.input.history, "score it with `fakefreq score --history none`")
    small = reflected_line(rows, detector.input, "a smaller --crop in `fakefreq train` reads none")
    if small:
        logger.info(small)
    scored, skipped = score_rows(detector, rows, manifest.parent, workers=workers, on_error=on_error)
    origin = threshold_origin(detector)
    write_scores(say_scale(scored, detector.threshold, origin), out / "scores.csv")
    if skipped:
        write_skipped(skipped, out / "skipped.csv")
        logger.info(f"{len(skipped)} images skipped; listed with reasons in {out / 'skipped.csv'}")
    both = pd.concat([_plain(scored.assign(role="test")), _plain(val.assign(role="val"))], ignore_index=True)
    key = (config.detector, config.seed)
    scores = make_score_set(
        "evaluate", "raw", trained_on, {key: both}, Draws.of(both, draws), {key: detector.threshold}
    )
    return _write_tables(scores, {config.detector: ("logit", origin)}, out), out


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without categories, which do not stand below each other."""
    return table.astype({name: str for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)})


def _read_all(
    paths: Mapping[str, str], images: pd.DataFrame, scales: Sequence[str], thresholds: Sequence[str]
) -> dict[str, OutsideScores]:
    of_scale = named_values(scales, list(paths), "--scale")
    of_threshold = {}
    for name, text in named_values(thresholds, list(paths), "--threshold").items():
        try:
            of_threshold[name] = float(text)
        except ValueError as error:
            raise UserError(f"--threshold takes NAME=NUMBER; got {text!r}") from error
    return {
        name: read_outside_scores(file, images, of_scale.get(name, ""), of_threshold.get(name))
        for name, file in paths.items()
    }


def named_values(entries: Sequence[str], names: list[str], flag: str) -> dict[str, str]:
    """Return name -> value of NAME=VALUE entries; one value without a name is that of all names.

    >>> named_values(["logit"], ["a", "b"], "--scale")
    {'a': 'logit', 'b': 'logit'}
    """
    if len(entries) == 1 and "=" not in entries[0]:
        return dict.fromkeys(names, entries[0])
    found = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if not separator:
            raise UserError(f"{flag} takes NAME=VALUE each, or one value for all; got {entry!r}")
        if choose(name, names, "detector", flag) in found:
            raise UserError(f"{flag} names {name} twice")
        found[name] = value
    return found


def _score_set(
    found: Mapping[str, OutsideScores], images: pd.DataFrame, train_on: Sequence[str], draws: int
) -> tuple[ScoreSet, Facts]:
    """Bring outside scores onto the same images, and settle each detector's threshold."""
    for name in train_on:
        choose(name, generators_of(images), "generator", "--train-on")
    if not train_on:
        logger.info("nothing says what was trained on (--train-on): all generators are called unseen")
    tables, left_out = common_images({name: one.rows for name, one in found.items()})
    if left_out:
        logger.info(f"{left_out} images that not all detectors score are left out")
    cells, thresholds, facts = {}, {}, {}
    for name, table in tables.items():
        one, kept = found[name], without_training_images(table, train_on)
        # Images of generators that were not trained on choose nothing.
        chooses = (
            kept["path"].isin(rows_of_generators(kept, tuple(train_on))["path"]) if _has(kept, train_on) else False
        )
        is_val = (kept["split"] == "val") & chooses
        is_val &= kept.loc[is_val, "label"].nunique() == 2
        cells[name, 0] = kept.assign(role=is_val.map({True: "val", False: "test"}))
        origin, threshold = one.threshold_from, one.threshold
        if threshold is None and is_val.any():
            origin = VALIDATION
        elif threshold is None:
            threshold, origin = one.usual_threshold()
        if threshold is not None:
            thresholds[name, 0] = threshold
        if one.is_scale_assumed:
            logger.info(f"{name}: nothing says its scale; they are taken for {_plural(one.scale)} (--scale tells)")
        if origin.startswith("assumed"):
            logger.info(f"{name}: nothing names or chooses its threshold; {origin} (--threshold names another)")
        if threshold is not None:
            _tell_one_sided(name, table["logit"], threshold, origin)
        facts[name] = (one.scale_text, origin)
    return make_score_set("chosen", "raw", sorted(train_on), cells, Draws.of(images, draws), thresholds), facts


def _has(kept: pd.DataFrame, train_on: Sequence[str]) -> bool:
    return set(train_on) <= set(generators_of(kept))


def _plural(scale: str) -> str:
    return "probabilities" if scale == SCALES[1] else "logits"


def _tell_one_sided(name: str, logits: pd.Series, threshold: float, origin: str) -> None:
    """Say where a threshold parts nothing, as of probabilities that are called logits."""
    above = logits > threshold
    if above.all() or not above.any():
        where = "above" if above.all() else "at or below"
        logger.warning(
            f"{name}: all of its scores lie {where} the threshold ({origin}), so accuracy and rates tell nothing; see "
            "--scale and --threshold"
        )


def _with_facts(table: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    detectors = table["detector"].astype(str)
    return table.assign(
        scale=detectors.map({name: scale for name, (scale, _) in facts.items()}),
        threshold_from=detectors.map({name: origin for name, (_, origin) in facts.items()}),
    )


def _write_tables(scores: ScoreSet, facts: Facts, out: Path) -> pd.DataFrame:
    """Write all tables of one detector; return what the terminal shows of them."""
    tables = derive_tables([scores], scores.detectors[0])
    for name in OF_ONE:
        write_csv(_with_facts(tables[name], facts), out / f"{name}.csv")
    return _with_facts(comparison_view(tables), facts)
