"""A finished run as a published detector: weights, settings, evidence and card, sent to the hub or written."""

import os
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.config.files import RUN_SETTINGS, read_run_config, write_train_config
from fakefreq.config.run import RunConfig, TrainConfig
from fakefreq.errors import UserError
from fakefreq.evaluate.scores import group_names, read_scores, write_scores
from fakefreq.evaluate.tables import METRICS_COLUMNS, write_csv
from fakefreq.files import read_json, write_json, write_text
from fakefreq.hub import HubName, check_name, send_model
from fakefreq.models import load_detector
from fakefreq.models.weights import PUBLISHED_WEIGHTS, weights_path
from fakefreq.publishing.card import FinishedRun, model_card
from fakefreq.version import __version__

# What of environment.json tells of the run, and not of the machine's owner.
_ENVIRONMENT = ["fakefreq", "python", "system", "cores", "threads", "device", "packages", "manifest_digest", "audit"]
_ENVIRONMENT += ["pretrained_weights_from", "teacher_sha256"]


def publish_run(
    run: str | Path,
    name: str,
    licence: str,
    evaluation: str | Path | None = None,
    untested: bool = False,
    *,
    private: bool = False,
    out: str | Path | None = None,
) -> str:
    """Send a finished run to the hub as one commit, or write what would be sent.

    Args:
        run: a run folder, or RUN/best.
        name: owner/name.
        licence: of the weights, in the hub's short form, such as `apache-2.0`.
        evaluation: folder whose metrics.csv tells of these weights; RUN/evaluation by default.
        untested: publish a run that nothing has tested; the card says so.
        private: make the repository private.
        out: a folder that is written instead of sending.

    Returns:
        The published detector with its commit, `hf://owner/name@COMMIT`; or the folder.

    Raises:
        UserError: no licence, a malformed name, a run that has not ended or is of another version, no evaluation, and
            what `fakefreq.hub.send_model` raises. Nothing is written or sent then.
    """
    _check_licence(licence)
    check_name(name)
    if out is not None and private:
        raise UserError("--private is of the repository that is made, and --out makes none; leave one of them")
    if out is not None and Path(out).exists() and (not Path(out).is_dir() or any(Path(out).iterdir())):
        raise UserError(f"{out} holds something already; choose another --out")
    finished = read_finished_run(run, evaluation, untested)
    try:
        if out is not None:
            Path(out).absolute().parent.mkdir(parents=True, exist_ok=True)
        beside = None if out is None else Path(out).absolute().parent
        with tempfile.TemporaryDirectory(prefix=".publish.", dir=beside) as temporary:
            folder = Path(temporary) / "files"
            write_folder(finished, folder, name, licence)
            if out is None:
                message = f"{finished.config.detector} by fakefreq {__version__}"
                return str(send_model(folder, HubName("model", name), message, RUN_SETTINGS, private))
            folder.replace(out)
    except OSError as error:
        raise UserError(f"cannot write {out or 'a temporary folder'}: {error.strerror or error}") from error
    return str(out)


def read_finished_run(run: str | Path, evaluation: str | Path | None = None, untested: bool = False) -> FinishedRun:
    """Read all that a card tells of a run.

    Args:
        run: as `publish_run` takes it.
        evaluation: likewise.
        untested: likewise.

    Raises:
        UserError: it has not ended, is of another version, or its tests are missing or of other weights.
    """
    # That of os.path, unlike a Path's, takes a name that is too long for one that is not there.
    is_folder = os.path.exists(Path(run) / RUN_SETTINGS)  # noqa: PTH110
    folder = Path(run) if is_folder else weights_path(run).parent
    if not (folder / RUN_SETTINGS).exists():
        raise UserError(f"{folder} is no run folder: it has no {RUN_SETTINGS}, which says what was trained")
    environment = read_json(folder / "environment.json", "what the run ran on")
    if environment.get("fakefreq") != __version__:
        raise UserError(
            f"{folder} was trained by fakefreq {environment.get('fakefreq', 'of an unknown version')}, and this is "
            f"{__version__}: publish it with that version, or train it again"
        )
    if not (folder / "summary.json").exists():
        raise UserError(f"the run {folder} has not ended: go on with `fakefreq train ... --resume`, then publish it")
    config = read_run_config(folder)
    summary = read_json(folder / "summary.json", "the run's summary")
    detector, val = load_detector(folder), read_scores(folder / "val_scores.csv")
    if abs(detector.threshold - float(summary["threshold"])) > 1e-6 * max(1.0, abs(detector.threshold)):
        raise UserError(f"the weights in {folder} have another threshold than its summary.json: they are not its own")
    metrics = _metrics(folder, config, detector.threshold, evaluation, untested)
    return FinishedRun(folder, config, summary, environment, detector, val, metrics)


def write_folder(run: FinishedRun, folder: Path, name: str, licence: str) -> None:
    """Write what is published of a run.

    Paths, names and groups of the images are left out, and so are the command and the folders of the machine.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(weights_path(run.folder), folder / PUBLISHED_WEIGHTS)
    how: dict[str, Any] = vars(RunConfig())  # folders and devices of this machine
    settings = replace(run.config, **how, teacher=Path(run.config.teacher).name)
    write_train_config(settings, folder / RUN_SETTINGS)
    write_json(folder / "summary.json", run.summary)
    write_json(
        folder / "environment.json", {key: run.environment[key] for key in _ENVIRONMENT if key in run.environment}
    )
    if (run.folder / "trained_images.txt").exists():
        shutil.copyfile(run.folder / "trained_images.txt", folder / "trained_images.txt")
    write_scores(_nameless(run.val), folder / "val_scores.csv")
    if len(run.metrics):
        write_csv(run.metrics, folder / "metrics.csv")
    write_text(folder / "README.md", model_card(run, name, licence))


def _check_licence(licence: str) -> None:
    if not licence.strip():
        raise UserError(
            "a published detector says under which licence its weights may be used, and --license is empty; give it in "
            "the hub's short form: --license apache-2.0, mit, cc-by-nc-4.0, other, ..."
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence):
        raise UserError(
            f"--license {licence!r} is no short form of the hub, which is one word of small letters, digits, . and -: "
            "apache-2.0, mit, cc-by-nc-4.0, other, ..."
        )


def _metrics(
    folder: Path, config: TrainConfig, threshold: float, evaluation: str | Path | None, untested: bool
) -> pd.DataFrame:
    """Return the rows of metrics.csv that are of these weights, told by seed and threshold."""
    there = folder / "evaluation" if evaluation is None else Path(evaluation)
    path = there / "metrics.csv"
    if untested:
        if evaluation is not None or path.exists():
            raise UserError(f"--untested contradicts {path}; leave the flag")
        return pd.DataFrame(columns=METRICS_COLUMNS)
    if not path.exists():
        raise UserError(
            f"{there} has no metrics.csv, so nothing tells how well {folder} does: `fakefreq evaluate {folder} "
            "MANIFEST` makes it; --evaluation names another folder, and --untested publishes without"
        )
    try:
        table = pd.read_csv(path, dtype={"seed": str, "test": str, "note": str}, keep_default_na=True)
        of_run = (table["seed"] == str(config.seed)) & (
            (table["threshold"] - threshold).abs() <= 1e-4 * (1 + abs(threshold))
        )
        found = table[of_run & table["metric"].notna()]
        if len(found.drop_duplicates(["protocol", "track", "train_on", "detector"])) > 1:
            found = found[found["detector"] == config.detector]
        several = found.drop_duplicates(["protocol", "track", "train_on", "detector"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no table of `fakefreq evaluate` or `benchmark`: {error}") from error
    if len(several) != 1:
        what = "no row" if several.empty else f"{len(several)} sets of rows"
        raise UserError(
            f"{path} has {what} of seed {config.seed} and threshold {threshold:.6g}, those of {folder}; evaluate it "
            f"again: `fakefreq evaluate {folder} MANIFEST`, or name another folder with --evaluation"
        )
    known = [*METRICS_COLUMNS, "biased", "scale", "threshold_from"]
    return found.reindex(columns=[name for name in table if name in known])


def _nameless(val: pd.DataFrame) -> pd.DataFrame:
    """Return scores whose paths and groups are numbers: a file's name may be a person's."""
    groups = group_names(val)
    numbers = {name: f"validation-{number}" for number, name in enumerate(dict.fromkeys(groups), 1)}
    return val.assign(
        path=[f"validation/{number}" for number in range(1, len(val) + 1)], group=[numbers[name] for name in groups]
    )
