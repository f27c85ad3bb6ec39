"""The audit of a manifest: would a detector learn a codec, a size or a photo source instead of the generator?"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.data.audit.checks import balance, duplicates, history
from fakefreq.data.audit.learnt_checks import LIMIT, Measured, header_probe, header_reasons, measure_images, sample_rows
from fakefreq.data.audit.probe import probe
from fakefreq.data.audit.verdict import LOG_LEVELS, Finding, Thresholds, Verdict, judge, worst
from fakefreq.data.manifests import manifest_digest, read_manifest
from fakefreq.errors import UserError, at_least
from fakefreq.files import write_json
from fakefreq.progress import track

logger = logging.getLogger(__name__)

_NAMED = 3  # images that do not decode; all are in the JSON file and on the page
_SOURCE_IMAGES = 30  # fewer of a source say nothing about it


@dataclass(frozen=True)
class AuditResult:
    """All parts of an audit.

    Attributes:
        verdict: the worst of the parts'.
        findings: one a part, in the order of `fakefreq audit`'s help.
        manifest: which manifest, its digest, and how many images.
        thresholds: what the verdicts were held against.
    """

    verdict: Verdict
    findings: list[Finding]
    manifest: dict[str, Any]
    thresholds: Thresholds

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def audit_verdict(
    manifest: pd.DataFrame, thresholds: Thresholds | None = None, limit: int = LIMIT, seed: int = 0
) -> Finding:
    """Judge a manifest by its header facts alone: part (a), seconds, nothing is decoded.

    Args:
        manifest: the rows to judge, such as those to train on.
        thresholds: where to warn and fail.
        limit: images to look at.
        seed: of sample, folds and bootstrap.

    Returns:
        The finding; its `verdict` is `pass`, `warn` or `fail`, its `reasons` say why.
    """
    bounds = thresholds or Thresholds()
    whole, without_size = header_probe(manifest, limit, seed, explain_above=bounds.header_warn)
    if whole is None or without_size is None:
        return Finding("header", "warn", ["too few images or groups of a class to judge header facts by"])
    verdict = judge(whole.auc, bounds.header_warn, bounds.header_fail, whole.low)
    facts = {"auc": whole.as_dict(), "auc_without_file_size": without_size.as_dict()}
    return Finding("header", verdict, header_reasons(manifest, whole, without_size), facts)


def audit_manifest(
    manifest_path: str | Path,
    out: str | Path | None = None,
    thresholds: Thresholds | None = None,
    subsets: Sequence[str] = (),
    images: int = 4000,
    seed: int = 0,
) -> AuditResult:
    """Audit a manifest and write the result as JSON; the work of `fakefreq audit`.

    Args:
        manifest_path: the manifest.
        out: the JSON file to write; None writes none.
        thresholds: where each part warns and fails.
        subsets: only these; all where empty.
        images: how many to decode at most, for parts (b) and (f); 0 leaves these parts out.
        seed: of samples, folds and bootstrap.

    Raises:
        UserError: no such manifest or subset, no image of a class, or a number out of range.
    """
    bounds = thresholds or Thresholds()
    at_least(seed, 0, "--seed")
    at_least(images, 0, "--images")
    for name, value in asdict(bounds).items():
        if not np.isfinite(value):
            raise UserError(f"--{name.replace('_', '-')} takes a number; got {value}; one that is never reached is 1e9")
    manifest = read_manifest(manifest_path)
    unknown = sorted(set(subsets) - set(manifest["subset"]))
    if unknown:
        listed = ", ".join(sorted(set(manifest["subset"])))
        raise UserError(f"the manifest has no subset {unknown[0]!r}; --subset takes: {listed}")
    if subsets:
        manifest = manifest[manifest["subset"].isin(subsets)].reset_index(drop=True)
    if manifest["label"].nunique() < 2:
        raise UserError(f"{manifest_path} holds images of one class only; an audit compares both")
    facts = {"path": str(manifest_path), "digest": manifest_digest(manifest), "images": len(manifest)}
    facts["subsets"] = sorted(set(manifest["subset"]))
    findings: list[Finding] = []

    def add(finding: Finding) -> None:
        findings.append(finding)
        for number, reason in enumerate(finding.reasons):
            head = "    " if number else f"{finding.verdict.upper()} {finding.part}:"
            logger.log(LOG_LEVELS[finding.verdict], f"{head} {reason}")

    add(audit_verdict(manifest, bounds, seed=seed))
    sample = sample_rows(manifest, images, seed) if images else manifest[:0]
    if images:
        found = measure_images(sample, Path(manifest_path).parent, _progress)
        measured = sample.iloc[found.positions].reset_index(drop=True)
        add(_decoded(_pixels(measured, found.statistics, bounds, seed), found, len(manifest)))
    add(duplicates(manifest))
    add(balance(manifest, bounds))
    add(history(manifest, bounds))
    if images:
        add(_sources(measured, found.profiles, bounds, seed))
    result = AuditResult(worst([finding.verdict for finding in findings]), findings, facts, bounds)
    logger.log(LOG_LEVELS[result.verdict], f"verdict: {result.verdict}")
    if out is not None:
        write_json(out, result.as_dict())
    return result


def _progress(found: Iterator[object], total: int) -> Iterator[object]:
    return track(found, "audit", total)


def _decoded(finding: Finding, found: Measured, images: int) -> Finding:
    """Add how many images were decoded, and which do not decode: training would stop at them."""
    judged, sampled = len(found.positions), len(found.positions) + len(found.skipped)
    of_all = f", drawn from {images}" if images > sampled else ""
    reasons = [*finding.reasons, f"{judged} of {sampled} judged{of_all}"]
    if found.skipped:
        named = [f"{path} ({reason})" for path, reason in found.skipped[:_NAMED]]
        more = f" and {len(found.skipped) - _NAMED} more" if len(found.skipped) > _NAMED else ""
        reasons[-1] += f"; {len(found.skipped)} cannot be decoded and are left out: {', '.join(named)}{more}"
    facts = {
        **finding.facts,
        "judged": judged,
        "left_out": [{"path": path, "reason": reason} for path, reason in found.skipped],
    }
    verdict = worst([finding.verdict, "warn"]) if found.skipped else finding.verdict
    return Finding(finding.part, verdict, reasons, facts)


def _pixels(rows: pd.DataFrame, statistics: pd.DataFrame, bounds: Thresholds, seed: int) -> Finding:
    labels = rows["label"].to_numpy(dtype=np.int64)
    found = probe(statistics, labels, rows["group"].to_numpy(), seed) if len(rows) else None
    if found is None:
        return Finding("pixels", "warn", ["too few images that decode to judge pixel statistics by"])
    reasons = [f"colour, contrast, borders and block grid alone tell real from fake with AUC {found}"]
    for feature in found.features[:3]:
        if feature.alone > 0.55:
            middle = [statistics.loc[labels == label, feature.name].median() for label in (0, 1)]
            reasons.append(
                f"{feature.name} alone: AUC {feature.alone:.3f}; median real {middle[0]:.3g}, fake {middle[1]:.3g}"
            )
    verdict = judge(found.auc, bounds.pixels_warn, bounds.pixels_fail, found.low)
    return Finding("pixels", verdict, reasons, {"auc": found.as_dict()})


def _sources(rows: pd.DataFrame, profiles: NDArray[np.float64], bounds: Thresholds, seed: int) -> Finding:
    """Real against real: a linear classifier on the spectral profile, for each pair of sources."""
    real = (rows["label"] == 0).to_numpy()
    named = np.where(rows["source"] != "", rows["source"], rows["subset"]).astype(str)
    # The same photographs may be there with another history: each source within each subset is a set of its own.
    sets = np.where(named == rows["subset"], named, named + " (" + rows["subset"].astype(str) + ")")
    names = [name for name in sorted(set(sets[real])) if (real & (sets == name)).sum() >= _SOURCE_IMAGES]
    if len(names) < 2:
        return Finding("sources", "pass", ["fewer than two sources of photographs: nothing to tell apart"])
    pairs = []
    for first, second in itertools.combinations(names, 2):
        chosen = np.flatnonzero(real & ((sets == first) | (sets == second)))
        columns = pd.DataFrame(profiles[chosen])
        labels = (sets[chosen] == second).astype(np.int64)
        found = probe(columns, labels, rows["group"].to_numpy()[chosen], seed, explain=False, model="linear")
        if found is not None:
            pairs.append(
                {"first": first, "second": second, **{k: v for k, v in found.as_dict().items() if k != "features"}}
            )
    pairs.sort(key=lambda pair: -float(pair["auc"]))
    reasons = [
        f"{pair['first']} against {pair['second']}: AUC {pair['auc']:.3f} [{pair['low']:.3f}, {pair['high']:.3f}] "
        f"(n = {pair['negatives']} + {pair['positives']})"
        for pair in pairs
    ]
    verdict = worst([judge(float(p["auc"]), bounds.sources_warn, bounds.sources_fail, float(p["low"])) for p in pairs])
    if verdict != "pass":
        reasons.append(
            "spectra alone tell these photographs apart: fakes of one subset must not be judged against photographs of "
            "another, and false-positive rates belong beside every result, by source"
        )
    return Finding("sources", verdict, reasons, {"pairs": pairs})
