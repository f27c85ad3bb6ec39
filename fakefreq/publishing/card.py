"""The model card of a published detector, made from its run: nothing in it is typed by hand."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakefreq.config.files import RUN_SETTINGS
from fakefreq.config.run import TrainConfig
from fakefreq.evaluate.delong import delong_interval
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.predict import threshold_origin
from fakefreq.evaluate.scores import group_names
from fakefreq.models import Detector
from fakefreq.models.fusion import LATTICE
from fakefreq.report.tables import with_interval
from fakefreq.version import __version__

SHOWN = {"auc": "AUC", "accuracy": "accuracy", "tpr_at_fpr_1": "TPR at 1 % FPR", "fpr": "FPR at the threshold"}
"""Metric -> heading, of the card's table."""
KINDS = ["generator", "source", "mean"]
"""Of the test sets in it, in its order."""


@dataclass(frozen=True)
class FinishedRun:
    """All that a card tells of a run.

    Args:
        folder: of the run.
        config: its settings.
        summary: its summary.json.
        environment: its environment.json.
        detector: with its weights.
        val: its validation scores.
        metrics: rows of metrics.csv of these weights; empty where it was not tested.
    """

    folder: Path
    config: TrainConfig
    summary: dict[str, Any]
    environment: dict[str, Any]
    detector: Detector
    val: pd.DataFrame
    metrics: pd.DataFrame


def model_card(run: FinishedRun, name: str, licence: str) -> str:
    """Return the README.md of a published detector, with the hub's front matter.

    Args:
        run: what it tells of.
        name: owner/name.
        licence: in the hub's short form.
    """
    sections = {
        "Use": _use(name),
        "Data": _data(run),
        "Protocol": _protocol(run),
        "Results": _results(run),
        "Controls": _controls(run),
        "Audit of the training images": [_audit(run)],
        "Limits": _limits(run),
        "Misuse": _MISUSE,
        "Licence": [
            f"The weights: {licence}. Pretrained weights and images that they were trained on have licences of their "
            "own."
        ],
    }
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    return f"---\n{_front_matter(run, name, licence)}\n---\n\n# {name.partition('/')[2]}\n\n{_what(run)}\n\n{body}\n"


def _front_matter(run: FinishedRun, name: str, licence: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    is_shown = (run.metrics["metric"] == "auc") & (run.metrics["kind"] == "generator") & run.metrics["value"].notna()
    rows: list[Any] = list(run.metrics[is_shown].itertuples())
    results = [
        EvalResult(
            task_type="image-classification", task_name="real or fake", dataset_type=_slug(str(row.test)),
            dataset_name=f"{row.test} ({_count(row.n_real)} real, {_count(row.n_fake)} fake)",
            metric_type="roc_auc", metric_name="AUC", metric_value=round(float(row.value), 4),
        )
        for row in rows
    ]  # fmt: skip
    card = ModelCardData(
        license=licence, library_name="fakefreq", pipeline_tag="image-classification",
        tags=["fakefreq", "deepfake-detection", "image-forensics", run.config.detector.replace("/", "-")],
        model_name=name.partition("/")[2], eval_results=results or None,
    )  # fmt: skip
    return card.to_yaml().strip()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"


def _what(run: FinishedRun) -> str:
    config = run.detector.config
    parts = []
    if "pixel" in run.detector.streams or "peer" in run.detector.streams:
        parts.append(f"the network `{config.backbone}`")
    if "frequency" in run.detector.streams or run.detector.lattice is not None:
        parts.append(f"the spectrum `{config.spectrum}`")
    made = f", made of {' and '.join(parts)}" if parts else ""
    return (
        f"`{config.name}`{made}, tells generated face images from photographs. It gives one logit an image, which "
        f"grows towards fake; above {run.detector.threshold:.4g} an image is called fake.\n"
        f"Trained and published with fakefreq {__version__}; all numbers below are from the run's own tables."
    )


def _use(name: str) -> list[str]:
    return [
        "```",
        f"fakefreq predict photos/ --detector hf://{name}",
        f"fakefreq evaluate hf://{name} MANIFEST --out evaluation",
        "```",
        "",
        "```python",
        "import fakefreq",
        "",
        f'detector = fakefreq.load_detector("hf://{name}")  # a commit behind @ pins it',
        'fakefreq.predict(detector, ["a.jpg"])',
        "```",
        "",
        "Tables of scores name the commit in the column `revision`.",
    ]


def _data(run: FinishedRun) -> list[str]:
    val, config = run.val, run.config
    fakes = val[val["label"] == 1]
    generators = ", ".join(config.train_on) or _listed(fakes, "generator") or "none"
    training = f"{run.summary['n_train']} images; generators: {generators}"
    known = run.detector.known
    if config.detector == LATTICE and known is not None:
        training = f"{sum(known.trained_on['real'].values())} photographs, and no fakes"
    sources = _listed(val[val["label"] == 0], "source") or "not named"
    history = run.detector.input.history
    views = f"{run.detector.input.views} crops" if run.detector.input.views > 1 else "the centre"
    lattice = ", and the lattice of the whole image," if run.detector.lattice is not None else ","
    return [
        f"- Training: {training}; sources of photographs: {sources}.",
        f"- Validation: {len(val) - len(fakes)} real and {len(fakes)} fake images.",
        f"- Of every image, real or fake, it reads {views}, {run.detector.input.crop} pixels a side{lattice} "
        + (f"after `{history}`." if history else "as it is stored: nothing is resized."),
        f"- Digest of the manifest: `{run.summary['manifest_digest']}`. `trained_images.txt` has the first digits of "
        "the training images' SHA-256, so that no test takes them.",
    ]


def _listed(rows: pd.DataFrame, column: str) -> str:
    names = sorted(set(rows[column].astype(str)) - {""}) if column in rows else []
    return ", ".join(names)


def _protocol(run: FinishedRun) -> list[str]:
    config, summary = run.config, run.summary
    chosen = f"validation chose epoch {summary['best_epoch']} of {summary['epochs']}"
    lines = [
        f"- Seed {config.seed}; {chosen if summary['epochs'] else 'fitted without epochs'}; the threshold is from "
        f"{threshold_origin(run.detector)}. Test images chose nothing.",
        f"- Pretrained weights: {run.environment.get('pretrained_weights_from', 'none')}.",
        f"- `fakefreq train MANIFEST --config {RUN_SETTINGS} --out RUN` repeats it; `environment.json` has versions "
        "and hardware.",
    ]
    if config.teacher:
        digest = run.environment.get("teacher_sha256", "unknown")
        lines.append(f"- Distilled from a teacher that is not published here, SHA-256 `{digest}`.")
    return lines


def _results(run: FinishedRun) -> list[str]:
    if run.metrics.empty:
        val = run.val
        told = "nothing is known of its validation AUC either, as only one class is there"
        if val["label"].nunique() == 2:
            labels, logits = val["label"].to_numpy(), val["logit"].to_numpy()
            low, high = delong_interval(labels, logits, group_names(val)) or (math.nan, math.nan)
            told = f"its validation AUC is {with_interval(auc(labels, logits), low, high)} ({_counts(val)})"
            told += "" if run.config.detector == LATTICE else ", on generators that it was trained on"
            told += ", and the epoch was chosen by it" if run.summary["epochs"] else ""
        return [f"**Not tested on any image**: {told}."]
    rows = [row for row in _by_test(run.metrics, KINDS) if any(row[name] for name in SHOWN)]
    header = ["test", "seen in training", "real", "fake", *SHOWN.values()]
    cells = [[row["test"], row["seen"], row["real"], row["fake"], *(row[name] for name in SHOWN)] for row in rows]
    return [*_markdown(header, cells), "", "With 95 % intervals. All metrics: `metrics.csv`."]


def _controls(run: FinishedRun) -> list[str]:
    rows = [] if run.metrics.empty else _by_test(run.metrics, ["control"])
    if not rows:
        return [
            "None was tested: how often it calls a photograph fake that was merely resized, recompressed or sharpened "
            "is not known."
        ]
    cells = [[row["test"], row["real"], row["fpr"]] for row in rows]
    lines = _markdown(["photographs that were merely processed", "images", "called fake"], cells)
    return [*lines, "", "With 95 % intervals, at the threshold above."]


def _by_test(metrics: pd.DataFrame, kinds: Sequence[str]) -> list[dict[str, str]]:
    """A row a test set, in the order of kinds, with its metrics as texts."""
    found = []
    for kind in kinds:
        for test, part in metrics[metrics["kind"] == kind].groupby("test", sort=False):
            first = part.iloc[0]
            row = {"test": str(test), "seen": _seen(first["seen"]), "real": _count(first["n_real"])}
            row |= {"fake": _count(first["n_fake"]), **dict.fromkeys(SHOWN, "")}
            told: list[Any] = list(part[part["metric"].isin(SHOWN)].itertuples())
            row |= {one.metric: with_interval(float(one.value), float(one.low), float(one.high)) for one in told}
            found.append(row)
    return found


def _seen(value: Any) -> str:
    return {"true": "yes", "false": "no"}.get(str(value).lower(), "")


def _count(value: Any) -> str:
    return "" if pd.isna(value) else str(int(value))


def _counts(table: pd.DataFrame) -> str:
    fakes = int((table["label"] == 1).sum())
    return f"{len(table) - fakes} real, {fakes} fake"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


_FAILED = "**Failed**: codec, size or quality alone tell the classes apart, and the detector was trained all the same"
_VERDICTS = {
    "pass": "Passed: header facts (codec, size, quality) hardly tell the classes apart.",
    "warn": "**Warns**: header facts (codec, size, quality) tell the classes apart to a degree, and the detector may "
    "have learnt some of that.",
    "fail": f"{_FAILED}. The numbers above may measure that, and not the generators.",
    "skipped": "None was made: whether codec, size or quality tell the classes apart is not known.",
}


def _audit(run: FinishedRun) -> str:
    verdict = str(run.summary.get("audit", "skipped"))
    if verdict == "skipped" and "biased" in run.metrics:  # a benchmark audits for its runs
        reasons = sorted(set(run.metrics["biased"].dropna().astype(str)) - {""})
        if reasons:
            return f"{_FAILED}: {'; '.join(reasons)}. The numbers above may measure that, and not the generators."
        return "Not failed: header facts (codec, size, quality) alone do not tell the classes apart."
    return _VERDICTS.get(verdict, _VERDICTS["skipped"])


def _limits(run: FinishedRun) -> list[str]:
    unseen = run.metrics[
        (run.metrics["kind"] == "generator") & (run.metrics["seen"].astype(str).str.lower() == "false")
    ]
    told = (
        "the rows above that were not seen in training tell how much"
        if len(unseen)
        else "none was tested, so that nothing is known of them"
    )
    return [
        f"- Of generators unlike those of the training it may know nothing: {told}.",
        "- The probability of `predict` is not calibrated, and the threshold is of the validation's mix of images.",
        "- Resizing, recompression and screenshots remove traces, and add some that look alike; see the controls.",
        "- It was made for faces, and reads no audio, no text and no video.",
    ]


_MISUSE = [
    "- A score is no proof. Do not accuse a person, close an account, or reject a document by it alone.",
    "- An image that is called real may be generated: whoever knows the detector can evade it.",
    "- It says nothing of who is shown, and must not be used to identify anybody.",
    "- Where fakes are rare, most alarms are false: at 1 fake in 100 images and a false-positive rate of 5 %, at least "
    "4 of 5 alarms are.",
]
